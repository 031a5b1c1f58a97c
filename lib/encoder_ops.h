/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#ifndef INCLUDED_SPECTRUMENCODER_ENCODER_OPS_H
#define INCLUDED_SPECTRUMENCODER_ENCODER_OPS_H

#include "isa.h"
#include <cstddef>
#include <cstdint>

namespace gr {
namespace spectrumencoder {

// Arithmetic of the encoder, compiled once for each instruction set (encoder_product_kernel.h, encoder_ops_kernel.h).
// Matrices of tokens are feature-major: a row is one feature of all tokens. So all vectors run along tokens, and no
// operation sums within a vector. The number of columns is a multiple of LANES; values beyond the last token are
// finite and unused.
//
// An element of a product is summed in the order of depth, in one accumulator, whatever the number of rows and columns.
// So its bits do not depend on the rest of the call.

constexpr size_t LANES = 16; // floats of the widest vector; rows of matrices start at multiples of it
constexpr size_t BLOCK = 8;  // rows of the left factor that are stored together
constexpr size_t PANEL = 48; // columns of the right factor that are stored together

static inline size_t round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

// Number of columns to take next, out of those left: max PANEL, and never one vector alone if two and two will do.
static inline size_t next_panel(size_t left)
{
    return left == 4 * LANES ? 2 * LANES : left < PANEL ? left : PANEL;
}

// Precision of a product's factors. They are stored as 32-bit words along depth: one float; two bfloat16, the first in
// the low half; or four 8-bit integers, the first in the low byte. Integers are signed in the left factor, and signed
// plus 128 in the right one. Missing values at the end of depth are zero.
enum class precision { fp32, bf16, int8 };
constexpr size_t PRECISIONS = 3;

static inline size_t words_of(precision of, size_t depth)
{
    return of == precision::fp32 ? depth : of == precision::bf16 ? (depth + 1) / 2 : (depth + 3) / 4;
}

constexpr float SCORE_STEPS = 128.0f; // see softmax2_bf16

// c(r, j) = sum_k a(r, k) b(k, j), or added to what c or `added` holds, with k counting words, and
//   a(r, k) = a[r / BLOCK * a_block + r % BLOCK * a_row + k * a_step]
//   b(k, j) = b[j / panel * b_panel + k * b_step + j % panel]
//   c(r, j) = c[r * c_step + j]
//
// bf16: a word's second value comes first. Each product is added with one rounding to fp32, on every instruction set.
// int8: (start[r] + sum) row_scale[r] column_scale[j]; start[r] cancels the effect of the 128 added to b.
struct product {
    const void* a;
    size_t a_block, a_row, a_step;
    const void* b;
    size_t panel, b_panel, b_step;
    float* c;
    size_t c_step;
    size_t rows, columns, depth;
    bool add;
    const float* added = nullptr; // to which it is added, of c_step too; null: c
    const int32_t* start = nullptr;
    const float *row_scale = nullptr, *column_scale = nullptr;
    float* largest = nullptr; // of multiply_largest
};

// Operations that exist in each precision are in arrays indexed by precision. Words may replace their input in place
// (to = x, to_step = x_step). `scale` is filled for int8 only: the factor of a column's integers, which is its largest
// magnitude / 127.
struct encoder_ops {
    void (*multiply[PRECISIONS])(const product& of);

    // Packs x (rows, columns) as words of the right factor of a product.
    void (*pack[PRECISIONS])(
        const float* x, size_t x_step, void* to, size_t to_step, float* scale, size_t rows, size_t columns);

    // The same for x / sqrt(mean over rows of x^2 + 1e-6), column by column.
    void (*normalise[PRECISIONS])(
        const float* x, size_t x_step, void* to, size_t to_step, float* scale, size_t rows, size_t columns);

    // A product, then words of x / (1 + exp(-x)) of its values, in c. Not of int8, whose scale a whole column decides.
    void (*multiply_silu[PRECISIONS - 1])(const product& of);

    // A product, then words of its values times column_scale, in c. Of int8: a product of bf16, then floats.
    void (*multiply_scaled[PRECISIONS])(const product& of);

    // A product, and the largest value of each of its columns.
    void (*multiply_largest[PRECISIONS - 1])(const product& of);

    // x = x / (1 + exp(-x)) of n values; and of a matrix, as words of int8.
    void (*silu)(float* x, size_t n);
    void (*silu_int8)(float* x, size_t x_step, void* to, size_t to_step, float* scale, size_t rows, size_t columns);

    // Rotates pairs of rows (2i, 2i + 1) of x by the angles in row i of cosine and sine; in place, and as words of
    // bf16.
    void (*rotate)(
        float* x, size_t step, const float* cosine, const float* sine, size_t angle_step, size_t pairs, size_t columns);
    void (*rotate_bf16)(const float* x,
                        size_t step,
                        const float* cosine,
                        const float* sine,
                        size_t angle_step,
                        void* to,
                        size_t pairs,
                        size_t columns);

    // x = 2^(x - largest of the column, which is given); inverse_sum = 1 / sum of the column. x: (rows, columns). Of
    // bf16 x counts in units of 1 / SCORE_STEPS and ends as words in its place, with a relative error as of rounding to
    // bf16.
    void (*softmax2)(float* x, size_t step, const float* largest, size_t rows, size_t columns, float* inverse_sum);
    void (*softmax2_bf16)(float* x, size_t step, const float* largest, size_t rows, size_t columns, float* inverse_sum);

    // Packs n values as consecutive bf16.
    void (*round_bf16)(const float* x, void* to, size_t n);

    // Columns of x (rows, columns) that `keep` marks with 1, the others with 0, next to each other.
    void (*take_columns)(
        const float* x, size_t x_step, const uint8_t* keep, float* to, size_t to_step, size_t rows, size_t columns);

    // x = elu(x) + 1 of n values.
    void (*elu_plus_one)(float* x, size_t n);

    // Each row of x times `scale`, column by column. x: (rows, columns).
    void (*scale_columns)(float* x, size_t step, const float* scale, size_t rows, size_t columns);

    // Mean and maximum of row[first..last).
    void (*mean_and_largest)(const float* row, size_t first, size_t last, float* mean, float* largest);
};

SPECTRUMENCODER_API const encoder_ops& encoder_ops_for(isa which);

} // namespace spectrumencoder
} // namespace gr

#endif
