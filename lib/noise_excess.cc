/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "noise_excess.h"
#include "wide.h"
#include <cmath>
#include <limits>

namespace gr {
namespace spectrumencoder {

namespace {

static_assert(EXCESS_LENGTHS == DOUBLES, "a vector holds the sums of each length");

constexpr int32_t LARGEST = std::numeric_limits<int32_t>::max();

// Integers in the order of the floats whose bits are given, and back.
WITHIN integers ordered(integers bits)
{
    return bits ^ ((bits >> 31) & LARGEST);
}

WITHIN float of_ordered(int32_t key)
{
    const int32_t bits = key ^ ((key >> 31) & LARGEST);
    float value;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
}

WITHIN int32_t sum_of(integers values)
{
    int32_t sum = 0;
    for (size_t lane = 0; lane < FLOATS; ++lane)
        sum += values[lane];
    return sum;
}

// The median of `count` values. keys: room for as many, filled up to whole vectors.
WITHIN float median_of(const float* values, size_t count, int32_t* keys)
{
    const size_t whole = (count + FLOATS - 1) / FLOATS * FLOATS;
    const int32_t rank = static_cast<int32_t>((count - 1) / 2); // of the lower one of the two in the middle
    integers some;
    for (size_t at = 0; at < whole; at += FLOATS) {
        load(some, values + at);
        store(keys + at, ordered(some));
    }
    for (size_t at = count; at < whole; ++at)
        keys[at] = LARGEST;
    int64_t low = std::numeric_limits<int32_t>::min(), high = LARGEST; // of the smallest key with `rank` keys below it
    while (low < high) {
        const int64_t middle = (low + high) >> 1;
        const integers limit = integers{} + static_cast<int32_t>(middle);
        integers within = {};
        for (size_t at = 0; at < whole; at += FLOATS) {
            load(some, keys + at);
            within += some <= limit; // a comparison that holds is -1
        }
        if (-sum_of(within) > rank)
            high = middle;
        else
            low = middle + 1;
    }
    const int32_t lower = static_cast<int32_t>(low);
    if (count % 2)
        return of_ordered(lower);
    const integers limit = integers{} + lower;
    integers within = {}, next = integers{} + LARGEST;
    for (size_t at = 0; at < whole; at += FLOATS) {
        load(some, keys + at);
        within += some <= limit;
        const integers above = some > limit ? some : integers{} + LARGEST;
        next = above < next ? above : next;
    }
    int32_t upper = LARGEST;
    for (size_t lane = 0; lane < FLOATS; ++lane)
        upper = next[lane] < upper ? next[lane] : upper;
    return (of_ordered(lower) + of_ordered(-sum_of(within) > rank + 1 ? lower : upper)) * 0.5f;
}

// Medians of some columns, as many as a vector holds. keys: (rows) vectors.
WITHIN void medians_of(const float* values, size_t rows, size_t columns, size_t count, integers* keys, float* medians)
{
    integers none = {}, low = integers{} + std::numeric_limits<int32_t>::min(), high = integers{} + LARGEST;
    for (size_t row = 0; row < rows; ++row) {
        floats some = {};
        if (count == FLOATS)
            load(some, values + row * columns);
        else
            std::memcpy(&some, values + row * columns, count * sizeof(float));
        none |= some != some;
        keys[row] = ordered((integers)some);
    }
    const int32_t rank = static_cast<int32_t>((rows - 1) / 2);
    for (int bit = 0; bit < 32; ++bit) { // as in median_of, each lane on its own
        const integers middle = (low & high) + ((low ^ high) >> 1);
        integers within = {};
        for (size_t row = 0; row < rows; ++row)
            within -= keys[row] <= middle;
        high = within > rank ? middle : high;
        low = within > rank ? low : middle + 1;
    }
    integers within = {}, upper = integers{} + LARGEST;
    for (size_t row = 0; row < rows; ++row) {
        within -= keys[row] <= low;
        const integers above = keys[row] > low ? keys[row] : integers{} + LARGEST;
        upper = above < upper ? above : upper;
    }
    upper = within > rank + 1 ? low : upper;
    const floats first = (floats)ordered(low), second = (floats)ordered(upper);
    floats median = rows % 2 ? first : (first + second) * 0.5f;
    median = none ? of(std::numeric_limits<float>::quiet_NaN()) : median;
    std::memcpy(medians, &median, count * sizeof(float));
}

// Mean of the values within `near` of `middle`; 0 if there are none. Sums of dB are exact in doubles, in any order.
WITHIN double mean_near(const double* values, size_t count, double middle, double near)
{
    doubles sums = {}, counts = {};
    size_t at = 0;
    for (; at + DOUBLES <= count; at += DOUBLES) {
        doubles some;
        load(some, values + at);
        const doubles off = some - middle, distance = off < 0.0 ? -off : off;
        sums += distance < near ? some : doubles{};
        counts += distance < near ? doubles{} + 1.0 : doubles{};
    }
    double sum = 0.0, number = 0.0;
    for (size_t lane = 0; lane < DOUBLES; ++lane) {
        sum += sums[lane];
        number += counts[lane];
    }
    for (; at < count; ++at)
        if (std::fabs(values[at] - middle) < near) {
            sum += values[at];
            number += 1.0;
        }
    return sum / (number > 1.0 ? number : 1.0);
}

// Some of the bins of one frame: what noise_excess gives of them. parts: of the frame.
template <bool rounded>
WITHIN void excess_of(const float* psd,
                      float gain,
                      const float* parts,
                      const expectation& of_bins,
                      size_t bin,
                      size_t count,
                      float* ratio,
                      float* fresh)
{
    floats level = {}, mean = {}, allowed = {};
    const size_t bytes = count * sizeof(float);
    std::memcpy(&level, psd + bin, bytes);
    std::memcpy(&mean, of_bins.mean + bin, bytes);
    std::memcpy(&allowed, of_bins.allowed + bin, bytes);
    floats power = power_of((level - mean) - gain);
    if (rounded) {
        floats share = {};
        std::memcpy(&share, of_bins.share + bin, bytes);
        const floats follows = 1.0f - share,
                     raised = share * parts[0] + (follows > 0.0f ? follows : of(0.0f)) * parts[1];
        power /= raised > 1.0f ? raised : of(1.0f);
    }
    std::memcpy(ratio + bin, &power, bytes);
    const floats left = power <= allowed ? of(1.0f) : power / allowed;
    power = allowed > of_bins.busy ? left : power;
    std::memcpy(fresh + bin, &power, bytes);
}

template <bool rounded>
WITHIN void excess_of_frame(
    const float* psd, float gain, const float* parts, const expectation& of_bins, float* ratio, float* fresh)
{
    size_t bin = 0;
    for (; bin + FLOATS <= of_bins.bins; bin += FLOATS)
        excess_of<rounded>(psd, gain, parts, of_bins, bin, FLOATS, ratio, fresh);
    if (bin < of_bins.bins)
        excess_of<rounded>(psd, gain, parts, of_bins, bin, of_bins.bins - bin, ratio, fresh);
}

// Running sums over the bins of a frame's means over 1, 2, 4 and 8 frames, side by side: cumulative (bins + 1, 4).
WITHIN void sums_of_lengths(const float* row, size_t bins, double* cumulative)
{
    doubles sum = {};
    store(cumulative, sum);
    for (size_t first = 0; first < bins; first += FLOATS) {
        const size_t count = bins - first < FLOATS ? bins - first : FLOATS;
        floats now[EXCESS_HISTORY + 1]; // and of the frames before
        for (size_t back = 0; back <= EXCESS_HISTORY; ++back) {
            const float* from = row + first - back * bins;
            if (count == FLOATS)
                load(now[back], from);
            else {
                now[back] = floats{};
                std::memcpy(&now[back], from, count * sizeof(float));
            }
        }
        const floats two = now[0] + now[1], four = two + (now[2] + now[3]);
        const floats eight = four + ((now[4] + now[5]) + (now[6] + now[7]));
        const floats means[EXCESS_LENGTHS] = { now[0], two * 0.5f, four * 0.25f, eight * 0.125f };
        for (size_t bin = 0; bin < count; ++bin) {
            const doubles next = { means[0][bin], means[1][bin], means[2][bin], means[3][bin] };
            sum += next;
            store(cumulative + (first + bin + 1) * EXCESS_LENGTHS, sum);
        }
    }
}

// Largest sum of a box of one size, of each length.
WITHIN doubles largest_sums(const double* cumulative, const excess_size& size, size_t bins)
{
    constexpr size_t CHAINS = 2; // maxima side by side: one waits for the other's comparison
    const size_t count = (bins - size.width) / size.step + 1, step = size.step * EXCESS_LENGTHS;
    const double *low = cumulative, *high = cumulative + size.width * EXCESS_LENGTHS;
    doubles most[CHAINS], upper, lower;
    for (size_t chain = 0; chain < CHAINS; ++chain)
        most[chain] = doubles{} - std::numeric_limits<double>::infinity();
    size_t box = 0;
    for (; box + CHAINS <= count; box += CHAINS)
        for (size_t chain = 0; chain < CHAINS; ++chain, low += step, high += step) {
            load(upper, high);
            load(lower, low);
            const doubles sum = upper - lower;
            most[chain] = sum > most[chain] ? sum : most[chain];
        }
    if (box < count) {
        load(upper, high);
        load(lower, low);
        const doubles sum = upper - lower;
        most[0] = sum > most[0] ? sum : most[0];
    }
    return most[0] > most[1] ? most[0] : most[1];
}

} // namespace

WIDE void common_gains(const float* psd,
                       size_t frames,
                       size_t bins,
                       const float* mean,
                       const uint32_t* reference,
                       size_t count,
                       double near,
                       double* gains)
{
    const auto over = room_for<float>(count + FLOATS);
    const auto wide = room_for<double>(count);
    const auto keys = room_for<int32_t>(count + FLOATS);
    std::fill_n(over.get() + count, FLOATS, 0.0f);
    for (size_t frame = 0; frame < frames; ++frame, psd += bins) {
        float nothing = 0.0f; // times what is finite; else not a number
        for (size_t at = 0; at < count; ++at) {
            const uint32_t bin = reference[at];
            const float value = psd[bin] - mean[bin];
            over[at] = value;
            wide[at] = value;
            nothing += value * 0.0f;
        }
        if (count == 0 || nothing != 0.0f || nothing != nothing) {
            gains[frame] = std::numeric_limits<double>::quiet_NaN();
            continue;
        }
        double gain = median_of(over.get(), count, keys.get());
        for (int time = 0; time < 2; ++time)
            gain = mean_near(wide.get(), count, gain, near);
        gains[frame] = gain;
    }
}

WIDE void column_medians(const float* values, size_t rows, size_t columns, float* medians)
{
    const auto keys = room_for<integers>(rows);
    for (size_t first = 0; first < columns; first += FLOATS)
        medians_of(values + first, rows, columns, std::min(FLOATS, columns - first), keys.get(), medians + first);
}

WIDE void noise_excess(const float* psd,
                       size_t frames,
                       const float* gains,
                       const float* parts,
                       const expectation& of,
                       float* ratio,
                       float* fresh)
{
    for (size_t frame = 0; frame < frames; ++frame) {
        const size_t first = frame * of.bins;
        const float* both = of.share ? parts + 2 * frame : nullptr;
        if (both && both[0] > 0.0f)
            excess_of_frame<true>(psd + first, gains[frame], both, of, ratio + first, fresh + first);
        else
            excess_of_frame<false>(psd + first, gains[frame], both, of, ratio + first, fresh + first);
    }
}

WIDE void excess_scores(const float* rows,
                        size_t frames,
                        size_t bins,
                        const excess_size* sizes,
                        size_t n_sizes,
                        const double* limits,
                        float* scores)
{
    const auto cumulative = room_for<double>((bins + 1) * EXCESS_LENGTHS);
    for (size_t frame = 0; frame < frames; ++frame) {
        sums_of_lengths(rows + (EXCESS_HISTORY + frame) * bins, bins, cumulative.get());
        doubles total;
        load(total, cumulative.get() + bins * EXCESS_LENGTHS);
        double score = 0.0;
        for (size_t size = 0; size < n_sizes; ++size) {
            const doubles most = largest_sums(cumulative.get(), sizes[size], bins);
            for (size_t length = 0; length < EXCESS_LENGTHS; ++length) {
                const double mean = most[length] * (1.0 / sizes[size].width);
                const double share = (mean - 1.0) / (limits[size * EXCESS_LENGTHS + length] - 1.0);
                score = share > score ? share : score;
            }
        }
        for (size_t length = 0; length < EXCESS_LENGTHS; ++length)
            if (!std::isfinite(total[length])) // a comparison would hide it
                score = std::numeric_limits<double>::quiet_NaN();
        scores[frame] = static_cast<float>(score);
    }
}

} // namespace spectrumencoder
} // namespace gr
