/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#ifndef INCLUDED_SPECTRUMENCODER_ENCODER_OPS_H
#define INCLUDED_SPECTRUMENCODER_ENCODER_OPS_H

#include "isa.h"
#include <cstddef>

namespace gr {
namespace spectrumencoder {

// Arithmetic of the encoder, compiled once for each instruction set (encoder_ops_kernel.h). Matrices of tokens are
// feature-major: a row is one feature of all tokens, so that all vectors run along tokens, and no operation has to add
// up within a vector. Columns are a multiple of LANES; what stands in the columns beyond the last token is finite and
// unused.
//
// An element of a product is summed in the order of depth, in one accumulator, whatever the number of rows and columns:
// its bits do not depend on what else is computed in the same call.

constexpr size_t LANES = 16; // of the widest vector; rows of matrices start at multiples of it
constexpr size_t BLOCK = 8;  // rows of the left factor that stand together
constexpr size_t PANEL = 48; // columns of the right factor that stand together

static inline size_t round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

// c(r, j) = sum_k a(r, k) b(k, j), or added to what c holds, with
//   a(r, k) = a[r / BLOCK * a_block + k * a_step + r % BLOCK]
//   b(k, j) = b[j / PANEL * b_panel + k * b_step + j % PANEL]
//   c(r, j) = c[r * c_step + j]
struct product {
    const float* a;
    size_t a_block, a_step;
    const float* b;
    size_t b_panel, b_step;
    float* c;
    size_t c_step;
    size_t rows, columns, depth;
    bool add;
};

struct encoder_ops {
    void (*multiply)(const product& of);

    // y = x / sqrt(mean over rows of x^2 + 1e-6), column by column. x, y: (rows, columns).
    void (*normalise)(const float* x, size_t x_step, float* y, size_t y_step, size_t rows, size_t columns);

    // x = x / (1 + exp(-x)) of n values.
    void (*silu)(float* x, size_t n);

    // Pairs of rows (2i, 2i + 1) of x turned by the angles of which row i of cosine and sine tell.
    void (*rotate)(
        float* x, size_t step, const float* cosine, const float* sine, size_t angle_step, size_t pairs, size_t columns);

    // x = 2^(x - largest of the column); inverse_sum = 1 / sum of the column. x: (rows, columns).
    void (*softmax2)(float* x, size_t step, size_t rows, size_t columns, float* inverse_sum);

    // x = elu(x) + 1 of n values.
    void (*elu_plus_one)(float* x, size_t n);

    // Each row of x times `scale`, column by column. x: (rows, columns).
    void (*scale_columns)(float* x, size_t step, const float* scale, size_t rows, size_t columns);

    // Mean and largest of row[first..last).
    void (*mean_and_largest)(const float* row, size_t first, size_t last, float* mean, float* largest);
};

SPECTRUMENCODER_API const encoder_ops& encoder_ops_for(isa which);

} // namespace spectrumencoder
} // namespace gr

#endif
