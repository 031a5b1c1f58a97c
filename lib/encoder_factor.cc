/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "encoder_factor.h"
#include <algorithm>
#include <cmath>
#include <cstring>

namespace gr {
namespace spectrumencoder {

left_factor::left_factor(precision precision_of, const float* values, size_t n_rows, size_t n)
    : of(precision_of), rows(n_rows), depth(words_of(precision_of, n)), packed(round_up(n_rows, BLOCK) * depth, 0)
{
    for (size_t r = 0; r < rows; ++r, values += n) {
        float largest = 1e-12f;
        int32_t sum = 0;
        for (size_t k = 0; k < n; ++k)
            largest = std::max(largest, std::abs(values[k]));
        for (size_t k = 0; k < n; ++k) {
            uint32_t bits;
            std::memcpy(&bits, values + k, sizeof(bits));
            size_t at = k;
            if (of == precision::bf16) { // the nearest one, of two equally near the even one
                at = k / 2;
                bits = (bits + 0x7fff + (bits >> 16 & 1)) >> 16 << 16 * (k % 2);
            } else if (of == precision::int8) {
                const int32_t integer = static_cast<int32_t>(std::lrint(values[k] * (127.0f / largest)));
                sum += integer;
                at = k / 4;
                bits = static_cast<uint32_t>(integer & 255) << 8 * (k % 4);
            }
            packed[r / BLOCK * BLOCK * depth + at * BLOCK + r % BLOCK] |= bits;
        }
        if (of == precision::int8) {
            start.push_back(-128 * sum);
            scale.push_back(largest / 127.0f);
        }
    }
}

product left_factor::times(
    const void* b, size_t b_step, const float* b_scale, float* c, size_t c_step, size_t columns, bool add) const
{
    product made = {
        packed.data(), BLOCK * depth, 1, BLOCK, b, columns, 0, b_step, c, c_step, rows, columns, depth, add
    };
    made.start = start.data();
    made.row_scale = scale.data();
    made.column_scale = b_scale;
    return made;
}

} // namespace spectrumencoder
} // namespace gr
