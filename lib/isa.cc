/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "isa.h"

namespace gr {
namespace spectrumencoder {

isa best_isa()
{
#if defined(SPECTRUMENCODER_X86_KERNELS)
    __builtin_cpu_init();
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni") ? isa::avx512_bf16
                                                                                            : isa::avx512;
    if (has_avx2)
        return isa::avx2;
#endif
    return isa::generic;
}

const char* isa_name(isa which)
{
    switch (which) {
    case isa::avx512_bf16:
        return "avx512_bf16";
    case isa::avx512:
        return "avx512";
    case isa::avx2:
        return "avx2";
    default:
        return "generic";
    }
}

} // namespace spectrumencoder
} // namespace gr
