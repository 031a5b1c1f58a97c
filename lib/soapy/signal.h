/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

/*! \file
 * The signal that the test radio plays: samples as a function of their number and of the tuning, and of nothing else.
 */

#ifndef INCLUDED_SPECTRUMTEST_SIGNAL_H
#define INCLUDED_SPECTRUMTEST_SIGNAL_H

#include <complex>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace spectrumtest {

using sample = std::complex<float>;

//! Length of a block of samples. Each is rendered by itself, so that the samples do not depend on how they are read.
constexpr size_t BLOCK = 4096;

struct tuning {
    double center_hz;    //!< of the local oscillator, its error included
    double rate;         //!< samples per second
    double bandwidth_hz; //!< of the filter; emitters outside are gone

    bool operator==(const tuning& other) const
    {
        return center_hz == other.center_hz && rate == other.rate && bandwidth_hz == other.bandwidth_hz;
    }
};

class signal
{
public:
    virtual ~signal() = default;

    //! Computes tables that take long, before the clock runs.
    virtual void prepare(double rate) { (void)rate; }

    //! Samples [block * BLOCK, (block + 1) * BLOCK), full scale = 1, at a gain of 0 dB from the reference.
    virtual void render(uint64_t block, const tuning& where, sample* out) = 0;

    //! Mean power at this tuning, full scale = 1, as an automatic gain control measures it.
    virtual double power(const tuning& where) const = 0;

    virtual std::optional<double> only_rate() const { return std::nullopt; } //!< of a recording
    virtual std::optional<double> only_freq() const { return std::nullopt; }
};

} // namespace spectrumtest

#endif /* INCLUDED_SPECTRUMTEST_SIGNAL_H */
