/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#ifndef INCLUDED_SPECTRUMENCODER_ENCODER_EXP_KERNEL_H
#define INCLUDED_SPECTRUMENCODER_ENCODER_EXP_KERNEL_H

// Powers of two and SiLU of vectors, for encoder_ops_kernel.h.

#include "encoder_product_kernel.h"

namespace gr {
namespace spectrumencoder {

namespace {

// 2^x for x <= 127; 2^-126 where x is below -126. Relative error 2e-7: Taylor's polynomial of degree 6 on [-0.5, 0.5].
inline vec exp2(vec x)
{
    constexpr float MAGIC = 12582912.0f; // 1.5 * 2^23: adding it leaves the nearest whole number in the low bits
    x = larger(x, all(-126.0f));
    const vec shifted = x + MAGIC;
    const vec f = x - (shifted - MAGIC);
    vec p = all(1.54035303933816099e-4f);
    p = p * f + 1.33335581464284434e-3f;
    p = p * f + 9.61812910762847716e-3f;
    p = p * f + 5.55041086648215800e-2f;
    p = p * f + 2.40226506959100712e-1f;
    p = p * f + 6.93147180559945309e-1f;
    p = p * f + 1.0f;
    const ivec exponent = reinterpret_cast<ivec>(shifted) << 23;
    return reinterpret_cast<vec>(reinterpret_cast<ivec>(p) + exponent);
}

constexpr float LOG2_E = 1.44269504088896341f;

inline vec exp_of(vec x)
{
    return exp2(larger(all(-87.0f), smaller(all(87.0f), x)) * LOG2_E);
}

// The same with a relative error of 8e-5, for what is rounded to 16 or 8 bits afterwards: of degree 3, of least error.
// With SPECTRUMENCODER_SHORT_PRODUCTS it goes on below 2^-126, down to 0.
inline vec short_exp2(vec x)
{
#if defined(SPECTRUMENCODER_SHORT_PRODUCTS)
    const vec whole = _mm512_maskz_roundscale_ps(0xffff, x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
    constexpr float MAGIC = 12582912.0f;
    x = larger(x, all(-126.0f));
    const vec shifted = x + MAGIC, whole = shifted - MAGIC;
#endif
    const vec f = x - whole;
    vec p = all(5.51716685e-2f);
    p = p * f + 2.42611125e-1f;
    p = p * f + 6.93260968e-1f;
    p = p * f + 9.99928057e-1f;
#if defined(SPECTRUMENCODER_SHORT_PRODUCTS)
    return _mm512_maskz_scalef_ps(0xffff, p, whole);
#else
    const ivec exponent = reinterpret_cast<ivec>(shifted) << 23;
    return reinterpret_cast<vec>(reinterpret_cast<ivec>(p) + exponent);
#endif
}

inline vec short_inverse(vec x)
{
#if defined(SPECTRUMENCODER_SHORT_PRODUCTS)
    return _mm512_maskz_rcp14_ps(0xffff, x); // GCC 12 warns of the one without a mask
#else
    return 1.0f / x;
#endif
}

inline vec silu_of(vec x, fp32)
{
    return x / (1.0f + exp_of(-x));
}

template <class P>
inline vec silu_of(vec x, P)
{
    const vec power = x * -LOG2_E;
    return x * short_inverse(1.0f + short_exp2(smaller(power, all(126.0f))));
}

} // namespace

} // namespace spectrumencoder
} // namespace gr

#endif
