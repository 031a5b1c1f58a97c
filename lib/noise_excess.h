/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#ifndef INCLUDED_SPECTRUMENCODER_NOISE_EXCESS_H
#define INCLUDED_SPECTRUMENCODER_NOISE_EXCESS_H

#include <gnuradio/spectrumencoder/api.h>
#include <cstddef>
#include <cstdint>

namespace gr {
namespace spectrumencoder {

// What frames show over the background of their tuning (python/spectrumencoder/emitters/background.py and boxes.py say
// what for, and hold the same in NumPy, which gives the same bits). A frame's numbers do not depend on its batch.

constexpr size_t EXCESS_LENGTHS = 4;                             // boxes of 1, 2, 4 and 8 frames
constexpr size_t EXCESS_HISTORY = (1 << EXCESS_LENGTHS) / 2 - 1; // frames that a box reaches back

/*!
 * Common gain of each frame over the background: the mean over the reference bins of what is near their median, made
 * near twice.
 *
 * psd: (frames, bins), dBFS. mean: (bins), dBFS. reference: (count), numbers of bins. near: dB from the median, and
 * then from the mean. gains: (frames), dB; no number if a reference bin is not finite.
 */
SPECTRUMENCODER_API void common_gains(const float* psd,
                                      size_t frames,
                                      size_t bins,
                                      const float* mean,
                                      const uint32_t* reference,
                                      size_t count,
                                      double near,
                                      double* gains);

//! Median of each column of values (rows, columns), into (columns); no number if one of its values is none. rows >= 1.
SPECTRUMENCODER_API void column_medians(const float* values, size_t rows, size_t columns, float* medians);

/*!
 * What a background expects, and what a band's own emitters may show.
 *
 * mean: (bins), dBFS. share: (bins), of each bin's mean that does not follow the gain, or null. allowed: (bins), power
 * over the background; what is not above `busy` allows nothing.
 */
struct expectation {
    size_t bins;
    const float *mean, *share, *allowed;
    float busy;
};

/*!
 * Power over what is expected.
 *
 * psd: (frames, bins), dBFS. gains: (frames), dB. parts: (frames, 2): factors of the share that does not follow the
 * gain, and of the rest, both over the gain, or zeros. ratio: (frames, bins). fresh: (frames, bins), 1 if the ratio is
 * allowed, and else the ratio over what is.
 */
SPECTRUMENCODER_API void noise_excess(const float* psd,
                                      size_t frames,
                                      const float* gains,
                                      const float* parts,
                                      const expectation& of,
                                      float* ratio,
                                      float* fresh);

//! Boxes of one width in bins; one begins every `step` bins, as long as it fits. width <= bins of the frame, step >= 1.
struct excess_size {
    uint32_t width, step;
};

/*!
 * The largest (mean - 1) / (limit - 1) of the boxes of each frame, at least 0.
 *
 * rows: (EXCESS_HISTORY + frames, bins), power over what is expected. limits: (n_sizes, EXCESS_LENGTHS), above 1.
 * scores: (frames); no number if a row is not finite.
 */
SPECTRUMENCODER_API void excess_scores(const float* rows,
                                       size_t frames,
                                       size_t bins,
                                       const excess_size* sizes,
                                       size_t n_sizes,
                                       const double* limits,
                                       float* scores);

} // namespace spectrumencoder
} // namespace gr

#endif
