/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

/*! \file
 * The loops of the tokenizer around its FFT, one table of functions for each instruction set. */

#ifndef INCLUDED_SPECTRUMENCODER_FRAME_SUMS_H
#define INCLUDED_SPECTRUMENCODER_FRAME_SUMS_H

#include "isa.h"
#include <gnuradio/spectrumencoder/api.h>

namespace gr {
namespace spectrumencoder {

//! N bins of a frame in M tokens of `stride` bins: N = n_bins, M = N / stride. Arrays do not overlap.
struct frame_sums {
    /*!
     * Complex samples (2N floats, any alignment) times a real window (N) into `out` (2N).
     * \returns the largest magnitude of a real or imaginary part; without meaning if one is NaN
     */
    float (*apply_window)(const float* samples, const float* window, float* out, int n_bins);

    /*! How many of `n` complex samples have a real or imaginary part of at least `limit` in magnitude. */
    int (*count_beyond)(const float* samples, int n, float limit);

    /*!
     * Adds one window to the frame: the power of its bins to `sum` (N) and `peak` (N, the largest), the power of its
     * tokens to `token_sum` (M) and its square to `token_sumsq` (M).
     * \param bins the FFT's output (2N floats); what is written is in ascending frequency
     * \param scratch 2N floats
     */
    void (*add_window)(const float* bins,
                       int n_bins,
                       int stride,
                       float* sum,
                       float* peak,
                       double* token_sum,
                       double* token_sumsq,
                       float* scratch);

    /*! mean[i] = max(sum[i] / windows, least) and psd[i] = 10 log10(mean[i]), for N bins. */
    void (*mean_levels)(const float* sum, int n_bins, int windows, float least, float* mean, float* psd);

    /*!
     * The element that sorting n values would put at `rank`.
     * \param values positive or infinite, no NaN
     * \param guess where to search first, positive and finite: the nearer, the faster; the result is the same
     */
    float (*of_rank)(const float* values, int n, int rank, float guess);

    /*!
     * The tokens: `stride` levels over the floor, max-hold over the floor, spread.
     * \param scratch N + 2M floats
     */
    void (*write_tokens)(const float* psd,
                         const float* peak,
                         const double* token_sum,
                         const double* token_sumsq,
                         int n_bins,
                         int stride,
                         int windows,
                         float least,
                         float floor_dbfs,
                         float* scratch,
                         float* tokens);

    /*! The functions for an instruction set, which this processor must have. Bits differ from one set to the next. */
    static SPECTRUMENCODER_API const frame_sums& of(isa which);
};

} // namespace spectrumencoder
} // namespace gr

#endif /* INCLUDED_SPECTRUMENCODER_FRAME_SUMS_H */
