/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

// Included by encoder_ops_<isa>.cc, once for each instruction set, with ENCODER_OPS, the name of the table
// to define.
// No inline function of the standard library may be used here: the linker keeps one copy of it for the whole library,
// perhaps the one for a processor that this one is not.

#include "encoder_exp_kernel.h"
#include "encoder_product_kernel.h"

namespace gr {
namespace spectrumencoder {

namespace {

// Rows first.. of a column of vectors, as many as a word has; zero where there are no more.
template <class P>
inline void load_rows(const float* x, size_t step, size_t first, size_t rows, vec* to)
{
#pragma GCC unroll 4
    for (size_t i = 0; i < P::VALUES; ++i)
        to[i] = first + i < rows ? load(x + (first + i) * step) : vec{};
}

// 1 / sqrt of each value.
inline vec inverse_root(vec x)
{
    float lanes[WIDTH]; // without -fmath-errno this loop is one vector instruction
    store(lanes, x);
    for (int i = 0; i < WIDTH; ++i)
        lanes[i] = 1.0f / __builtin_sqrtf(lanes[i]);
    return load(lanes);
}

// What brings values up to `largest` into the range of int8, and what takes them back.
inline vec to_int8(vec largest)
{
    return 127.0f / larger(largest, all(1e-12f));
}

inline vec from_int8(vec largest)
{
    return larger(largest, all(1e-12f)) * (1.0f / 127.0f);
}

// Words of one column of vectors of x, times `factor`.
template <class P>
inline void pack_column(const float* x, size_t x_step, word* to, size_t to_step, vec factor, size_t rows)
{
    size_t r = 0;
    for (; r + P::VALUES <= rows; r += P::VALUES, to += to_step) {
        vec value[P::VALUES];
#pragma GCC unroll 4
        for (size_t i = 0; i < P::VALUES; ++i)
            value[i] = load(x + (r + i) * x_step) * factor;
        store_words(to, P::make(value));
    }
    if (r < rows) {
        vec value[P::VALUES];
        load_rows<P>(x, x_step, r, rows, value);
        for (size_t i = 0; i < P::VALUES; ++i)
            value[i] *= factor;
        store_words(to, P::make(value));
    }
}

template <class P>
void pack(const float* x, size_t x_step, void* to, size_t to_step, float* scale, size_t rows, size_t columns)
{
    for (size_t j = 0; j < columns; j += WIDTH) {
        vec factor = all(1.0f);
        if (P::VALUES == 4) {
            vec largest[2] = {};
            for (size_t r = 0; r < rows; ++r)
                largest[r % 2] = larger(largest[r % 2], magnitude(load(x + r * x_step + j)));
            largest[0] = larger(largest[0], largest[1]);
            factor = to_int8(largest[0]);
            store(scale + j, from_int8(largest[0]));
        }
        pack_column<P>(x + j, x_step, static_cast<word*>(to) + j, to_step, factor, rows);
    }
}

template <class P>
void normalise(const float* x, size_t x_step, void* to, size_t to_step, float* scale, size_t rows, size_t columns)
{
    for (size_t j = 0; j < columns; j += WIDTH) {
        vec sum[4] = {}, largest[4] = {};
        size_t r = 0;
        for (; r + 4 <= rows; r += 4)
#pragma GCC unroll 4
            for (int i = 0; i < 4; ++i) {
                const vec value = load(x + (r + i) * x_step + j);
                sum[i] += value * value;
                if (P::VALUES == 4)
                    largest[i] = larger(largest[i], magnitude(value));
            }
        for (; r < rows; ++r) {
            const vec value = load(x + r * x_step + j);
            sum[0] += value * value;
            if (P::VALUES == 4)
                largest[0] = larger(largest[0], magnitude(value));
        }
        const vec mean = ((sum[0] + sum[1]) + (sum[2] + sum[3])) / static_cast<float>(rows) + 1e-6f;
        vec factor = inverse_root(mean);
        if (P::VALUES == 4) {
            const vec top = larger(larger(largest[0], largest[1]), larger(largest[2], largest[3]));
            store(scale + j, from_int8(top) * factor);
            factor = to_int8(top);
        }
        pack_column<P>(x + j, x_step, static_cast<word*>(to) + j, to_step, factor, rows);
    }
}

void silu(float* x, size_t n)
{
    for (size_t i = 0; i < n; i += WIDTH)
        store(x + i, silu_of(load(x + i), fp32()));
}

void silu_int8(float* x, size_t x_step, void* to, size_t to_step, float* scale, size_t rows, size_t columns)
{
    for (size_t j = 0; j < columns; j += WIDTH) {
        vec largest = {};
        for (size_t r = 0; r < rows; ++r) {
            const vec value = silu_of(load(x + r * x_step + j), int8());
            largest = larger(largest, magnitude(value));
            store(x + r * x_step + j, value);
        }
        store(scale + j, from_int8(largest));
        pack_column<int8>(x + j, x_step, static_cast<word*>(to) + j, to_step, to_int8(largest), rows);
    }
}

// What becomes of a tile's sums: words of P, made of FUNCTION of them.
template <class P, class FUNCTION>
struct made_words {
    template <class SUM, int ROWS, int COLUMNS>
    static void finish_tile(const SUM (&sum)[ROWS][COLUMNS], const product& of, size_t row, size_t column)
    {
        word* c = reinterpret_cast<word*>(of.c) + row / P::VALUES * of.c_step + column;
        vec scale[COLUMNS];
        FUNCTION::prepare(of, column, scale);
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; r += P::VALUES, c += of.c_step)
#pragma GCC unroll 8
            for (int j = 0; j < COLUMNS; ++j) {
                vec value[P::VALUES] = {};
                for (int i = 0; i < P::VALUES && r + i < ROWS; ++i)
                    value[i] = FUNCTION::of(sum[r + i][j], scale[j]);
                store_words(c + j * WIDTH, P::make(value));
            }
    }
};

template <class P>
struct silu_function {
    template <int COLUMNS>
    static void prepare(const product&, size_t, vec (&)[COLUMNS])
    {
    }
    static vec of(vec x, vec) { return silu_of(x, P()); }
};

struct scale_function {
    template <int COLUMNS>
    static void prepare(const product& of, size_t column, vec (&scale)[COLUMNS])
    {
        for (int j = 0; j < COLUMNS; ++j)
            scale[j] = load(of.column_scale + column + j * WIDTH);
    }
    static vec of(vec x, vec scale) { return x * scale; }
};

// The sums, and of.largest of them and of those in the rows before.
struct values_and_largest {
    template <int ROWS, int COLUMNS>
    static void finish_tile(const vec (&sum)[ROWS][COLUMNS], const product& of, size_t row, size_t column)
    {
        values::finish_tile(sum, of, row, column);
#pragma GCC unroll 8
        for (int j = 0; j < COLUMNS; ++j) {
            float* to = of.largest + column + j * WIDTH;
            vec largest = sum[0][j];
#pragma GCC unroll 8
            for (int r = 1; r < ROWS; ++r)
                largest = larger(largest, sum[r][j]);
            store(to, row ? larger(load(to), largest) : largest);
        }
    }
};

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

void rotate_bf16(const float* x,
                 size_t step,
                 const float* cosine,
                 const float* sine,
                 size_t angle_step,
                 void* to,
                 size_t pairs,
                 size_t columns)
{
    word* words = static_cast<word*>(to);
    for (size_t i = 0; i < pairs; ++i, x += 2 * step, cosine += angle_step, sine += angle_step, words += step)
        for (size_t j = 0; j < columns; j += WIDTH) {
            const vec a = load(x + j), b = load(x + step + j), c = load(cosine + j), s = load(sine + j);
            const vec turned[2] = { a * c - b * s, a * s + b * c };
            store_words(words + j, bf16::make(turned));
        }
}

void softmax2(float* x, size_t step, const float* largest, size_t rows, size_t columns, float* inverse_sum)
{
    for (size_t j = 0; j < columns; j += WIDTH) {
        const vec top = load(largest + j);
        vec sum[4] = {};
        size_t r = 0;
        for (; r + 4 <= rows; r += 4)
#pragma GCC unroll 4
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

typedef uint16_t halves __attribute__((vector_size(WIDTH * sizeof(float))));

// 2^(k / 128) in bfloat16, of whole numbers k: its seven bits of a fraction f are those of 1 + f, less 0.344 f (1 - f).
// Relative error under 0.006.
struct bf16_power {
    static halves above_k(halves k)
    {
        const halves f = k & 126;
        return (127 << 7) - ((f * (128 - f) * 11 + 2048) >> 12);
    }
#if defined(SPECTRUMENCODER_SHORT_PRODUCTS)
    halves low, high; // above_k of f = 0, 2, ... 62 and 64, 66, ... 126

    bf16_power()
    {
        for (int i = 0; i < 2 * WIDTH; ++i)
            low[i] = 2 * i;
        high = above_k(low + 4 * WIDTH);
        low = above_k(low);
    }
    halves operator()(halves k) const
    {
        return k + reinterpret_cast<halves>(_mm512_permutex2var_epi16(reinterpret_cast<__m512i>(low),
                                                                      reinterpret_cast<__m512i>(k >> 1),
                                                                      reinterpret_cast<__m512i>(high)));
    }
#else
    halves operator()(halves k) const
    {
        return k + above_k(k);
    }
#endif
};

// The columns' weights, in units of log2 / 128, are whole numbers; so is the largest that is taken off. The sum is of
// the rounded weights.
void softmax2_bf16(float* x, size_t step, const float* largest, size_t rows, size_t columns, float* inverse_sum)
{
    constexpr float MAGIC = 12582912.0f; // leaves the nearest whole number in the low bits
    const word one = 0x3f803f80;
    const bf16_power power;
    for (size_t j = 0; j < columns; j += WIDTH) {
        const vec offset = MAGIC - load(largest + j);
        const vec lowest = all(MAGIC - 126 * 128);
        bf16::sum sum[4] = {};
        word* words = reinterpret_cast<word*>(x) + j; // a word's row is never behind the rows that it is made of
        const auto whole = [&](size_t r) {
            return reinterpret_cast<ivec>(larger(load(x + r * step + j) + offset, lowest));
        };
        size_t r = 0;
        for (; r + 8 <= rows; r += 8)
#pragma GCC unroll 4
            for (int i = 0; i < 4; ++i, words += step) {
                const ivec both = (whole(r + 2 * i) & 0xffff) | whole(r + 2 * i + 1) << 16;
                const halves weights = power(reinterpret_cast<halves>(both));
                store_words(words, reinterpret_cast<ivec>(weights));
                bf16::add(sum[i], bf16::load_left(&one), bf16::as_right(reinterpret_cast<ivec>(weights)));
            }
        for (; r < rows; r += 2, words += step) {
            const bool pair = r + 1 < rows;
            const ivec both = (whole(r) & 0xffff) | (pair ? whole(r + 1) << 16 : ivec{});
            const ivec weights = reinterpret_cast<ivec>(power(reinterpret_cast<halves>(both))) & (pair ? -1 : 0xffff);
            store_words(words, weights);
            bf16::add(sum[0], bf16::load_left(&one), bf16::as_right(weights));
        }
        store(inverse_sum + j, 1.0f / ((sum[0] + sum[1]) + (sum[2] + sum[3])));
    }
}

void round_bf16(const float* x, void* to, size_t n)
{
    uint16_t* halves = static_cast<uint16_t*>(to);
    for (size_t i = 0; i < n; i += WIDTH) {
#if defined(SPECTRUMENCODER_SHORT_PRODUCTS)
        const __m256bh half = _mm512_cvtneps_pbh(load(x + i));
        __builtin_memcpy(halves + i, &half, sizeof(half));
#else
        const uvec rounded = reinterpret_cast<uvec>(bf16::nearest(load(x + i))) >> 16;
        for (int lane = 0; lane < WIDTH; ++lane)
            halves[i + lane] = static_cast<uint16_t>(rounded[lane]);
#endif
    }
}

void take_columns(
    const float* x, size_t x_step, const uint8_t* keep, float* to, size_t to_step, size_t rows, size_t columns)
{
#if defined(__AVX512F__)
    for (size_t j = 0; j < columns; j += WIDTH) {
        const __m128i marks = _mm_loadu_si128(reinterpret_cast<const __m128i*>(keep + j));
        const __mmask16 kept = static_cast<__mmask16>(~_mm_movemask_epi8(_mm_cmpeq_epi8(marks, _mm_setzero_si128())));
        const int count = __builtin_popcount(kept);
        const __mmask16 together = static_cast<__mmask16>((1u << count) - 1);
        for (size_t r = 0; r < rows; ++r)
            _mm512_mask_storeu_ps(to + r * to_step, together, _mm512_maskz_compress_ps(kept, load(x + r * x_step + j)));
        to += count;
    }
#else
    uint32_t index[WIDTH];
    for (size_t j = 0; j < columns; j += WIDTH) {
        int count = 0;
        for (int lane = 0; lane < WIDTH; ++lane) {
            index[count] = j + lane;
            count += keep[j + lane] != 0;
        }
        for (size_t r = 0; r < rows; ++r)
            for (int i = 0; i < count; ++i)
                to[r * to_step + i] = x[r * x_step + index[i]];
        to += count;
    }
#endif
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
const encoder_ops ENCODER_OPS = { { multiply<fp32>, multiply<bf16>, multiply<int8> },
                                  { pack<fp32>, pack<bf16>, pack<int8> },
                                  { normalise<fp32>, normalise<bf16>, normalise<int8> },
                                  { multiply<fp32, made_words<fp32, silu_function<fp32>>>,
                                    multiply<bf16, made_words<bf16, silu_function<bf16>>> },
                                  { multiply<fp32, made_words<fp32, scale_function>>,
                                    multiply<bf16, made_words<bf16, scale_function>>,
                                    multiply<bf16, made_words<fp32, scale_function>> },
                                  { multiply<fp32, values_and_largest>, multiply<bf16, values_and_largest> },
                                  silu,
                                  silu_int8,
                                  rotate,
                                  rotate_bf16,
                                  softmax2,
                                  softmax2_bf16,
                                  round_bf16,
                                  take_columns,
                                  elu_plus_one,
                                  scale_columns,
                                  mean_and_largest };

} // namespace spectrumencoder
} // namespace gr
