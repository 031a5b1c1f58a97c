/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

// The part of encoder_network that turns a frame into the sequence of tokens that attention sees.

#include "encoder_workspace.h"
#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

namespace gr {
namespace spectrumencoder {

namespace {

// The same names as in encoder.py and rope.py.
constexpr float DB_LOWEST = -20.0f, DB_HIGHEST = 80.0f, DB_SCALE = 20.0f;
const float LOWEST_LOG_THETA = std::log(4.0f), HIGHEST_LOG_THETA = std::log(1e6f);
constexpr size_t MOST_ROTATIONS = 256;

// Floats as integers with the same order; not-a-numbers have a place too.
uint32_t sortable(float x)
{
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof(bits));
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

} // namespace

void encoder_network::read_frame(const float* item, workspace& work, size_t lane) const
{
    const encoder_sizes& s = d_sizes;
    const size_t columns = round_up(s.n_tokens(), LANES), levels = s.stride + 1;
    float* bins = work.bins.data() + place_of(lane, work.lanes, s.fft_size, 0);
    for (size_t m = 0; m < s.n_tokens(); ++m) {
        const float* token = item + m * s.token_dim();
        float* to = work.normalised.data() + m;
        for (size_t c = 0; c < levels; ++c)
            to[c * columns] = std::min(std::max(token[c], DB_LOWEST), DB_HIGHEST) / DB_SCALE;
        to[levels * columns] = std::log(std::min(std::max(token[levels], 0.0f), 8.0f) + 0.1f);
        for (size_t c = 0; c < s.stride; ++c)
            bins[(m * s.stride + c) * work.lanes] = to[c * columns];
    }
    const float* side = item + s.n_tokens() * s.token_dim(); // floor_dbfs, windows, bin_width_hz
    work.condition[0] = (std::log2(std::max(side[2], 1e-3f)) - 10.0f) / 4.0f;
    work.condition[1] = std::log2(std::max(side[1], 1.0f)) / 3.0f;
    work.condition[2] = (side[0] + 80.0f) / 40.0f;
    work.condition[3] = 1.0f;
    std::copy_n(work.condition, N_CONDITION, work.conditions.data() + lane * N_CONDITION);
}

void encoder_network::score(const float* noise, workspace& work) const
{
    const encoder_sizes& s = d_sizes;
    const size_t n = s.n_tokens(), columns = round_up(n, LANES);
    const float* x = work.normalised.data();
    float* scores = work.scores.data();
    if (work.rule == policy::random) {
        std::copy_n(noise, n, scores);
    } else if (work.rule == policy::energy) {
        std::fill_n(scores, n, 0.0f);
        for (size_t c = 0; c < s.stride; ++c)
            for (size_t m = 0; m < n; ++m)
                scores[m] += x[c * columns + m];
        for (size_t m = 0; m < n; ++m)
            scores[m] = scores[m] / s.stride + 0.25f * x[s.stride * columns + m];
    } else if (work.rule == policy::gumbel) {
        for (size_t r = 0; r < s.score_width; ++r)
            std::fill_n(work.hidden.begin() + r * columns, columns, d_score_in.bias[r]);
        multiply(d_score_in, { x, columns, nullptr }, work.hidden.data(), columns, columns, true);
        silu(work.hidden.data(), s.score_width * columns);
        std::fill(work.scores.begin(), work.scores.end(), d_score_out.bias[0]);
        multiply(d_score_out, { work.hidden.data(), columns, nullptr }, scores, columns, columns, true);
    } else {
        const float per_unit = DB_SCALE * std::log(10.0f) / 10.0f; // levels to the logarithm of linear power
        for (size_t m = 0; m < n; ++m) {
            float largest = x[m], sum = 0.0f, entropy = 0.0f;
            for (size_t c = 1; c < s.stride; ++c)
                largest = std::max(largest, x[c * columns + m]);
            for (size_t c = 0; c < s.stride; ++c)
                sum += std::exp((x[c * columns + m] - largest) * per_unit);
            for (size_t c = 0; c < s.stride; ++c) {
                const float share = std::exp((x[c * columns + m] - largest) * per_unit) / sum;
                entropy -= share * std::log(share + 1e-12f);
            }
            scores[m] = x[(s.stride + 1) * columns + m] -
                        (s.stride > 1 ? entropy / std::log(static_cast<float>(s.stride)) : 0.0f);
        }
    }
}

void encoder_network::choose(const uint8_t* wanted, workspace& work) const
{
    const size_t n = d_sizes.n_tokens(), kept = work.kept;
    const float* scores = work.scores.data();
    work.keep.assign(round_up(n, LANES), 0);
    std::fill_n(work.keep.begin(), n, kept == n);
    if (kept < n) {
        float before_others = 0.0f;
        if (wanted) {
            const auto ends = std::minmax_element(scores, scores + n);
            before_others = *ends.second - *ends.first + 1.0f;
        }
        work.rank.resize(n);
        for (size_t m = 0; m < n; ++m) { // among equal scores, the lower frequency first
            const float choice = wanted && wanted[m] ? scores[m] + before_others : scores[m];
            work.rank[m] = static_cast<uint64_t>(sortable(choice)) << 32 | (0xffffffffu - m);
        }
        std::nth_element(work.rank.begin(), work.rank.begin() + kept - 1, work.rank.end(), std::greater<uint64_t>());
        for (size_t i = 0; i < kept; ++i)
            work.keep[0xffffffffu - static_cast<uint32_t>(work.rank[i])] = 1;
    }
    work.index.resize(n);
    work.dropped.resize(n);
    size_t n_kept = 0, n_dropped = 0;
    for (size_t m = 0; m < n; ++m) { // without a branch, which would be foreseen badly
        work.index[n_kept] = work.dropped[n_dropped] = m;
        n_kept += work.keep[m];
        n_dropped += 1 - work.keep[m];
    }
    work.index.resize(kept);
    work.dropped.resize(n - kept);
}

void encoder_network::write_keep_statistics(const workspace& work, float* to) const
{
    for (const std::vector<uint32_t>* side : { &work.index, &work.dropped }) {
        const size_t n = side->size();
        float sum = 0.0f, square = 0.0f, low = std::numeric_limits<float>::infinity(), high = -low;
        for (const uint32_t m : *side) {
            sum += work.scores[m];
            low = std::min(low, work.scores[m]);
            high = std::max(high, work.scores[m]);
        }
        const float mean = n ? sum / n : 0.0f;
        for (const uint32_t m : *side)
            square += (work.scores[m] - mean) * (work.scores[m] - mean);
        *to++ = mean;
        *to++ = n ? std::sqrt(square / n) : 0.0f;
        *to++ = n ? low : 0.0f;
        *to++ = n ? high : 0.0f;
    }
}

// x = conditioning token, background tokens, kept tokens: (width, step).
void encoder_network::make_sequence(size_t band, workspace& work) const
{
    const encoder_sizes& s = d_sizes;
    const size_t columns = round_up(s.n_tokens(), LANES);
    product embedding =
        d_embed.weights.times(work.normalised.data(), columns, nullptr, work.embedded.data(), columns, columns, true);
    embedding.added = d_start.data();
    d_ops.multiply[FP32](embedding);

    multiply(d_condition_in, work.condition, 1, 1, work.told_hidden.data(), 0, false);
    silu(work.told_hidden.data(), work.told_hidden.size());
    multiply(d_condition_out, work.told_hidden.data(), 1, 1, work.told.data(), 0, false);
    if (s.band_token)
        for (size_t e = 0; e < s.width; ++e)
            work.told[e] += d_band_vectors[band * s.width + e];

    d_ops.take_columns(
        work.embedded.data(), columns, work.keep.data(), work.x.data() + work.special, work.step, s.width, columns);
    for (size_t e = 0; e < s.width; ++e) {
        float* to = work.x.data() + e * work.step;
        to[0] = work.told[e];
        std::fill(to + work.tokens, to + work.step, 0.0f);
    }
    if (work.kept < s.n_tokens())
        make_background(work);
    if (s.rope != "none")
        find_rotation(band, work);
}

// The mean of the dropped tokens of each part of the spectrum.
void encoder_network::make_background(workspace& work) const
{
    const encoder_sizes& s = d_sizes;
    const size_t columns = round_up(s.n_tokens(), LANES), size = s.n_tokens() / s.sub_bands;
    auto next = work.dropped.begin();
    for (size_t p = 0; p < s.sub_bands; ++p) {
        const auto first = next;
        while (next != work.dropped.end() && *next < (p + 1) * size)
            ++next;
        const size_t count = std::max<size_t>(next - first, 1);
        for (size_t e = 0; e < s.width; ++e) {
            const float* from = work.embedded.data() + e * columns;
            float sum = 0.0f;
            for (auto m = first; m != next; ++m)
                sum += from[*m];
            work.x[e * work.step + 1 + p] = sum / count + d_background[e];
        }
    }
}

void encoder_network::find_rotation(size_t band, workspace& work) const
{
    const float log2_bin_width = work.condition[0] * 4.0f + 10.0f;
    float log_theta = d_log_theta[band];
    if (d_sizes.rope == "dynamic") // not a number becomes the lowest
        log_theta = std::min(std::max(LOWEST_LOG_THETA, log_theta + d_theta_slope * (log2_bin_width - std::log2(1e3f))),
                             HIGHEST_LOG_THETA);
    const auto angles = rotation_of(log_theta);
    const size_t places = d_sizes.n_tokens() + d_special_places.size();
    for (size_t i = 0; i < d_sizes.head_width() / 2; ++i)
        for (const auto& table :
             { std::make_pair(&angles->cosine, &work.cosine), std::make_pair(&angles->sine, &work.sine) }) {
            const float* from = table.first->data() + i * places;
            float* to = table.second->data() + i * work.step;
            std::copy_n(from + d_sizes.n_tokens(), work.special, to);
            for (size_t t = 0; t < work.kept; ++t)
                to[work.special + t] = from[work.index[t]];
            std::fill(to + work.tokens, to + work.step, 0.0f);
        }
}

std::shared_ptr<const encoder_network::rotation> encoder_network::rotation_of(float log_theta) const
{
    const std::lock_guard<std::mutex> guard(d_mutex);
    auto found = d_rotations.find(log_theta);
    if (found != d_rotations.end())
        return found->second;
    if (d_rotations.size() >= MOST_ROTATIONS) // too many bin widths: start again
        d_rotations.clear();
    const size_t n = d_sizes.n_tokens(), places = n + d_special_places.size(), width = d_sizes.head_width();
    auto made = std::make_shared<rotation>();
    made->cosine.resize(width / 2 * places);
    made->sine.resize(width / 2 * places);
    for (size_t i = 0; i < width / 2; ++i) {
        const float frequency = std::exp(-log_theta * (2.0f * i / width));
        for (size_t m = 0; m < places; ++m) {
            const float angle = static_cast<float>(m < n ? m : d_special_places[m - n]) * frequency;
            made->cosine[i * places + m] = std::cos(angle);
            made->sine[i * places + m] = std::sin(angle);
        }
    }
    return d_rotations[log_theta] = made;
}

} // namespace spectrumencoder
} // namespace gr
