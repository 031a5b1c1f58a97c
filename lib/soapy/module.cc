/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

/*! \file
 * The test radio's entry in SoapySDR's registry. */

#include "device.h"
#include <stdexcept>
#include <SoapySDR/Registry.hpp>

namespace spectrumtest {

namespace {

// The arguments are part of what is found: SoapySDR takes two radios of which it found the same for one.
SoapySDR::KwargsList find_device(const SoapySDR::Kwargs& args)
{
    if (args.count("plug") && !plugged_in(args.at("plug")))
        return {};
    SoapySDR::Kwargs found = args;
    found["driver"] = "spectrumtest";
    found["label"] = "Spectrum test radio (no hardware)";
    return { found };
}

SoapySDR::Device* make_device(const SoapySDR::Kwargs& args)
{
    if (args.count("plug") && !plugged_in(args.at("plug")))
        throw std::runtime_error("spectrumtest: no such device is plugged in");
    return new device(args);
}

SoapySDR::Registry registration("spectrumtest", &find_device, &make_device, SOAPY_SDR_ABI_VERSION);

} // namespace

} // namespace spectrumtest
