/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

// Included by encoder_ops_<isa>.cc, once for each instruction set, with ENCODER_OPS, the name of the table
// to define.
// No inline function of the standard library may be used here: the linker keeps one copy of it for the whole library,
// perhaps the one for a processor that this one is not.

#include "encoder_ops.h"
#include "vectors.h"

namespace gr {
namespace spectrumencoder {

namespace {

inline vec all(float x)
{
    return x - vec{};
}

inline vec larger(vec a, vec b)
{
    return a > b ? a : b;
}

// 2^x for x <= 127; 2^-126 where x is below -126. Relative error 2e-7: Taylor's polynomial of degree 6 on [-0.5, 0.5].
inline vec exp2(vec x)
{
    constexpr float MAGIC = 12582912.0f; // 1.5 * 2^23: adding it leaves the nearest whole number in the low bits
    x = larger(x, all(-126.0f));
    const vec shifted = x + MAGIC;
    const vec f = x - (shifted - MAGIC);
    vec p = all(1.54035303933816099e-4f);
    p = p * f + 1.33335581464284434e-3f;
    p = p * f + 9.61812910762847716e-3f;
    p = p * f + 5.55041086648215800e-2f;
    p = p * f + 2.40226506959100712e-1f;
    p = p * f + 6.93147180559945309e-1f;
    p = p * f + 1.0f;
    const ivec exponent = reinterpret_cast<ivec>(shifted) << 23;
    return reinterpret_cast<vec>(reinterpret_cast<ivec>(p) + exponent);
}

constexpr float LOG2_E = 1.44269504088896341f;

inline vec exp_of(vec x)
{
    return exp2(larger(vec{} - 87.0f, x > 87.0f ? all(87.0f) : x) * LOG2_E);
}

constexpr int TILE_ROWS = WIDTH == 16 ? 8 : 4; // of a product, computed at a time: what fits into the registers

// ROWS x COLUMNS vectors of a product.
template <int ROWS, int COLUMNS>
inline void tile(const float* a, const float* b, float* c, const product& of)
{
    vec sum[ROWS][COLUMNS];
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 8
        for (int j = 0; j < COLUMNS; ++j)
            sum[r][j] = of.add ? load(c + r * of.c_step + j * WIDTH) : vec{};
    const size_t a_step = of.a_step, b_step = of.b_step;
    for (size_t k = of.depth; k > 0; --k, a += a_step, b += b_step) {
        vec right[COLUMNS];
#pragma GCC unroll 8
        for (int j = 0; j < COLUMNS; ++j)
            right[j] = load(b + j * WIDTH);
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 8
            for (int j = 0; j < COLUMNS; ++j)
                sum[r][j] += a[r] * right[j];
    }
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 8
        for (int j = 0; j < COLUMNS; ++j)
            store(c + r * of.c_step + j * WIDTH, sum[r][j]);
}

template <int COLUMNS>
void columns_of_tiles(const float* b, float* c, const product& of)
{
    for (size_t r = 0; r < of.rows;) {
        const float* a = of.a + r / BLOCK * of.a_block + r % BLOCK;
        float* to = c + r * of.c_step;
        const size_t left = of.rows - r;
        if (left >= TILE_ROWS) {
            tile<TILE_ROWS, COLUMNS>(a, b, to, of);
            r += TILE_ROWS;
        } else if (TILE_ROWS > 4 && left >= 4) {
            tile<4, COLUMNS>(a, b, to, of);
            r += 4;
        } else if (left >= 2) {
            tile<2, COLUMNS>(a, b, to, of);
            r += 2;
        } else {
            tile<1, COLUMNS>(a, b, to, of);
            r += 1;
        }
    }
}

void multiply(const product& of)
{
    constexpr int WIDEST = 3;
    for (size_t panel = 0; panel < of.columns; panel += PANEL) {
        const float* b = of.b + panel / PANEL * of.b_panel;
        const size_t width = of.columns - panel < PANEL ? of.columns - panel : PANEL;
        for (size_t j = 0; j < width;) {
            const size_t vectors = (width - j) / WIDTH;
            float* c = of.c + panel + j;
            const size_t take = vectors == 4 ? 2 : vectors < WIDEST ? vectors : WIDEST;
            if (take == 3)
                columns_of_tiles<3>(b + j, c, of);
            else if (take == 2)
                columns_of_tiles<2>(b + j, c, of);
            else
                columns_of_tiles<1>(b + j, c, of);
            j += take * WIDTH;
        }
    }
}

void normalise(const float* x, size_t x_step, float* y, size_t y_step, size_t rows, size_t columns)
{
    for (size_t j = 0; j < columns; j += WIDTH) {
        vec sum[4] = {};
        size_t r = 0;
        for (; r + 4 <= rows; r += 4)
            for (int i = 0; i < 4; ++i) {
                const vec value = load(x + (r + i) * x_step + j);
                sum[i] += value * value;
            }
        for (; r < rows; ++r) {
            const vec value = load(x + r * x_step + j);
            sum[0] += value * value;
        }
        const vec mean = ((sum[0] + sum[1]) + (sum[2] + sum[3])) / static_cast<float>(rows) + 1e-6f;
        float lanes[WIDTH]; // without -fmath-errno this loop is one vector instruction
        store(lanes, mean);
        for (int i = 0; i < WIDTH; ++i)
            lanes[i] = 1.0f / __builtin_sqrtf(lanes[i]);
        const vec scale = load(lanes);
        for (r = 0; r < rows; ++r)
            store(y + r * y_step + j, load(x + r * x_step + j) * scale);
    }
}

void silu(float* x, size_t n)
{
    for (size_t i = 0; i < n; i += WIDTH) {
        const vec value = load(x + i);
        store(x + i, value / (1.0f + exp_of(-value)));
    }
}

void rotate(
    float* x, size_t step, const float* cosine, const float* sine, size_t angle_step, size_t pairs, size_t columns)
{
    for (size_t i = 0; i < pairs; ++i, x += 2 * step, cosine += angle_step, sine += angle_step)
        for (size_t j = 0; j < columns; j += WIDTH) {
            const vec a = load(x + j), b = load(x + step + j), c = load(cosine + j), s = load(sine + j);
            store(x + j, a * c - b * s);
            store(x + step + j, a * s + b * c);
        }
}

void softmax2(float* x, size_t step, size_t rows, size_t columns, float* inverse_sum)
{
    for (size_t j = 0; j < columns; j += WIDTH) {
        vec largest[4] = { load(x + j), load(x + j), load(x + j), load(x + j) };
        size_t r = 0;
        for (; r + 4 <= rows; r += 4)
            for (int i = 0; i < 4; ++i)
                largest[i] = larger(largest[i], load(x + (r + i) * step + j));
        for (; r < rows; ++r)
            largest[0] = larger(largest[0], load(x + r * step + j));
        const vec top = larger(larger(largest[0], largest[1]), larger(largest[2], largest[3]));
        vec sum[4] = {};
        for (r = 0; r + 4 <= rows; r += 4)
            for (int i = 0; i < 4; ++i) {
                const vec value = exp2(load(x + (r + i) * step + j) - top);
                store(x + (r + i) * step + j, value);
                sum[i] += value;
            }
        for (; r < rows; ++r) {
            const vec value = exp2(load(x + r * step + j) - top);
            store(x + r * step + j, value);
            sum[0] += value;
        }
        store(inverse_sum + j, 1.0f / ((sum[0] + sum[1]) + (sum[2] + sum[3])));
    }
}

void elu_plus_one(float* x, size_t n)
{
    for (size_t i = 0; i < n; i += WIDTH) {
        const vec value = load(x + i);
        store(x + i, value > 0.0f ? value + 1.0f : exp_of(value));
    }
}

void scale_columns(float* x, size_t step, const float* scale, size_t rows, size_t columns)
{
    for (size_t r = 0; r < rows; ++r, x += step)
        for (size_t j = 0; j < columns; j += WIDTH)
            store(x + j, load(x + j) * load(scale + j));
}

void mean_and_largest(const float* row, size_t first, size_t last, float* mean, float* largest)
{
    float sum = 0.0f, top = row[first];
    size_t i = first;
    if (last - first >= 2 * WIDTH) {
        vec sums = load(row + i), tops = sums;
        for (i += WIDTH; i + WIDTH <= last; i += WIDTH) {
            const vec value = load(row + i);
            sums += value;
            tops = larger(tops, value);
        }
        for (int lane = 0; lane < WIDTH; ++lane) {
            sum += sums[lane];
            top = tops[lane] > top ? tops[lane] : top;
        }
    }
    for (; i < last; ++i) {
        sum += row[i];
        top = row[i] > top ? row[i] : top;
    }
    *mean = sum / static_cast<float>(last - first);
    *largest = top;
}

} // namespace

extern const encoder_ops ENCODER_OPS;
const encoder_ops ENCODER_OPS = { multiply, normalise,    silu,          rotate,
                                  softmax2, elu_plus_one, scale_columns, mean_and_largest };

} // namespace spectrumencoder
} // namespace gr
