/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

/*! \file
 * A SigMF recording, played in a loop. */

#ifndef INCLUDED_SPECTRUMTEST_SIGMF_LOOP_H
#define INCLUDED_SPECTRUMTEST_SIGMF_LOOP_H

#include "signal.h"
#include <string>
#include <vector>

namespace spectrumtest {

class sigmf_loop : public signal
{
public:
    //! \param path of the .sigmf-meta; types cf32_le, ci16_le, ci8 and cu8, up to 1 GiB of samples, kept in memory
    //! \throws std::invalid_argument one line: what is wrong with the file
    explicit sigmf_loop(const std::string& path);

    void render(uint64_t block, const tuning& where, sample* out) override;
    double power(const tuning&) const override { return d_power; }
    std::optional<double> only_rate() const override { return d_rate; }
    std::optional<double> only_freq() const override { return d_freq; }

private:
    double d_rate, d_freq, d_power;
    std::vector<sample> d_samples;
};

} // namespace spectrumtest

#endif /* INCLUDED_SPECTRUMTEST_SIGMF_LOOP_H */
