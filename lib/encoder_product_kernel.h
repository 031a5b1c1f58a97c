/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#ifndef INCLUDED_SPECTRUMENCODER_ENCODER_PRODUCT_KERNEL_H
#define INCLUDED_SPECTRUMENCODER_ENCODER_PRODUCT_KERNEL_H

// Words of each precision (encoder_ops.h) and their products, for encoder_ops_kernel.h. Where the processor has
// instructions for bf16 and int8 they are used, else the same bits are computed by others (only values below 2^-126
// differ, which those instructions take for zero).

#include "encoder_ops.h"
#include "vectors.h"
#if defined(__AVX512F__)
#include <immintrin.h>
#endif
#if defined(__AVX512BF16__) && defined(__AVX512VNNI__)
#define SPECTRUMENCODER_SHORT_PRODUCTS
#endif

namespace gr {
namespace spectrumencoder {

namespace {

typedef int32_t word __attribute__((may_alias));
typedef uint32_t uvec __attribute__((vector_size(WIDTH * sizeof(uint32_t))));

inline vec all(float x)
{
    return x - vec{};
}

inline ivec all_words(int32_t x)
{
    return x - ivec{};
}

// Of a and b the larger or the smaller one; b if one of them is not a number.
#if defined(__AVX512F__) // GCC makes two instructions of the comparison
inline vec larger(vec a, vec b)
{
    return _mm512_maskz_max_ps(0xffff, a, b);
}

inline vec smaller(vec a, vec b)
{
    return _mm512_maskz_min_ps(0xffff, a, b);
}
#else
inline vec larger(vec a, vec b)
{
    return a > b ? a : b;
}

inline vec smaller(vec a, vec b)
{
    return a < b ? a : b;
}
#endif

inline vec magnitude(vec x)
{
    return reinterpret_cast<vec>(reinterpret_cast<ivec>(x) & 0x7fffffff);
}

inline ivec load_words(const word* from)
{
    ivec value;
    __builtin_memcpy(&value, from, sizeof(value));
    return value;
}

inline void store_words(word* to, ivec value)
{
    __builtin_memcpy(to, &value, sizeof(value));
}

// For each precision: how many values a word has, how it is made of them, and how words are multiplied and summed.

struct fp32 {
    static constexpr int VALUES = 1;
    typedef vec sum;
    typedef float left;
    typedef vec right;

    static left load_left(const word* from)
    {
        float value;
        __builtin_memcpy(&value, from, sizeof(value));
        return value;
    }
    static right load_right(const word* from) { return reinterpret_cast<vec>(load_words(from)); }
    static void add(sum& to, left a, right b) { to += a * b; }
    static ivec make(const vec* x) { return reinterpret_cast<ivec>(x[0]); }
};

struct bf16 {
    static constexpr int VALUES = 2;
    typedef vec sum;
#if defined(SPECTRUMENCODER_SHORT_PRODUCTS)
    typedef ivec left, right;

    static left load_left(const word* from)
    {
        return all_words(*from);
    }
    static right load_right(const word* from)
    {
        return load_words(from);
    }
    static right as_right(ivec words)
    {
        return words;
    }
    static void add(sum& to, left a, right b)
    {
        to = _mm512_dpbf16_ps(to, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
    }
    static ivec make(const vec* x)
    {
        const ivec interleaved = { 0x00100000, 0x00110001, 0x00120002, 0x00130003, 0x00140004, 0x00150005,
                                   0x00160006, 0x00170007, 0x00180008, 0x00190009, 0x001a000a, 0x001b000b,
                                   0x001c000c, 0x001d000d, 0x001e000e, 0x001f000f };
        return reinterpret_cast<ivec>(_mm512_permutexvar_epi16(
            reinterpret_cast<__m512i>(interleaved), reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(x[1], x[0]))));
    }
#else
    struct left {
        float first, second;
    };
    struct right {
        vec first, second;
    };

    static left load_left(const word* from)
    {
        const word halves[2] = { static_cast<word>(static_cast<uint32_t>(*from) << 16),
                                 static_cast<word>(*from & 0xffff0000) };
        left value;
        __builtin_memcpy(&value, halves, sizeof(value));
        return value;
    }
    static right load_right(const word* from)
    {
        return as_right(load_words(from));
    }
    static right as_right(ivec both)
    {
        return { reinterpret_cast<vec>(both << 16), reinterpret_cast<vec>(both & static_cast<int32_t>(0xffff0000)) };
    }
    static void add(sum& to, left a, right b) // a product of two bfloat16 is exact in fp32
    {
        to += a.second * b.second;
        to += a.first * b.first;
    }
    // The nearest bfloat16, of two equally near the even one, in the upper half.
    static ivec nearest(vec x)
    {
        const ivec bits = reinterpret_cast<ivec>(x);
        return x == x ? bits + 0x7fff + (bits >> 16 & 1) : bits | 0x400000;
    }
    static ivec make(const vec* x)
    {
        const ivec first = reinterpret_cast<ivec>(reinterpret_cast<uvec>(nearest(x[0])) >> 16);
        return first | (nearest(x[1]) & static_cast<int32_t>(0xffff0000));
    }
#endif
};

struct int8 {
    static constexpr int VALUES = 4;
    typedef ivec sum;
#if defined(SPECTRUMENCODER_SHORT_PRODUCTS)
    typedef ivec left, right;

    static left load_left(const word* from)
    {
        return all_words(*from);
    }
    static right load_right(const word* from)
    {
        return load_words(from);
    }
    static void add(sum& to, left a, right b)
    {
        to = reinterpret_cast<ivec>(_mm512_dpbusd_epi32(
            reinterpret_cast<__m512i>(to), reinterpret_cast<__m512i>(b), reinterpret_cast<__m512i>(a)));
    }
#else
    struct left {
        int32_t value[4];
    };
    struct right {
        ivec value[4];
    };

    static left load_left(const word* from)
    {
        left of;
        for (int i = 0; i < 4; ++i)
            of.value[i] = static_cast<int8_t>(*from >> 8 * i);
        return of;
    }
    static right load_right(const word* from)
    {
        const ivec all = load_words(from);
        return { { all & 255, all >> 8 & 255, all >> 16 & 255, all >> 24 & 255 } };
    }
    static void add(sum& to, const left& a, const right& b)
    {
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i)
            to += a.value[i] * b.value[i];
    }
#endif
    // Four values in -127..127, rounded, plus 128.
    static ivec make(const vec* x)
    {
        constexpr float MAGIC = 12582912.0f + 128.0f; // leaves the nearest whole number in the low bits
        ivec byte[4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i)
            byte[i] = reinterpret_cast<ivec>(x[i] + MAGIC) & 255;
        return (byte[0] | byte[1] << 8) | (byte[2] << 16 | byte[3] << 24);
    }
};

inline void start(vec& sum, const product& of, size_t, const float* added)
{
    sum = of.add ? load(added) : vec{};
}

inline void start(ivec& sum, const product& of, size_t row, const float*)
{
    sum = all_words(of.start[row]);
}

inline void finish(vec sum, const product&, size_t, size_t, float* c)
{
    store(c, sum);
}

inline void finish(ivec sum, const product& of, size_t row, size_t column, float* c)
{
    const vec value = __builtin_convertvector(sum, vec) * of.row_scale[row] * load(of.column_scale + column);
    store(c, of.add ? load(c) + value : value);
}

// What becomes of a tile's sums: values of the product.
struct values {
    template <class SUM, int ROWS, int COLUMNS>
    static void finish_tile(const SUM (&sum)[ROWS][COLUMNS], const product& of, size_t row, size_t column)
    {
        float* c = of.c + row * of.c_step + column;
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 8
            for (int j = 0; j < COLUMNS; ++j)
                finish(sum[r][j], of, row + r, column + j * WIDTH, c + r * of.c_step + j * WIDTH);
    }
};

constexpr int TILE_ROWS = WIDTH == 16 ? 8 : 4; // of a product, computed at a time: what fits into the registers

// ROWS x COLUMNS vectors of a product, the first row and column of which are given.
template <class P, class THEN, int ROWS, int COLUMNS>
inline void tile(const word* a, const word* b, const product& of, size_t row, size_t column)
{
    const float* added = (of.added ? of.added : of.c) + row * of.c_step + column;
    typename P::sum sum[ROWS][COLUMNS];
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 8
        for (int j = 0; j < COLUMNS; ++j)
            start(sum[r][j], of, row + r, added + r * of.c_step + j * WIDTH);
    const size_t a_row = of.a_row, a_step = of.a_step, b_step = of.b_step;
    for (size_t k = of.depth; k > 0; --k, a += a_step, b += b_step) {
        typename P::right right[COLUMNS];
#pragma GCC unroll 8
        for (int j = 0; j < COLUMNS; ++j)
            right[j] = P::load_right(b + j * WIDTH);
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; ++r) {
            const typename P::left left = P::load_left(a + r * a_row);
#pragma GCC unroll 8
            for (int j = 0; j < COLUMNS; ++j)
                P::add(sum[r][j], left, right[j]);
        }
    }
    THEN::finish_tile(sum, of, row, column);
}

template <class P, class THEN, int COLUMNS>
void column_of_tiles(const word* b, const product& of, size_t column)
{
    for (size_t r = 0; r < of.rows;) {
        const word* a = static_cast<const word*>(of.a) + r / BLOCK * of.a_block + r % BLOCK * of.a_row;
        const size_t left = of.rows - r;
        if (left >= TILE_ROWS) {
            tile<P, THEN, TILE_ROWS, COLUMNS>(a, b, of, r, column);
            r += TILE_ROWS;
        } else if (TILE_ROWS > 4 && left >= 4) {
            tile<P, THEN, 4, COLUMNS>(a, b, of, r, column);
            r += 4;
        } else if (left >= 2) {
            tile<P, THEN, 2, COLUMNS>(a, b, of, r, column);
            r += 2;
        } else {
            tile<P, THEN, 1, COLUMNS>(a, b, of, r, column);
            r += 1;
        }
    }
}

template <class P, class THEN = values>
void multiply(const product& of)
{
    constexpr size_t WIDEST = 3;
    for (size_t panel = 0; panel < of.columns; panel += of.panel) {
        const word* b = static_cast<const word*>(of.b) + panel / of.panel * of.b_panel;
        const size_t width = of.columns - panel < of.panel ? of.columns - panel : of.panel;
        for (size_t j = 0; j < width;) {
            const size_t vectors = (width - j) / WIDTH;
            const size_t take = vectors == 4 ? 2 : vectors < WIDEST ? vectors : WIDEST;
            if (take == 3)
                column_of_tiles<P, THEN, 3>(b + j, of, panel + j);
            else if (take == 2)
                column_of_tiles<P, THEN, 2>(b + j, of, panel + j);
            else
                column_of_tiles<P, THEN, 1>(b + j, of, panel + j);
            j += take * WIDTH;
        }
    }
}

} // namespace

} // namespace spectrumencoder
} // namespace gr

#endif
