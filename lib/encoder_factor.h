/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#ifndef INCLUDED_SPECTRUMENCODER_ENCODER_FACTOR_H
#define INCLUDED_SPECTRUMENCODER_ENCODER_FACTOR_H

#include "encoder_ops.h"
#include <gnuradio/spectrumencoder/api.h>
#include <volk/volk_alloc.hh>

namespace gr {
namespace spectrumencoder {

// Weights as the left factor of products, in blocks of BLOCK rows. In int8 they are symmetric about zero, and each row
// has its own scale: value ~ scale * integer in -127..127, scale = largest magnitude / 127.
struct SPECTRUMENCODER_API left_factor {
    left_factor() = default;

    // values: (rows, depth), row-major.
    left_factor(precision of, const float* values, size_t rows, size_t depth);

    // c (rows, columns) = this times b, words of tokens; b_scale: for int8 only, see encoder_ops.
    product
    times(const void* b, size_t b_step, const float* b_scale, float* c, size_t c_step, size_t columns, bool add) const;

    precision of = precision::fp32;
    size_t rows = 0, depth = 0; // depth in words
    volk::vector<uint32_t> packed;
    volk::vector<int32_t> start; // for int8 only, see `product`
    volk::vector<float> scale;
};

} // namespace spectrumencoder
} // namespace gr

#endif
