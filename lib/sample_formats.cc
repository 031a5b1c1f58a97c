/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "sample_formats.h"
#include "wide.h"

namespace gr {
namespace spectrumencoder {

namespace {

template <typename T>
WITHIN void scale_signed(const T* values, size_t count, float* out)
{
    constexpr float scale = 1.0f / static_cast<float>(1u << (8 * sizeof(T) - 1));
    for (size_t at = 0; at < count; ++at)
        out[at] = static_cast<float>(values[at]) * scale;
}

template <typename T>
WITHIN void scale_unsigned(const T* values, size_t count, float* out)
{
    constexpr float middle = static_cast<float>((1u << (8 * sizeof(T))) - 1) / 2.0f;
    for (size_t at = 0; at < count; ++at)
        out[at] = (static_cast<float>(values[at]) - middle) / middle;
}

} // namespace

WIDE void to_full_scale(const int8_t* values, size_t count, float* out)
{
    scale_signed(values, count, out);
}
WIDE void to_full_scale(const uint8_t* values, size_t count, float* out)
{
    scale_unsigned(values, count, out);
}
WIDE void to_full_scale(const int16_t* values, size_t count, float* out)
{
    scale_signed(values, count, out);
}
WIDE void to_full_scale(const uint16_t* values, size_t count, float* out)
{
    scale_unsigned(values, count, out);
}

} // namespace spectrumencoder
} // namespace gr
