/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#ifndef INCLUDED_SPECTRUMENCODER_ENCODER_WORKSPACE_H
#define INCLUDED_SPECTRUMENCODER_ENCODER_WORKSPACE_H

#include "encoder_network.h"

namespace gr {
namespace spectrumencoder {

constexpr size_t GROUP = 2 * BLOCK; // frames that share a pass over the large weights
constexpr size_t N_CONDITION = 4;
constexpr size_t FP32 = static_cast<size_t>(precision::fp32), BF16 = static_cast<size_t>(precision::bf16);

// Buffers of one thread for its frames; sized on first use.
struct encoder_network::workspace {
    size_t kept, tokens, step, special, lanes; // step: columns of a matrix of the sequence
    policy rule;
    bool heads_only;
    floats normalised;     // (token_dim, n_tokens)
    floats hidden, scores; // for the keep score: (score_width, n_tokens), (1, n_tokens)
    floats embedded;       // (width, n_tokens)
    std::vector<uint64_t> rank;
    std::vector<uint8_t> keep;            // n_tokens, and zeros up to a multiple of LANES
    std::vector<uint32_t> index, dropped; // of the kept tokens; of the dropped ones
    float condition[N_CONDITION];
    floats told, told_hidden;       // width
    floats x, norm, qkv, kv, mixed; // (rows, step)
    floats packed, scale;           // words of the normalised sequence (width, step); scale for int8
    floats turned;                  // bf16 only: words of q and k, rotated
    floats attention;               // (tokens, PANEL) scores
    floats values; // token-major keys and values (step, head_width) each, or of bf16 values (rows, step)
    floats largest, inverse, summary;
    floats of_parts, mixed_parts; // of `mhla`: (sub-bands, (head_width + 1) padded head_width)
    std::vector<size_t> edges;    // of `mhla`: first column of each sub-band, and the end
    floats cosine, sine;          // (head_width / 2, step)
    floats mlp, mlp_scale;        // (mlp_width, PANEL), PANEL
    floats narrowed;              // (token_share, step)
    floats of_tokens;             // (token_columns, step)
    floats joined, embedding, logits, small;
    // for a group of frames
    floats bins, places, latents, mixed_in, decoding, mean, log_sigma;
    std::vector<float> conditions;
};

// The product of a with a matrix b of b_step columns. The rows of a are a_row apart, its columns a_step.
static inline product plain_product(const void* a,
                                    size_t a_row,
                                    size_t a_step,
                                    const void* b,
                                    size_t b_step,
                                    float* c,
                                    size_t c_step,
                                    size_t rows,
                                    size_t columns,
                                    size_t depth)
{
    return { a, BLOCK * a_row, a_row, a_step, b, columns, 0, b_step, c, c_step, rows, columns, depth, false };
}

// Position of a frame's value k among those of its group.
static inline size_t place_of(size_t lane, size_t lanes, size_t depth, size_t k)
{
    return lane / lanes * lanes * depth + k * lanes + lane % lanes;
}

} // namespace spectrumencoder
} // namespace gr

#endif
