/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "frame_sums.h"

namespace gr {
namespace spectrumencoder {

extern const frame_sums frame_sums_generic, frame_sums_avx2, frame_sums_avx512;

const frame_sums& frame_sums::of(isa which)
{
#if defined(SPECTRUMENCODER_X86_KERNELS)
    if (which >= isa::avx512)
        return frame_sums_avx512;
    if (which == isa::avx2)
        return frame_sums_avx2;
#endif
    return frame_sums_generic;
}

} // namespace spectrumencoder
} // namespace gr
