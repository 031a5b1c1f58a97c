/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "encoder_workspace.h"
#include <algorithm>
#include <atomic>
#include <cmath>
#include <future>
#include <limits>
#include <stdexcept>

namespace gr {
namespace spectrumencoder {

namespace {
constexpr size_t SMALL_GROUP = 4; // frames
}

namespace {

// The same names as in bottleneck.py.
const float LOWEST_LOG_SIGMA = std::log(0.3f), HIGHEST_LOG_SIGMA = std::log(12.0f);

} // namespace

encoder_network::~encoder_network() = default;

void encoder_network::multiply(
    const left_map& map, const operand& x, float* y, size_t y_step, size_t columns, bool add) const
{
    const left_factor& weights = map.weights;
    d_ops.multiply[static_cast<size_t>(weights.of)](weights.times(x.words, x.step, x.scale, y, y_step, columns, add));
}

// x: row r's element k at x[r / lanes * lanes * depth + k * lanes + r % lanes].
void encoder_network::multiply(
    const right_map& map, const float* x, size_t lanes, size_t rows, float* y, size_t y_step, bool add) const
{
    const size_t columns = round_up(map.columns, LANES);
    if (!map.bias.empty())
        for (size_t r = 0; r < rows; ++r)
            std::copy(map.bias.begin(), map.bias.end(), y + r * y_step);
    d_ops.multiply[FP32]({ x,
                           lanes * map.depth,
                           1,
                           lanes,
                           map.packed.data(),
                           PANEL,
                           PANEL * map.depth,
                           PANEL,
                           y,
                           y_step,
                           rows,
                           columns,
                           map.depth,
                           add || !map.bias.empty() });
}

void encoder_network::silu(float* x, size_t n) const
{
    d_ops.silu(x, n);
}

void encoder_network::encode(
    const frames& in, size_t kept, policy rule, bool heads_only, size_t threads, const results& out) const
{
    if (kept < 1 || kept > d_sizes.n_tokens())
        throw std::invalid_argument("k = " + std::to_string(kept) + " is outside 1.." +
                                    std::to_string(d_sizes.n_tokens()));
    if (out.token_classes.values && !d_sizes.token_classes)
        throw std::invalid_argument("token_classes: the network has no token head; use a model that has one");
    if (rule == policy::random && !in.noise)
        throw std::invalid_argument("policy 'random' needs its noise, uniform in (0, 1), one value per token");
    for (size_t i = 0; i < in.count; ++i)
        if (in.bands[i] < 0 || static_cast<size_t>(in.bands[i]) >= d_sizes.bands)
            throw std::invalid_argument("band " + std::to_string(in.bands[i]) + " is outside 0.." +
                                        std::to_string(d_sizes.bands - 1));
    if (in.count == 0)
        return;
    // A thread takes the next group of frames when it is free; groups get smaller towards the end. So a thread that
    // shares its processor takes fewer, and none waits long for the last. Only a backlog is shared out.
    const size_t parts = std::max<size_t>(1, std::min(threads, in.count / GROUP)); // waking a thread takes time
    const auto share = [&](size_t left) {
        return parts == 1 ? left : std::min({ GROUP, left, std::max(SMALL_GROUP, left / (2 * parts)) });
    };
    std::atomic<size_t> next{ 0 };
    const auto run = [&] {
        std::unique_ptr<workspace> work;
        {
            const std::lock_guard<std::mutex> guard(d_mutex);
            if (!d_idle.empty()) {
                work = std::move(d_idle.back());
                d_idle.pop_back();
            }
        }
        if (!work)
            work = std::make_unique<workspace>();
        work->kept = kept;
        work->rule = rule;
        work->heads_only = heads_only;
        for (size_t first = next; first < in.count;) {
            const size_t last = first + share(in.count - first);
            if (next.compare_exchange_weak(first, last)) {
                encode_range(in, first, last, *work, out);
                first = next;
            }
        }
        const std::lock_guard<std::mutex> guard(d_mutex);
        d_idle.push_back(std::move(work));
    };
    std::vector<std::future<void>> others;
    for (size_t part = 1; part < parts; ++part)
        others.push_back(std::async(std::launch::async, run));
    run();
    for (auto& other : others)
        other.get();
}

void encoder_network::encode_range(
    const frames& in, size_t first, size_t last, workspace& work, const results& out) const
{
    const encoder_sizes& s = d_sizes;
    const size_t half = s.head_width() / 2, columns = round_up(s.n_tokens(), LANES);
    work.special = special_tokens(work.kept);
    work.tokens = work.special + work.kept;
    work.step = round_up(work.tokens, LANES);
    work.normalised.resize(s.token_dim() * columns);
    work.hidden.resize(s.score_width * columns);
    work.scores.resize(columns);
    work.embedded.resize(s.width * columns);
    work.told.resize(round_up(s.width, LANES));
    work.told_hidden.resize(round_up(s.width, LANES));
    work.x.resize(s.width * work.step);
    work.norm.resize(std::max(s.width, s.kv_rank) * work.step);
    work.qkv.resize((s.heads + 2 * s.kv_heads) * s.head_width() * work.step + s.kv_rank * work.step);
    work.packed.resize(std::max(s.width, s.kv_rank) * work.step);
    work.scale.resize(work.step);
    work.turned.resize(work.qkv.size());
    work.kv.resize(s.attention == "latent" ? 2 * s.width * work.step : 0);
    work.mixed.resize(s.width * work.step);
    work.attention.resize(std::max(work.tokens, 2 * s.head_width()) * std::max(PANEL, s.head_width()));
    work.values.resize(work.step * std::max(2 * round_up(s.head_width(), LANES), s.kv_heads * s.head_width()));
    work.largest.resize(std::max(PANEL, work.step));
    work.inverse.resize(work.step);
    work.summary.resize((s.head_width() + 1) * round_up(s.head_width(), LANES));
    if (s.attention == "mhla") {
        const size_t padded = round_up(s.head_width(), LANES);
        work.of_parts.resize((s.mhla_blocks + 1) * (s.head_width() + 1) * padded);
        work.mixed_parts.resize(work.of_parts.size());
        work.attention.resize(std::max(work.attention.size(), s.head_width() * (work.step + LANES)));
    }
    work.cosine.resize(half * work.step);
    work.sine.resize(half * work.step);
    work.mlp.resize(s.mlp_width * PANEL);
    work.mlp_scale.resize(PANEL);
    work.narrowed.resize(s.token_share * work.step);
    work.of_tokens.resize(out.token_classes.values ? s.token_columns() * work.step : 0);
    work.joined.resize(3 * s.width);
    work.embedding.resize(round_up(s.embedding, LANES));
    work.logits.resize(round_up(s.labels, LANES));
    work.small.resize(PANEL);
    work.bins.resize(GROUP * s.fft_size);
    work.places.resize(GROUP * s.n_tokens() * s.token_share);
    work.conditions.resize(GROUP * N_CONDITION);

    const auto row_of = [](const output& to, size_t frame) {
        return to.values ? to.values + frame * to.step : nullptr;
    };
    for (size_t start = first; start < last; start += GROUP) {
        const size_t count = std::min(GROUP, last - start);
        work.lanes = count == 1 ? 1 : BLOCK;
        for (size_t lane = 0; lane < count; ++lane) {
            const size_t frame = start + lane;
            read_frame(in.items + frame * in.item_step, work, lane);
            score(in.noise ? in.noise + frame * s.n_tokens() : nullptr, work);
            choose(in.wanted ? in.wanted + frame * s.n_tokens() : nullptr, work);
            if (float* to = row_of(out.keep_statistics, frame))
                write_keep_statistics(work, to);
            make_sequence(in.bands[frame], work);
            for (const layer& of : d_layers) {
                attend(of, work);
                feed_forward(of, work);
            }
            d_ops.normalise[FP32](work.x.data(), work.step, work.norm.data(), work.step, nullptr, s.width, work.step);
            if (!work.heads_only)
                fill_places(work, lane);
            if (float* to = row_of(out.token_classes, frame))
                answer_tokens(work, to);
            answer(work, out, frame);
        }
        if (!work.heads_only)
            reconstruct(in, start, count, work, out);
    }
}

// The token part of the bottleneck: a value for each place of the spectrum, dropped places included.
void encoder_network::fill_places(workspace& work, size_t lane) const
{
    const encoder_sizes& s = d_sizes;
    const size_t share = s.token_share;
    multiply(d_narrow, { work.norm.data(), work.step, nullptr }, work.narrowed.data(), work.step, work.step, false);
    float* places = work.places.data() + place_of(lane, work.lanes, s.n_tokens() * share, 0);
    size_t column = work.special;
    for (size_t m = 0; m < s.n_tokens(); ++m) {
        for (size_t c = 0; c < share; ++c)
            places[(m * share + c) * work.lanes] = work.keep[m] ? work.narrowed[c * work.step + column] : d_absent[c];
        column += work.keep[m];
    }
}

// Probabilities of each token's classes and of a boundary before it (TokenHead of heads.py). A dropped token has those
// of its background token.
void encoder_network::answer_tokens(workspace& work, float* to) const
{
    const encoder_sizes& s = d_sizes;
    const size_t n_classes = s.labels + 1, n_columns = s.token_columns(), step = work.step;
    const size_t size = s.n_tokens() / s.sub_bands; // tokens of a background token
    float *logits = work.of_tokens.data(), *boundary = logits + n_classes * step;
    for (size_t c = 0; c < n_columns; ++c)
        std::fill_n(logits + c * step, step, d_token_classes.bias[c]);
    multiply(d_token_classes, { work.norm.data(), step, nullptr }, logits, step, step, true);

    float *largest = work.largest.data(), *inverse = work.inverse.data();
    std::copy_n(logits, step, largest);
    for (size_t c = 1; c < n_classes; ++c)
        for (size_t t = 0; t < step; ++t)
            largest[t] = std::max(largest[t], logits[c * step + t]);
    d_ops.softmax2(logits, step, largest, n_classes, step, inverse);
    d_ops.scale_columns(logits, step, inverse, n_classes, step);
    for (size_t t = 0; t < work.tokens; ++t)
        boundary[t] = 1.0f / (1.0f + std::exp(-boundary[t]));

    size_t kept = work.special;
    for (size_t m = 0; m < s.n_tokens(); ++m, to += n_columns) {
        const float* from = logits + (work.keep[m] ? kept : 1 + m / size);
        kept += work.keep[m];
        for (size_t c = 0; c < n_columns; ++c)
            to[c] = from[c * step];
    }
}

void encoder_network::answer(workspace& work, const results& out, size_t frame) const
{
    const encoder_sizes& s = d_sizes;
    float* joined = work.joined.data(); // conditioning token, mean and maximum of the spectrum's tokens
    for (size_t e = 0; e < s.width; ++e) {
        float* row = work.norm.data() + e * work.step;
        for (size_t t = 0; t < work.tokens; ++t)
            row[t] *= d_head_scale[e];
        joined[e] = row[0];
        d_ops.mean_and_largest(row, work.special, work.tokens, joined + s.width + e, joined + 2 * s.width + e);
    }
    multiply(d_head_embed, joined, 1, 1, work.embedding.data(), 0, false);
    silu(work.embedding.data(), work.embedding.size());
    float square = 0.0f;
    for (size_t a = 0; a < s.embedding; ++a)
        square += work.embedding[a] * work.embedding[a];
    const float scale = 1.0f / std::sqrt(square / s.embedding + std::numeric_limits<float>::epsilon());
    for (size_t a = 0; a < s.embedding; ++a)
        work.embedding[a] *= scale;
    if (out.embedding.values)
        std::copy_n(work.embedding.data(), s.embedding, out.embedding.values + frame * out.embedding.step);

    if (out.probabilities.values && s.labels > 0) {
        float* to = out.probabilities.values + frame * out.probabilities.step;
        multiply(d_classes, work.embedding.data(), 1, 1, work.logits.data(), 0, false);
        const float largest = *std::max_element(work.logits.data(), work.logits.data() + s.labels);
        float sum = 0.0f;
        for (size_t c = 0; c < s.labels; ++c)
            sum += to[c] = std::exp((work.logits[c] - largest) / d_temperature);
        for (size_t c = 0; c < s.labels; ++c)
            to[c] /= sum;
    }
    if (out.logit.values) {
        float last[LANES];
        multiply(d_anomaly_in, work.embedding.data(), 1, 1, work.small.data(), 0, false);
        silu(work.small.data(), round_up(d_anomaly_in.columns, LANES));
        multiply(d_anomaly_out, work.small.data(), 1, 1, last, 0, false);
        out.logit.values[frame * out.logit.step] = last[0];
    }
}

// Bottleneck and decoder for a group of frames; their bins and places are in the workspace.
void encoder_network::reconstruct(
    const frames& in, size_t first, size_t count, workspace& work, const results& out) const
{
    const encoder_sizes& s = d_sizes;
    const size_t flat = s.flat(), flat_step = round_up(flat, LANES), wide = round_up(s.decoder_width, LANES);
    const size_t lanes = work.lanes, sigma_step = round_up(s.n_tokens(), LANES),
                 mean_step = round_up(s.fft_size, LANES);
    work.latents.resize(GROUP * flat_step);
    work.decoding.resize(GROUP * wide);
    work.mixed_in.resize(GROUP * std::max(flat + N_CONDITION, wide));
    work.mean.resize(GROUP * mean_step);
    work.log_sigma.resize(GROUP * sigma_step);

    // Makes rows of y (count, n) the input of the next map, followed by further values.
    const auto interleave = [&](const float* y, size_t step, size_t n, const float* more, size_t n_more) {
        for (size_t lane = 0; lane < count; ++lane) {
            float* to = work.mixed_in.data() + place_of(lane, lanes, n + n_more, 0);
            for (size_t k = 0; k < n; ++k)
                to[k * lanes] = y[lane * step + k];
            for (size_t k = 0; k < n_more; ++k)
                to[(n + k) * lanes] = more[lane * n_more + k];
        }
        return work.mixed_in.data();
    };
    float *latents = work.latents.data(), *hidden = work.decoding.data();
    multiply(d_bins, work.bins.data(), lanes, count, latents, flat_step, false);
    multiply(d_places, work.places.data(), lanes, count, latents, flat_step, true);
    const float* x = interleave(latents, flat_step, flat, nullptr, 0);
    multiply(d_direct, x, lanes, count, work.mean.data(), mean_step, false);
    x = interleave(latents, flat_step, flat, work.conditions.data(), N_CONDITION);
    multiply(d_hidden1, x, lanes, count, hidden, wide, false);
    silu(hidden, count * wide);
    x = interleave(hidden, wide, s.decoder_width, nullptr, 0);
    multiply(d_hidden2, x, lanes, count, hidden, wide, false);
    silu(hidden, count * wide);
    x = interleave(hidden, wide, s.decoder_width, nullptr, 0);
    multiply(d_log_sigma, x, lanes, count, work.log_sigma.data(), sigma_step, false);
    multiply(d_mean, x, lanes, count, work.mean.data(), mean_step, true);

    for (size_t lane = 0; lane < count; ++lane) {
        const size_t frame = first + lane;
        const float* item = in.items + frame * in.item_step;
        const float floor_dbfs = item[s.n_tokens() * s.token_dim()];
        const float *mean = work.mean.data() + lane * mean_step, *log_sigma = work.log_sigma.data() + lane * sigma_step;
        if (out.latents.values)
            std::copy_n(latents + lane * flat_step, flat, out.latents.values + frame * out.latents.step);
        if (out.residual.values) {
            float* to = out.residual.values + frame * out.residual.step;
            for (size_t m = 0; m < s.n_tokens(); ++m) {
                const float per_sigma =
                    std::exp(-std::min(std::max(log_sigma[m], LOWEST_LOG_SIGMA), HIGHEST_LOG_SIGMA));
                const float* level = item + m * s.token_dim();
                for (size_t c = 0; c < s.stride; ++c)
                    to[m * s.stride + c] = (level[c] - mean[m * s.stride + c]) * per_sigma;
            }
        }
        if (out.reconstruction.values) {
            float* to = out.reconstruction.values + frame * out.reconstruction.step;
            for (size_t n = 0; n < s.fft_size; ++n)
                to[n] = mean[n] + floor_dbfs;
        }
    }
}

} // namespace spectrumencoder
} // namespace gr
