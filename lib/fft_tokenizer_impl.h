/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#ifndef INCLUDED_SPECTRUMENCODER_FFT_TOKENIZER_IMPL_H
#define INCLUDED_SPECTRUMENCODER_FFT_TOKENIZER_IMPL_H

#include "arrival_clock.h"
#include "frame_counters.h"
#include "stream_state.h"
#include <gnuradio/spectrumencoder/fft_tokenizer.h>
#include <gnuradio/spectrumencoder/tokenizer.h>
#include <volk/volk_alloc.hh>
#include <atomic>
#include <chrono>
#include <vector>

namespace gr {
namespace spectrumencoder {

class fft_tokenizer_impl : public fft_tokenizer
{
public:
    fft_tokenizer_impl(int fft_size,
                       int stride,
                       int average,
                       double overlap,
                       const std::string& window,
                       double samp_rate,
                       double center_freq,
                       double settle_ms,
                       int min_output_buffer,
                       bool live,
                       const tag_options& options);

    void set_average(int average) override;
    void set_samp_rate(double samp_rate) override;
    void set_center_freq(double center_freq) override;
    void set_settle_ms(double settle_ms) override;

    int average() const override { return d_average; }
    double samp_rate() const override { return d_samp_rate; }
    double center_freq() const override { return d_center_freq; }
    double settle_ms() const override { return d_settle_ms; }
    int fft_size() const override { return d_kernel.fft_size(); }
    int item_size() const override { return d_kernel.item_size(); }

    uint64_t frames() const override { return d_counters.frames; }
    uint64_t dropped_frames() const override { return d_counters.dropped(); }
    uint64_t dropped_retune() const override { return d_counters.retune; }
    uint64_t dropped_rate() const override { return d_counters.rate; }
    uint64_t dropped_retag() const override { return d_counters.retag; }
    uint64_t dropped_nonfinite() const override { return d_counters.nonfinite; }
    uint64_t dropped_constant() const override { return d_counters.constant; }
    uint64_t clipped_frames() const override { return d_counters.clipped; }
    uint64_t short_frames() const override { return d_counters.short_frames; }
    uint64_t time_backward() const override { return d_counters.backward; }
    uint64_t malformed() const override { return d_counters.malformed_tags; }
    uint64_t overflows() const override { return d_counters.retags; }
    double arrival_offset() const override { return d_arrival.offset(); }

    bool start() override;
    bool stop() override;
    void forecast(int noutput_items, gr_vector_int& ninput_items_required) override;
    int general_work(int noutput_items,
                     gr_vector_int& ninput_items,
                     gr_vector_const_void_star& input_items,
                     gr_vector_void_star& output_items) override;

private:
    // The samples and outputs of one call of general_work.
    struct workspace {
        const gr_complex* samples; // the first one is at offset `begin`
        uint64_t begin;
        uint64_t end;
        bool last; // no sample will come after `end`
        float* tokens;
        float* psd; // null if that output is not connected
        int frames;
        int room;
    };

    // Parameters: set from other threads, taken over by the work thread
    std::atomic<int> d_average;
    std::atomic<double> d_samp_rate;
    std::atomic<double> d_center_freq;
    std::atomic<double> d_settle_ms;
    const bool d_live;

    // Used by the work thread only. A sample is named by its offset in the input stream.
    tokenizer d_kernel;
    stream_state d_stream;
    std::vector<tag_t> d_tags;
    size_t d_next_tag = 0;         // in d_tags
    bool d_begun = false;          // general_work was called since start()
    uint64_t d_stream_start = 0;   // first sample since start()
    uint64_t d_tags_taken = 0;     // tags before this offset are dealt with
    uint64_t d_tags_checked = 0;   // malformed tags before this offset are counted
    bool d_tag_next_frame = true;  // the next frame carries tags
    bool d_stretch_gave = false;   // a frame, sent or dropped, since the last break
    bool d_freq_was_known = false; // a frame has carried its frequency
    bool d_backward_said = false;
    uint64_t d_position = 0;          // next sample to consume
    uint64_t d_frame_start = 0;       // first sample of the frame in progress
    uint64_t d_settle = 0;            // samples to skip after a retune
    volk::vector<gr_complex> d_stage; // start of a window that the input buffer is too small to hold
    int d_staged = 0;
    volk::vector<float> d_unconnected_psd;

    frame_counters d_counters;
    arrival_clock d_arrival;
    std::chrono::steady_clock::time_point d_next_status;

    bool input_ended(int items_seen);
    int input_capacity();
    bool last_of_frame() const { return d_kernel.windows() + 1 == d_kernel.average(); }

    void take_parameters();
    void collect_tags(uint64_t begin, uint64_t end);
    bool is_malformed(const tag_t& tag);
    bool take_step(workspace& work);
    void skip_settling(uint64_t until);
    bool take_tags(uint64_t offset, workspace& work);
    void discontinuity(change what);
    void after_gap(change what);
    void begin_frame();
    void add_window(const workspace& work);
    void stage(const workspace& work, int n);
    void finish_frame(workspace& work);
    void add_tags(uint64_t frame);

    void say_warnings();
    void warn(const char* state, const std::string& line);
    void count_drop(std::atomic<uint64_t>& counter);
    void publish_status(const char* state);
};

} // namespace spectrumencoder
} // namespace gr

#endif /* INCLUDED_SPECTRUMENCODER_FFT_TOKENIZER_IMPL_H */
