/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

/*! \file
 * SoapySDR module `driver=spectrumtest`: a receiver without hardware (docs/live.md). One RX channel, CF32. It plays a
 * scene of emitters at absolute frequencies, a recording, or noise; keeps the time of the wall clock and loses samples
 * when it is read too late; and fails on demand. The samples follow from the seed and their number alone. */

#include "faults.h"
#include "scene.h"
#include "sigmf_loop.h"
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <deque>
#include <fstream>
#include <mutex>
#include <set>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <SoapySDR/Device.hpp>
#include <SoapySDR/Errors.hpp>
#include <SoapySDR/Formats.hpp>
#include <SoapySDR/Logger.hpp>
#include <SoapySDR/Registry.hpp>

namespace spectrumtest {

namespace {

using clock = std::chrono::steady_clock;

constexpr double REFERENCE_GAIN_DB = 20.0, MAX_GAIN_DB = 50.0;
constexpr double AGC_DBFS = -20.0;
constexpr double MIN_RATE = 48e3, MAX_RATE = 20e6;
constexpr double MIN_FREQ = 1e6, MAX_FREQ = 6e9;
constexpr double NO_DC_DBFS = -200.0;
// the last two are SoapyRemote's
const std::set<std::string> ARGUMENTS{ "driver",         "label", "serial", "scene",
                                       "file",           "rate",  "seed",   "pace",
                                       "hwtime",         "ppm",   "remote", "buffer_ms",
                                       "retune_latency", "type",  "prot",   "soapy_remote_no_deeper" };

double number(const SoapySDR::Kwargs& args, const std::string& key, double otherwise, double low, double high)
{
    const auto found = args.find(key);
    if (found == args.end())
        return otherwise;
    char* end = nullptr;
    const double value = std::strtod(found->second.c_str(), &end);
    if (found->second.empty() || *end || !(value >= low && value <= high)) {
        std::ostringstream text;
        text << "spectrumtest: " << key << '=' << found->second << " is not a number from " << low << " to " << high;
        throw std::invalid_argument(text.str());
    }
    return value;
}

std::string read_file(const std::string& path)
{
    std::ifstream file(path);
    if (!file)
        throw std::invalid_argument("spectrumtest: scene=" + path +
                                    " cannot be read; name a JSON file, builtin or none");
    return { std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>() };
}

std::unique_ptr<signal> make_signal(const SoapySDR::Kwargs& args)
{
    if (args.count("file") && args.count("scene"))
        throw std::invalid_argument("spectrumtest: file and scene exclude each other");
    if (args.count("file"))
        return std::make_unique<sigmf_loop>(args.at("file"));
    const std::string name = args.count("scene") ? args.at("scene") : "builtin";
    const std::string json = name == "builtin" ? scene::builtin : name == "none" ? scene::noise_only : read_file(name);
    return std::make_unique<scene>(json, uint64_t(number(args, "seed", 0.0, 0.0, 1e15)));
}

} // namespace

class radio : public SoapySDR::Device
{
public:
    explicit radio(const SoapySDR::Kwargs& args)
        : d_signal(make_signal(args)),
          d_rate(d_signal->only_rate().value_or(2.4e6)),
          d_freq(d_signal->only_freq().value_or(100e6)),
          d_ppm(number(args, "ppm", 0.0, -1000.0, 1000.0)),
          d_paced(number(args, "pace", 1.0, 0.0, 1.0) != 0.0),
          d_hwtime(number(args, "hwtime", 0.0, 0.0, 1.0) != 0.0),
          d_buffer_s(number(args, "buffer_ms", 250.0, 1.0, 10000.0) * 1e-3),
          d_latency_s(number(args, "retune_latency", 0.0, 0.0, 1000.0) * 1e-3)
    {
        if (args.count("rate"))
            setSampleRate(SOAPY_SDR_RX, 0, number(args, "rate", 0.0, MIN_RATE, MAX_RATE));
        for (const auto& [key, value] : args) {
            if (key == "dc_dbfs" || d_faults.set(key, 0))
                writeSetting(key, value);
            else if (!ARGUMENTS.count(key) && key.compare(0, 7, "remote:") != 0)
                SoapySDR::logf(SOAPY_SDR_WARNING, "spectrumtest: unknown argument %s is ignored", key.c_str());
        }
        d_now = wanted();
    }

    std::string getDriverKey() const override { return "spectrumtest"; }
    std::string getHardwareKey() const override { return "spectrumtest"; }
    size_t getNumChannels(const int direction) const override { return direction == SOAPY_SDR_RX ? 1 : 0; }

    // Stream

    std::vector<std::string> getStreamFormats(const int, const size_t) const override { return { SOAPY_SDR_CF32 }; }
    std::string getNativeStreamFormat(const int, const size_t, double& full_scale) const override
    {
        full_scale = 1.0;
        return SOAPY_SDR_CF32;
    }
    SoapySDR::Stream* setupStream(const int direction,
                                  const std::string& format,
                                  const std::vector<size_t>& channels,
                                  const SoapySDR::Kwargs&) override
    {
        if (direction != SOAPY_SDR_RX || format != SOAPY_SDR_CF32 || channels.size() > 1)
            throw std::runtime_error("spectrumtest: it streams one RX channel of CF32");
        return reinterpret_cast<SoapySDR::Stream*>(this);
    }
    void closeStream(SoapySDR::Stream*) override {}
    size_t getStreamMTU(SoapySDR::Stream*) const override { return 2 * BLOCK; }
    int activateStream(SoapySDR::Stream*, const int, const long long, const size_t) override
    {
        present();
        std::lock_guard<std::mutex> lock(d_mutex);
        d_signal->prepare(d_rate);
        set_time(now_ns());
        d_active = true;
        restart_clock();
        return 0;
    }
    int deactivateStream(SoapySDR::Stream*, const int, const long long) override
    {
        present();
        std::lock_guard<std::mutex> lock(d_mutex);
        set_time(now_ns());
        d_active = false;
        return 0;
    }
    int readStream(SoapySDR::Stream*,
                   void* const* buffers,
                   const size_t wanted,
                   int& flags,
                   long long& time,
                   const long timeout_us) override;

    // Tuning

    std::vector<std::string> listFrequencies(const int, const size_t) const override { return { "RF" }; }
    SoapySDR::RangeList getFrequencyRange(const int, const size_t, const std::string&) const override
    {
        const auto only = d_signal->only_freq();
        return { only ? SoapySDR::Range(*only, *only) : SoapySDR::Range(MIN_FREQ, MAX_FREQ) };
    }
    void setFrequency(const int, const size_t, const std::string&, const double freq, const SoapySDR::Kwargs&) override
    {
        check("frequency", freq, getFrequencyRange(SOAPY_SDR_RX, 0, "RF").front());
        change([&] { d_freq = freq; });
    }
    double getFrequency(const int, const size_t, const std::string&) const override { return d_freq; }
    bool hasFrequencyCorrection(const int, const size_t) const override { return true; }
    void setFrequencyCorrection(const int, const size_t, const double ppm) override
    {
        change([&] { d_correction_ppm = ppm; });
    }
    double getFrequencyCorrection(const int, const size_t) const override { return d_correction_ppm; }

    SoapySDR::RangeList getSampleRateRange(const int, const size_t) const override
    {
        const auto only = d_signal->only_rate();
        return { only ? SoapySDR::Range(*only, *only) : SoapySDR::Range(MIN_RATE, MAX_RATE) };
    }
    void setSampleRate(const int, const size_t, const double rate) override
    {
        check("sample rate", rate, getSampleRateRange(SOAPY_SDR_RX, 0).front());
        if (rate == d_rate)
            return;
        change([&] {
            const long long now = now_ns();
            d_rate = rate;
            if (d_active)
                d_signal->prepare(rate);
            restart_clock();
            set_time(now);
        });
    }
    double getSampleRate(const int, const size_t) const override { return d_rate; }

    SoapySDR::RangeList getBandwidthRange(const int, const size_t) const override
    {
        return { SoapySDR::Range(0.0, MAX_RATE) };
    }
    void setBandwidth(const int, const size_t, const double bandwidth) override
    {
        check("bandwidth", bandwidth, getBandwidthRange(SOAPY_SDR_RX, 0).front());
        change([&] { d_bandwidth = bandwidth; });
    }
    double getBandwidth(const int, const size_t) const override { return d_bandwidth > 0.0 ? d_bandwidth : d_rate; }

    // Gain and antenna: at once, as the retune latency is that of the tuner

    std::vector<std::string> listGains(const int, const size_t) const override { return { "TUNER" }; }
    bool hasGainMode(const int, const size_t) const override { return true; }
    void setGainMode(const int, const size_t, const bool automatic) override { d_agc = automatic; }
    bool getGainMode(const int, const size_t) const override { return d_agc; }
    SoapySDR::Range getGainRange(const int, const size_t, const std::string&) const override
    {
        return { 0.0, MAX_GAIN_DB };
    }
    void setGain(const int, const size_t, const std::string&, const double gain) override
    {
        check("gain", gain, SoapySDR::Range(0.0, MAX_GAIN_DB));
        d_gain_db = gain;
    }
    double getGain(const int, const size_t, const std::string&) const override { return d_gain_db; }

    std::vector<std::string> listAntennas(const int, const size_t) const override { return { "RX", "DUMMY" }; }
    void setAntenna(const int, const size_t, const std::string& name) override
    {
        if (name != "RX" && name != "DUMMY")
            throw std::invalid_argument("spectrumtest: antenna " + name +
                                        " is not RX or DUMMY (which receives nothing)");
        d_dummy = name == "DUMMY";
    }
    std::string getAntenna(const int, const size_t) const override { return d_dummy ? "DUMMY" : "RX"; }

    // Time

    bool hasHardwareTime(const std::string&) const override { return d_hwtime; }
    long long getHardwareTime(const std::string&) const override
    {
        std::lock_guard<std::mutex> lock(d_mutex);
        return now_ns();
    }
    void setHardwareTime(const long long time, const std::string&) override
    {
        std::lock_guard<std::mutex> lock(d_mutex);
        set_time(time);
    }

    // Settings: the faults, and the spike in the middle of the band

    SoapySDR::ArgInfoList getSettingInfo() const override
    {
        SoapySDR::ArgInfoList list;
        const auto add = [&](const std::string& key, const std::string& about, double low, double high) {
            SoapySDR::ArgInfo info;
            info.key = info.name = key;
            info.value = readSetting(key);
            info.description = about;
            info.type = SoapySDR::ArgInfo::FLOAT;
            info.range = SoapySDR::Range(low, high);
            list.push_back(info);
        };
        add("dc_dbfs", "level of the spike at 0 Hz; -200 is none", NO_DC_DBFS, 0.0);
        for (const auto& fault : d_faults.all())
            add(fault.name, std::string(fault.about) + "; 0 is never", 0.0, 1e15);
        return list;
    }
    void writeSetting(const std::string& key, const std::string& value) override
    {
        const SoapySDR::Kwargs args{ { key, value } };
        if (key == "dc_dbfs")
            d_dc_dbfs = number(args, key, 0.0, NO_DC_DBFS, 0.0);
        else if (!d_faults.set(key, uint64_t(number(args, key, 0.0, 0.0, 1e15))))
            throw std::invalid_argument("spectrumtest: there is no setting " + key);
        d_settings[key] = value;
    }
    std::string readSetting(const std::string& key) const override
    {
        const auto found = d_settings.find(key);
        if (found != d_settings.end())
            return found->second;
        return key == "dc_dbfs" ? std::to_string(NO_DC_DBFS) : "0";
    }

private:
    const std::unique_ptr<signal> d_signal;
    double d_rate, d_freq;
    const double d_ppm;
    const bool d_paced, d_hwtime;
    const double d_buffer_s, d_latency_s;
    double d_correction_ppm = 0.0, d_bandwidth = 0.0;
    std::atomic<double> d_gain_db{ REFERENCE_GAIN_DB }, d_dc_dbfs{ NO_DC_DBFS };
    std::atomic<bool> d_agc{ false }, d_dummy{ false }, d_unplugged{ false };
    faults d_faults;
    SoapySDR::Kwargs d_settings;

    mutable std::mutex d_mutex; // of all below and of the tuning above
    bool d_active = false;
    uint64_t d_sample = 0; // the next one to give
    uint64_t d_clock_sample = 0;
    clock::time_point d_clock_start;                   // when d_clock_sample was taken
    long long d_time_ns = 0;                           // hardware time ...
    uint64_t d_time_sample = 0;                        // ... of this sample, and ...
    clock::time_point d_time_set = clock::now();       // ... of this moment
    tuning d_now;                                      // of d_sample
    std::deque<std::pair<uint64_t, tuning>> d_retunes; // from that sample on
    std::array<sample, BLOCK> d_block;
    uint64_t d_block_number = ~uint64_t(0);
    tuning d_block_tuning{};

    static void check(const char* what, double value, const SoapySDR::Range& range)
    {
        if (value >= range.minimum() && value <= range.maximum())
            return;
        std::ostringstream text;
        text << "spectrumtest: " << what << ' ' << value << " is outside " << range.minimum() << ".."
             << range.maximum();
        throw std::invalid_argument(text.str());
    }

    // A crystal that is off by ppm, and the correction that the driver applies.
    tuning wanted() const
    {
        return { d_freq * (1.0 + (d_ppm - d_correction_ppm) * 1e-6), d_rate, d_bandwidth > 0.0 ? d_bandwidth : d_rate };
    }

    template <class Change>
    void change(Change&& apply)
    {
        present();
        std::lock_guard<std::mutex> lock(d_mutex);
        const double old_rate = d_rate;
        apply();
        if (!d_active || d_rate != old_rate) {
            d_retunes.clear();
            d_now = wanted();
        } else {
            const uint64_t when = (d_paced ? std::max(d_sample, taken()) : d_sample) + uint64_t(d_latency_s * d_rate);
            d_retunes.emplace_back(when, wanted());
        }
    }

    void present() const
    {
        if (d_unplugged)
            throw std::runtime_error("spectrumtest: the device is gone");
    }

    void restart_clock()
    {
        d_clock_start = clock::now();
        d_clock_sample = d_sample;
    }

    // The number of samples that have been taken by now, as far as the clock says.
    uint64_t taken() const
    {
        const double elapsed = std::chrono::duration<double>(clock::now() - d_clock_start).count();
        return d_clock_sample + uint64_t(elapsed * d_rate);
    }

    long long time_ns(uint64_t at) const
    {
        return d_time_ns + std::llround((double(at) - double(d_time_sample)) * 1e9 / d_rate);
    }

    // A paced radio's clock runs on while it does not stream; the other's is its samples alone.
    long long now_ns() const
    {
        if (!d_paced)
            return time_ns(d_sample);
        return d_active ? time_ns(taken()) : d_time_ns + std::chrono::nanoseconds(clock::now() - d_time_set).count();
    }

    void set_time(long long time)
    {
        d_time_ns = time;
        d_time_sample = d_paced && d_active ? taken() : d_sample;
        d_time_set = clock::now();
    }

    bool wait_for(size_t wanted, long timeout_us) const;
    void give(size_t n, sample* out);
    void play(size_t n, sample* out);
};

int radio::readStream(
    SoapySDR::Stream*, void* const* buffers, const size_t wanted, int& flags, long long& time, const long timeout_us)
{
    present();
    const auto fault = d_faults.next();
    if (fault == faults::kind::hang)
        while (true)
            std::this_thread::sleep_for(std::chrono::hours(1));
    if (fault == faults::kind::unplug) {
        d_unplugged = true;
        present();
    }
    if (fault == faults::kind::error)
        return SOAPY_SDR_STREAM_ERROR;

    const size_t n = std::min(wanted, 2 * BLOCK);
    if (fault == faults::kind::timeout) {
        if (d_paced)
            std::this_thread::sleep_for(std::chrono::microseconds(timeout_us));
        std::lock_guard<std::mutex> lock(d_mutex);
        d_sample = d_paced ? std::max(d_sample, taken()) : d_sample + uint64_t(timeout_us * 1e-6 * d_rate);
        return SOAPY_SDR_TIMEOUT;
    }
    if (d_paced && !wait_for(n, timeout_us))
        return SOAPY_SDR_TIMEOUT;
    std::lock_guard<std::mutex> lock(d_mutex);
    if (fault == faults::kind::overflow) {
        d_sample += 2 * BLOCK;
        return SOAPY_SDR_OVERFLOW;
    }
    if (d_paced && taken() > d_sample + uint64_t(d_buffer_s * d_rate)) {
        d_sample = taken(); // the buffers were full and have been emptied
        return SOAPY_SDR_OVERFLOW;
    }
    if (d_hwtime) {
        flags |= SOAPY_SDR_HAS_TIME;
        time = time_ns(d_sample);
    }
    give(n, static_cast<sample*>(buffers[0]));
    return int(n);
}

bool radio::wait_for(size_t wanted, long timeout_us) const
{
    const auto deadline = clock::now() + std::chrono::microseconds(timeout_us);
    while (true) {
        double missing_s;
        {
            std::lock_guard<std::mutex> lock(d_mutex);
            const uint64_t now = taken();
            if (now >= d_sample + wanted)
                return true;
            missing_s = double(d_sample + wanted - now) / d_rate;
        }
        if (clock::now() >= deadline)
            return false;
        const auto until = clock::now() + std::chrono::microseconds(1 + std::llround(missing_s * 1e6));
        std::this_thread::sleep_until(std::min(until, deadline));
    }
}

// n samples from d_sample on, each at the tuning of its time
void radio::give(size_t n, sample* out)
{
    while (n > 0) {
        while (!d_retunes.empty() && d_retunes.front().first <= d_sample) {
            d_now = d_retunes.front().second;
            d_retunes.pop_front();
        }
        const size_t run = d_retunes.empty() ? n : size_t(std::min<uint64_t>(n, d_retunes.front().first - d_sample));
        play(run, out);
        out += run;
        n -= run;
    }
}

void radio::play(size_t n, sample* out)
{
    const double gain_db =
        d_agc ? AGC_DBFS - 10 * std::log10(std::max(d_signal->power(d_now), 1e-20)) : d_gain_db - REFERENCE_GAIN_DB;
    const float gain = float(std::pow(10.0, gain_db / 20));
    const float dc = d_dc_dbfs > NO_DC_DBFS ? float(std::pow(10.0, d_dc_dbfs / 20)) : 0.0f;
    while (n > 0) {
        const uint64_t number = d_sample / BLOCK;
        const size_t at = d_sample % BLOCK, run = std::min(n, BLOCK - at);
        // a dummy load receives no emitter: one far from all of them
        tuning where = d_now;
        if (d_dummy)
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
        d_sample += run;
        out += run;
        n -= run;
    }
}

// The arguments are part of what is found: SoapySDR takes two radios of which it found the same for one.
static SoapySDR::KwargsList find_radio(const SoapySDR::Kwargs& args)
{
    SoapySDR::Kwargs found = args;
    found["driver"] = "spectrumtest";
    found["label"] = "Spectrum test radio (no hardware)";
    return { found };
}

static SoapySDR::Device* make_radio(const SoapySDR::Kwargs& args)
{
    return new radio(args);
}

static SoapySDR::Registry registration("spectrumtest", &find_radio, &make_radio, SOAPY_SDR_ABI_VERSION);

} // namespace spectrumtest
