/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

/*! \file
 * The FFT tokenizer's mathematics, with no scheduler: windows of samples in, frames of tokens out.
 * The block `fft_tokenizer` and Python's `tokenize()` both run this code, so that training and live share its numbers.
 */

#ifndef INCLUDED_SPECTRUMENCODER_TOKENIZER_H
#define INCLUDED_SPECTRUMENCODER_TOKENIZER_H

#include <gnuradio/fft/fft.h>
#include <gnuradio/gr_complex.h>
#include <gnuradio/spectrumencoder/api.h>
#include <gnuradio/spectrumencoder/constant_run.h>
#include <volk/volk_alloc.hh>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace gr {
namespace spectrumencoder {

struct frame_sums;

/*!
 * \brief Turns windows of IQ samples into frames of tokens (docs/contracts.md, "Frame").
 *
 * \details
 * N = fft_size bins, S = stride, M = N / S tokens of S + 2 floats, K = average windows in a frame. A frame is built by
 * K calls of add_window() and read by finish_frame(). Nothing is allocated after construction. One object serves one
 * thread.
 */
class SPECTRUMENCODER_API tokenizer
{
public:
    static constexpr int MIN_FFT_SIZE = 16;
    static constexpr int MAX_FFT_SIZE = 65536;
    static constexpr int MAX_AVERAGE = 64;
    static constexpr double MAX_OVERLAP = 0.95;
    static constexpr float FULL_SCALE = constant_run::FULL_SCALE;
    static constexpr double POWER_FLOOR = 1e-20; //!< -200 dBFS: the least power that is reported

    /*!
     * \param fft_size bins N, 16..65536
     * \param stride bins in a token S; divides fft_size
     * \param average windows in a frame K, 1..64
     * \param overlap fraction of a window shared with the next one, 0..0.95
     * \param window one of window_names()
     * \throws std::invalid_argument naming the argument, its value and its range
     */
    tokenizer(int fft_size = 1024,
              int stride = 8,
              int average = 16,
              double overlap = 0.0,
              const std::string& window = "blackmanharris");

    int fft_size() const { return d_fft_size; }
    int stride() const { return d_stride; }
    int average() const { return d_average; }
    int n_tokens() const { return d_fft_size / d_stride; }
    int token_dim() const { return d_stride + 2; }
    int hop() const { return d_hop; }                                 //!< samples from one window to the next
    int frame_hop() const { return d_average * d_hop; }               //!< samples from one frame to the next
    int item_size() const { return item_size(d_fft_size, d_stride); } //!< floats in a frame's item

    static int item_size(int fft_size, int stride); //!< \throws std::invalid_argument as the constructor
    static const std::vector<std::string>& window_names();
    static void check_average(int average); //!< \throws std::invalid_argument outside 1..64

    /*! Sets K for the frames to come. Call between frames (windows() == 0), else the frame in progress is discarded. */
    void set_average(int average);

    /*! Adds the window of N samples that starts at `samples` (any alignment) to the frame in progress. */
    void add_window(const gr_complex* samples);

    int windows() const { return d_windows; }                //!< windows in the frame in progress
    bool complete() const { return d_windows == d_average; } //!< the frame has its K windows
    bool finite() const;                                     //!< no window of this frame held NaN, Inf or overflowed
    bool constant() const { return d_run.found(); }          //!< this frame holds a run of identical samples
    bool clipped() const { return d_clipped > 0; }           //!< this frame holds samples at full scale

    /*!
     * Writes the frame in progress (windows() >= 1) and starts the next one.
     * \param item item_size() floats: tokens, floor_dbfs, K_eff, bin_width_hz, clipped_share, zeros
     * \param psd N floats, dBFS
     * \param samp_rate samples per second, for bin_width_hz
     */
    void finish_frame(float* item, float* psd, double samp_rate);

    void reset(); //!< Discards the frame in progress.

    /*! Most frames that `n_samples` can give; with `flush` the last short one counts. */
    size_t max_frames(size_t n_samples, bool flush) const;

    /*!
     * Tokenizes a whole array. Frames that hold NaN or Inf are left out, and so are those with a run of identical
     * samples (constant_run).
     * \param items room for max_frames() * item_size() floats
     * \param psd room for max_frames() * N floats
     * \param frame_start room for max_frames() sample indices
     * \param flush also give the last frame with fewer than K windows
     * \param keep_constant keep frames with a run of identical samples: for computed signals, which may be silent
     * \returns the number of frames written
     */
    size_t tokenize(const gr_complex* samples,
                    size_t n_samples,
                    double samp_rate,
                    float* items,
                    float* psd,
                    uint64_t* frame_start,
                    bool flush,
                    bool keep_constant = false);

private:
    const int d_fft_size;
    const int d_stride;
    const int d_hop;
    int d_average;
    int d_windows = 0;
    uint64_t d_samples = 0; // in the frame in progress
    uint64_t d_clipped = 0; // of them
    constant_run d_run;

    const frame_sums& d_loops;
    std::unique_ptr<fft::fft_complex_fwd> d_fft;
    volk::vector<float> d_window;       // scaled by 1/sum: |FFT|^2 is then full-scale power
    volk::vector<float> d_sum;          // bin powers, summed over the frame, ascending frequency
    volk::vector<float> d_peak;         // their largest over the frame
    volk::vector<float> d_mean;         // d_sum / windows
    volk::vector<float> d_scratch;      // for d_loops
    volk::vector<double> d_token_sum;   // per token: sum of its power over the windows
    volk::vector<double> d_token_sumsq; // per token: sum of its squared power
    float d_quartile = 1.0f;            // of d_mean, in the last frame

    void check_samples(const gr_complex* samples, int n, float largest);
};

} // namespace spectrumencoder
} // namespace gr

#endif /* INCLUDED_SPECTRUMENCODER_TOKENIZER_H */
