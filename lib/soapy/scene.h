/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

/*! \file
 * A scene: emitters at absolute frequencies over white noise, read from JSON (docs/live.md has the fields). */

#ifndef INCLUDED_SPECTRUMTEST_SCENE_H
#define INCLUDED_SPECTRUMTEST_SCENE_H

#include "signal.h"
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace spectrumtest {

struct emitter {
    enum class kind { tone, noise, fm };
    kind type;
    double freq_hz;
    double power_dbfs;
    double bandwidth_hz; //!< noise: of the band
    double deviation_hz; //!< fm: peak (three sigma of the modulating noise)
    double audio_hz;     //!< fm: highest modulating frequency
    double start_s;      //!< on from here ...
    double stop_s;       //!< ... to here; and within that
    double period_s;     //!< every period ...
    double on_s;         //!< ... for this long

    double half_width_hz() const;
    bool seen_from(const tuning& where) const;
};

//! Two circular tables of coprime lengths. Their sum (noise) or product (fm) repeats only after hours.
struct waveform {
    std::vector<sample> a, b;
};

class scene : public signal
{
public:
    //! \throws std::invalid_argument one line: the field, its value and what it may be
    scene(const std::string& json, uint64_t seed);

    void prepare(double rate) override;
    void render(uint64_t block, const tuning& where, sample* out) override;
    double power(const tuning& where) const override;

    static const char* const builtin;    //!< JSON of the scene that is played if none is named
    static const char* const noise_only; //!< the same without emitters

private:
    uint64_t d_seed;
    double d_noise_dbfs_hz;
    std::vector<emitter> d_emitters;
    std::vector<sample> d_noise; //!< white, unit power
    std::map<std::string, std::shared_ptr<waveform>> d_waveforms;

    void add_noise(uint64_t block, float amplitude, sample* out) const;
    void add_emitter(uint64_t block, size_t number, const tuning& where, sample* out);
    const waveform& waveform_of(const emitter& which, double rate);
};

} // namespace spectrumtest

#endif /* INCLUDED_SPECTRUMTEST_SCENE_H */
