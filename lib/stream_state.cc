/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "stream_state.h"
#include <gnuradio/spectrumencoder/keys.h>
#include <algorithm>
#include <cmath>
#include <sstream>
#include <stdexcept>

namespace gr {
namespace spectrumencoder {

namespace {

constexpr double SAME_RATE = 1e-3;               // relative difference of two statements of one rate
constexpr double SAME_FREQ = 1e-3;               // difference of two statements of one frequency, of the sample rate
constexpr uint64_t START = 256;                  // samples: a filter may have moved the tags of the first one
constexpr double PATIENCE_S = 2.0;               // max time that a radio's buffers hold
constexpr double GRAINS[] = { 1e-6,              // s: times that were written with six digits,
                              1.0 / (1 << 22) }; // or computed as a double of POSIX seconds

bool is_multiple(double value, double grain)
{
    const double count = value / grain;
    return std::abs(count - std::round(count)) < 1e-5;
}

} // namespace

void tag_options::check() const
{
    std::ostringstream message;
    if (!(std::isfinite(rate_factor) && rate_factor > 0.0))
        message << "rate_factor " << rate_factor << " is not a positive number";
    else if (!(std::abs(freq_offset) <= 1e12))
        message << "freq_offset " << freq_offset << " is outside -1e12..1e12 Hz";
    else if (channel < 0 || channel > 65535)
        message << "tag_channel " << channel << " is outside 0..65535";
    if (!message.str().empty())
        throw std::invalid_argument(message.str());
}

stream_state::stream_state(double samp_rate, double center_freq, const tag_options& options)
    : d_options(options),
      d_rate(tagged_quantity::kind::rate, samp_rate, options.rate_factor),
      d_freq(tagged_quantity::kind::frequency, center_freq, options.freq_offset)
{
    options.check();
}

void stream_state::forget_tags(uint64_t start)
{
    d_start = start;
    d_rate.forget_tags();
    d_freq.forget_tags();
    d_time.reset();
    d_backward = 0;
}

stream_state::reference stream_state::advance(uint64_t offset) const
{
    const double rate = samp_rate();
    const bool later = offset >= d_time->offset;
    const uint64_t samples = later ? offset - d_time->offset : d_time->offset - offset;
    const uint64_t seconds = static_cast<uint64_t>(samples / rate);
    const double part = (samples - seconds * rate) / rate;
    double fraction = d_time->fraction + (later ? part : -part);
    const double carry = std::floor(fraction);
    fraction -= carry;
    return { offset,
             d_time->seconds + (later ? seconds : -seconds) + static_cast<uint64_t>(static_cast<int64_t>(carry)),
             fraction };
}

std::optional<tag_time> stream_state::time_at(uint64_t offset) const
{
    if (!d_time)
        return std::nullopt;
    const reference now = advance(offset);
    return tag_time{ now.seconds, now.fraction };
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
    const std::optional<double> old_freq = this->center_freq();
    const uint64_t patience = static_cast<uint64_t>(PATIENCE_S * old_rate);
    tagged_quantity rate = d_rate;
    rate.state(samp_rate, offset, patience, SAME_RATE);
    if (rate.value() != d_rate.value())
        rebase_time(offset);
    d_rate = rate;
    d_freq.state(center_freq, offset, patience, SAME_FREQ * this->samp_rate());
    if (this->center_freq() != old_freq)
        return change::retune;
    return this->samp_rate() != old_rate ? change::rate : change::none;
}

bool stream_state::is_ours(const tag_t& tag)
{
    // interned symbols: equal keys are the same object
    return tag.key == keys::rx_freq() || tag.key == keys::rx_rate() || tag.key == keys::rx_time();
}

bool stream_state::valid(const tag_t& tag) const
{
    if (tag.key == keys::rx_freq())
        return tag_frequency(tag.value, d_options.channel).has_value();
    if (tag.key == keys::rx_rate())
        return tag_rate(tag.value, d_options.channel).has_value();
    return tag_time_of(tag.value, d_options.channel).has_value();
}

change stream_state::take(const tag_t& tag)
{
    if (tag.key == keys::rx_time())
        return take_time(*tag_time_of(tag.value, d_options.channel), tag.offset);
    if (!d_options.use_tags)
        return change::none;
    const bool early = tag.offset < d_start + START;
    if (tag.key == keys::rx_freq()) {
        const std::optional<double> before = center_freq();
        d_freq.take(*tag_frequency(tag.value, d_options.channel), SAME_FREQ * samp_rate(), early, samp_rate() / 2);
        return center_freq() != before ? change::retune : change::none;
    }
    const double before = samp_rate();
    tagged_quantity rate = d_rate;
    rate.take(*tag_rate(tag.value, d_options.channel), SAME_RATE, early);
    if (rate.value().value_or(DEFAULT_RATE) != before)
        rebase_time(tag.offset); // no effect when this offset's rx_time was taken already
    d_rate = rate;
    return samp_rate() != before ? change::rate : change::none;
}

// A time within the tolerance of the expected one is the same, more exactly or less.
change stream_state::take_time(const tag_time& said, uint64_t offset)
{
    const double carry = std::floor(said.fraction);
    const reference now{ offset, said.seconds + static_cast<uint64_t>(carry), said.fraction - carry };
    bool known = d_time.has_value();
    if (known) {
        const reference expected = advance(offset);
        const double late_s = static_cast<double>(static_cast<int64_t>(now.seconds - expected.seconds)) +
                              (now.fraction - expected.fraction);
        known = std::abs(late_s) <= tolerance_s({ now.seconds, now.fraction }, expected);
        if (!known && late_s < 0.0)
            ++d_backward;
    }
    d_time = now;
    return known ? change::none : change::retag;
}

// Half a sample; more if the time has been rounded, and the expected one is none that the rounding would leave as it
// is. Behind a filter that decimates, GNU Radio moves a tag by up to one sample.
double stream_state::tolerance_s(const tag_time& said, const reference& expected) const
{
    const double period_s = 1.0 / samp_rate();
    double tolerance = (d_rate.corrected() ? 1.0 : 0.5) * period_s * (1.0 + 1e-6) + 1e-12;
    for (const double grain : GRAINS)
        if (is_multiple(said.fraction, grain) && !is_multiple(expected.fraction, grain))
            tolerance = std::max(tolerance, grain + 1e-12);
    return tolerance;
}

std::vector<std::string> stream_state::take_warnings()
{
    std::vector<std::string> lines;
    for (auto* quantity : { &d_rate, &d_freq })
        if (std::string line = quantity->take_warning(); !line.empty())
            lines.push_back(std::move(line));
    return lines;
}

} // namespace spectrumencoder
} // namespace gr
