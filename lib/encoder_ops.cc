/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "encoder_ops.h"

namespace gr {
namespace spectrumencoder {

extern const encoder_ops encoder_ops_generic, encoder_ops_avx2, encoder_ops_avx512, encoder_ops_avx512_bf16;

const encoder_ops& encoder_ops_for(isa which)
{
#if defined(SPECTRUMENCODER_X86_KERNELS)
    if (which == isa::avx512_bf16)
        return encoder_ops_avx512_bf16;
    if (which == isa::avx512)
        return encoder_ops_avx512;
    if (which == isa::avx2)
        return encoder_ops_avx2;
#endif
    return encoder_ops_generic;
}

} // namespace spectrumencoder
} // namespace gr
