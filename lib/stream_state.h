/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

/*! \file
 * What is known of the samples at the present offset: frequency, rate, time. Tags win over parameters. */

#ifndef INCLUDED_SPECTRUMENCODER_STREAM_STATE_H
#define INCLUDED_SPECTRUMENCODER_STREAM_STATE_H

#include <gnuradio/tags.h>
#include <pmt/pmt.h>
#include <cstdint>
#include <optional>

namespace gr {
namespace spectrumencoder {

//! What a discontinuity was, the gravest last.
enum class change { none, retag, rate, retune };

class stream_state
{
public:
    stream_state(double samp_rate, double center_freq) : d_samp_rate(samp_rate), d_center_freq(center_freq) {}

    double samp_rate() const { return d_tag_rate.value_or(d_samp_rate); }
    double center_freq() const { return d_tag_freq.value_or(d_center_freq); }

    //! `rx_time` of the sample at `offset`; null where the stream never told the time.
    pmt::pmt_t time_at(uint64_t offset) const;

    void forget_tags();

    //! New parameters, valid from `offset` on; a parameter that a tag overrides makes no change.
    change set_parameters(double samp_rate, double center_freq, uint64_t offset);

    static bool is_ours(const tag_t& tag); //!< rx_freq, rx_rate or rx_time
    static bool valid(const tag_t& tag);   //!< its value makes sense; else the tag is to be ignored

    //! Takes over a valid tag and says what it changed.
    change take(const tag_t& tag);

private:
    struct reference {
        uint64_t offset;
        uint64_t seconds;
        double fraction;
    };

    double d_samp_rate;
    double d_center_freq;
    std::optional<double> d_tag_rate;
    std::optional<double> d_tag_freq;
    std::optional<reference> d_time;

    reference advance(uint64_t offset) const;
    void rebase_time(uint64_t offset);
};

} // namespace spectrumencoder
} // namespace gr

#endif /* INCLUDED_SPECTRUMENCODER_STREAM_STATE_H */
