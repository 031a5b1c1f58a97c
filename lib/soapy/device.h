/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

/*! \file
 * SoapySDR's face of the test radio `driver=spectrumtest`: a receiver without hardware (docs/live.md). It has one RX
 * channel of CF32. It checks arguments, ranges and settings; the player does the rest. */

#ifndef INCLUDED_SPECTRUMTEST_DEVICE_H
#define INCLUDED_SPECTRUMTEST_DEVICE_H

#include "player.h"
#include <string>
#include <vector>
#include <SoapySDR/Device.hpp>

namespace spectrumtest {

//! Whether the file is there that stands for the radio's plug.
bool plugged_in(const std::string& plug);

class device : public SoapySDR::Device
{
public:
    //! \throws std::invalid_argument one line: the argument, its value and what it may be
    explicit device(const SoapySDR::Kwargs& args);

    std::string getDriverKey() const override { return "spectrumtest"; }
    std::string getHardwareKey() const override { return "spectrumtest"; }
    size_t getNumChannels(const int direction) const override { return direction == SOAPY_SDR_RX ? 1 : 0; }

    // Stream
    std::vector<std::string> getStreamFormats(const int direction, const size_t channel) const override;
    std::string getNativeStreamFormat(const int direction, const size_t channel, double& full_scale) const override;
    SoapySDR::Stream* setupStream(const int direction,
                                  const std::string& format,
                                  const std::vector<size_t>& channels,
                                  const SoapySDR::Kwargs& args) override;
    void closeStream(SoapySDR::Stream*) override {}
    size_t getStreamMTU(SoapySDR::Stream*) const override { return player::MAX_READ; }
    int activateStream(SoapySDR::Stream*, const int flags, const long long time, const size_t count) override;
    int deactivateStream(SoapySDR::Stream*, const int flags, const long long time) override;
    int readStream(SoapySDR::Stream*,
                   void* const* buffers,
                   const size_t wanted,
                   int& flags,
                   long long& time,
                   const long timeout_us) override;

    // Tuning
    std::vector<std::string> listFrequencies(const int, const size_t) const override { return { "RF" }; }
    SoapySDR::RangeList getFrequencyRange(const int, const size_t, const std::string& name) const override;
    void setFrequency(
        const int, const size_t, const std::string& name, const double freq, const SoapySDR::Kwargs& args) override;
    double getFrequency(const int, const size_t, const std::string&) const override { return d_player.freq(); }
    bool hasFrequencyCorrection(const int, const size_t) const override { return true; }
    void setFrequencyCorrection(const int, const size_t, const double ppm) override { d_player.set_correction(ppm); }
    double getFrequencyCorrection(const int, const size_t) const override { return d_player.correction(); }
    SoapySDR::RangeList getSampleRateRange(const int, const size_t) const override;
    void setSampleRate(const int, const size_t, const double rate) override;
    double getSampleRate(const int, const size_t) const override { return d_player.rate(); }
    SoapySDR::RangeList getBandwidthRange(const int, const size_t) const override;
    void setBandwidth(const int, const size_t, const double bandwidth) override;
    double getBandwidth(const int, const size_t) const override { return d_player.bandwidth(); }

    // Gain and antenna
    std::vector<std::string> listGains(const int, const size_t) const override { return { "TUNER" }; }
    bool hasGainMode(const int, const size_t) const override { return true; }
    void setGainMode(const int, const size_t, const bool automatic) override { d_player.agc = automatic; }
    bool getGainMode(const int, const size_t) const override { return d_player.agc; }
    SoapySDR::Range getGainRange(const int, const size_t, const std::string& name) const override;
    void setGain(const int, const size_t, const std::string& name, const double gain) override;
    double getGain(const int, const size_t, const std::string&) const override { return d_player.gain_db; }
    std::vector<std::string> listAntennas(const int, const size_t) const override { return { "RX", "DUMMY" }; }
    void setAntenna(const int, const size_t, const std::string& name) override;
    std::string getAntenna(const int, const size_t) const override { return d_player.dummy ? "DUMMY" : "RX"; }

    // Time
    bool hasHardwareTime(const std::string&) const override { return d_hwtime; }
    long long getHardwareTime(const std::string&) const override { return d_player.now_ns(); }
    void setHardwareTime(const long long time, const std::string&) override { d_player.set_time(time); }

    // Settings: the faults, and the spike in the middle of the band
    SoapySDR::ArgInfoList getSettingInfo() const override;
    void writeSetting(const std::string& key, const std::string& value) override;
    std::string readSetting(const std::string& key) const override;

private:
    player d_player;
    const bool d_hwtime;
    std::string d_plug; // a file; without it the radio is not plugged in
    SoapySDR::Kwargs d_settings;
};

} // namespace spectrumtest

#endif /* INCLUDED_SPECTRUMTEST_DEVICE_H */
