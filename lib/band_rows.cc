/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "band_rows.h"
#include "wide.h"
#include <algorithm>
#include <cmath>

namespace gr {
namespace spectrumencoder {

namespace {

// 10 log10 of a power, at least 1e-9: of the exponent, and 2 artanh(t) of the mantissa, t = (m - 1) / (m + 1).
WITHIN floats decibels_of(floats power)
{
    constexpr int32_t ROOT_HALF = 0x3f3504f3; // bits of sqrt(1/2): mantissas from there up to sqrt(2)
    const floats least = of(1e-9f);
    const integers bits = (integers)(power > least ? power : least), exponent = (bits - ROOT_HALF) >> 23;
    const floats mantissa = (floats)(bits - (exponent << 23));
    const floats t = (mantissa - 1.0f) / (mantissa + 1.0f), square = t * t;
    floats sum = of(1.0f / 9.0f);
    sum = sum * square + 1.0f / 7.0f;
    sum = sum * square + 1.0f / 5.0f;
    sum = sum * square + 1.0f / 3.0f;
    sum = sum * square + 1.0f;
    return __builtin_convertvector(exponent, floats) * 3.0102999566398120f + t * 8.6858896380650366f * sum;
}

// The sums of one size of boxes by a divisor.
WITHIN float* divided_sums(const double* cumulative, const box_size& size, size_t bins, double divisor, float* out)
{
    const size_t width = size.width, step = size.step, count = (bins - width) / step + 1;
    int exponent;
    if (std::frexp(divisor, &exponent) == 0.5) { // a power of two: the product is the quotient
        const double factor = 1.0 / divisor;
        if (step == 1)
            for (size_t box = 0; box < count; ++box)
                out[box] = static_cast<float>((cumulative[box + width] - cumulative[box]) * factor);
        else
            for (size_t box = 0; box < count; ++box)
                out[box] = static_cast<float>((cumulative[box * step + width] - cumulative[box * step]) * factor);
    } else
        for (size_t box = 0; box < count; ++box)
            out[box] = static_cast<float>((cumulative[box * step + width] - cumulative[box * step]) / divisor);
    return out + count;
}

// One frame: what mean and components leave of its level. usual: room for as many bins.
WITHIN void standardise_frame(const float* level, const band_statistics& band, float* usual, float* out)
{
    constexpr size_t VECTORS = PROJECTION_LANES / FLOATS;
    const size_t bins = band.bins;
    for (size_t bin = 0; bin < bins; ++bin)
        out[bin] = level[bin] - band.mean[bin];
    std::fill(usual, usual + bins, 0.0f);
    for (size_t number = 0; number < band.n_components; ++number) {
        const float* component = band.components + number * bins;
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
        out[bin] = (out[bin] - usual[bin]) / band.deviation[bin];
}

// Rows of `frames` <= TOGETHER frames. power: (frames, bins), cumulative: 2 * (frames, bins + 1), room for what lies
// between.
WITHIN void rows_of(const float* deviation,
                    const float* level,
                    size_t frames,
                    size_t bins,
                    const box_plan& plan,
                    float* power,
                    double* cumulative,
                    float* rows)
{
    double* of_power = cumulative + frames * (bins + 1);
    map<power_of>(level, frames * bins, power);
    running_sums(deviation, frames, bins, cumulative);
    running_sums(power, frames, bins, of_power);
    const box_size* power_sizes = plan.sizes + plan.deviation_sizes;
    for (size_t frame = 0; frame < frames; ++frame) {
        float *row = rows + frame * plan.boxes, *const end = row + plan.boxes;
        for (size_t size = 0; size < plan.deviation_sizes; ++size)
            row = divided_sums(cumulative + frame * (bins + 1),
                               plan.sizes[size],
                               bins,
                               std::sqrt(double(plan.sizes[size].width)),
                               row);
        float* means = row;
        for (size_t size = 0; size < plan.power_sizes; ++size)
            row = divided_sums(
                of_power + frame * (bins + 1), power_sizes[size], bins, double(power_sizes[size].width), row);
        map<decibels_of>(means, end - means, means);
    }
}

} // namespace

WIDE void standardise(const float* levels, size_t frames, const band_statistics& band, float* out)
{
    const auto usual = room_for<float>(band.bins);
    for (size_t frame = 0; frame < frames; ++frame)
        standardise_frame(levels + frame * band.bins, band, usual.get(), out + frame * band.bins);
}

WIDE void
box_rows(const float* deviation, const float* level, size_t frames, size_t bins, const box_plan& plan, float* rows)
{
    const auto power = room_for<float>(TOGETHER * bins);
    const auto cumulative = room_for<double>(2 * TOGETHER * (bins + 1));
    for (size_t first = 0; first < frames; first += TOGETHER)
        rows_of(deviation + first * bins,
                level + first * bins,
                std::min(TOGETHER, frames - first),
                bins,
                plan,
                power.get(),
                cumulative.get(),
                rows + first * plan.boxes);
}

WIDE size_t band_rows(const float* psd,
                      const float* floor,
                      size_t floor_step,
                      size_t frames,
                      const float* curve,
                      const band_statistics& band,
                      const box_plan& plan,
                      float* levels,
                      float* rows)
{
    constexpr int32_t NO_NUMBER = 0x7f800000; // the exponent of infinities and NaN
    const size_t bins = band.bins;
    const auto usual = room_for<float>(bins), above = room_for<float>(TOGETHER * bins);
    const auto deviation = room_for<float>(TOGETHER * bins), power = room_for<float>(TOGETHER * bins);
    const auto cumulative = room_for<double>(2 * TOGETHER * (bins + 1));
    size_t broken = 0;
    for (size_t first = 0; first < frames; first += TOGETHER) {
        const size_t count = std::min(TOGETHER, frames - first);
        for (size_t frame = 0; frame < count; ++frame) {
            const float *spectrum = psd + (first + frame) * bins, its_floor = floor[(first + frame) * floor_step];
            float *level = levels + (first + frame) * bins, *over = above.get() + frame * bins;
            int32_t wrong = 0;
            for (size_t bin = 0; bin < bins; ++bin) {
                level[bin] = spectrum[bin] - its_floor;
                over[bin] = level[bin] - curve[bin];
                int32_t bits;
                std::memcpy(&bits, level + bin, sizeof(bits));
                wrong |= (bits & NO_NUMBER) == NO_NUMBER;
            }
            broken += wrong != 0;
            standardise_frame(over, band, usual.get(), deviation.get() + frame * bins);
        }
        rows_of(
            deviation.get(), above.get(), count, bins, plan, power.get(), cumulative.get(), rows + first * plan.boxes);
    }
    return broken;
}

WIDE void add_deviations(const float* levels,
                         size_t frames,
                         size_t bins,
                         const float* mean,
                         const float* curve,
                         const float* limit,
                         const float* deviation,
                         const uint8_t* chosen,
                         double* sums,
                         double* squares)
{
    const auto off = room_for<float>(bins);
    for (size_t frame = 0; frame < frames; ++frame) {
        const float* level = levels + frame * bins;
        for (size_t bin = 0; bin < bins; ++bin) {
            float value = level[bin] - mean[bin] - curve[bin];
            value = value < limit[bin] ? value : limit[bin];
            value = value > -limit[bin] ? value : -limit[bin];
            const float share = value / deviation[bin];
            off[bin] = value;
            squares[bin] += static_cast<double>(share * share);
        }
        if (chosen[frame])
            for (size_t bin = 0; bin < bins; ++bin)
                sums[bin] += static_cast<double>(off[bin]);
    }
}

} // namespace spectrumencoder
} // namespace gr
