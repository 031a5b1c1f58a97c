/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#ifndef INCLUDED_SPECTRUMENCODER_BAND_ROWS_H
#define INCLUDED_SPECTRUMENCODER_BAND_ROWS_H

#include <gnuradio/spectrumencoder/api.h>
#include <cstddef>
#include <cstdint>

namespace gr {
namespace spectrumencoder {

// What single frames show on a band that a calibration has learned (python/spectrumencoder/detector/band_statistics.py,
// box_search.py and band_drift.py say what for, and hold the same in NumPy, which gives the same bits).

constexpr size_t PROJECTION_LANES = 32; // sums over every 32nd bin, and then of those: the order is the same everywhere

//! Mean and deviation: (bins). components: (n_components, bins), orthonormal.
struct band_statistics {
    size_t bins;
    const float *mean, *deviation, *components;
    size_t n_components;
};

//! Boxes of one width in bins; one begins every `step` bins, as long as it fits. width <= bins of the frame, step >= 1.
struct box_size {
    uint32_t width, step;
};

//! The boxes of a frame: sizes of those of deviations, then of those of power.
struct box_plan {
    const box_size* sizes;
    size_t deviation_sizes, power_sizes;
    size_t boxes; // in all: the length of a row
};

//! What mean and components leave of levels (frames, bins), in units of each bin's deviation, into out (frames, bins).
SPECTRUMENCODER_API void standardise(const float* levels, size_t frames, const band_statistics& band, float* out);

/*!
 * What each box of a frame shows: its sum of deviations / sqrt(width), or its mean power in dB, at least -90.
 *
 * deviation, level (dB): (frames, bins). rows: (frames, plan.boxes).
 */
SPECTRUMENCODER_API void
box_rows(const float* deviation, const float* level, size_t frames, size_t bins, const box_plan& plan, float* rows);

/*!
 * The rows of frames from their spectra, in one pass: levels, standardise, box_rows.
 *
 * psd: (frames, bins), dBFS. floor: (frames), dBFS, floor_step floats apart. curve: (bins), dB, taken off the levels.
 * levels: (frames, bins), dB over the floor without the curve taken off. rows: (frames, plan.boxes).
 * Returns how many frames have a level that is not finite.
 */
SPECTRUMENCODER_API size_t band_rows(const float* psd,
                                     const float* floor,
                                     size_t floor_step,
                                     size_t frames,
                                     const float* curve,
                                     const band_statistics& band,
                                     const box_plan& plan,
                                     float* levels,
                                     float* rows);

/*!
 * Adds up how far levels are from what is expected, frame after frame.
 *
 * levels: (frames, bins). expected: mean and curve (bins), taken off one after the other. limit: (bins); what is
 * further off counts as that. deviation: (bins). chosen: (frames), not 0 for those that go into sums. sums, squares:
 * (bins); of chosen frames, and of all frames in units of the deviation.
 */
SPECTRUMENCODER_API void add_deviations(const float* levels,
                                        size_t frames,
                                        size_t bins,
                                        const float* mean,
                                        const float* curve,
                                        const float* limit,
                                        const float* deviation,
                                        const uint8_t* chosen,
                                        double* sums,
                                        double* squares);

} // namespace spectrumencoder
} // namespace gr

#endif
