/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

// The transformer blocks of an encoder_network.

#include "encoder_workspace.h"
#include <algorithm>
#include <numeric>

namespace gr {
namespace spectrumencoder {

namespace {

constexpr float EPS = 1e-6f; // of linear attention

} // namespace

// x += out(attention(normalise x))
void encoder_network::attend(const layer& of, workspace& work) const
{
    const encoder_sizes& s = d_sizes;
    const size_t step = work.step, head = s.head_width() * step;
    d_ops.normalise(work.x.data(), step, work.norm.data(), step, s.width, step);
    multiply(of.qkv, work.norm.data(), step, work.qkv.data(), step, step, false);
    float *q = work.qkv.data(), *k = q + s.heads * head, *v = k + s.kv_heads * head;
    if (s.attention == "latent") {
        d_ops.normalise(k, step, work.norm.data(), step, s.kv_rank, step);
        multiply(of.up_kv, work.norm.data(), step, work.kv.data(), step, step, false);
        k = work.kv.data();
        v = k + s.heads * head;
    }
    if (s.attention == "linear" || s.attention == "mhla") {
        d_ops.elu_plus_one(q, 2 * s.heads * head);
        for (size_t h = 0; h < s.heads; ++h) {
            float *q_head = q + h * head, *k_head = k + h * head, *to = work.mixed.data() + h * head;
            if (s.attention == "linear")
                attend_linear(q_head, k_head, v + h * head, to, work);
            else
                attend_sub_bands(of.mix[h], q_head, k_head, v + h * head, to, work);
        }
    } else {
        if (s.rope != "none")
            for (float* x : { q, k })
                for (size_t h = 0; h < (x == q ? s.heads : s.kv_heads); ++h)
                    d_ops.rotate(
                        x + h * head, step, work.cosine.data(), work.sine.data(), step, s.head_width() / 2, step);
        for (size_t h = 0; h < s.heads; ++h) {
            const size_t kv = h * s.kv_heads / s.heads;
            attend_softmax(q + h * head, k + kv * head, v + kv * head, work.mixed.data() + h * head, work);
        }
    }
    multiply(of.out, work.mixed.data(), step, work.x.data(), step, step, true);
}

// The first `tokens` columns of x (rows, step) token by token: (tokens, rows).
static void transpose(const float* x, size_t step, size_t rows, size_t tokens, float* to, size_t to_step)
{
    for (size_t t = 0; t < tokens; ++t)
        for (size_t r = 0; r < rows; ++r)
            to[t * to_step + r] = x[r * step + t];
}

// Softmax attention of one head, PANEL queries at a time: their weights stay in the cache.
void encoder_network::attend_softmax(const float* q, const float* k, const float* v, float* to, workspace& work) const
{
    const size_t step = work.step, width = d_sizes.head_width();
    float* weights = work.attention.data();
    transpose(v, step, width, work.tokens, work.values.data(), width);
    for (size_t column = 0; column < step; column += PANEL) {
        const size_t columns = std::min(PANEL, step - column);
        d_ops.multiply({ k, BLOCK, step, q + column, PANEL, step, weights, PANEL, work.tokens, columns, width, false });
        d_ops.softmax2(weights, PANEL, work.tokens, columns, work.inverse.data());
        d_ops.multiply({ work.values.data(),
                         BLOCK,
                         width,
                         weights,
                         PANEL,
                         PANEL,
                         to + column,
                         step,
                         width,
                         columns,
                         work.tokens,
                         false });
        d_ops.scale_columns(to + column, step, work.inverse.data(), width, columns);
    }
}

// Linear attention of one head; q and k are features (elu + 1), and are turned in place.
void encoder_network::attend_linear(float* q, float* k, const float* v, float* to, workspace& work) const
{
    const size_t step = work.step, width = d_sizes.head_width(), padded = round_up(width, LANES);
    float *key_sum = work.summary.data(), *summary = key_sum + round_up(width, LANES);
    float *keys = work.values.data(), *values = keys + step * padded;
    for (size_t d = 0; d < width; ++d) {
        float mean, largest;
        d_ops.mean_and_largest(k + d * step, 0, work.tokens, &mean, &largest);
        key_sum[d] = mean * work.tokens;
    }
    d_ops.multiply({ key_sum, 0, 1, q, PANEL, step, work.inverse.data(), step, 1, step, width, false });
    for (size_t t = 0; t < step; ++t)
        work.inverse[t] = 1.0f / (work.inverse[t] + EPS);
    if (d_sizes.rope != "none")
        for (float* x : { q, k })
            d_ops.rotate(x, step, work.cosine.data(), work.sine.data(), step, width / 2, step);
    transpose(k, step, width, work.tokens, keys, padded);
    std::fill_n(values, work.tokens * padded, 0.0f);
    transpose(v, step, width, work.tokens, values, padded);
    d_ops.multiply({ keys, BLOCK, padded, values, PANEL, padded, summary, padded, width, padded, work.tokens, false });
    d_ops.multiply({ summary, BLOCK, padded, q, PANEL, step, to, step, width, step, width, false });
    d_ops.scale_columns(to, step, work.inverse.data(), width, step);
}

// Linear attention of one head with a summary per sub-band, mixed by learned weights (attention/mhla.py); q and k are
// features (elu + 1), and are turned in place. The columns of a sub-band's tokens are next to each other.
void encoder_network::attend_sub_bands(
    const left_map& mix, float* q, float* k, const float* v, float* to, workspace& work) const
{
    const size_t step = work.step, width = d_sizes.head_width(), padded = round_up(width, LANES), parts = mix.rows;
    const size_t size = d_sizes.n_tokens() / d_sizes.mhla_blocks, row = (width + 1) * padded;
    work.edges.assign(1, work.special); // the special tokens are the last sub-band, and come first
    for (size_t i = 0, part = 1; part < parts; ++part) {
        while (i < work.kept && work.index[i] < part * size)
            ++i;
        work.edges.push_back(work.special + i);
    }
    const auto first_of = [&](size_t part) { return part + 1 == parts ? 0 : work.edges[part]; };
    const auto last_of = [&](size_t part) { return part + 1 == parts ? work.special : work.edges[part + 1]; };

    float *of_parts = work.of_parts.data(), *mixed = work.mixed_parts.data();
    for (size_t part = 0; part < parts; ++part) { // sums of the keys, before they are turned
        float* sums = of_parts + part * row + width * padded;
        std::fill_n(sums, padded, 0.0f);
        for (size_t d = 0; d < width; ++d)
            sums[d] = std::accumulate(k + d * step + first_of(part), k + d * step + last_of(part), 0.0f);
    }
    multiply(mix, of_parts + width * padded, row, mixed + width * padded, row, padded, false);
    float *normaliser = work.attention.data(), *inverse = work.inverse.data();
    for (size_t part = 0; part < parts; ++part) {
        const size_t first = first_of(part), last = last_of(part), start = first / LANES * LANES;
        d_ops.multiply({ mixed + part * row + width * padded,
                         0,
                         1,
                         q + start,
                         PANEL,
                         step,
                         normaliser,
                         step,
                         1,
                         round_up(last - start, LANES),
                         width,
                         false });
        for (size_t t = first; t < last; ++t)
            inverse[t] = 1.0f / (normaliser[t - start] + EPS);
    }
    if (d_sizes.rope != "none")
        for (float* x : { q, k })
            d_ops.rotate(x, step, work.cosine.data(), work.sine.data(), step, width / 2, step);
    float *keys = work.values.data(), *values = keys + step * padded;
    transpose(k, step, width, work.tokens, keys, padded);
    std::fill_n(values, work.tokens * padded, 0.0f);
    transpose(v, step, width, work.tokens, values, padded);
    for (size_t part = 0; part < parts; ++part) {
        const size_t first = first_of(part), last = last_of(part);
        d_ops.multiply({ keys + first * padded,
                         BLOCK,
                         padded,
                         values + first * padded,
                         PANEL,
                         padded,
                         of_parts + part * row,
                         padded,
                         width,
                         padded,
                         last - first,
                         false });
    }
    multiply(mix, of_parts, row, mixed, row, width * padded, false);
    for (size_t part = 0; part < parts; ++part) {
        const size_t first = first_of(part), last = last_of(part), start = first / LANES * LANES;
        float* out = work.attention.data();
        d_ops.multiply({ mixed + part * row,
                         BLOCK,
                         padded,
                         q + start,
                         PANEL,
                         step,
                         out,
                         step,
                         width,
                         round_up(last - start, LANES),
                         width,
                         false });
        for (size_t e = 0; e < width; ++e)
            for (size_t t = first; t < last; ++t)
                to[e * step + t] = out[e * step + t - start] * inverse[t];
    }
    for (size_t e = 0; e < width; ++e)
        std::fill(to + e * step + work.tokens, to + (e + 1) * step, 0.0f);
}

// x += down(silu(up(normalise x)))
void encoder_network::feed_forward(const layer& of, workspace& work) const
{
    const size_t step = work.step;
    d_ops.normalise(work.x.data(), step, work.norm.data(), step, d_sizes.width, step);
    for (size_t column = 0; column < step; column += PANEL) {
        const size_t columns = std::min(PANEL, step - column);
        multiply(of.up, work.norm.data() + column, step, work.mlp.data(), columns, columns, false);
        d_ops.silu(work.mlp.data(), d_sizes.mlp_width * columns);
        multiply(of.down, work.mlp.data(), columns, work.x.data() + column, step, columns, true);
    }
}

} // namespace spectrumencoder
} // namespace gr
