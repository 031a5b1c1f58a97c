/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

/*! \file
 * The clock of the test radio: which sample is given next, how many the wall clock says have been taken, and what time
 * the hardware shows. It is not locked; its owner does that. */

#ifndef INCLUDED_SPECTRUMTEST_SAMPLE_CLOCK_H
#define INCLUDED_SPECTRUMTEST_SAMPLE_CLOCK_H

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>

namespace spectrumtest {

class sample_clock
{
public:
    //! \param rate samples per second
    //! \param paced samples are taken at the pace of the wall clock; otherwise as fast as they are read
    sample_clock(double rate, bool paced) : d_rate(rate), d_paced(paced) {}

    double rate() const { return d_rate; }
    bool paced() const { return d_paced; }
    bool running() const { return d_running; }

    //! Number of the sample that is given next.
    uint64_t next() const { return d_next; }
    void skip(uint64_t count) { d_next += count; }
    void skip_to(uint64_t sample) { d_next = sample; }

    //! Number of samples that have been taken by now, by the wall clock.
    uint64_t taken() const
    {
        const double elapsed = std::chrono::duration<double>(clock::now() - d_start).count();
        return d_start_sample + uint64_t(elapsed * d_rate);
    }

    //! Number of the first sample that a command given now can still change.
    uint64_t newest() const { return d_paced ? std::max(d_next, taken()) : d_next; }

    //! Samples are taken from now on.
    void start()
    {
        set_time(now_ns());
        d_running = true;
        restart();
    }

    //! No samples are taken from now on.
    void stop()
    {
        set_time(now_ns());
        d_running = false;
    }

    //! \param time_ns hardware time at the change
    void set_rate(double rate, long long time_ns)
    {
        d_rate = rate;
        restart();
        set_time(time_ns);
    }

    //! Hardware time of a sample.
    long long time_ns(uint64_t sample) const
    {
        return d_time_ns + std::llround((double(sample) - double(d_time_sample)) * 1e9 / d_rate);
    }

    //! Hardware time now. A paced clock runs on while no samples are taken; the other one is its samples alone.
    long long now_ns() const
    {
        if (!d_paced)
            return time_ns(d_next);
        return d_running ? time_ns(taken()) : d_time_ns + std::chrono::nanoseconds(clock::now() - d_time_set).count();
    }

    void set_time(long long time_ns)
    {
        d_time_ns = time_ns;
        d_time_sample = d_paced && d_running ? taken() : d_next;
        d_time_set = clock::now();
    }

private:
    using clock = std::chrono::steady_clock;

    double d_rate;
    const bool d_paced;
    bool d_running = false;
    uint64_t d_next = 0;
    uint64_t d_start_sample = 0;
    clock::time_point d_start;                   // when d_start_sample was taken
    long long d_time_ns = 0;                     // hardware time ...
    uint64_t d_time_sample = 0;                  // ... of this sample, and ...
    clock::time_point d_time_set = clock::now(); // ... of this moment

    void restart()
    {
        d_start = clock::now();
        d_start_sample = d_next;
    }
};

} // namespace spectrumtest

#endif /* INCLUDED_SPECTRUMTEST_SAMPLE_CLOCK_H */
