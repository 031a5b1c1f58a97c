/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

/*! \file
 * Which vector instructions this processor has, for kernels that are compiled once for each set: NAME_generic.cc,
 * NAME_avx2.cc, NAME_avx512.cc and, of kernels that use them, NAME_avx512_bf16.cc include one source with different
 * compiler flags (lib/CMakeLists.txt).
 *
 * Such a source uses nothing that is inline or a template with external linkage (no std::): the linker keeps one copy
 * of those for the whole library, and it might be the one that only the widest processors can run. */

#ifndef INCLUDED_SPECTRUMENCODER_ISA_H
#define INCLUDED_SPECTRUMENCODER_ISA_H

#include <gnuradio/spectrumencoder/api.h>

namespace gr {
namespace spectrumencoder {

enum class isa {
    generic,    //!< what the compiler assumes of every processor of this architecture
    avx2,       //!< AVX2 and FMA
    avx512,     //!< AVX-512 F, BW, DQ and VL, with the above
    avx512_bf16 //!< AVX-512 BF16 and VNNI, with the above: products of bfloat16 and of 8-bit integers
};

//! The widest that this processor and operating system can run, of those that were compiled.
SPECTRUMENCODER_API isa best_isa();

//! generic, avx2, avx512 or avx512_bf16.
SPECTRUMENCODER_API const char* isa_name(isa which);

} // namespace spectrumencoder
} // namespace gr

#endif /* INCLUDED_SPECTRUMENCODER_ISA_H */
