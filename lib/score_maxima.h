/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#ifndef INCLUDED_SPECTRUMENCODER_SCORE_MAXIMA_H
#define INCLUDED_SPECTRUMENCODER_SCORE_MAXIMA_H

#include <gnuradio/spectrumencoder/api.h>
#include <cstddef>
#include <cstdint>

namespace gr {
namespace spectrumencoder {

// The parts of the detector that look at every place of a frame (python/spectrumencoder/detector/band_statistics.py,
// band_scan.py and scores.py say what for, and hold the same in NumPy, which gives the same bits).

constexpr size_t BOX_LENGTHS = 4;                             // 1, 2, 4, 8 frames
constexpr size_t BOX_HISTORY = (1u << (BOX_LENGTHS - 1)) - 1; // frames before a frame that its boxes reach back to

constexpr size_t PROJECTION_LANES = 32; // sums over every 32nd bin, and then of those: the order is the same everywhere

/*!
 * What the mean and the components of a band leave of levels, in units of each bin's deviation.
 *
 * levels, out: (frames, bins). mean, deviation: (bins). components: (n_components, bins), orthonormal.
 */
SPECTRUMENCODER_API void standardise(const float* levels,
                                     size_t frames,
                                     size_t bins,
                                     const float* mean,
                                     const float* deviation,
                                     const float* components,
                                     size_t n_components,
                                     float* out);

// Boxes of one width in bins; one begins every `step` bins, as long as it fits. width <= bins of the frame, step >= 1.
struct box_size {
    uint32_t width, step;
};

/*!
 * What single frames show in each box: sums of deviations / sqrt(width), and mean powers.
 *
 * deviation, power: (frames, bins). sizes: those of the deviations' boxes, then those of the powers'.
 * rows: a row of row_length for each frame, of which the first ones, as many as boxes of deviations, are written.
 * means: (frames, boxes of power).
 */
SPECTRUMENCODER_API void box_sums(const float* deviation,
                                  const float* power,
                                  size_t frames,
                                  size_t bins,
                                  const box_size* sizes,
                                  size_t deviation_sizes,
                                  size_t power_sizes,
                                  float* rows,
                                  size_t row_length,
                                  double* means);

/*!
 * Largest and least box of each part and length, in units of what is usual.
 *
 * rows: (BOX_HISTORY + frames, boxes). median, per_up, per_down: (BOX_LENGTHS, boxes); per_down is negative.
 * edges: parts + 1, ascending, the last is the number of boxes; no part is empty.
 * maxima: (frames, BOX_LENGTHS, 2, parts), up and down.
 */
SPECTRUMENCODER_API void box_maxima(const float* rows,
                                    size_t frames,
                                    const uint32_t* edges,
                                    size_t parts,
                                    const float* median,
                                    const float* per_up,
                                    const float* per_down,
                                    float* maxima);

/*!
 * Largest moving sum over a number of neighbouring bins / sqrt(that number), or the least with its sign turned.
 *
 * residual: (frames, bins). scales, signs: windows. maxima: (frames, windows), NaN where a residual is not finite.
 * A scale wider than the band is cut to it.
 */
SPECTRUMENCODER_API void window_maxima(const float* residual,
                                       size_t frames,
                                       size_t bins,
                                       const uint32_t* scales,
                                       const int* signs,
                                       size_t windows,
                                       float* maxima);

} // namespace spectrumencoder
} // namespace gr

#endif
