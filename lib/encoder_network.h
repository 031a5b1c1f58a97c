/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#ifndef INCLUDED_SPECTRUMENCODER_ENCODER_NETWORK_H
#define INCLUDED_SPECTRUMENCODER_ENCODER_NETWORK_H

#include "encoder_factor.h"
#include "encoder_ops.h"
#include <gnuradio/spectrumencoder/api.h>
#include <volk/volk_alloc.hh>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace gr {
namespace spectrumencoder {

// Shapes of a SpectrumEncoder, named as in encoder/config.py.
struct encoder_sizes {
    size_t fft_size, stride, width, layers, heads, kv_heads, kv_rank, mhla_blocks, mlp_width, score_width, sub_bands,
        token_share, latents, latent_width, decoder_width, embedding, labels, bands;
    std::string attention; // one of encoder_network::families()
    std::string rope;      // none, static or dynamic
    bool band_token, token_classes;

    size_t n_tokens() const { return fft_size / stride; }
    size_t token_dim() const { return stride + 2; }
    size_t head_width() const { return width / heads; }
    size_t flat() const { return latents * latent_width; }
    size_t token_columns() const { return labels + 2; } // of token_classes: labels, unknown signal, boundary
};

// A parameter of the network, row-major, with its name in PyTorch.
struct encoder_parameter {
    const float* values;
    std::vector<size_t> shape;
};

/*!
 * The SpectrumEncoder's forward pass on the CPU, without PyTorch: the same network as encoder/encoder.py, which is its
 * oracle. Matrix products of the transformer blocks are of fp32, bf16 or int8 (encoder/precision.py). A frame is
 * computed alone, in buffers that stay in the cache; bottleneck and decoder, whose weights are larger than a frame,
 * take up to GROUP frames at a time. Either way a frame's bits do not depend on its neighbours.
 */
class SPECTRUMENCODER_API encoder_network
{
public:
    enum class policy { gumbel, energy, entropy, random };

    // Where results go. step is the number of floats from one frame's values to the next one's. A null pointer is not
    // filled.
    struct output {
        float* values;
        size_t step;
    };
    struct results {
        output residual;        // fft_size: (level - mean) / sigma
        output reconstruction;  // fft_size: dBFS
        output latents;         // latents * latent_width
        output embedding;       // embedding
        output probabilities;   // labels
        output logit;           // 1
        output keep_statistics; // 8: mean, std, min, max of the kept scores, then of the dropped ones
        output token_classes;   // n_tokens * token_columns: probabilities, token by token
    };
    struct frames {
        const float* items; // from the tokenizer
        size_t item_step;
        const int64_t* bands; // index of each frame's band
        size_t count;
        const float* noise;    // (count, n_tokens), uniform draws for the policy `random`; else null
        const uint8_t* wanted; // (count, n_tokens), tokens kept before others; may be null
    };

    // The attention families that this library computes, named as in encoder_sizes::attention.
    static const std::vector<std::string>& families();

    // Throws std::invalid_argument if a parameter is missing or has another shape, or the attention is not in
    // families().
    encoder_network(const encoder_sizes& sizes,
                    const std::map<std::string, encoder_parameter>& parameters,
                    isa which,
                    precision of_blocks = precision::fp32);
    ~encoder_network();

    const encoder_sizes& sizes() const { return d_sizes; }
    isa instructions() const { return d_isa; }
    precision of_blocks() const { return d_of_blocks; }

    /*!
     * Encode frames. kept: tokens to keep, 1..n_tokens. heads_only: leave out bottleneck and decoder (residual,
     * reconstruction and latents stay as they are). threads: frames are shared out among so many.
     *
     * May be called from several threads at once. Throws std::invalid_argument for arguments out of range, and for
     * token_classes of a network without a token head.
     */
    void encode(const frames& in, size_t kept, policy rule, bool heads_only, size_t threads, const results& out) const;

private:
    using floats = volk::vector<float>;

    // Weights of a linear map: as left factor, or as right factor in panels of PANEL columns.
    struct left_map {
        left_factor weights;
        floats bias; // per row, or empty
    };
    struct right_map {
        floats packed, bias; // bias: per column, or empty
        size_t columns, depth;
    };
    struct layer {
        left_map qkv;   // to q, k and v; in `latent`: to q and the latent
        left_map up_kv; // `latent` only: from the latent to keys and values
        left_map out, up, down;
        std::vector<left_map> mix; // `mhla` only: for each head, from sub-bands to sub-bands
    };
    struct rotation {
        floats cosine, sine; // (head_width / 2, n_tokens + special tokens)
    };
    // Words of tokens, with step words from row to row. int8 has a scale per token.
    struct operand {
        const void* words;
        size_t step;
        const float* scale;
    };
    struct workspace;
    struct reader;

    size_t special_tokens(size_t kept) const { return kept == d_sizes.n_tokens() ? 1 : 1 + d_sizes.sub_bands; }

    void encode_range(const frames& in, size_t first, size_t last, workspace& work, const results& out) const;
    void read_frame(const float* item, workspace& work, size_t lane) const;
    void score(const float* noise, workspace& work) const;
    void choose(const uint8_t* wanted, workspace& work) const;
    void write_keep_statistics(const workspace& work, float* to) const;
    void make_sequence(size_t band, workspace& work) const;
    void make_background(workspace& work) const;
    void find_rotation(size_t band, workspace& work) const;
    void attend(const layer& of, workspace& work) const;
    void attend_softmax(float* q, float* k, const float* v, workspace& work) const;
    void attend_softmax(precision of, const void* q, const void* k, const void* v, float* to, workspace& work) const;
    void attend_linear(float* q, float* k, const float* v, float* to, workspace& work) const;
    void attend_sub_bands(const left_map& mix, float* q, float* k, const float* v, float* to, workspace& work) const;
    void feed_forward(const layer& of, workspace& work) const;
    void answer(workspace& work, const results& out, size_t frame) const;
    void answer_tokens(workspace& work, float* to) const;
    void fill_places(workspace& work, size_t lane) const;
    void reconstruct(const frames& in, size_t first, size_t count, workspace& work, const results& out) const;
    std::shared_ptr<const rotation> rotation_of(float log_theta) const;

    void multiply(const left_map& map, const operand& x, float* y, size_t y_step, size_t columns, bool add) const;
    void
    multiply(const right_map& map, const float* x, size_t lanes, size_t rows, float* y, size_t y_step, bool add) const;

    void silu(float* x, size_t n) const;

    encoder_sizes d_sizes;
    isa d_isa;
    precision d_of_blocks;
    const encoder_ops& d_ops;
    left_map d_score_in, d_score_out, d_embed, d_narrow;
    floats d_start; // (width, n_tokens): bias of the embedding plus position
    right_map d_condition_in, d_condition_out;
    std::vector<float> d_band_vectors, d_background, d_absent;
    std::vector<float> d_log_theta;
    float d_theta_slope = 0.0f;
    std::vector<size_t> d_special_places;
    std::vector<layer> d_layers;
    right_map d_bins, d_places, d_hidden1, d_hidden2, d_mean, d_direct, d_log_sigma;
    std::vector<float> d_head_scale;
    right_map d_head_embed, d_classes, d_anomaly_in, d_anomaly_out;
    float d_temperature;
    left_map d_token_classes; // without values if there is no token head

    mutable std::mutex d_mutex; // protects the members below
    mutable std::vector<std::unique_ptr<workspace>> d_idle;
    mutable std::map<float, std::shared_ptr<const rotation>> d_rotations;
};

} // namespace spectrumencoder
} // namespace gr

#endif
