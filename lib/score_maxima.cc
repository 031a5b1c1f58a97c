/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "score_maxima.h"
#include <algorithm>
#include <cmath>
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

constexpr size_t LANES = 16;

struct limits {
    const float *median, *per_up, *per_down;
};

// One of LANES running maxima, for each box of a stretch of up to LANES of them.
inline void take(const float* sums, const limits& of, size_t count, float* up, float* down)
{
    for (size_t lane = 0; lane < count; ++lane) {
        const float over = sums[lane] - of.median[lane];
        const float more = over * of.per_up[lane], less = over * of.per_down[lane];
        up[lane] = more > up[lane] ? more : up[lane];
        down[lane] = less > down[lane] ? less : down[lane];
    }
}

void accumulate(const float* row, size_t bins, std::vector<double>& cumulative)
{
    for (size_t bin = 0; bin < bins; ++bin)
        cumulative[bin + 1] = cumulative[bin] + static_cast<double>(row[bin]);
}

} // namespace

WIDE void box_sums(const float* values,
                   size_t frames,
                   size_t bins,
                   const uint32_t* low,
                   const uint32_t* high,
                   const double* divisor,
                   size_t boxes,
                   double* sums)
{
    std::vector<double> cumulative(bins + 1, 0.0);
    for (size_t frame = 0; frame < frames; ++frame) {
        accumulate(values + frame * bins, bins, cumulative);
        double* out = sums + frame * boxes;
        for (size_t box = 0; box < boxes; ++box)
            out[box] = (cumulative[high[box]] - cumulative[low[box]]) / divisor[box];
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

    for (size_t frame = 0; frame < frames; ++frame) {
        const float* newest = rows + (frame + BOX_HISTORY) * boxes;
        float* out = maxima + frame * BOX_LENGTHS * 2 * parts;
        for (size_t part = 0; part < parts; ++part) {
            float up[BOX_LENGTHS][LANES], down[BOX_LENGTHS][LANES];
            std::fill_n(&up[0][0], BOX_LENGTHS * LANES, -std::numeric_limits<float>::infinity());
            std::fill_n(&down[0][0], BOX_LENGTHS * LANES, -std::numeric_limits<float>::infinity());
            for (size_t first = edges[part]; first < edges[part + 1]; first += LANES) {
                const size_t count = std::min<size_t>(LANES, edges[part + 1] - first);
                float sums[BOX_LENGTHS][LANES];
                const float* row = newest + first;
                for (size_t lane = 0; lane < count; ++lane) {
                    const float* at = row + lane;
                    const float two = at[0] + *(at - boxes), two_before = *(at - 2 * boxes) + *(at - 3 * boxes);
                    const float two_third = *(at - 4 * boxes) + *(at - 5 * boxes);
                    const float two_fourth = *(at - 6 * boxes) + *(at - 7 * boxes);
                    const float four = two + two_before, four_before = two_third + two_fourth;
                    sums[0][lane] = at[0] * scale[0];
                    sums[1][lane] = two * scale[1];
                    sums[2][lane] = four * scale[2];
                    sums[3][lane] = (four + four_before) * scale[3];
                }
                for (size_t length = 0; length < BOX_LENGTHS; ++length) {
                    const size_t place = length * boxes + first;
                    take(sums[length],
                         { median + place, per_up + place, per_down + place },
                         count,
                         up[length],
                         down[length]);
                }
            }
            for (size_t length = 0; length < BOX_LENGTHS; ++length) {
                out[(2 * length) * parts + part] = *std::max_element(up[length], up[length] + LANES);
                out[(2 * length + 1) * parts + part] = *std::max_element(down[length], down[length] + LANES);
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
        accumulate(row, bins, cumulative);
        if (!std::isfinite(cumulative[bins])) { // a comparison would hide it
            std::fill_n(maxima + frame * windows, windows, std::numeric_limits<float>::quiet_NaN());
            continue;
        }
        for (size_t window = 0; window < windows; ++window) {
            const size_t width = std::min<size_t>(scales[window], bins);
            const double sign = signs[window] > 0 ? 1.0 : -1.0;
            double best[LANES];
            std::fill_n(best, LANES, -std::numeric_limits<double>::infinity());
            for (size_t first = 0; first + width <= bins; first += LANES) {
                const size_t count = std::min<size_t>(LANES, bins - width + 1 - first);
                const double *low = cumulative.data() + first, *high = low + width;
                for (size_t lane = 0; lane < count; ++lane) {
                    const double sum = sign * (high[lane] - low[lane]);
                    best[lane] = sum > best[lane] ? sum : best[lane];
                }
            }
            maxima[frame * windows + window] = static_cast<float>(*std::max_element(best, best + LANES) *
                                                                  (1.0 / std::sqrt(static_cast<double>(width))));
        }
    }
}

} // namespace spectrumencoder
} // namespace gr
