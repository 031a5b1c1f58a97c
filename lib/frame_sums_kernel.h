/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The loops of frame_sums.h, included by one source for each instruction set, which defines FRAME_SUMS, the name of its
 * table. They are written so that the compiler vectorises them: no branches, no calls, order of summation spelt out. */

#include "frame_sums.h"
#include "vectors.h"

namespace gr {
namespace spectrumencoder {

namespace {

#if defined(__clang__)
inline vec shuffle(vec a, vec b, ivec from)
{
    vec to{};
    for (int lane = 0; lane < WIDTH; ++lane)
        to[lane] = from[lane] < WIDTH ? a[from[lane]] : b[from[lane] - WIDTH];
    return to;
}
#else
inline vec shuffle(vec a, vec b, ivec from)
{
    return __builtin_shuffle(a, b, from);
}
#endif

// a0 + a1, a2 + a3, ... b0 + b1, ...
inline vec pair_sums(vec a, vec b)
{
#if defined(__AVX512F__)
    const ivec even = { 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30 };
    return shuffle(a, b, even) + shuffle(a, b, even + 1);
#elif defined(__AVX__)
    const ivec even = { 0, 2, 8, 10, 4, 6, 12, 14 }; // within 128 bits, where a shuffle is one instruction
    const vec sums = shuffle(a, b, even) + shuffle(a, b, even + 1);
    const ivec in_order = { 0, 1, 4, 5, 2, 3, 6, 7 };
    return shuffle(sums, sums, in_order);
#else
    const ivec even = { 0, 2, 4, 6 };
    return shuffle(a, b, even) + shuffle(a, b, even + 1);
#endif
}

float bits_to_float(int bits)
{
    float value;
    __builtin_memcpy(&value, &bits, sizeof(value));
    return value;
}

float add(float a, float b)
{
    return a + b;
}

float larger(float a, float b)
{
    return a > b ? a : b;
}

template <float (*OF)(float, float)>
void of_pairs(const float* __restrict from, int n, float* __restrict to)
{
    for (int i = 0; i < n; ++i)
        to[i] = OF(from[2 * i], from[2 * i + 1]);
}

template <float (*OF)(float, float)>
void of_rows(const float* __restrict from, int n, int width, float* __restrict to)
{
    for (int i = 0; i < n; ++i, from += width) {
        float all = from[0];
        for (int s = 1; s < width; ++s)
            all = OF(all, from[s]);
        to[i] = all;
    }
}

// Sums each token's `width` values: neighbours are added while the width is even (3 times for 8 bins), then the rest at
// once. `room` holds as many floats as `values`.
template <float (*OF)(float, float)>
const float* fold(const float* values, float* room, int n_tokens, int width)
{
    for (; width % 2 == 0; width /= 2) {
        of_pairs<OF>(values, n_tokens * width / 2, room);
        values = room;
        room += n_tokens * width / 2;
    }
    if (width == 1)
        return values;
    of_rows<OF>(values, n_tokens, width, room);
    return room;
}

// Keeps a value in its register: GCC would load it again for its second use, at twice the cost.
inline void keep(vec& value)
{
#if defined(__x86_64__)
    __asm__("" : "+x"(value));
#endif
}

// The larger of two magnitudes, lane by lane: one instruction, if it is written as each compiler target wants it.
// Positive floats sort like their bits.
#if defined(__AVX2__)
typedef ivec magnitudes;
#else
typedef vec magnitudes;
#endif

inline magnitudes larger(magnitudes a, magnitudes b)
{
    return a > b ? a : b;
}

inline magnitudes magnitude(vec value)
{
    return (magnitudes)((ivec)value & 0x7fffffff);
}

float largest_lane(magnitudes values)
{
    float lanes[WIDTH];
    __builtin_memcpy(lanes, &values, sizeof(lanes));
    for (int half = WIDTH / 2; half > 0; half /= 2)
        for (int i = 0; i < half; ++i)
            lanes[i] = larger(lanes[i], lanes[i + half]);
    return lanes[0];
}

float apply_window(const float* __restrict samples, const float* __restrict window, float* __restrict out, int n_bins)
{
    ivec first; // 0, 0, 1, 1, ...: a tap for the real and one for the imaginary part
    for (int lane = 0; lane < WIDTH; ++lane)
        first[lane] = lane / 2;
    magnitudes largest_a = {}, largest_b = {};
    int i = 0;
    for (; i + WIDTH <= n_bins; i += WIDTH) {
        const vec taps = load(window + i);
        vec a = load(samples + 2 * i), b = load(samples + 2 * i + WIDTH);
        keep(a);
        keep(b);
        store(out + 2 * i, a * shuffle(taps, taps, first));
        store(out + 2 * i + WIDTH, b * shuffle(taps, taps, first + WIDTH / 2));
        largest_a = larger(largest_a, magnitude(a));
        largest_b = larger(largest_b, magnitude(b));
    }
    float largest = largest_lane(larger(largest_a, largest_b));
    for (; i < n_bins; ++i) {
        out[2 * i] = samples[2 * i] * window[i];
        out[2 * i + 1] = samples[2 * i + 1] * window[i];
        largest = larger(__builtin_fabsf(samples[2 * i]), larger(__builtin_fabsf(samples[2 * i + 1]), largest));
    }
    return largest;
}

int count_beyond(const float* samples, int n, float limit)
{
    int count = 0;
    for (int i = 0; i < n; ++i)
        count += (__builtin_fabsf(samples[2 * i]) >= limit) | (__builtin_fabsf(samples[2 * i + 1]) >= limit);
    return count;
}

// For tokens of any width, and for the remainder of add_octets().
void add_powers(
    const float* __restrict bins, int n, float* __restrict sum, float* __restrict peak, float* __restrict power)
{
    for (int i = 0; i < n; ++i) {
        const float p = bins[2 * i] * bins[2 * i] + bins[2 * i + 1] * bins[2 * i + 1];
        power[i] = p;
        sum[i] += p;
        peak[i] = p > peak[i] ? p : peak[i];
    }
}

// The same, with sums of eight bins in place of the bins. The powers stay in registers, and the rest fits into the
// first level of the cache. n is a multiple of BLOCK.
constexpr int BLOCK = 8 * WIDTH;
void add_octets(
    const float* __restrict bins, int n, float* __restrict sum, float* __restrict peak, float* __restrict octet)
{
    for (int i = 0; i < n; i += BLOCK) {
        vec power[8];
        for (int k = 0; k < 8; ++k) {
            const int at = i + k * WIDTH;
            const vec a = load(bins + 2 * at), b = load(bins + 2 * at + WIDTH);
            const vec p = power[k] = pair_sums(a * a, b * b);
            const vec largest = load(peak + at);
            store(sum + at, load(sum + at) + p);
            store(peak + at, p > largest ? p : largest);
        }
        const vec lower = pair_sums(pair_sums(power[0], power[1]), pair_sums(power[2], power[3]));
        const vec upper = pair_sums(pair_sums(power[4], power[5]), pair_sums(power[6], power[7]));
        store(octet + i / 8, pair_sums(lower, upper));
    }
}

void add_window(const float* bins,
                int n_bins,
                int stride,
                float* sum,
                float* peak,
                double* __restrict token_sum,
                double* __restrict token_sumsq,
                float* scratch)
{
    const int negative = n_bins / 2, positive = n_bins - negative; // the upper part of the FFT's output comes first
    const bool by_octets = stride % 8 == 0 && negative % BLOCK == 0 && positive % BLOCK == 0;
    const int joined = by_octets ? 8 : 1;
    const auto add_part = by_octets ? add_octets : add_powers;
    add_part(bins + 2 * positive, negative, sum, peak, scratch);
    add_part(bins, positive, sum + negative, peak + negative, scratch + negative / joined);

    const int n_tokens = n_bins / stride;
    const float* token = fold<add>(scratch, scratch + n_bins / joined, n_tokens, stride / joined);
    for (int m = 0; m < n_tokens; ++m) {
        const double wide = token[m]; // spread is a small difference of large sums
        token_sum[m] += wide;
        token_sumsq[m] += wide * wide;
    }
}

int float_to_bits(float value)
{
    int bits;
    __builtin_memcpy(&bits, &value, sizeof(bits));
    return bits;
}

// 10 log10 of a normal positive number. x = 2^e m with m in [sqrt 1/2, sqrt 2); log(m) by the polynomial of Cephes'
// logf.
inline float to_db(float x)
{
    constexpr unsigned SQRT_HALF = 0x3f3504f3;
    constexpr float PER_OCTAVE = 3.01029995663981195f, PER_NEPER = 4.34294481903251828f;
    const unsigned bits = static_cast<unsigned>(float_to_bits(x)); // which may wrap: a negative x has a value, too
    const int e = static_cast<int>(bits - SQRT_HALF) >> 23;
    const float f = bits_to_float(static_cast<int>(bits - static_cast<unsigned>(e) * (1u << 23))) - 1.0f;
    float p = 7.0376836292e-2f;
    p = p * f - 1.1514610310e-1f;
    p = p * f + 1.1676998740e-1f;
    p = p * f - 1.2420140846e-1f;
    p = p * f + 1.4249322787e-1f;
    p = p * f - 1.6668057665e-1f;
    p = p * f + 2.0000714765e-1f;
    p = p * f - 2.4999993993e-1f;
    p = p * f + 3.3333331174e-1f;
    const float log_m = f + f * f * (f * p - 0.5f);
    return static_cast<float>(e) * PER_OCTAVE + log_m * PER_NEPER;
}

void to_db(const float* __restrict power, int n, float least, float* __restrict db)
{
    for (int i = 0; i < n; ++i)
        db[i] = to_db(power[i] > least ? power[i] : least);
}

void mean_levels(
    const float* __restrict sum, int n_bins, int windows, float least, float* __restrict mean, float* __restrict psd)
{
    const float per_window = 1.0f / static_cast<float>(windows);
    for (int i = 0; i < n_bins; ++i) {
        const float value = sum[i] * per_window;
        mean[i] = value > least ? value : least;
    }
    to_db(mean, n_bins, least, psd);
}

int count_below(const float* values, int n, float limit)
{
    int count = 0;
    for (int i = 0; i < n; ++i)
        count += values[i] < limit;
    return count;
}

// The smallest value that is not below the limit.
float least_from(const float* values, int n, float limit)
{
    vec least = vec{} + __builtin_inff();
    int i = 0;
    for (; i + WIDTH <= n; i += WIDTH) {
        const vec value = load(values + i);
        const vec candidate = value < limit ? least : value;
        least = candidate < least ? candidate : least;
    }
    float all = __builtin_inff();
    for (int lane = 0; lane < WIDTH; ++lane)
        all = least[lane] < all ? least[lane] : all;
    for (; i < n; ++i)
        all = values[i] >= limit && values[i] < all ? values[i] : all;
    return all;
}

// Searches between bounds in the bits of a float, which sort like the float. At most `rank` values lie below `low`,
// more below `high`. From the guess, the steps double until both bounds are known. Then it interpolates, and bisects
// every third time.
float of_rank(const float* values, int n, int rank, float guess)
{
    constexpr int ZERO = 0, ABOVE_INFINITY = 0x7f800001;
    int low = ZERO, high = ABOVE_INFINITY, below_low = 0, below_high = n, at = float_to_bits(guess);
    for (int turn = 1, step = 1 << 17; below_low < rank && low + 1 < high; ++turn) {
        if (at <= low || at >= high)
            at = low + (high - low) / 2;
        const int below = count_below(values, n, bits_to_float(at));
        (below > rank ? high : low) = at;
        (below > rank ? below_high : below_low) = below;
        const float part = turn % 3 ? (rank - below_low + 0.5f) / (below_high - below_low) : 0.5f;
        if (high == ABOVE_INFINITY)
            at = at < ABOVE_INFINITY - step ? at + step : ABOVE_INFINITY; // no bound: the next turn bisects
        else if (low == ZERO)
            at -= step;
        else
            at = low + static_cast<int>(part * (high - low));
        step *= step < 1 << 28 ? 2 : 1;
    }
    return least_from(values, n, bits_to_float(low));
}

void write_tokens(const float* psd,
                  const float* peak,
                  const double* token_sum,
                  const double* token_sumsq,
                  int n_bins,
                  int stride,
                  int windows,
                  float least,
                  float floor_dbfs,
                  float* __restrict scratch,
                  float* __restrict tokens)
{
    const int n_tokens = n_bins / stride;
    float* __restrict level = scratch;
    float* __restrict spread = scratch + n_tokens;

    to_db(fold<larger>(peak, scratch + 2 * n_tokens, n_tokens, stride), n_tokens, least, level);
    for (int m = 0; m < n_tokens; ++m)
        level[m] -= floor_dbfs;

    const double per_window = 1.0 / windows;
    for (int m = 0; m < n_tokens; ++m) {
        const double mean = token_sum[m] * per_window;
        const double variance = token_sumsq[m] * per_window - mean * mean;
        const double square = mean * mean;
        const double relative = variance / (square > 0.0 ? square : 1.0);
        spread[m] = static_cast<float>(relative > 0.0 ? relative : 0.0);
    }
    for (int m = 0; m < n_tokens; ++m)
        spread[m] = windows > 1 ? __builtin_sqrtf(spread[m]) : 0.0f;

    for (int m = 0; m < n_tokens; ++m) {
        for (int s = 0; s < stride; ++s)
            tokens[s] = psd[s] - floor_dbfs;
        tokens[stride] = level[m];
        tokens[stride + 1] = spread[m];
        tokens += stride + 2;
        psd += stride;
    }
}

} // namespace

extern const frame_sums FRAME_SUMS;
const frame_sums FRAME_SUMS = { apply_window, count_beyond, add_window, mean_levels, of_rank, write_tokens };

} // namespace spectrumencoder
} // namespace gr
