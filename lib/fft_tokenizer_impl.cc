/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "fft_tokenizer_impl.h"
#include <gnuradio/block_detail.h>
#include <gnuradio/buffer_reader.h>
#include <gnuradio/io_signature.h>
#include <gnuradio/spectrumencoder/keys.h>
#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>
#include <stdexcept>

namespace gr {
namespace spectrumencoder {

namespace {

constexpr double MAX_HELD_S = 2.0; // max time that a radio's buffers hold
constexpr uint64_t NEVER = std::numeric_limits<uint64_t>::max();

template <class T>
T checked(const char* argument, T value, bool good, const char* range)
{
    if (!good) {
        std::ostringstream message;
        message << argument << ' ' << value << ' ' << range;
        throw std::invalid_argument(message.str());
    }
    return value;
}

double checked_samp_rate(double rate)
{
    return checked("samp_rate",
                   rate,
                   std::isfinite(rate) && rate >= 0.0,
                   "is not a positive number of samples per second, nor 0 (not stated)");
}

double checked_center_freq(double freq)
{
    return checked("center_freq", freq, std::isfinite(freq), "is not a finite number of Hz");
}

double checked_settle_ms(double settle_ms)
{
    return checked("settle_ms", settle_ms, settle_ms >= 0.0 && settle_ms <= 60000.0, "is outside 0..60000");
}

io_signature::sptr outputs(int fft_size, int stride)
{
    const int item_size = tokenizer::item_size(fft_size, stride); // checks both
    return io_signature::make2(1, 2, item_size * sizeof(float), fft_size * sizeof(float));
}

} // namespace

fft_tokenizer::sptr fft_tokenizer::make(int fft_size,
                                        int stride,
                                        int average,
                                        double overlap,
                                        const std::string& window,
                                        double samp_rate,
                                        double center_freq,
                                        double settle_ms,
                                        int min_output_buffer,
                                        bool live,
                                        bool use_tags,
                                        double rate_factor,
                                        double freq_offset,
                                        int tag_channel)
{
    return gnuradio::make_block_sptr<fft_tokenizer_impl>(
        fft_size,
        stride,
        average,
        overlap,
        window,
        samp_rate,
        center_freq,
        settle_ms,
        min_output_buffer,
        live,
        tag_options{ use_tags, rate_factor, freq_offset, tag_channel });
}

fft_tokenizer_impl::fft_tokenizer_impl(int fft_size,
                                       int stride,
                                       int average,
                                       double overlap,
                                       const std::string& window,
                                       double samp_rate,
                                       double center_freq,
                                       double settle_ms,
                                       int min_output_buffer,
                                       bool live,
                                       const tag_options& options)
    : gr::block("fft_tokenizer", io_signature::make(1, 1, sizeof(gr_complex)), outputs(fft_size, stride)),
      d_average(average),
      d_samp_rate(checked_samp_rate(samp_rate)),
      d_center_freq(checked_center_freq(center_freq)),
      d_settle_ms(checked_settle_ms(settle_ms)),
      d_live(live),
      d_kernel(fft_size, stride, average, overlap, window),
      d_stream(samp_rate, center_freq, options),
      d_stage(fft_size),
      d_unconnected_psd(fft_size)
{
    checked("min_output_buffer",
            min_output_buffer,
            min_output_buffer >= 1 && min_output_buffer <= 65536,
            "is outside 1..65536");
    set_tag_propagation_policy(TPP_DONT);
    set_min_output_buffer(0, min_output_buffer);
    set_min_output_buffer(1, min_output_buffer);
    message_port_register_out(keys::status());

    // The scheduler sizes the input buffer from this: twice a frame, within limits, and at least two windows. With a
    // buffer much shorter than 64 Ki samples, the scheduler's calls cost more than the frames do.
    constexpr int MIN_BUFFERED = 1 << 15, MAX_BUFFERED = 1 << 17;
    const int frame = std::clamp(d_kernel.frame_hop(), MIN_BUFFERED, MAX_BUFFERED);
    set_relative_rate(1, std::max(fft_size + 1, frame));
}

void fft_tokenizer_impl::set_average(int average)
{
    tokenizer::check_average(average);
    d_average = average;
}

void fft_tokenizer_impl::set_samp_rate(double samp_rate)
{
    d_samp_rate = checked_samp_rate(samp_rate);
}

void fft_tokenizer_impl::set_center_freq(double center_freq)
{
    d_center_freq = checked_center_freq(center_freq);
}

void fft_tokenizer_impl::set_settle_ms(double settle_ms)
{
    d_settle_ms = checked_settle_ms(settle_ms);
}

bool fft_tokenizer_impl::start()
{
    d_kernel.reset();
    d_stream.forget_tags();
    d_begun = false;
    d_tags_taken = 0;
    d_backward_said = false;
    d_tags_checked = 0;
    d_tag_next_frame = true;
    d_stretch_gave = false;
    d_freq_was_known = false;
    d_settle = 0;
    d_staged = 0;
    d_counters.reset();
    d_arrival.reset();
    d_next_status = std::chrono::steady_clock::now();
    return block::start();
}

bool fft_tokenizer_impl::stop()
{
    publish_status("stopped");
    return block::stop();
}

/* How the tail of a recording is kept. A block is called only while its input satisfies forecast(); once upstream has
 * ended and what is left does not, the scheduler ends the block unasked. So a window that does not complete its frame
 * is processed only when a sample lies beyond it: while a frame is in progress there is always a sample left in the
 * input, and when upstream has ended forecast() asks for just one, so that general_work() is called once more and
 * flushes the frame. */
void fft_tokenizer_impl::forecast(int, gr_vector_int& ninput_items_required)
{
    if (d_settle > 0 || detail()->input(0)->done()) {
        ninput_items_required[0] = 1;
        return;
    }
    const int beyond = last_of_frame() ? 0 : 1;
    ninput_items_required[0] = std::min(d_kernel.fft_size() - d_staged + beyond, input_capacity());
}

int fft_tokenizer_impl::input_capacity()
{
    return detail()->input(0)->max_possible_items_available();
}

// Upstream may end, or write its last samples, after the scheduler counted ours. So both are read under the buffer's
// lock.
bool fft_tokenizer_impl::input_ended(int items_seen)
{
    const auto input = detail()->input(0);
    gr::thread::scoped_lock guard(*input->mutex());
    return input->done() && input->items_available() == items_seen;
}

int fft_tokenizer_impl::general_work(int noutput_items,
                                     gr_vector_int& ninput_items,
                                     gr_vector_const_void_star& input_items,
                                     gr_vector_void_star& output_items)
{
    const uint64_t begin = nitems_read(0);
    workspace work;
    work.samples = static_cast<const gr_complex*>(input_items[0]);
    work.begin = begin;
    work.end = begin + ninput_items[0];
    work.last = input_ended(ninput_items[0]);
    work.tokens = static_cast<float*>(output_items[0]);
    work.psd = output_items.size() > 1 ? static_cast<float*>(output_items[1]) : nullptr;
    work.frames = 0;
    work.room = noutput_items;

    d_position = begin;
    if (!d_begun) {
        d_stream_start = d_frame_start = begin;
        d_stream.forget_tags(begin);
    }
    d_begun = true;
    take_parameters();
    collect_tags(std::max(begin, d_tags_taken), work.end);
    d_arrival.observe(work.end, d_stream.samp_rate());
    while (work.frames < work.room && take_step(work))
        ;
    consume_each(d_position - begin);
    return work.frames;
}

void fft_tokenizer_impl::take_parameters()
{
    const change what = d_stream.set_parameters(d_samp_rate, d_center_freq, d_position);
    if (what != change::none)
        discontinuity(what);
    say_warnings();
}

void fft_tokenizer_impl::collect_tags(uint64_t begin, uint64_t end)
{
    get_tags_in_range(d_tags, 0, begin, end);
    const auto useless = [this](const tag_t& tag) { return !stream_state::is_ours(tag) || is_malformed(tag); };
    d_tags.erase(std::remove_if(d_tags.begin(), d_tags.end(), useless), d_tags.end());
    d_tags_checked = std::max(d_tags_checked, end);
    std::sort(d_tags.begin(), d_tags.end(), tag_t::offset_compare);
    d_next_tag = 0;
}

// One move forward in the input; false when more samples are needed for the next one.
bool fft_tokenizer_impl::take_step(workspace& work)
{
    const uint64_t tag = d_next_tag < d_tags.size() ? d_tags[d_next_tag].offset : NEVER;
    if (tag == d_position) {
        take_tags(tag, work);
        return true;
    }
    if (d_settle > 0) {
        skip_settling(std::min(tag, work.end));
        return d_position < work.end;
    }
    begin_frame();
    const int needed = d_kernel.fft_size() - d_staged;
    if (tag < d_position + needed) { // a tag lies inside this window, so inside its frame
        if (!take_tags(tag, work))
            d_position = tag; // a break: what lies before it makes no window
        return true;
    }
    const int available = work.end - d_position;
    if (available >= needed + (last_of_frame() || work.last ? 0 : 1)) {
        add_window(work);
        if (d_kernel.complete())
            finish_frame(work);
        return true;
    }
    if (work.last) { // the rest makes no window
        d_position = work.end;
        d_staged = 0;
        if (d_kernel.windows() > 0)
            finish_frame(work);
    } else if (available >= input_capacity()) {
        stage(work, available - 1); // one stays behind, see forecast()
    }
    return false;
}

void fft_tokenizer_impl::skip_settling(uint64_t until)
{
    const uint64_t n = std::min(d_settle, until - d_position);
    d_settle -= n;
    d_position += n;
    d_frame_start = d_position;
}

// Takes the next tags, at `offset`. False, and nothing was done, if they break the stream and lie ahead of d_position.
bool fft_tokenizer_impl::take_tags(uint64_t offset, workspace& work)
{
    stream_state next = d_stream;
    change gravest = change::none;
    bool tuning = false;
    size_t i = d_next_tag;
    for (; i < d_tags.size() && d_tags[i].offset == offset; ++i) {
        gravest = std::max(gravest, next.take(d_tags[i]));
        tuning |= d_tags[i].key != keys::rx_time();
    }
    // A radio without a clock tags the same frequency and rate again after samples were lost: nothing else says so.
    if (gravest == change::none && d_live && tuning && !next.has_time())
        gravest = change::retag;
    if (gravest != change::none && offset != d_position)
        return false;
    if (gravest != change::none && d_kernel.windows() > 0) { // the frame up to here is short, as at the end
        d_staged = 0;
        finish_frame(work);
        d_frame_start = d_position;
    }
    d_next_tag = i;
    d_tags_taken = offset + 1; // when no sample is consumed here, the next call sees these tags again
    d_stream = next;
    if (gravest != change::none)
        discontinuity(gravest);
    say_warnings();
    return true;
}

// Averaging restarts at d_position, or after settling if the receiver was retuned.
void fft_tokenizer_impl::discontinuity(change what)
{
    // The rest behind a stretch's last frame, less than a window, is no frame: only a stretch without any is one
    // dropped.
    const bool fruitless = !d_stretch_gave && d_position != d_frame_start;
    d_stretch_gave = false;
    d_kernel.reset();
    d_staged = 0;
    d_frame_start = d_position;
    d_tag_next_frame = true;
    if (d_position != d_stream_start)
        after_gap(what);
    if (fruitless)
        count_drop(what == change::retune ? d_counters.retune
                   : what == change::rate ? d_counters.rate
                                          : d_counters.retag);
}

void fft_tokenizer_impl::after_gap(change what)
{
    const double rate = d_stream.samp_rate();
    if (what == change::retune) {
        const double held_s = d_live ? std::min(d_arrival.age(d_position, rate), MAX_HELD_S) : 0.0;
        d_settle = std::llround((d_settle_ms * 1e-3 + held_s) * rate);
        return;
    }
    d_arrival.reset(); // the number of missing samples is unknown
    if (what == change::retag)
        ++d_counters.retags;
}

void fft_tokenizer_impl::begin_frame()
{
    if (d_kernel.windows() == 0 && d_kernel.average() != d_average) {
        d_kernel.set_average(d_average);
        d_tag_next_frame = true;
    }
}

void fft_tokenizer_impl::add_window(const workspace& work)
{
    const gr_complex* next = work.samples + (d_position - work.begin);
    if (d_staged == 0) {
        d_kernel.add_window(next);
        d_position += d_kernel.hop();
        return;
    }
    const int size = d_kernel.fft_size();
    std::copy_n(next, size - d_staged, d_stage.data() + d_staged);
    d_position += size - d_staged;
    d_kernel.add_window(d_stage.data());
    std::copy(d_stage.begin() + d_kernel.hop(), d_stage.begin() + size, d_stage.begin());
    d_staged = size - d_kernel.hop();
}

void fft_tokenizer_impl::stage(const workspace& work, int n)
{
    std::copy_n(work.samples + (d_position - work.begin), n, d_stage.data() + d_staged);
    d_staged += n;
    d_position += n;
}

void fft_tokenizer_impl::finish_frame(workspace& work)
{
    if (d_kernel.finite() && !d_kernel.constant()) {
        d_counters.clipped += d_kernel.clipped();
        d_counters.short_frames += d_kernel.windows() < d_kernel.average();
        if (d_tag_next_frame)
            add_tags(nitems_written(0) + work.frames);
        float* psd = work.psd ? work.psd + static_cast<size_t>(work.frames) * fft_size() : d_unconnected_psd.data();
        d_kernel.finish_frame(work.tokens + static_cast<size_t>(work.frames) * item_size(), psd, d_stream.samp_rate());
        ++work.frames;
        ++d_counters.frames;
    } else {
        const bool finite = d_kernel.finite();
        d_kernel.reset();
        d_tag_next_frame = true; // the next samples are not contiguous with the previous ones
        count_drop(finite ? d_counters.constant : d_counters.nonfinite);
    }
    d_frame_start = d_position - d_staged;
    d_stretch_gave = true;
}

} // namespace spectrumencoder
} // namespace gr
