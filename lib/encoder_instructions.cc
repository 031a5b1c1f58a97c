/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

// Program for tools/count_instructions.py: runs frames of noise through an encoder shaped like `base` with random
// weights. Precision (fp32, bf16 or int8) and instruction set are arguments. Prints the instruction set and the
// number of frames.

#include "encoder_network.h"
#include <iostream>
#include <list>
#include <numeric>
#include <random>
#include <string>

using namespace gr::spectrumencoder;

namespace {

std::mt19937 generator(7);

float draw()
{
    return generator() * 0x1p-32f - 0.5f;
}

// A random parameter with this number of rows and columns.
class drawn_parameters
{
public:
    void add(const std::string& name, std::vector<size_t> shape)
    {
        const size_t n = std::accumulate(shape.begin(), shape.end(), size_t(1), std::multiplies<size_t>());
        auto& values = d_values.emplace_back(n);
        for (float& value : values)
            value = 0.2f * draw();
        d_all[name] = { values.data(), shape };
    }

    void add_map(const std::string& name, size_t rows, size_t columns, bool bias = true)
    {
        add(name + ".weight", { rows, columns });
        if (bias)
            add(name + ".bias", { rows });
    }

    const std::map<std::string, encoder_parameter>& all() const { return d_all; }

private:
    std::list<std::vector<float>> d_values;
    std::map<std::string, encoder_parameter> d_all;
};

drawn_parameters draw_parameters(const encoder_sizes& s)
{
    drawn_parameters p;
    p.add_map("dropout.learned.0", s.score_width, s.token_dim());
    p.add_map("dropout.learned.2", 1, s.score_width);
    p.add_map("embed", s.width, s.token_dim());
    p.add("position", { s.n_tokens(), s.width });
    p.add_map("condition.0", s.width, 4);
    p.add_map("condition.2", s.width, s.width);
    p.add("background", { s.width });
    p.add("rope.log_theta", { s.bands });
    p.add("rope.slope", {});
    for (size_t number = 0; number < s.layers; ++number) {
        const std::string block = "blocks." + std::to_string(number) + ".";
        p.add(block + "norm_attention.weight", { s.width });
        p.add(block + "norm_mlp.weight", { s.width });
        p.add_map(block + "attention.qkv", 3 * s.width, s.width, false);
        p.add_map(block + "attention.out", s.width, s.width, false);
        p.add_map(block + "mlp.up", s.mlp_width, s.width, false);
        p.add_map(block + "mlp.down", s.width, s.mlp_width, false);
    }
    p.add("heads.norm.weight", { s.width });
    p.add_map("heads.embed", s.embedding, 3 * s.width);
    p.add_map("heads.classes", s.labels, s.embedding);
    p.add_map("heads.anomaly.0", 32, s.embedding);
    p.add_map("heads.anomaly.2", 1, 32);
    p.add("temperature", {});
    p.add("bottleneck.norm.weight", { s.width });
    p.add_map("bottleneck.narrow", s.token_share, s.width, false);
    p.add("bottleneck.absent", { s.token_share });
    p.add_map("bottleneck.bins", s.flat(), s.fft_size);
    p.add_map("bottleneck.tokens", s.flat(), s.n_tokens() * s.token_share, false);
    p.add_map("decoder.hidden.0", s.decoder_width, s.flat() + 4);
    p.add_map("decoder.hidden.2", s.decoder_width, s.decoder_width);
    p.add_map("decoder.mean", s.fft_size, s.decoder_width);
    p.add_map("decoder.direct", s.fft_size, s.flat(), false);
    p.add_map("decoder.log_sigma", s.n_tokens(), s.decoder_width);
    return p;
}

} // namespace

int main(int count, char** arguments)
{
    const std::string dtype = count > 1 ? arguments[1] : "fp32";
    isa which = best_isa();
    for (const isa one : { isa::generic, isa::avx2, isa::avx512, isa::avx512_bf16 })
        if (count > 2 && isa_name(one) == std::string(arguments[2]) && one <= which)
            which = one;
    const precision of_blocks = dtype == "bf16" ? precision::bf16 : dtype == "int8" ? precision::int8 : precision::fp32;
    encoder_sizes s{};
    s.fft_size = 1024;
    s.stride = 8;
    s.width = 64;
    s.layers = 3;
    s.heads = s.kv_heads = 4;
    s.kv_rank = 32;
    s.mhla_blocks = 8;
    s.mlp_width = 192;
    s.score_width = 16;
    s.sub_bands = 8;
    s.token_share = 8;
    s.latents = 8;
    s.latent_width = 12;
    s.decoder_width = 256;
    s.embedding = 64;
    s.labels = 10;
    s.bands = 5;
    s.attention = "softmax";
    s.rope = "dynamic";
    const drawn_parameters parameters = draw_parameters(s);
    const encoder_network network(s, parameters.all(), which, of_blocks);

    constexpr size_t FRAMES = 4, KEPT = 96, ITEM = 1344;
    std::vector<float> items(FRAMES * ITEM), residual(FRAMES * s.fft_size), embedding(FRAMES * s.embedding);
    for (float& value : items)
        value = 20.0f * draw();
    for (size_t frame = 0; frame < FRAMES; ++frame)
        items[frame * ITEM + s.n_tokens() * s.token_dim() + 2] = 2e3f; // bin width, Hz
    const std::vector<int64_t> bands(FRAMES, 0);
    encoder_network::results out{};
    out.residual = { residual.data(), s.fft_size };
    out.embedding = { embedding.data(), s.embedding };
    network.encode({ items.data(), ITEM, bands.data(), FRAMES, nullptr, nullptr },
                   KEPT,
                   encoder_network::policy::energy,
                   false,
                   1,
                   out);
    std::cout << isa_name(which) << ' ' << FRAMES << '\n';
}
