/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#ifndef INCLUDED_SPECTRUMENCODER_VECTORS_H
#define INCLUDED_SPECTRUMENCODER_VECTORS_H

// Vectors of the instruction set that a source is compiled for (isa.h), for the kernels that are compiled once for
// each.

#include <cstddef>
#include <cstdint>

namespace gr {
namespace spectrumencoder {

namespace {

#if defined(__AVX512F__)
constexpr int WIDTH = 16; // floats
#elif defined(__AVX__)
constexpr int WIDTH = 8;
#else
constexpr int WIDTH = 4;
#endif
typedef float vec __attribute__((vector_size(WIDTH * sizeof(float))));
typedef int32_t ivec __attribute__((vector_size(WIDTH * sizeof(int32_t))));

inline vec load(const float* from)
{
    vec value;
    __builtin_memcpy(&value, from, sizeof(value));
    return value;
}

inline void store(float* to, vec value)
{
    __builtin_memcpy(to, &value, sizeof(value));
}

} // namespace

} // namespace spectrumencoder
} // namespace gr

#endif
