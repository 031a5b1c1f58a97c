/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

/*! \file
 * When samples came in, from when they were seen: the work thread observes, any thread asks. */

#ifndef INCLUDED_SPECTRUMENCODER_ARRIVAL_CLOCK_H
#define INCLUDED_SPECTRUMENCODER_ARRIVAL_CLOCK_H

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>

namespace gr {
namespace spectrumencoder {

/* A sample is seen when it came in, or later. So the line of arrival, offset + n / rate, lies below all that was seen,
 * and the least lag is its offset. Two windows of a few seconds each let it follow two clocks that drift apart. */
class arrival_clock
{
public:
    void reset() { d_offset = d_now = d_before = NONE; }

    //! All samples up to number n have been seen by now.
    void observe(uint64_t n, double rate)
    {
        const double now = arrival_clock::now();
        if (d_now != d_now || now - d_window_start > WINDOW_S) {
            d_before = d_now;
            d_now = std::numeric_limits<double>::infinity();
            d_window_start = now;
        }
        d_now = std::min(d_now, now - n / rate);
        d_offset = d_before == d_before ? std::min(d_now, d_before) : d_now;
    }

    double offset() const { return d_offset; }

    //! Seconds since sample n came in; 0 where nothing is known.
    double age(uint64_t n, double rate) const
    {
        const double age = now() - d_offset - n / rate;
        return age > 0.0 ? age : 0.0;
    }

private:
    static double now()
    {
        return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
    }

    static constexpr double WINDOW_S = 5.0, NONE = std::numeric_limits<double>::quiet_NaN();

    double d_window_start = 0.0, d_now = NONE, d_before = NONE;
    std::atomic<double> d_offset{ NONE };
};

} // namespace spectrumencoder
} // namespace gr

#endif /* INCLUDED_SPECTRUMENCODER_ARRIVAL_CLOCK_H */
