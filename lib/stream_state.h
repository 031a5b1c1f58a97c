/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

/*! \file
 * What is known of the samples at the present offset: frequency, rate, time. What the user states wins over tags, and
 * tags are followed from there (docs/contracts.md, "Which value holds"). */

#ifndef INCLUDED_SPECTRUMENCODER_STREAM_STATE_H
#define INCLUDED_SPECTRUMENCODER_STREAM_STATE_H

#include "tag_values.h"
#include "tagged_quantity.h"
#include <gnuradio/spectrumencoder/api.h>
#include <gnuradio/tags.h>
#include <pmt/pmt.h>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace gr {
namespace spectrumencoder {

//! What a discontinuity was, the gravest last.
enum class change { none, retag, rate, retune };

//! How tags are read.
struct SPECTRUMENCODER_API tag_options {
    bool use_tags = true;     //!< false: rx_freq and rx_rate are ignored, rx_time is not
    double rate_factor = 1.0; //!< rate here over rx_rate: 0.25 after a decimation by 4
    double freq_offset = 0.0; //!< Hz, centre here less rx_freq: of a converter, or of a filter that shifts
    int channel = 0;          //!< of a tag that has a value for each

    //! Throws std::invalid_argument naming the option, its value and its range.
    void check() const;
};

class SPECTRUMENCODER_API stream_state
{
public:
    //! Parameters of 0 are not stated.
    stream_state(double samp_rate, double center_freq, const tag_options& options = {});

    static constexpr double DEFAULT_RATE = 1e6; //!< Hz, if neither a parameter nor a tag states the rate

    double samp_rate() const { return d_rate.value().value_or(DEFAULT_RATE); }
    std::optional<double> center_freq() const { return d_freq.value(); } //!< Hz; nothing: not known
    bool has_time() const { return d_time.has_value(); }

    //! Time of the sample at `offset`, which may lie before the last tag; nothing where the stream never told the time.
    std::optional<tag_time> time_at(uint64_t offset) const;

    void forget_tags(uint64_t start = 0); //!< start: offset of the first sample

    //! The present parameters; call it often. A new one that the tags contradict waits for a tag, see tagged_quantity.
    change set_parameters(double samp_rate, double center_freq, uint64_t offset);

    static bool is_ours(const tag_t& tag); //!< rx_freq, rx_rate or rx_time
    bool valid(const tag_t& tag) const;    //!< its value makes sense; else the tag is to be ignored

    //! Takes over a valid tag and says what it changed; none if it continues what is known.
    change take(const tag_t& tag);

    //! Times that ran backwards so far.
    uint64_t backward() const { return d_backward; }

    //! Lines for the user about tags that contradict parameters, each said once; the call takes them away.
    std::vector<std::string> take_warnings();

private:
    struct reference {
        uint64_t offset;
        uint64_t seconds;
        double fraction;
    };

    tag_options d_options;
    tagged_quantity d_rate;
    tagged_quantity d_freq;
    uint64_t d_start = 0;
    std::optional<reference> d_time;
    uint64_t d_backward = 0;

    reference advance(uint64_t offset) const;
    void rebase_time(uint64_t offset);
    change take_time(const tag_time& time, uint64_t offset);
    double tolerance_s(const tag_time& said, const reference& expected) const;
};

} // namespace spectrumencoder
} // namespace gr

#endif /* INCLUDED_SPECTRUMENCODER_STREAM_STATE_H */
