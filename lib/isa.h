/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#ifndef INCLUDED_SPECTRUMENCODER_ISA_H
#define INCLUDED_SPECTRUMENCODER_ISA_H

namespace gr {
namespace spectrumencoder {

// Vector instructions that a kernel is compiled for. On other architectures than x86-64 there is `generic` alone, which
// the compiler vectorises for what that architecture always has.
enum class isa { generic, avx2, avx512 };

inline isa best_isa()
{
#if defined(__x86_64__) && defined(__GNUC__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        return isa::avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return isa::avx2;
#endif
    return isa::generic;
}

inline const char* isa_name(isa which)
{
    return which == isa::avx512 ? "avx512" : which == isa::avx2 ? "avx2" : "generic";
}

} // namespace spectrumencoder
} // namespace gr

#endif
