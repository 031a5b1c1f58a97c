/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#ifndef INCLUDED_SPECTRUMENCODER_SAMPLE_FORMATS_H
#define INCLUDED_SPECTRUMENCODER_SAMPLE_FORMATS_H

#include <gnuradio/spectrumencoder/api.h>
#include <cstddef>
#include <cstdint>

namespace gr {
namespace spectrumencoder {

// Whole numbers of receivers as fractions of full scale (python/spectrumencoder/tokens/recording.py holds the same in
// NumPy, with the same bits). Signed ones are divided by 2^(bits - 1); of unsigned ones the middle, (2^bits - 1) / 2,
// is 0.
SPECTRUMENCODER_API void to_full_scale(const int8_t* values, size_t count, float* out);
SPECTRUMENCODER_API void to_full_scale(const uint8_t* values, size_t count, float* out);
SPECTRUMENCODER_API void to_full_scale(const int16_t* values, size_t count, float* out);
SPECTRUMENCODER_API void to_full_scale(const uint16_t* values, size_t count, float* out);

} // namespace spectrumencoder
} // namespace gr

#endif
