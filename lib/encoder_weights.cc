/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

// Checks the weights of an encoder_network and packs them for the products.

#include "encoder_workspace.h"
#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace gr {
namespace spectrumencoder {

namespace {

constexpr size_t MAX_SIZE = 1 << 16; // of each; no product of a few of them wraps
constexpr float LOG2_E = 1.44269504088896341f;
constexpr float MEAN_DB = 10.0f; // one unit of the decoder's output, as bottleneck.py names it

// The checks of EncoderConfig, which the code here relies on.
void check(const encoder_sizes& s)
{
    const auto refuse = [](const std::string& what) { throw std::invalid_argument(what); };
    const std::vector<std::string>& families = encoder_network::families();
    if (std::find(families.begin(), families.end(), s.attention) == families.end()) {
        std::string known;
        for (const std::string& family : families)
            known += (known.empty() ? "" : ", ") + family;
        refuse("attention " + s.attention + " is not one of " + known);
    }
    if (s.rope != "none" && s.rope != "static" && s.rope != "dynamic")
        refuse("rope " + s.rope + " is not one of none, static, dynamic");
    for (const size_t n : { s.fft_size,
                            s.stride,
                            s.width,
                            s.layers,
                            s.heads,
                            s.kv_heads,
                            s.mlp_width,
                            s.score_width,
                            s.sub_bands,
                            s.token_share,
                            s.latents,
                            s.latent_width,
                            s.decoder_width,
                            s.embedding,
                            s.bands })
        if (n == 0 || n > MAX_SIZE)
            refuse("a size is 0 or beyond " + std::to_string(MAX_SIZE));
    if (s.fft_size % s.stride || s.width % s.heads || s.head_width() % 2 || s.heads % s.kv_heads ||
        s.n_tokens() % s.sub_bands)
        refuse(
            "sizes do not divide each other: fft_size by stride, width by heads to an even number, heads by kv_heads, "
            "tokens by "
            "sub_bands");
    if (s.attention != "grouped" && s.kv_heads != s.heads)
        refuse("kv_heads differs from heads, which only grouped attention has");
    if (s.attention == "mhla" && (s.mhla_blocks == 0 || s.n_tokens() % s.mhla_blocks))
        refuse("mhla_blocks does not divide the tokens");
    if (s.kv_rank > MAX_SIZE || (s.attention == "latent" && s.kv_rank == 0))
        refuse("kv_rank is 0 or beyond " + std::to_string(MAX_SIZE)); // it sizes buffers for every family
}

} // namespace

// Parameters by name, with checked shapes.
struct encoder_network::reader {
    const std::map<std::string, encoder_parameter>& all;

    const encoder_parameter& operator()(const std::string& name, std::vector<size_t> shape) const
    {
        const auto found = all.find(name);
        if (found == all.end())
            throw std::invalid_argument("parameter " + name + " is missing");
        if (found->second.shape != shape) {
            std::string text;
            for (const size_t n : shape)
                text += (text.empty() ? "" : " x ") + std::to_string(n);
            throw std::invalid_argument("parameter " + name + " is not of shape " + text);
        }
        return found->second;
    }

    std::vector<float> vector(const std::string& name, size_t n) const
    {
        const float* values = (*this)(name, { n }).values;
        return std::vector<float>(values, values + n);
    }

    // Weights times a factor per column: the weights of the preceding normalisation.
    std::vector<float>
    matrix(const std::string& name, size_t rows, size_t columns, const std::vector<float>& scale = {}) const
    {
        const float* values = (*this)(name, { rows, columns }).values;
        std::vector<float> result(values, values + rows * columns);
        if (!scale.empty())
            for (size_t i = 0; i < result.size(); ++i)
                result[i] *= scale[i % columns];
        return result;
    }

    static left_map left(const std::vector<float>& weights,
                         size_t rows,
                         size_t depth,
                         const std::vector<float>& bias = {},
                         precision of = precision::fp32)
    {
        return { left_factor(of, weights.data(), rows, depth), floats(bias.begin(), bias.end()) };
    }

    // weights: (columns, depth), as in a linear layer.
    static right_map right(const std::vector<float>& weights,
                           size_t columns,
                           size_t depth,
                           const std::vector<float>& bias = {},
                           float scale = 1.0f)
    {
        right_map map{ floats(round_up(columns, PANEL) * depth, 0.0f),
                       floats(bias.empty() ? 0 : round_up(columns, LANES), 0.0f),
                       columns,
                       depth };
        for (size_t c = 0; c < columns; ++c)
            for (size_t k = 0; k < depth; ++k)
                map.packed[c / PANEL * PANEL * depth + k * PANEL + c % PANEL] = scale * weights[c * depth + k];
        for (size_t c = 0; c < bias.size(); ++c)
            map.bias[c] = scale * bias[c];
        return map;
    }

    left_map left(const std::string& name,
                  size_t rows,
                  size_t depth,
                  const std::vector<float>& scale,
                  precision of = precision::fp32) const
    {
        return left(matrix(name + ".weight", rows, depth, scale), rows, depth, {}, of);
    }

    left_map left_with_bias(const std::string& name, size_t rows, size_t depth) const
    {
        return left(matrix(name + ".weight", rows, depth), rows, depth, vector(name + ".bias", rows));
    }

    right_map right(const std::string& name, size_t columns, size_t depth, bool bias = true, float scale = 1.0f) const
    {
        return right(matrix(name + ".weight", columns, depth),
                     columns,
                     depth,
                     bias ? vector(name + ".bias", columns) : std::vector<float>(),
                     scale);
    }

    // To the powers of two that the softmax over the classes needs, and to the logit of a boundary.
    left_map token_head(const encoder_sizes& s) const
    {
        const size_t columns = s.token_columns();
        const float scale = LOG2_E / (*this)("token_temperature", {}).values[0];
        std::vector<float> weights =
            matrix("token_head.classes.weight", columns, s.width, vector("token_head.norm.weight", s.width));
        std::vector<float> bias = vector("token_head.classes.bias", columns);
        for (size_t c = 0; c + 1 < columns; ++c) {
            bias[c] *= scale;
            for (size_t e = 0; e < s.width; ++e)
                weights[c * s.width + e] *= scale;
        }
        return left(weights, columns, s.width, bias);
    }

    // attention/mhla.py: a softmax over the sub-bands that are read, times their number.
    static std::vector<float> mixing(const float* logits, size_t parts)
    {
        std::vector<float> result(parts * parts);
        for (size_t i = 0; i < parts; ++i) {
            const float *row = logits + i * parts, largest = *std::max_element(row, row + parts);
            double sum = 0.0;
            for (size_t j = 0; j < parts; ++j)
                sum += std::exp(static_cast<double>(row[j] - largest));
            for (size_t j = 0; j < parts; ++j)
                result[i * parts + j] =
                    static_cast<float>(std::exp(static_cast<double>(row[j] - largest)) / sum * parts);
        }
        return result;
    }

    layer read_layer(size_t number, const encoder_sizes& s, precision of) const
    {
        const std::string block = "blocks." + std::to_string(number) + ".", attention = block + "attention.";
        const std::vector<float> norm = vector(block + "norm_attention.weight", s.width);
        layer read;
        const size_t q_rows = s.heads * s.head_width(), kv_rows = s.kv_heads * s.head_width();
        std::vector<float> qkv;
        if (s.attention == "latent") {
            qkv = matrix(attention + "q.weight", q_rows, s.width, norm);
            const std::vector<float> down = matrix(attention + "down.weight", s.kv_rank, s.width, norm);
            qkv.insert(qkv.end(), down.begin(), down.end());
            const std::vector<float> rank_norm = vector(attention + "norm.weight", s.kv_rank);
            const encoder_parameter& up = (*this)(attention + "up", { 2, s.heads, s.head_width(), s.kv_rank });
            std::vector<float> up_kv(up.values, up.values + 2 * q_rows * s.kv_rank);
            for (size_t i = 0; i < up_kv.size(); ++i)
                up_kv[i] *= rank_norm[i % s.kv_rank];
            read.up_kv = left(up_kv, 2 * q_rows, s.kv_rank, {}, of);
        } else {
            qkv = matrix(attention + "qkv.weight", q_rows + 2 * kv_rows, s.width, norm);
        }
        if (s.attention == "mhla") {
            const size_t parts = s.mhla_blocks + 1;
            const float* logits = (*this)(attention + "mix", { s.heads, parts, parts }).values;
            for (size_t h = 0; h < s.heads; ++h, logits += parts * parts)
                read.mix.push_back(left(mixing(logits, parts), parts, parts));
        }
        if (s.attention != "linear" && s.attention != "mhla") // so that the softmax can use powers of two
            for (size_t i = 0; i < q_rows * s.width; ++i)
                qkv[i] *= LOG2_E / std::sqrt(static_cast<float>(s.head_width())) *
                          (of == precision::fp32 ? 1.0f : SCORE_STEPS);
        read.qkv = left(qkv, qkv.size() / s.width, s.width, {}, of);
        read.out = left(attention + "out", s.width, s.width, {}, of);
        read.up = left(block + "mlp.up", s.mlp_width, s.width, vector(block + "norm_mlp.weight", s.width), of);
        read.down = left(block + "mlp.down", s.width, s.mlp_width, {}, of);
        return read;
    }
};

const std::vector<std::string>& encoder_network::families()
{
    static const std::vector<std::string> all = { "softmax", "grouped", "linear", "latent", "mhla" };
    return all;
}

encoder_network::encoder_network(const encoder_sizes& sizes,
                                 const std::map<std::string, encoder_parameter>& parameters,
                                 isa which,
                                 precision of_blocks)
    : d_sizes(sizes), d_isa(which), d_of_blocks(of_blocks), d_ops(encoder_ops_for(which))
{
    const encoder_sizes& s = d_sizes;
    check(s);
    const reader read{ parameters };

    d_score_in = read.left_with_bias("dropout.learned.0", s.score_width, s.token_dim());
    d_score_out = read.left_with_bias("dropout.learned.2", 1, s.score_width);
    d_embed = read.left_with_bias("embed", s.width, s.token_dim());
    const size_t columns = round_up(s.n_tokens(), LANES);
    d_start = floats(s.width * columns, 0.0f);
    const float* position = read("position", { s.n_tokens(), s.width }).values;
    for (size_t e = 0; e < s.width; ++e)
        for (size_t m = 0; m < s.n_tokens(); ++m)
            d_start[e * columns + m] = d_embed.bias[e] + position[m * s.width + e];

    d_condition_in = read.right("condition.0", s.width, N_CONDITION);
    d_condition_out = read.right("condition.2", s.width, s.width);
    if (s.band_token)
        d_band_vectors = read.matrix("band", s.bands, s.width);
    d_background = read.vector("background", s.width);
    if (s.rope == "dynamic") {
        d_log_theta = read.vector("rope.log_theta", s.bands);
        d_theta_slope = read("rope.slope", {}).values[0];
    } else if (s.rope == "static") {
        d_log_theta.assign(s.bands, read("rope.log_theta", {}).values[0]);
    }
    d_special_places.push_back(0);
    for (size_t p = 0; p < s.sub_bands; ++p)
        d_special_places.push_back(s.sub_bands > 1 ? (2 * p + 1) * s.n_tokens() / (2 * s.sub_bands) : 0);
    for (size_t number = 0; number < s.layers; ++number)
        d_layers.push_back(read.read_layer(number, s, of_blocks));

    d_head_scale = read.vector("heads.norm.weight", s.width);
    d_head_embed = read.right("heads.embed", s.embedding, 3 * s.width);
    d_classes = read.right("heads.classes", s.labels, s.embedding);
    constexpr size_t ANOMALY_WIDTH = 32;
    d_anomaly_in = read.right("heads.anomaly.0", ANOMALY_WIDTH, s.embedding);
    d_anomaly_out = read.right("heads.anomaly.2", 1, ANOMALY_WIDTH);
    d_temperature = read("temperature", {}).values[0];
    if (s.token_classes)
        d_token_classes = read.token_head(s);

    d_narrow = read.left("bottleneck.narrow", s.token_share, s.width, read.vector("bottleneck.norm.weight", s.width));
    d_absent = read.vector("bottleneck.absent", s.token_share);
    d_bins = read.right("bottleneck.bins", s.flat(), s.fft_size);
    d_places = read.right("bottleneck.tokens", s.flat(), s.n_tokens() * s.token_share, false);
    d_hidden1 = read.right("decoder.hidden.0", s.decoder_width, s.flat() + N_CONDITION);
    d_hidden2 = read.right("decoder.hidden.2", s.decoder_width, s.decoder_width);
    d_direct = reader::right(read.matrix("decoder.direct.weight", s.fft_size, s.flat()),
                             s.fft_size,
                             s.flat(),
                             read.vector("decoder.mean.bias", s.fft_size),
                             MEAN_DB); // the mean is the sum of the two
    d_mean = read.right("decoder.mean", s.fft_size, s.decoder_width, false, MEAN_DB);
    d_log_sigma = read.right("decoder.log_sigma", s.n_tokens(), s.decoder_width);
}

} // namespace spectrumencoder
} // namespace gr
