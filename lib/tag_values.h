/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

/*! \file
 * The one reader of the values of rx_freq, rx_rate and rx_time tags: C++ blocks call it, Python blocks through a
 * binding.
 *
 * A number is a double, an integer or an unsigned one. An array (uniform vector, vector, tuple) has a value for each
 * channel. A time is a tuple, pair or vector of whole seconds and fraction, or an array of those. No value throws. */

#ifndef INCLUDED_SPECTRUMENCODER_TAG_VALUES_H
#define INCLUDED_SPECTRUMENCODER_TAG_VALUES_H

#include <gnuradio/spectrumencoder/api.h>
#include <pmt/pmt.h>
#include <cstdint>
#include <optional>

namespace gr {
namespace spectrumencoder {

//! POSIX time. The parts stay apart: a double of their sum resolves no better than 0.2 us.
struct tag_time {
    uint64_t seconds;
    double fraction; //!< 0 or more; 1 or more if the tag has it so
};

//! A finite number of Hz; NaN says that the frequency is not known from here on. Nothing: not such a value.
SPECTRUMENCODER_API std::optional<double> tag_frequency(const pmt::pmt_t& value, size_t channel = 0);

//! A finite, positive number of samples per second.
SPECTRUMENCODER_API std::optional<double> tag_rate(const pmt::pmt_t& value, size_t channel = 0);

SPECTRUMENCODER_API std::optional<tag_time> tag_time_of(const pmt::pmt_t& value, size_t channel = 0);

} // namespace spectrumencoder
} // namespace gr

#endif /* INCLUDED_SPECTRUMENCODER_TAG_VALUES_H */
