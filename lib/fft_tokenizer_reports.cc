/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What fft_tokenizer says of its frames: tags on them, counters, warnings. */

#include "fft_tokenizer_impl.h"
#include <gnuradio/block_detail.h>
#include <gnuradio/spectrumencoder/keys.h>
#include <cmath>
#include <string>

namespace gr {
namespace spectrumencoder {

namespace {

constexpr auto STATUS_PERIOD = std::chrono::seconds(1);

// A value as text; one of another module's own type may have none.
std::string written(const pmt::pmt_t& value)
{
    try {
        const std::string text = pmt::write_string(value);
        return text.size() <= 60 ? text : text.substr(0, 57) + "...";
    } catch (const std::exception&) {
        return "that cannot be written out";
    }
}

} // namespace

bool fft_tokenizer_impl::is_malformed(const tag_t& tag)
{
    if (d_stream.valid(tag))
        return false;
    if (tag.offset >= d_tags_checked &&
        ++d_counters.malformed_tags == 1) // samples that stay in the input are seen more than once
        warn("malformed",
             "tag " + pmt::symbol_to_string(tag.key) + " with the value " + written(tag.value) +
                 " is ignored, as are later malformed ones");
    return true;
}

void fft_tokenizer_impl::add_tags(uint64_t frame)
{
    const pmt::pmt_t source = alias_pmt();
    const std::optional<tag_time> time = d_stream.time_at(d_frame_start);
    const std::optional<double> freq = d_stream.center_freq();
    const int n_outputs = detail()->noutputs();
    for (int output = 0; output < n_outputs; ++output) {
        if (freq || d_freq_was_known) // NaN: not known any more
            add_item_tag(output, frame, keys::rx_freq(), pmt::from_double(freq.value_or(std::nan(""))), source);
        add_item_tag(output, frame, keys::rx_rate(), pmt::from_double(d_stream.samp_rate()), source);
        if (time)
            add_item_tag(output,
                         frame,
                         keys::rx_time(),
                         pmt::make_tuple(pmt::from_uint64(time->seconds), pmt::from_double(time->fraction)),
                         source);
        add_item_tag(output, frame, keys::frame_start(), pmt::from_uint64(d_frame_start), source);
        add_item_tag(output, frame, keys::frame_hop(), pmt::from_uint64(d_kernel.frame_hop()), source);
        add_item_tag(output, frame, keys::frame_average(), pmt::from_uint64(d_kernel.average()), source);
    }
    d_freq_was_known |= freq.has_value();
    d_tag_next_frame = false;
}

// What tags say against parameters, and against the clock: once each.
void fft_tokenizer_impl::say_warnings()
{
    d_counters.backward = d_stream.backward();
    for (const std::string& line : d_stream.take_warnings())
        warn("contradicted", line);
    if (d_stream.backward() > 0 && !d_backward_said) {
        d_backward_said = true;
        warn("time_backward",
             "an rx_time tag lies before the time that was expected: times run backwards; see whether the parts of the "
             "recording are in order, or whether the receiver's clock was set meanwhile");
    }
}

void fft_tokenizer_impl::warn(const char* state, const std::string& line)
{
    d_logger->warn("{}", line);
    message_port_pub(keys::status(), pmt::dict_add(d_counters.status(state), keys::message(), pmt::mp(line)));
}

void fft_tokenizer_impl::count_drop(std::atomic<uint64_t>& counter)
{
    ++counter;
    const auto now = std::chrono::steady_clock::now();
    if (now >= d_next_status) {
        d_next_status = now + STATUS_PERIOD;
        publish_status("dropped");
    }
}

void fft_tokenizer_impl::publish_status(const char* state)
{
    if (d_counters.dropped() > 0)
        d_logger->info("{}", d_counters.summary());
    message_port_pub(keys::status(), d_counters.status(state));
}

} // namespace spectrumencoder
} // namespace gr
