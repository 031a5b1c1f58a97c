/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

/*! \file
 * Plays a signal as a receiver would hear it: tuned, amplified, at the pace of the clock, with losses and faults. It
 * knows nothing of SoapySDR. */

#ifndef INCLUDED_SPECTRUMTEST_PLAYER_H
#define INCLUDED_SPECTRUMTEST_PLAYER_H

#include "faults.h"
#include "sample_clock.h"
#include "signal.h"
#include <array>
#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <utility>

namespace spectrumtest {

class player
{
public:
    static constexpr double REFERENCE_GAIN_DB = 20.0; //!< at which a signal is as its scene says
    static constexpr double NO_DC_DBFS = -200.0;      //!< no spike at 0 Hz
    static constexpr size_t MAX_READ = 2 * BLOCK;

    struct options {
        bool paced = true;      //!< at the pace of the wall clock; otherwise as fast as it is read
        double ppm = 0.0;       //!< error of the crystal
        double buffer_s = 0.25; //!< samples that nobody reads for longer are lost
        double latency_s = 0.0; //!< of a retune
    };

    enum class outcome { samples, timeout, overflow, error };
    struct result {
        outcome what;
        size_t count = 0;      //!< number of samples
        long long time_ns = 0; //!< hardware time of the first one
    };

    player(std::unique_ptr<signal> source, const options& how);

    const signal& source() const { return *d_signal; }
    faults& trouble() { return d_faults; }
    const faults& trouble() const { return d_faults; }

    // Each of these throws std::runtime_error after the device was unplugged.
    void start();
    void stop();
    void set_freq(double hz);
    void set_rate(double samples_per_s);
    void set_bandwidth(double hz);
    void set_correction(double ppm);

    void unplug() { d_unplugged = true; }

    //! Waits for samples, at most MAX_READ, and counts as one read for the faults.
    //! \throws std::runtime_error the device was unplugged
    result read(size_t wanted, long timeout_us, sample* out);

    double freq() const { return d_freq; }
    double rate() const { return d_clock.rate(); }
    double bandwidth() const { return d_bandwidth > 0.0 ? d_bandwidth : rate(); }
    double correction() const { return d_correction_ppm; }

    // Gain and antenna change at once: the latency is that of the tuner.
    std::atomic<double> gain_db{ REFERENCE_GAIN_DB };
    std::atomic<double> dc_dbfs{ NO_DC_DBFS }; //!< level of the spike at 0 Hz
    std::atomic<bool> agc{ false };
    std::atomic<bool> dummy{ false }; //!< a dummy load is in place of the antenna

    long long now_ns() const;
    void set_time(long long time_ns);

private:
    const std::unique_ptr<signal> d_signal;
    const options d_options;
    faults d_faults;
    std::atomic<bool> d_unplugged{ false };

    mutable std::mutex d_mutex; // of all below
    sample_clock d_clock;
    double d_freq, d_correction_ppm = 0.0, d_bandwidth = 0.0;
    tuning d_now;                                      // of the next sample
    std::deque<std::pair<uint64_t, tuning>> d_retunes; // from that sample on
    std::array<sample, BLOCK> d_block;
    uint64_t d_block_number = ~uint64_t(0);
    tuning d_block_tuning{};

    void check_present() const;
    tuning wanted() const;
    template <class Change>
    void change(Change&& apply);
    bool wait_for(size_t count, long timeout_us) const;
    void give(size_t n, sample* out);
    void play(size_t n, sample* out);
};

} // namespace spectrumtest

#endif /* INCLUDED_SPECTRUMTEST_PLAYER_H */
