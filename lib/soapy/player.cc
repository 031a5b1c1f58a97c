/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "player.h"
#include <algorithm>
#include <chrono>
#include <cmath>
#include <stdexcept>
#include <thread>

namespace spectrumtest {

namespace {

constexpr double AGC_DBFS = -20.0;

} // namespace

player::player(std::unique_ptr<signal> source, const options& how)
    : d_signal(std::move(source)),
      d_options(how),
      d_clock(d_signal->only_rate().value_or(2.4e6), how.paced),
      d_freq(d_signal->only_freq().value_or(100e6)),
      d_now(wanted())
{
}

void player::start()
{
    check_present();
    std::lock_guard<std::mutex> lock(d_mutex);
    d_signal->prepare(d_clock.rate());
    d_clock.start();
}

void player::stop()
{
    check_present();
    std::lock_guard<std::mutex> lock(d_mutex);
    d_clock.stop();
}

void player::set_freq(double hz)
{
    change([&] { d_freq = hz; });
}

void player::set_rate(double samples_per_s)
{
    if (samples_per_s == d_clock.rate())
        return;
    change([&] {
        const long long now = d_clock.now_ns();
        if (d_clock.running())
            d_signal->prepare(samples_per_s);
        d_clock.set_rate(samples_per_s, now);
    });
}

void player::set_bandwidth(double hz)
{
    change([&] { d_bandwidth = hz; });
}

void player::set_correction(double ppm)
{
    change([&] { d_correction_ppm = ppm; });
}

long long player::now_ns() const
{
    std::lock_guard<std::mutex> lock(d_mutex);
    return d_clock.now_ns();
}

void player::set_time(long long time_ns)
{
    std::lock_guard<std::mutex> lock(d_mutex);
    d_clock.set_time(time_ns);
}

player::result player::read(size_t wanted, long timeout_us, sample* out)
{
    check_present();
    const auto fault = d_faults.next();
    if (fault == faults::kind::hang)
        while (true)
            std::this_thread::sleep_for(std::chrono::hours(1));
    if (fault == faults::kind::unplug) {
        d_unplugged = true;
        check_present();
    }
    if (fault == faults::kind::error)
        return { outcome::error };

    const bool paced = d_options.paced;
    const size_t n = std::min(wanted, MAX_READ);
    if (fault == faults::kind::timeout) {
        if (paced)
            std::this_thread::sleep_for(std::chrono::microseconds(timeout_us));
        std::lock_guard<std::mutex> lock(d_mutex);
        d_clock.skip_to(paced ? d_clock.newest() : d_clock.next() + uint64_t(timeout_us * 1e-6 * d_clock.rate()));
        return { outcome::timeout };
    }
    if (paced && !wait_for(n, timeout_us))
        return { outcome::timeout };
    std::lock_guard<std::mutex> lock(d_mutex);
    if (fault == faults::kind::overflow) {
        d_clock.skip(MAX_READ);
        return { outcome::overflow };
    }
    if (paced && d_clock.taken() > d_clock.next() + uint64_t(d_options.buffer_s * d_clock.rate())) {
        d_clock.skip_to(d_clock.taken()); // the buffers were full and have been emptied
        return { outcome::overflow };
    }
    const long long time_ns = d_clock.time_ns(d_clock.next());
    give(n, out);
    return { outcome::samples, n, time_ns };
}

void player::check_present() const
{
    if (d_unplugged)
        throw std::runtime_error("spectrumtest: the device is gone");
}

// A crystal that is off by ppm, and the correction that the driver applies.
tuning player::wanted() const
{
    return { d_freq * (1.0 + (d_options.ppm - d_correction_ppm) * 1e-6), rate(), bandwidth() };
}

template <class Change>
void player::change(Change&& apply)
{
    check_present();
    std::lock_guard<std::mutex> lock(d_mutex);
    const double old_rate = d_clock.rate();
    apply();
    if (!d_clock.running() || d_clock.rate() != old_rate) {
        d_retunes.clear();
        d_now = wanted();
    } else {
        d_retunes.emplace_back(d_clock.newest() + uint64_t(d_options.latency_s * d_clock.rate()), wanted());
    }
}

bool player::wait_for(size_t count, long timeout_us) const
{
    using clock = std::chrono::steady_clock;
    const auto deadline = clock::now() + std::chrono::microseconds(timeout_us);
    while (true) {
        double missing_s;
        {
            std::lock_guard<std::mutex> lock(d_mutex);
            const uint64_t now = d_clock.taken();
            if (now >= d_clock.next() + count)
                return true;
            missing_s = double(d_clock.next() + count - now) / d_clock.rate();
        }
        if (clock::now() >= deadline)
            return false;
        const auto until = clock::now() + std::chrono::microseconds(1 + std::llround(missing_s * 1e6));
        std::this_thread::sleep_until(std::min(until, deadline));
    }
}

// The next n samples, each at the tuning of its time.
void player::give(size_t n, sample* out)
{
    while (n > 0) {
        while (!d_retunes.empty() && d_retunes.front().first <= d_clock.next()) {
            d_now = d_retunes.front().second;
            d_retunes.pop_front();
        }
        const size_t run =
            d_retunes.empty() ? n : size_t(std::min<uint64_t>(n, d_retunes.front().first - d_clock.next()));
        play(run, out);
        out += run;
        n -= run;
    }
}

void player::play(size_t n, sample* out)
{
    const double total_db =
        agc ? AGC_DBFS - 10 * std::log10(std::max(d_signal->power(d_now), 1e-20)) : gain_db - REFERENCE_GAIN_DB;
    const float gain = float(std::pow(10.0, total_db / 20));
    const float dc = dc_dbfs > NO_DC_DBFS ? float(std::pow(10.0, dc_dbfs / 20)) : 0.0f;
    while (n > 0) {
        const uint64_t number = d_clock.next() / BLOCK;
        const size_t at = d_clock.next() % BLOCK, run = std::min(n, BLOCK - at);
        // a dummy load receives no emitter: one far from all of them
        tuning where = d_now;
        if (dummy)
            where.center_hz = -1e12;
        if (number != d_block_number || !(where == d_block_tuning)) {
            d_signal->render(number, where, d_block.data());
            d_block_number = number;
            d_block_tuning = where;
        }
        for (size_t i = 0; i < run; ++i) {
            const sample v = d_block[at + i];
            out[i] = { std::clamp(v.real() * gain + dc, -1.0f, 1.0f), std::clamp(v.imag() * gain, -1.0f, 1.0f) };
        }
        d_clock.skip(run);
        out += run;
        n -= run;
    }
}

} // namespace spectrumtest
