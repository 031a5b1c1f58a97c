/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

// The transformer blocks of an encoder_network.

#include "encoder_workspace.h"
#include <algorithm>
#include <numeric>

namespace gr {
namespace spectrumencoder {

namespace {

constexpr float EPS = 1e-6f; // in linear attention

} // namespace

// The first `tokens` columns of x (rows, step) token by token: (tokens, rows).
static void transpose(const float* x, size_t step, size_t rows, size_t tokens, float* to, size_t to_step)
{
    for (size_t t = 0; t < tokens; ++t)
        for (size_t r = 0; r < rows; ++r)
            to[t * to_step + r] = x[r * step + t];
}

// x += out(attention(normalise x))
void encoder_network::attend(const layer& of, workspace& work) const
{
    const encoder_sizes& s = d_sizes;
    const size_t step = work.step, head = s.head_width() * step, blocks = static_cast<size_t>(d_of_blocks);
    const operand words = { work.packed.data(), step, work.scale.data() };
    d_ops.normalise[blocks](work.x.data(), step, work.packed.data(), step, work.scale.data(), s.width, step);
    multiply(of.qkv, words, work.qkv.data(), step, step, false);
    float *q = work.qkv.data(), *k = q + s.heads * head, *v = k + s.kv_heads * head;
    if (s.attention == "latent") {
        d_ops.normalise[blocks](k, step, work.packed.data(), step, work.scale.data(), s.kv_rank, step);
        multiply(of.up_kv, words, work.kv.data(), step, step, false);
        k = work.kv.data();
        v = k + s.heads * head;
    }
    const bool linear = s.attention == "linear" || s.attention == "mhla";
    if (linear) {
        d_ops.elu_plus_one(q, 2 * s.heads * head);
        for (size_t h = 0; h < s.heads; ++h) {
            float *q_head = q + h * head, *k_head = k + h * head, *to = work.mixed.data() + h * head;
            if (s.attention == "linear")
                attend_linear(q_head, k_head, v + h * head, to, work);
            else
                attend_sub_bands(of.mix[h], q_head, k_head, v + h * head, to, work);
        }
    } else {
        attend_softmax(q, k, v, work);
    }
    float* mixed = work.mixed.data();
    if (d_of_blocks == precision::int8 || (d_of_blocks == precision::bf16 && linear))
        d_ops.pack[blocks](mixed, step, mixed, step, work.scale.data(), s.width, step);
    multiply(of.out, { mixed, step, work.scale.data() }, work.x.data(), step, step, true);
}

// Softmax attention of all heads: q and k turned (in place, or as words of bf16), then head by head. work.mixed: words
// if the blocks are of bf16, else floats.
void encoder_network::attend_softmax(float* q, float* k, const float* v, workspace& work) const
{
    const encoder_sizes& s = d_sizes;
    const size_t step = work.step, half = s.head_width() / 2, head = s.head_width() * step;
    const bool reduced = d_of_blocks != precision::fp32;
    float* turned = work.turned.data();
    const auto turn = [&](float* x, size_t heads, float* to) {
        if (s.rope == "none" && reduced)
            d_ops.pack[BF16](x, step, to, step, nullptr, heads * s.head_width(), step);
        if (s.rope == "none")
            return;
        for (size_t h = 0; h < heads; ++h)
            if (reduced)
                d_ops.rotate_bf16(
                    x + h * head, step, work.cosine.data(), work.sine.data(), step, to + h * head / 2, half, step);
            else
                d_ops.rotate(x + h * head, step, work.cosine.data(), work.sine.data(), step, half, step);
    };
    turn(q, s.heads, turned);
    turn(k, s.kv_heads, turned + s.heads * head / 2);
    size_t of_head = head; // words
    if (reduced) {
        q = turned;
        k = turned + s.heads * head / 2;
        d_ops.round_bf16(v, work.values.data(), s.kv_heads * head);
        v = work.values.data();
        of_head = head / 2;
    }
    for (size_t h = 0; h < s.heads; ++h) {
        const size_t kv = h * s.kv_heads / s.heads;
        attend_softmax(reduced ? precision::bf16 : precision::fp32,
                       q + h * of_head,
                       k + kv * of_head,
                       v + kv * of_head,
                       work.mixed.data() + h * (d_of_blocks == precision::bf16 ? head / 2 : head),
                       work);
    }
}

// Softmax attention of one head, one panel of queries at a time, so that their weights stay in the cache. q, k: words;
// v: the values of a row are contiguous.
void encoder_network::attend_softmax(
    precision of, const void* q, const void* k, const void* v, float* to, workspace& work) const
{
    const size_t step = work.step, width = d_sizes.head_width(), chosen = static_cast<size_t>(of);
    const size_t value_step = words_of(of, step);
    float* weights = work.attention.data();
    for (size_t column = 0, columns; column < step; column += columns) {
        columns = next_panel(step - column);
        product scores = plain_product(k,
                                       1,
                                       step,
                                       static_cast<const float*>(q) + column,
                                       step,
                                       weights,
                                       columns,
                                       work.tokens,
                                       columns,
                                       words_of(of, width));
        scores.largest = work.largest.data();
        d_ops.multiply_largest[chosen](scores);
        (of == precision::bf16 ? d_ops.softmax2_bf16 : d_ops.softmax2)(
            weights, columns, work.largest.data(), work.tokens, columns, work.inverse.data());
        product mixed = plain_product(
            v, value_step, 1, weights, columns, to + column, step, width, columns, words_of(of, work.tokens));
        mixed.column_scale = work.inverse.data();
        d_ops.multiply_scaled[static_cast<size_t>(d_of_blocks)](mixed);
    }
}

// Linear attention of one head; q and k are features (elu + 1), and are rotated in place.
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
    d_ops.multiply[FP32](plain_product(key_sum, 1, 1, q, step, work.inverse.data(), step, 1, step, width));
    for (size_t t = 0; t < step; ++t)
        work.inverse[t] = 1.0f / (work.inverse[t] + EPS);
    if (d_sizes.rope != "none")
        for (float* x : { q, k })
            d_ops.rotate(x, step, work.cosine.data(), work.sine.data(), step, width / 2, step);
    transpose(k, step, width, work.tokens, keys, padded);
    std::fill_n(values, work.tokens * padded, 0.0f);
    transpose(v, step, width, work.tokens, values, padded);
    d_ops.multiply[FP32](plain_product(keys, 1, padded, values, padded, summary, padded, width, padded, work.tokens));
    d_ops.multiply[FP32](plain_product(summary, 1, padded, q, step, to, step, width, step, width));
    d_ops.scale_columns(to, step, work.inverse.data(), width, step);
}

// Linear attention of one head with a summary per sub-band, mixed by learned weights (attention/mhla.py); q and k are
// features (elu + 1), and are rotated in place. The columns of a sub-band's tokens are adjacent.
void encoder_network::attend_sub_bands(
    const left_map& mix, float* q, float* k, const float* v, float* to, workspace& work) const
{
    const size_t step = work.step, width = d_sizes.head_width(), padded = round_up(width, LANES),
                 parts = mix.weights.rows;
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
    for (size_t part = 0; part < parts; ++part) { // sums of the keys, before they are rotated
        float* sums = of_parts + part * row + width * padded;
        std::fill_n(sums, padded, 0.0f);
        for (size_t d = 0; d < width; ++d)
            sums[d] = std::accumulate(k + d * step + first_of(part), k + d * step + last_of(part), 0.0f);
    }
    multiply(mix, { of_parts + width * padded, row, nullptr }, mixed + width * padded, row, padded, false);
    float *normaliser = work.attention.data(), *inverse = work.inverse.data();
    for (size_t part = 0; part < parts; ++part) {
        const size_t first = first_of(part), last = last_of(part), start = first / LANES * LANES;
        d_ops.multiply[FP32](plain_product(mixed + part * row + width * padded,
                                           1,
                                           1,
                                           q + start,
                                           step,
                                           normaliser,
                                           step,
                                           1,
                                           round_up(last - start, LANES),
                                           width));
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
        d_ops.multiply[FP32](plain_product(keys + first * padded,
                                           1,
                                           padded,
                                           values + first * padded,
                                           padded,
                                           of_parts + part * row,
                                           padded,
                                           width,
                                           padded,
                                           last - first));
    }
    multiply(mix, { of_parts, row, nullptr }, mixed, row, width * padded, false);
    for (size_t part = 0; part < parts; ++part) {
        const size_t first = first_of(part), last = last_of(part), start = first / LANES * LANES;
        float* out = work.attention.data();
        d_ops.multiply[FP32](plain_product(
            mixed + part * row, 1, padded, q + start, step, out, step, width, round_up(last - start, LANES), width));
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
    const size_t step = work.step, blocks = static_cast<size_t>(d_of_blocks);
    float *words = work.packed.data(), *scale = work.scale.data(), *hidden = work.mlp.data();
    d_ops.normalise[blocks](work.x.data(), step, words, step, scale, d_sizes.width, step);
    for (size_t column = 0, columns; column < step; column += columns) {
        columns = next_panel(step - column);
        if (d_of_blocks == precision::int8) {
            multiply(of.up, { words + column, step, scale + column }, hidden, columns, columns, false);
            d_ops.silu_int8(hidden, columns, hidden, columns, work.mlp_scale.data(), d_sizes.mlp_width, columns);
        } else {
            d_ops.multiply_silu[blocks](
                of.up.weights.times(words + column, step, nullptr, hidden, columns, columns, false));
        }
        multiply(of.down, { hidden, columns, work.mlp_scale.data() }, work.x.data() + column, step, columns, true);
    }
}

} // namespace spectrumencoder
} // namespace gr
