/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

/*! \file
 * Functions marked WIDE are compiled for the wider vectors too, and the right one is chosen when the library is loaded.
 * What they call is marked WITHIN, so that it becomes part of each of them: else it would be compiled once, for no
 * vectors. Nothing is fused (lib/CMakeLists.txt): NumPy, which gives the same bits, has no fused multiply-add. */

#ifndef INCLUDED_SPECTRUMENCODER_WIDE_H
#define INCLUDED_SPECTRUMENCODER_WIDE_H

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define WIDE __attribute__((target_clones("avx2", "default")))
#else
#define WIDE
#endif
#define WITHIN inline __attribute__((always_inline))

namespace gr {
namespace spectrumencoder {

typedef float floats __attribute__((vector_size(32)));
typedef int32_t integers __attribute__((vector_size(32))); // a cast between them and floats keeps the bits
typedef double doubles __attribute__((vector_size(32)));
constexpr size_t FLOATS = sizeof(floats) / sizeof(float), DOUBLES = sizeof(doubles) / sizeof(double);

template <typename V, typename T>
WITHIN void load(V& to, const T* from)
{
    std::memcpy(&to, from, sizeof(V));
}

template <typename V, typename T>
WITHIN void store(T* to, const V& from)
{
    std::memcpy(to, &from, sizeof(V));
}

WITHIN floats of(float value)
{
    return floats{} + value;
}

//! 10^(level / 10), as 2^whole times the Taylor series of 2^rest, |rest| <= 0.5 (relative error 2e-7 with the
//! rounding).
WITHIN floats power_of(floats level)
{
    const floats ROUND = of(12582912.0f); // 1.5 * 2^23: what is added to it is rounded to whole numbers
    floats octaves = level * 0.33219280948873623f;
    octaves = octaves < -126.0f ? of(-126.0f) : octaves; // so that what is not a number stays that
    octaves = octaves > 126.0f ? of(126.0f) : octaves;
    const floats shifted = octaves + ROUND, rest = octaves - (shifted - ROUND);
    floats sum = of(1.5403530393381608e-4f);
    sum = sum * rest + 1.3333558146428443e-3f;
    sum = sum * rest + 9.6181291076284772e-3f;
    sum = sum * rest + 5.5504108664821580e-2f;
    sum = sum * rest + 2.4022650695910072e-1f;
    sum = sum * rest + 6.9314718055994531e-1f;
    sum = sum * rest + 1.0f;
    return sum * (floats)(((integers)shifted - (integers)ROUND + 127) << 23);
}

//! out[at] = function(values[at]), of a function of vectors.
template <floats function(floats)>
WITHIN void map(const float* values, size_t count, float* out)
{
    floats some = {};
    size_t at = 0;
    for (; at + FLOATS <= count; at += FLOATS) {
        load(some, values + at);
        store(out + at, function(some));
    }
    if (at < count) {
        std::memcpy(&some, values + at, (count - at) * sizeof(float));
        some = function(some);
        std::memcpy(out + at, &some, (count - at) * sizeof(float));
    }
}

//! Room for so many values, which are not set.
template <typename T>
inline std::unique_ptr<T[]> room_for(size_t count)
{
    return std::unique_ptr<T[]>(new T[count]);
}

constexpr size_t TOGETHER = 4; // frames: a running sum waits for its last addition, and those of others fill the time

// Running sums of `frames` <= TOGETHER rows of values (frames, bins); that of frame f begins at cumulative + f * (bins
// + 1), with 0.
WITHIN void running_sums(const float* values, size_t frames, size_t bins, double* cumulative)
{
    const size_t length = bins + 1;
    for (size_t frame = 0; frame < frames; ++frame)
        cumulative[frame * length] = 0.0;
    if (frames == TOGETHER) {
        double sums[TOGETHER] = {};
        for (size_t bin = 0; bin < bins; ++bin)
            for (size_t frame = 0; frame < TOGETHER; ++frame)
                cumulative[frame * length + bin + 1] = sums[frame] += static_cast<double>(values[frame * bins + bin]);
        return;
    }
    for (size_t frame = 0; frame < frames; ++frame) {
        double sum = 0.0;
        for (size_t bin = 0; bin < bins; ++bin)
            cumulative[frame * length + bin + 1] = sum += static_cast<double>(values[frame * bins + bin]);
    }
}

} // namespace spectrumencoder
} // namespace gr

#endif
