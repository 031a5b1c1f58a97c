/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "stream_state.h"
#include <gnuradio/spectrumencoder/keys.h>
#include <cmath>

namespace gr {
namespace spectrumencoder {

namespace {

bool is_finite_number(const pmt::pmt_t& value)
{
    return (pmt::is_real(value) || pmt::is_integer(value) || pmt::is_uint64(value)) &&
           std::isfinite(pmt::to_double(value));
}

} // namespace

void stream_state::forget_tags()
{
    d_tag_rate.reset();
    d_tag_freq.reset();
    d_time.reset();
}

// Whole seconds and the fraction are kept apart: a double of POSIX seconds resolves no better than 0.2 us.
stream_state::reference stream_state::advance(uint64_t offset) const
{
    const double rate = samp_rate();
    const uint64_t samples = offset - d_time->offset;
    uint64_t seconds = static_cast<uint64_t>(samples / rate);
    double fraction = d_time->fraction + (samples - seconds * rate) / rate;
    const double carry = std::floor(fraction);
    fraction -= carry;
    return { offset, d_time->seconds + seconds + static_cast<int64_t>(carry), fraction };
}

pmt::pmt_t stream_state::time_at(uint64_t offset) const
{
    if (!d_time)
        return nullptr;
    const reference now = advance(offset);
    return pmt::make_tuple(pmt::from_uint64(now.seconds), pmt::from_double(now.fraction));
}

// Before the rate changes: the samples up to here were taken at the old one.
void stream_state::rebase_time(uint64_t offset)
{
    if (d_time && offset > d_time->offset)
        d_time = advance(offset);
}

change stream_state::set_parameters(double samp_rate, double center_freq, uint64_t offset)
{
    const double old_rate = this->samp_rate();
    const double old_freq = this->center_freq();
    if (!d_tag_rate && samp_rate != old_rate)
        rebase_time(offset);
    d_samp_rate = samp_rate;
    d_center_freq = center_freq;
    if (this->center_freq() != old_freq)
        return change::retune;
    return this->samp_rate() != old_rate ? change::rate : change::none;
}

bool stream_state::is_ours(const tag_t& tag)
{
    // interned symbols: equal keys are the same object
    return tag.key == keys::rx_freq() || tag.key == keys::rx_rate() || tag.key == keys::rx_time();
}

bool stream_state::valid(const tag_t& tag)
{
    if (tag.key == keys::rx_freq())
        return is_finite_number(tag.value);
    if (tag.key == keys::rx_rate())
        return is_finite_number(tag.value) && pmt::to_double(tag.value) > 0.0;
    if (!pmt::is_tuple(tag.value) || pmt::length(tag.value) < 2)
        return false;
    const pmt::pmt_t seconds = pmt::tuple_ref(tag.value, 0);
    const pmt::pmt_t fraction = pmt::tuple_ref(tag.value, 1);
    return (pmt::is_uint64(seconds) || (pmt::is_integer(seconds) && pmt::to_long(seconds) >= 0)) &&
           is_finite_number(fraction) && pmt::to_double(fraction) >= 0.0;
}

change stream_state::take(const tag_t& tag)
{
    if (tag.key == keys::rx_time()) {
        d_time = reference{ tag.offset,
                            pmt::to_uint64(pmt::tuple_ref(tag.value, 0)),
                            pmt::to_double(pmt::tuple_ref(tag.value, 1)) };
        return change::retag;
    }
    const double value = pmt::to_double(tag.value);
    if (tag.key == keys::rx_freq()) {
        const bool changed = value != center_freq();
        d_tag_freq = value;
        return changed ? change::retune : change::retag;
    }
    const bool changed = value != samp_rate();
    if (changed)
        rebase_time(tag.offset); // no effect when this offset's rx_time was taken already
    d_tag_rate = value;
    return changed ? change::rate : change::retag;
}

} // namespace spectrumencoder
} // namespace gr
