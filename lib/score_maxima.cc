/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "score_maxima.h"
#include "wide.h"
#include <algorithm>
#include <cmath>
#include <limits>

namespace gr {
namespace spectrumencoder {

namespace {

constexpr size_t STRETCH = 256; // boxes at a time: what is usual there stays in the first cache for all frames
constexpr size_t CHAINS = 2;    // running maxima side by side: one waits for the other's comparison
constexpr float NOTHING = -std::numeric_limits<float>::infinity();

template <typename V, typename T>
WITHIN void raise(T& most, const V& running)
{
    for (size_t lane = 0; lane < sizeof(V) / sizeof(T); ++lane)
        most = running[lane] > most ? running[lane] : most;
}

template <>
WITHIN void raise(float& most, const float& running)
{
    most = running > most ? running : most;
}

struct limits {
    const float *median, *per_up,
        *per_down; // of the first box of a stretch; those of the next length are `boxes` further on
    size_t boxes;
};

// Sums of a stretch over two and over four frames, as far as those of later frames are made of them.
struct recent_sums {
    float two[2][STRETCH], four[4][STRETCH]; // of the frame whose number has the same remainder
};

// The boxes of one frame (row) from `box` on, as many as V holds, into the maxima of each length.
template <typename V>
WITHIN void take(const float* row, size_t frame, size_t box, const limits& of, recent_sums& recent, V* up, V* down)
{
    V sums[BOX_LENGTHS], before, two_before, four_before;
    float *two = recent.two[frame % 2] + box, *four = recent.four[frame % 4] + box;
    load(sums[0], row + box);
    load(before, row + box - of.boxes);
    load(two_before, two);
    load(four_before, four);
    sums[1] = sums[0] + before;
    sums[2] = sums[1] + two_before;
    sums[3] = sums[2] + four_before;
    store(two, sums[1]);
    store(four, sums[2]);
    for (size_t length = 0; length < BOX_LENGTHS; ++length) {
        const size_t place = length * of.boxes + box;
        const float scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(1u << length)));
        V median, per_up, per_down;
        load(median, of.median + place);
        load(per_up, of.per_up + place);
        load(per_down, of.per_down + place);
        const V over = sums[length] * scale - median, more = over * per_up, less = over * per_down;
        up[length] = more > up[length] ? more : up[length];
        down[length] = less > down[length] ? less : down[length];
    }
}

// Largest of high - low, or of low - high.
WITHIN double largest_difference(const double* high, const double* low, size_t count)
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
    for (size_t chain = 0; chain < CHAINS; ++chain)
        raise(most, running[chain]);
    for (; bin < count; ++bin) {
        const double sum = high[bin] - low[bin];
        most = sum > most ? sum : most;
    }
    return most;
}

} // namespace

WIDE void box_maxima(const float* rows,
                     size_t frames,
                     const uint32_t* edges,
                     size_t parts,
                     const float* median,
                     const float* per_up,
                     const float* per_down,
                     float* maxima,
                     size_t step)
{
    const size_t boxes = edges[parts];
    recent_sums recent;
    for (size_t frame = 0; frame < frames; ++frame)
        std::fill_n(maxima + frame * step, BOX_LENGTHS * 2 * parts, NOTHING);

    for (size_t part = 0; part < parts; ++part)
        for (size_t first = edges[part]; first < edges[part + 1]; first += STRETCH) {
            const size_t count = std::min<size_t>(STRETCH, edges[part + 1] - first);
            const limits of{ median + first, per_up + first, per_down + first, boxes };
            const float* row = rows + BOX_HISTORY * boxes + first;
            for (size_t frame = 0; frame < std::min<size_t>(frames, 4); ++frame) {
                const float *two = row + frame * boxes - 2 * boxes, *four = two - 2 * boxes;
                for (size_t box = 0; box < count; ++box) {
                    if (frame < 2)
                        recent.two[frame][box] = two[box] + *(two + box - boxes);
                    recent.four[frame][box] =
                        (four[box] + *(four + box - boxes)) + (*(four + box - 2 * boxes) + *(four + box - 3 * boxes));
                }
            }
            for (size_t frame = 0; frame < frames; ++frame, row += boxes) {
                floats ups[BOX_LENGTHS], downs[BOX_LENGTHS];
                float up[BOX_LENGTHS], down[BOX_LENGTHS];
                for (size_t length = 0; length < BOX_LENGTHS; ++length) {
                    ups[length] = downs[length] = floats{} + NOTHING;
                    up[length] = down[length] = NOTHING;
                }
                size_t box = 0;
                for (; box + FLOATS <= count; box += FLOATS)
                    take<floats>(row, frame, box, of, recent, ups, downs);
                for (; box < count; ++box)
                    take<float>(row, frame, box, of, recent, up, down);
                float* out = maxima + frame * step + part;
                for (size_t length = 0; length < BOX_LENGTHS; ++length) {
                    float &most = out[2 * length * parts], &least = out[(2 * length + 1) * parts];
                    raise(most, ups[length]);
                    raise(most, up[length]);
                    raise(least, downs[length]);
                    raise(least, down[length]);
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
                        float* maxima,
                        size_t step)
{
    const auto cumulative = room_for<double>(TOGETHER * (bins + 1));
    for (size_t frame = 0; frame < frames; ++frame, maxima += step) {
        if (frame % TOGETHER == 0)
            running_sums(residual + frame * bins, std::min(TOGETHER, frames - frame), bins, cumulative.get());
        const double* sums = cumulative.get() + frame % TOGETHER * (bins + 1);
        if (!std::isfinite(sums[bins])) { // a comparison would hide it
            std::fill_n(maxima, windows, std::numeric_limits<float>::quiet_NaN());
            continue;
        }
        for (size_t window = 0; window < windows; ++window) {
            const size_t width = std::min<size_t>(scales[window], bins);
            const double* high = sums + width;
            const double most = signs[window] > 0 ? largest_difference(high, sums, bins - width + 1)
                                                  : largest_difference(sums, high, bins - width + 1);
            maxima[window] = static_cast<float>(most * (1.0 / std::sqrt(static_cast<double>(width))));
        }
    }
}

void largest_standardised(const float* values,
                          size_t frames,
                          size_t step,
                          const uint32_t* columns,
                          size_t count,
                          const float* median,
                          const float* spread,
                          float* largest)
{
    for (size_t frame = 0; frame < frames; ++frame, values += step) {
        float most = NOTHING;
        bool number = true;
        for (size_t column = 0; column < count; ++column) {
            const float share = (values[columns[column]] - median[column]) / spread[column];
            most = share > most ? share : most;
            number &= share == share;
        }
        largest[frame] = number ? most : std::numeric_limits<float>::quiet_NaN();
    }
}

} // namespace spectrumencoder
} // namespace gr
