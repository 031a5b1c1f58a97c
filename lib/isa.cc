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
        return isa::avx512;
    if (has_avx2)
        return isa::avx2;
#endif
    return isa::generic;
}

const char* isa_name(isa which)
{
    return which == isa::avx512 ? "avx512" : which == isa::avx2 ? "avx2" : "generic";
}

} // namespace spectrumencoder
} // namespace gr
