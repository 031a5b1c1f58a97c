/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#ifndef INCLUDED_SPECTRUMENCODER_SCORE_MAXIMA_H
#define INCLUDED_SPECTRUMENCODER_SCORE_MAXIMA_H

#include <gnuradio/spectrumencoder/api.h>
#include <cstddef>
#include <cstdint>

namespace gr {
namespace spectrumencoder {

// The parts of the detector that look for a frame's maxima. In python/spectrumencoder/detector, box_search.py,
// windows.py and table.py say what for, and hold the same in NumPy, which gives the same bits. Results of a frame are
// `step` floats after those of the frame before.

constexpr size_t BOX_LENGTHS = 4;                             // 1, 2, 4, 8 frames
constexpr size_t BOX_HISTORY = (1u << (BOX_LENGTHS - 1)) - 1; // frames before a frame that its boxes reach back to

/*!
 * Largest and least box of each part and length, in units of what is usual.
 *
 * rows: (BOX_HISTORY + frames, boxes). median, per_up, per_down: (BOX_LENGTHS, boxes); per_down is negative.
 * edges: parts + 1, ascending, the last is the number of boxes; no part is empty.
 * maxima: of a frame (BOX_LENGTHS, 2, parts), up and down.
 */
SPECTRUMENCODER_API void box_maxima(const float* rows,
                                    size_t frames,
                                    const uint32_t* edges,
                                    size_t parts,
                                    const float* median,
                                    const float* per_up,
                                    const float* per_down,
                                    float* maxima,
                                    size_t step);

/*!
 * Largest moving sum over a number of neighbouring bins / sqrt(that number), or the least with its sign turned.
 *
 * residual: (frames, bins). scales, signs: windows. maxima: of a frame (windows), NaN where a residual is not finite.
 * A scale wider than the band is cut to it.
 */
SPECTRUMENCODER_API void window_maxima(const float* residual,
                                       size_t frames,
                                       size_t bins,
                                       const uint32_t* scales,
                                       const int* signs,
                                       size_t windows,
                                       float* maxima,
                                       size_t step);

/*!
 * The largest (value - median) / spread of each frame, NaN where one of its values is not a number.
 *
 * values: of a frame `step` floats after those of the one before. columns: (count), which of them are looked at.
 * median, spread: (count). largest: (frames).
 */
SPECTRUMENCODER_API void largest_standardised(const float* values,
                                              size_t frames,
                                              size_t step,
                                              const uint32_t* columns,
                                              size_t count,
                                              const float* median,
                                              const float* spread,
                                              float* largest);

} // namespace spectrumencoder
} // namespace gr

#endif
