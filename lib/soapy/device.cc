/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "device.h"
#include "scene.h"
#include "sigmf_loop.h"
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <stdexcept>
#include <SoapySDR/Constants.h>
#include <SoapySDR/Errors.hpp>
#include <SoapySDR/Formats.hpp>
#include <SoapySDR/Logger.hpp>
#include <unistd.h>

namespace spectrumtest {

namespace {

constexpr double MAX_GAIN_DB = 50.0;
constexpr double MIN_RATE = 48e3, MAX_RATE = 20e6;
constexpr double MIN_FREQ = 1e6, MAX_FREQ = 6e9;
constexpr double MAX_READS = 1e15; // of a fault
// the last two are SoapyRemote's
const std::set<std::string> ARGUMENTS{ "driver",
                                       "label",
                                       "serial",
                                       "scene",
                                       "file",
                                       "rate",
                                       "seed",
                                       "pace",
                                       "hwtime",
                                       "ppm",
                                       "remote",
                                       "buffer_ms",
                                       "retune_latency",
                                       "plug",
                                       "type",
                                       "prot",
                                       "soapy_remote_no_deeper" };

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

void check(const char* what, double value, const SoapySDR::Range& range)
{
    if (value >= range.minimum() && value <= range.maximum())
        return;
    std::ostringstream text;
    text << "spectrumtest: " << what << ' ' << value << " is outside " << range.minimum() << ".." << range.maximum();
    throw std::invalid_argument(text.str());
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

player::options read_options(const SoapySDR::Kwargs& args)
{
    player::options how;
    how.ppm = number(args, "ppm", how.ppm, -1000.0, 1000.0);
    how.paced = number(args, "pace", 1.0, 0.0, 1.0) != 0.0;
    how.buffer_s = number(args, "buffer_ms", how.buffer_s * 1e3, 1.0, 10000.0) * 1e-3;
    how.latency_s = number(args, "retune_latency", how.latency_s * 1e3, 0.0, 1000.0) * 1e-3;
    return how;
}

} // namespace

bool plugged_in(const std::string& plug)
{
    return access(plug.c_str(), F_OK) == 0;
}

device::device(const SoapySDR::Kwargs& args)
    : d_player{ make_signal(args), read_options(args) }, d_hwtime(number(args, "hwtime", 0.0, 0.0, 1.0) != 0.0)
{
    if (args.count("plug"))
        d_plug = args.at("plug");
    if (args.count("rate"))
        setSampleRate(SOAPY_SDR_RX, 0, number(args, "rate", 0.0, MIN_RATE, MAX_RATE));
    for (const auto& [key, value] : args) {
        if (key == "dc_dbfs" || d_player.trouble().set(key, 0))
            writeSetting(key, value);
        else if (!ARGUMENTS.count(key) && key.compare(0, 7, "remote:") != 0)
            SoapySDR::logf(SOAPY_SDR_WARNING, "spectrumtest: unknown argument %s is ignored", key.c_str());
    }
}

std::vector<std::string> device::getStreamFormats(const int, const size_t) const
{
    return { SOAPY_SDR_CF32 };
}

std::string device::getNativeStreamFormat(const int, const size_t, double& full_scale) const
{
    full_scale = 1.0;
    return SOAPY_SDR_CF32;
}

SoapySDR::Stream* device::setupStream(const int direction,
                                      const std::string& format,
                                      const std::vector<size_t>& channels,
                                      const SoapySDR::Kwargs&)
{
    if (direction != SOAPY_SDR_RX || format != SOAPY_SDR_CF32 || channels.size() > 1)
        throw std::runtime_error("spectrumtest: it streams one RX channel of CF32");
    return reinterpret_cast<SoapySDR::Stream*>(this);
}

int device::activateStream(SoapySDR::Stream*, const int, const long long, const size_t)
{
    d_player.start();
    return 0;
}

int device::deactivateStream(SoapySDR::Stream*, const int, const long long)
{
    d_player.stop();
    return 0;
}

int device::readStream(
    SoapySDR::Stream*, void* const* buffers, const size_t wanted, int& flags, long long& time, const long timeout_us)
{
    if (!d_plug.empty() && !plugged_in(d_plug))
        d_player.unplug();
    const auto read = d_player.read(wanted, timeout_us, static_cast<sample*>(buffers[0]));
    switch (read.what) {
    case player::outcome::timeout:
        return SOAPY_SDR_TIMEOUT;
    case player::outcome::overflow:
        return SOAPY_SDR_OVERFLOW;
    case player::outcome::error:
        return SOAPY_SDR_STREAM_ERROR;
    case player::outcome::samples:
        break;
    }
    if (d_hwtime) {
        flags |= SOAPY_SDR_HAS_TIME;
        time = read.time_ns;
    }
    return int(read.count);
}

SoapySDR::RangeList device::getFrequencyRange(const int, const size_t, const std::string&) const
{
    const auto only = d_player.source().only_freq();
    return { only ? SoapySDR::Range(*only, *only) : SoapySDR::Range(MIN_FREQ, MAX_FREQ) };
}

void device::setFrequency(const int, const size_t, const std::string&, const double freq, const SoapySDR::Kwargs&)
{
    check("frequency", freq, getFrequencyRange(SOAPY_SDR_RX, 0, "RF").front());
    d_player.set_freq(freq);
}

SoapySDR::RangeList device::getSampleRateRange(const int, const size_t) const
{
    const auto only = d_player.source().only_rate();
    return { only ? SoapySDR::Range(*only, *only) : SoapySDR::Range(MIN_RATE, MAX_RATE) };
}

void device::setSampleRate(const int, const size_t, const double rate)
{
    check("sample rate", rate, getSampleRateRange(SOAPY_SDR_RX, 0).front());
    d_player.set_rate(rate);
}

SoapySDR::RangeList device::getBandwidthRange(const int, const size_t) const
{
    return { SoapySDR::Range(0.0, MAX_RATE) };
}

void device::setBandwidth(const int, const size_t, const double bandwidth)
{
    check("bandwidth", bandwidth, getBandwidthRange(SOAPY_SDR_RX, 0).front());
    d_player.set_bandwidth(bandwidth);
}

SoapySDR::Range device::getGainRange(const int, const size_t, const std::string&) const
{
    return { 0.0, MAX_GAIN_DB };
}

void device::setGain(const int, const size_t, const std::string&, const double gain)
{
    check("gain", gain, SoapySDR::Range(0.0, MAX_GAIN_DB));
    d_player.gain_db = gain;
}

void device::setAntenna(const int, const size_t, const std::string& name)
{
    if (name != "RX" && name != "DUMMY")
        throw std::invalid_argument("spectrumtest: antenna " + name + " is not RX or DUMMY (which receives nothing)");
    d_player.dummy = name == "DUMMY";
}

SoapySDR::ArgInfoList device::getSettingInfo() const
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
    add("dc_dbfs", "level of the spike at 0 Hz; -200 is none", player::NO_DC_DBFS, 0.0);
    for (const auto& fault : d_player.trouble().all())
        add(fault.name, std::string(fault.about) + "; 0 is never", 0.0, MAX_READS);
    return list;
}

void device::writeSetting(const std::string& key, const std::string& value)
{
    const SoapySDR::Kwargs args{ { key, value } };
    if (key == "dc_dbfs")
        d_player.dc_dbfs = number(args, key, 0.0, player::NO_DC_DBFS, 0.0);
    else if (!d_player.trouble().set(key, uint64_t(number(args, key, 0.0, 0.0, MAX_READS))))
        throw std::invalid_argument("spectrumtest: there is no setting " + key);
    d_settings[key] = value;
}

std::string device::readSetting(const std::string& key) const
{
    const auto found = d_settings.find(key);
    if (found != d_settings.end())
        return found->second;
    return key == "dc_dbfs" ? std::to_string(player::NO_DC_DBFS) : "0";
}

} // namespace spectrumtest
