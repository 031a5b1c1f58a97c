/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "score_maxima.h"
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

// Compiled for the wider vectors too, and the right one chosen when the library is loaded. No fused multiply-adds:
// NumPy has none.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define WIDE __attribute__((target_clones("avx2", "default")))
#else
#define WIDE
#endif

namespace gr {
namespace spectrumencoder {

namespace {

constexpr size_t STRETCH = 256; // boxes at a time: what is usual there stays in the first cache for all frames
constexpr size_t CHAINS = 2;    // running maxima side by side: one waits for the other's comparison

typedef float floats __attribute__((vector_size(32)));
typedef double doubles __attribute__((vector_size(32)));
constexpr size_t FLOATS = sizeof(floats) / sizeof(float), DOUBLES = sizeof(doubles) / sizeof(double);

template <typename V, typename T>
inline void load(V& to, const T* from)
{
    std::memcpy(&to, from, sizeof(V));
}

template <typename V, typename T>
inline void raise(T& most, const V* running)
{
    for (size_t chain = 0; chain < CHAINS; ++chain)
        for (size_t lane = 0; lane < sizeof(V) / sizeof(T); ++lane)
            most = running[chain][lane] > most ? running[chain][lane] : most;
}

struct limits {
    const float *median, *per_up, *per_down;
};

// Raises up and down to the most that these boxes show.
inline void take(const float* sums, const limits& of, size_t count, float& up, float& down)
{
    floats ups[CHAINS], downs[CHAINS];
    for (size_t chain = 0; chain < CHAINS; ++chain) {
        ups[chain] = floats{} + up;
        downs[chain] = floats{} + down;
    }
    size_t box = 0;
    for (; box + CHAINS * FLOATS <= count; box += CHAINS * FLOATS)
        for (size_t chain = 0; chain < CHAINS; ++chain) {
            const size_t at = box + chain * FLOATS;
            floats sum, median, per_up, per_down;
            load(sum, sums + at);
            load(median, of.median + at);
            load(per_up, of.per_up + at);
            load(per_down, of.per_down + at);
            const floats over = sum - median, more = over * per_up, less = over * per_down;
            ups[chain] = more > ups[chain] ? more : ups[chain];
            downs[chain] = less > downs[chain] ? less : downs[chain];
        }
    raise(up, ups);
    raise(down, downs);
    for (; box < count; ++box) {
        const float over = sums[box] - of.median[box];
        const float more = over * of.per_up[box], less = over * of.per_down[box];
        up = more > up ? more : up;
        down = less > down ? less : down;
    }
}

// The largest of high - low, or of low - high.
inline double largest_difference(const double* high, const double* low, size_t count)
{
    double most = -std::numeric_limits<double>::infinity();
    doubles running[CHAINS];
    for (size_t chain = 0; chain < CHAINS; ++chain)
        running[chain] = doubles{} + most;
    size_t bin = 0;
    for (; bin + CHAINS * DOUBLES <= count; bin += CHAINS * DOUBLES)
        for (size_t chain = 0; chain < CHAINS; ++chain) {
            doubles upper, lower;
            load(upper, high + bin + chain * DOUBLES);
            load(lower, low + bin + chain * DOUBLES);
            const doubles sum = upper - lower;
            running[chain] = sum > running[chain] ? sum : running[chain];
        }
    raise(most, running);
    for (; bin < count; ++bin) {
        const double sum = high[bin] - low[bin];
        most = sum > most ? sum : most;
    }
    return most;
}

// The sums of one size of boxes by a divisor.
template <typename T>
inline T* divided_sums(const double* cumulative, size_t width, size_t step, size_t count, double divisor, T* out)
{
    int exponent;
    if (std::frexp(divisor, &exponent) == 0.5) { // a power of two: the product is the quotient
        const double factor = 1.0 / divisor;
        if (step == 1)
            for (size_t box = 0; box < count; ++box)
                out[box] = static_cast<T>((cumulative[box + width] - cumulative[box]) * factor);
        else
            for (size_t box = 0; box < count; ++box)
                out[box] = static_cast<T>((cumulative[box * step + width] - cumulative[box * step]) * factor);
    } else
        for (size_t box = 0; box < count; ++box)
            out[box] = static_cast<T>((cumulative[box * step + width] - cumulative[box * step]) / divisor);
    return out + count;
}

} // namespace

WIDE void standardise(const float* levels,
                      size_t frames,
                      size_t bins,
                      const float* mean,
                      const float* deviation,
                      const float* components,
                      size_t n_components,
                      float* out)
{
    constexpr size_t VECTORS = PROJECTION_LANES / FLOATS;
    std::vector<float> usual(bins);
    for (size_t frame = 0; frame < frames; ++frame, levels += bins, out += bins) {
        for (size_t bin = 0; bin < bins; ++bin)
            out[bin] = levels[bin] - mean[bin];
        std::fill(usual.begin(), usual.end(), 0.0f);
        for (size_t number = 0; number < n_components; ++number) {
            const float* component = components + number * bins;
            floats sums[VECTORS] = {};
            size_t bin = 0;
            for (; bin + PROJECTION_LANES <= bins; bin += PROJECTION_LANES)
                for (size_t vector = 0; vector < VECTORS; ++vector) {
                    floats left, right;
                    load(left, component + bin + vector * FLOATS);
                    load(right, out + bin + vector * FLOATS);
                    sums[vector] += left * right;
                }
            float lanes[PROJECTION_LANES];
            std::memcpy(lanes, sums, sizeof(lanes));
            for (size_t lane = 0; bin < bins; ++bin, ++lane)
                lanes[lane] += component[bin] * out[bin];
            float share = lanes[0];
            for (size_t lane = 1; lane < PROJECTION_LANES; ++lane)
                share += lanes[lane];
            for (size_t at = 0; at < bins; ++at)
                usual[at] += share * component[at];
        }
        for (size_t bin = 0; bin < bins; ++bin)
            out[bin] = (out[bin] - usual[bin]) / deviation[bin];
    }
}

WIDE void box_sums(const float* deviation,
                   const float* power,
                   size_t frames,
                   size_t bins,
                   const box_size* sizes,
                   size_t deviation_sizes,
                   size_t power_sizes,
                   float* rows,
                   size_t row_length,
                   double* means)
{
    std::vector<double> of_deviation(bins + 1, 0.0), of_power(bins + 1, 0.0);
    for (size_t frame = 0; frame < frames; ++frame, deviation += bins, power += bins) {
        double deviations = 0.0, powers = 0.0;
        for (size_t bin = 0; bin < bins; ++bin) { // side by side, since each waits for its last sum
            of_deviation[bin + 1] = deviations += static_cast<double>(deviation[bin]);
            of_power[bin + 1] = powers += static_cast<double>(power[bin]);
        }
        float* row = rows + frame * row_length;
        for (size_t size = 0; size < deviation_sizes; ++size) {
            const auto [width, step] = sizes[size];
            row = divided_sums(
                of_deviation.data(), width, step, (bins - width) / step + 1, std::sqrt(double(width)), row);
        }
        for (size_t size = deviation_sizes; size < deviation_sizes + power_sizes; ++size) {
            const auto [width, step] = sizes[size];
            means = divided_sums(of_power.data(), width, step, (bins - width) / step + 1, double(width), means);
        }
    }
}

WIDE void box_maxima(const float* rows,
                     size_t frames,
                     const uint32_t* edges,
                     size_t parts,
                     const float* median,
                     const float* per_up,
                     const float* per_down,
                     float* maxima)
{
    const size_t boxes = edges[parts];
    float scale[BOX_LENGTHS];
    for (size_t length = 0; length < BOX_LENGTHS; ++length)
        scale[length] = static_cast<float>(1.0 / std::sqrt(static_cast<double>(1u << length)));
    std::fill_n(maxima, frames * BOX_LENGTHS * 2 * parts, -std::numeric_limits<float>::infinity());

    for (size_t part = 0; part < parts; ++part)
        for (size_t first = edges[part]; first < edges[part + 1]; first += STRETCH) {
            const size_t count = std::min<size_t>(STRETCH, edges[part + 1] - first);
            for (size_t frame = 0; frame < frames; ++frame) {
                float sums[BOX_LENGTHS][STRETCH];
                const float* row = rows + (frame + BOX_HISTORY) * boxes + first;
                for (size_t box = 0; box < count; ++box) {
                    const float* at = row + box;
                    const float two = at[0] + *(at - boxes), two_before = *(at - 2 * boxes) + *(at - 3 * boxes);
                    const float two_third = *(at - 4 * boxes) + *(at - 5 * boxes);
                    const float two_fourth = *(at - 6 * boxes) + *(at - 7 * boxes);
                    const float four = two + two_before, four_before = two_third + two_fourth;
                    sums[0][box] = at[0] * scale[0];
                    sums[1][box] = two * scale[1];
                    sums[2][box] = four * scale[2];
                    sums[3][box] = (four + four_before) * scale[3];
                }
                float* out = maxima + frame * BOX_LENGTHS * 2 * parts + part;
                for (size_t length = 0; length < BOX_LENGTHS; ++length) {
                    const size_t place = length * boxes + first;
                    take(sums[length],
                         { median + place, per_up + place, per_down + place },
                         count,
                         out[2 * length * parts],
                         out[(2 * length + 1) * parts]);
                }
            }
        }
}

WIDE void window_maxima(const float* residual,
                        size_t frames,
                        size_t bins,
                        const uint32_t* scales,
                        const int* signs,
                        size_t windows,
                        float* maxima)
{
    std::vector<double> cumulative(bins + 1, 0.0);
    for (size_t frame = 0; frame < frames; ++frame) {
        const float* row = residual + frame * bins;
        double sum = 0.0;
        for (size_t bin = 0; bin < bins; ++bin)
            cumulative[bin + 1] = sum += static_cast<double>(row[bin]);
        if (!std::isfinite(sum)) { // a comparison would hide it
            std::fill_n(maxima + frame * windows, windows, std::numeric_limits<float>::quiet_NaN());
            continue;
        }
        for (size_t window = 0; window < windows; ++window) {
            const size_t width = std::min<size_t>(scales[window], bins);
            const double *low = cumulative.data(), *high = low + width;
            const double most = signs[window] > 0 ? largest_difference(high, low, bins - width + 1)
                                                  : largest_difference(low, high, bins - width + 1);
            maxima[frame * windows + window] = static_cast<float>(most * (1.0 / std::sqrt(static_cast<double>(width))));
        }
    }
}

} // namespace spectrumencoder
} // namespace gr
