/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "encoder_network.h"
#include <algorithm>
#include <cmath>
#include <cstring>
#include <future>
#include <limits>
#include <numeric>
#include <stdexcept>

namespace gr {
namespace spectrumencoder {

namespace {

constexpr size_t GROUP = 2 * BLOCK; // frames that share a pass over the large weights
constexpr size_t N_CONDITION = 4;
constexpr float DB_LOWEST = -20.0f, DB_HIGHEST = 80.0f, DB_SCALE = 20.0f;
constexpr float LOG2_E = 1.44269504088896341f;
constexpr float EPS_LINEAR = 1e-6f;
constexpr size_t MOST_ROTATIONS = 256;

// What encoder/encoder.py, rope.py and bottleneck.py name so.
const float LOWEST_LOG_THETA = std::log(4.0f), HIGHEST_LOG_THETA = std::log(1e6f);
const float LOWEST_LOG_SIGMA = std::log(0.3f), HIGHEST_LOG_SIGMA = std::log(12.0f);
constexpr float MEAN_DB = 10.0f;

// Floats as integers that sort as they do; not-a-numbers have their place too.
uint32_t sortable(float x)
{
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof(bits));
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

} // namespace

struct encoder_network::workspace {
    size_t kept, tokens, step, special, lanes; // step: columns of a matrix of the sequence
    policy rule;
    bool heads_only;
    floats normalised;     // (token_dim, n_tokens)
    floats hidden, scores; // of the keep score: (score_width, n_tokens), (1, n_tokens)
    floats embedded;       // (width, n_tokens)
    std::vector<uint64_t> rank;
    std::vector<uint8_t> keep;            // n_tokens
    std::vector<uint32_t> index, dropped; // of the kept tokens; of the dropped ones of a part of the spectrum
    float condition[N_CONDITION];
    floats told, told_hidden;       // width
    floats x, norm, qkv, kv, mixed; // (rows, step)
    floats attention;               // (tokens, PANEL) scores, or token-major keys and values
    floats values;                  // (step, head_width)
    floats inverse, summary;
    floats of_parts, mixed_parts; // of `mhla`: (sub-bands, (head_width + 1) padded head_width)
    std::vector<size_t> edges;    // of `mhla`: first column of each sub-band, and the end
    floats cosine, sine;          // (head_width / 2, step)
    floats mlp;                   // (mlp_width, PANEL)
    floats narrowed;              // (token_share, step)
    floats joined, embedding, logits, small;
    // of a group of frames
    floats bins, places, latents, mixed_in, hidden1, hidden2, mean, log_sigma;
    std::vector<float> conditions;
};

// Parameters by name, their shapes checked.
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

    // Weights times a factor per column, that of the normalisation before it.
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

    static left_map
    left(const std::vector<float>& weights, size_t rows, size_t depth, const std::vector<float>& bias = {})
    {
        left_map map{ floats(round_up(rows, BLOCK) * depth, 0.0f), floats(bias.begin(), bias.end()), rows, depth };
        for (size_t r = 0; r < rows; ++r)
            for (size_t k = 0; k < depth; ++k)
                map.packed[r / BLOCK * BLOCK * depth + k * BLOCK + r % BLOCK] = weights[r * depth + k];
        return map;
    }

    // weights: (columns, depth), as a linear layer has them.
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

    left_map left(const std::string& name, size_t rows, size_t depth, const std::vector<float>& scale) const
    {
        return left(matrix(name + ".weight", rows, depth, scale), rows, depth);
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

    layer read_layer(size_t number, const encoder_sizes& s) const
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
            read.up_kv = left(up_kv, 2 * q_rows, s.kv_rank);
        } else {
            qkv = matrix(attention + "qkv.weight", q_rows + 2 * kv_rows, s.width, norm);
        }
        if (s.attention == "mhla") {
            const size_t parts = s.mhla_blocks + 1;
            const float* logits = (*this)(attention + "mix", { s.heads, parts, parts }).values;
            for (size_t h = 0; h < s.heads; ++h, logits += parts * parts)
                read.mix.push_back(left(mixing(logits, parts), parts, parts));
        }
        if (s.attention != "linear" && s.attention != "mhla") // so that the softmax is of powers of two
            for (size_t i = 0; i < q_rows * s.width; ++i)
                qkv[i] *= LOG2_E / std::sqrt(static_cast<float>(s.head_width()));
        read.qkv = left(qkv, qkv.size() / s.width, s.width);
        read.out = left(attention + "out", s.width, s.width, {});
        read.up = left(block + "mlp.up", s.mlp_width, s.width, vector(block + "norm_mlp.weight", s.width));
        read.down = left(block + "mlp.down", s.width, s.mlp_width, {});
        return read;
    }
};

encoder_network::encoder_network(const encoder_sizes& sizes,
                                 const std::map<std::string, encoder_parameter>& parameters,
                                 isa which)
    : d_sizes(sizes), d_isa(which), d_ops(encoder_ops_for(which))
{
    const encoder_sizes& s = d_sizes;
    const reader read{ parameters };
    const std::vector<std::string> families = { "softmax", "grouped", "linear", "latent", "mhla" };
    if (std::find(families.begin(), families.end(), s.attention) == families.end())
        throw std::invalid_argument("attention " + s.attention +
                                    " is not one of softmax, grouped, linear, latent, mhla");

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
        d_layers.push_back(read.read_layer(number, s));

    d_head_scale = read.vector("heads.norm.weight", s.width);
    d_head_embed = read.right("heads.embed", s.embedding, 3 * s.width);
    d_classes = read.right("heads.classes", s.labels, s.embedding);
    constexpr size_t ANOMALY_WIDTH = 32;
    d_anomaly_in = read.right("heads.anomaly.0", ANOMALY_WIDTH, s.embedding);
    d_anomaly_out = read.right("heads.anomaly.2", 1, ANOMALY_WIDTH);
    d_temperature = read("temperature", {}).values[0];

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

encoder_network::~encoder_network() = default;

void encoder_network::multiply(
    const left_map& map, const float* x, size_t x_step, float* y, size_t y_step, size_t columns, bool add) const
{
    d_ops.multiply({ map.packed.data(),
                     BLOCK * map.depth,
                     BLOCK,
                     x,
                     PANEL,
                     x_step,
                     y,
                     y_step,
                     map.rows,
                     columns,
                     map.depth,
                     add });
}

// x: row r's element k at x[r / lanes * lanes * depth + k * lanes + r % lanes].
void encoder_network::multiply(
    const right_map& map, const float* x, size_t lanes, size_t rows, float* y, size_t y_step, bool add) const
{
    const size_t columns = round_up(map.columns, LANES);
    if (!map.bias.empty())
        for (size_t r = 0; r < rows; ++r)
            std::copy(map.bias.begin(), map.bias.end(), y + r * y_step);
    d_ops.multiply({ x,
                     lanes * map.depth,
                     lanes,
                     map.packed.data(),
                     PANEL * map.depth,
                     PANEL,
                     y,
                     y_step,
                     rows,
                     columns,
                     map.depth,
                     add || !map.bias.empty() });
}

void encoder_network::encode(
    const frames& in, size_t kept, policy rule, bool heads_only, size_t threads, const results& out) const
{
    if (kept < 1 || kept > d_sizes.n_tokens())
        throw std::invalid_argument("k = " + std::to_string(kept) + " is outside 1.." +
                                    std::to_string(d_sizes.n_tokens()));
    if (rule == policy::random && !in.noise)
        throw std::invalid_argument("policy 'random' needs its noise, uniform in (0, 1), one value per token");
    for (size_t i = 0; i < in.count; ++i)
        if (in.bands[i] < 0 || static_cast<size_t>(in.bands[i]) >= d_sizes.bands)
            throw std::invalid_argument("band " + std::to_string(in.bands[i]) + " is outside 0.." +
                                        std::to_string(d_sizes.bands - 1));
    if (in.count == 0)
        return;
    const auto run = [&](size_t first, size_t last) {
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
        encode_range(in, first, last, *work, out);
        const std::lock_guard<std::mutex> guard(d_mutex);
        d_idle.push_back(std::move(work));
    };
    const size_t parts = std::max<size_t>(1, std::min(threads, in.count));
    std::vector<std::future<void>> others;
    for (size_t part = 1; part < parts; ++part)
        others.push_back(std::async(std::launch::async, run, in.count * part / parts, in.count * (part + 1) / parts));
    run(0, in.count / parts);
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
    work.kv.resize(s.attention == "latent" ? 2 * s.width * work.step : 0);
    work.mixed.resize(s.width * work.step);
    work.attention.resize(std::max(work.tokens, 2 * s.head_width()) * std::max(PANEL, s.head_width()));
    work.values.resize(2 * work.step * round_up(s.head_width(), LANES));
    work.inverse.resize(work.step);
    work.summary.resize(s.head_width() * (round_up(s.head_width(), LANES) + 1) + BLOCK);
    if (s.attention == "mhla") {
        const size_t padded = round_up(s.head_width(), LANES);
        work.of_parts.resize((s.mhla_blocks + 1) * (s.head_width() + 1) * padded);
        work.mixed_parts.resize(work.of_parts.size());
        work.attention.resize(std::max(work.attention.size(), s.head_width() * (work.step + LANES)));
    }
    work.cosine.resize(half * work.step);
    work.sine.resize(half * work.step);
    work.mlp.resize(s.mlp_width * PANEL);
    work.narrowed.resize(s.token_share * work.step);
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
            d_ops.normalise(work.x.data(), work.step, work.norm.data(), work.step, s.width, work.step);
            if (!work.heads_only)
                fill_places(work, lane);
            answer(work, out, frame);
        }
        if (!work.heads_only)
            reconstruct(in, start, count, work, out);
    }
}

// Where a frame's value k stands among those of its group.
static size_t place_of(size_t lane, size_t lanes, size_t depth, size_t k)
{
    return lane / lanes * lanes * depth + k * lanes + lane % lanes;
}

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
        multiply(d_score_in, x, columns, work.hidden.data(), columns, columns, true);
        d_ops.silu(work.hidden.data(), s.score_width * columns);
        std::fill(work.scores.begin(), work.scores.end(), d_score_out.bias[0]);
        multiply(d_score_out, work.hidden.data(), columns, scores, columns, columns, true);
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
            scores[m] = x[(s.stride + 1) * columns + m] - entropy / std::log(static_cast<float>(s.stride));
        }
    }
}

void encoder_network::choose(const uint8_t* wanted, workspace& work) const
{
    const size_t n = d_sizes.n_tokens(), kept = work.kept;
    const float* scores = work.scores.data();
    work.keep.assign(n, kept == n);
    if (kept < n) {
        float before_others = 0.0f;
        if (wanted) {
            const auto ends = std::minmax_element(scores, scores + n);
            before_others = *ends.second - *ends.first + 1.0f;
        }
        work.rank.resize(n);
        for (size_t m = 0; m < n; ++m) { // of equal scores the lower frequency first
            const float choice = wanted && wanted[m] ? scores[m] + before_others : scores[m];
            work.rank[m] = static_cast<uint64_t>(sortable(choice)) << 32 | (0xffffffffu - m);
        }
        std::nth_element(work.rank.begin(), work.rank.begin() + kept - 1, work.rank.end(), std::greater<uint64_t>());
        for (size_t i = 0; i < kept; ++i)
            work.keep[0xffffffffu - static_cast<uint32_t>(work.rank[i])] = 1;
    }
    work.index.clear();
    for (size_t m = 0; m < n; ++m)
        if (work.keep[m])
            work.index.push_back(m);
}

void encoder_network::write_keep_statistics(const workspace& work, float* to) const
{
    for (const uint8_t side : { 1, 0 }) {
        size_t n = 0;
        float sum = 0.0f, square = 0.0f, low = std::numeric_limits<float>::infinity(), high = -low;
        for (size_t m = 0; m < work.keep.size(); ++m)
            if (work.keep[m] == side) {
                ++n;
                sum += work.scores[m];
                low = std::min(low, work.scores[m]);
                high = std::max(high, work.scores[m]);
            }
        const float mean = n ? sum / n : 0.0f;
        for (size_t m = 0; m < work.keep.size(); ++m)
            if (work.keep[m] == side)
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
    std::copy(d_start.begin(), d_start.end(), work.embedded.begin());
    multiply(d_embed, work.normalised.data(), columns, work.embedded.data(), columns, columns, true);

    multiply(d_condition_in, work.condition, 1, 1, work.told_hidden.data(), 0, false);
    d_ops.silu(work.told_hidden.data(), work.told_hidden.size());
    multiply(d_condition_out, work.told_hidden.data(), 1, 1, work.told.data(), 0, false);
    if (s.band_token)
        for (size_t e = 0; e < s.width; ++e)
            work.told[e] += d_band_vectors[band * s.width + e];

    for (size_t e = 0; e < s.width; ++e) {
        float* to = work.x.data() + e * work.step;
        const float* from = work.embedded.data() + e * columns;
        to[0] = work.told[e];
        for (size_t i = 0; i < work.kept; ++i)
            to[work.special + i] = from[work.index[i]];
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
    for (size_t p = 0; p < s.sub_bands; ++p) {
        work.dropped.clear();
        for (size_t m = p * size; m < (p + 1) * size; ++m)
            if (!work.keep[m])
                work.dropped.push_back(m);
        for (size_t e = 0; e < s.width; ++e) {
            const float* from = work.embedded.data() + e * columns;
            float sum = 0.0f;
            for (const uint32_t m : work.dropped)
                sum += from[m];
            work.x[e * work.step + 1 + p] = sum / std::max<size_t>(work.dropped.size(), 1) + d_background[e];
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
    if (d_rotations.size() >= MOST_ROTATIONS) // bin widths without end: start again
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
        work.inverse[t] = 1.0f / (work.inverse[t] + EPS_LINEAR);
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
            inverse[t] = 1.0f / (normaliser[t - start] + EPS_LINEAR);
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

// What the encoded tokens say of their place in the spectrum, and of those that were dropped.
void encoder_network::fill_places(workspace& work, size_t lane) const
{
    const encoder_sizes& s = d_sizes;
    const size_t share = s.token_share;
    multiply(d_narrow, work.norm.data(), work.step, work.narrowed.data(), work.step, work.step, false);
    float* places = work.places.data() + place_of(lane, work.lanes, s.n_tokens() * share, 0);
    size_t column = work.special;
    for (size_t m = 0; m < s.n_tokens(); ++m) {
        for (size_t c = 0; c < share; ++c)
            places[(m * share + c) * work.lanes] = work.keep[m] ? work.narrowed[c * work.step + column] : d_absent[c];
        column += work.keep[m];
    }
}

void encoder_network::answer(workspace& work, const results& out, size_t frame) const
{
    const encoder_sizes& s = d_sizes;
    float* joined = work.joined.data(); // conditioning token, mean and largest of the spectrum's tokens
    for (size_t e = 0; e < s.width; ++e) {
        float* row = work.norm.data() + e * work.step;
        for (size_t t = 0; t < work.tokens; ++t)
            row[t] *= d_head_scale[e];
        joined[e] = row[0];
        d_ops.mean_and_largest(row, work.special, work.tokens, joined + s.width + e, joined + 2 * s.width + e);
    }
    multiply(d_head_embed, joined, 1, 1, work.embedding.data(), 0, false);
    d_ops.silu(work.embedding.data(), work.embedding.size());
    float square = 0.0f;
    for (size_t a = 0; a < s.embedding; ++a)
        square += work.embedding[a] * work.embedding[a];
    const float scale = 1.0f / std::sqrt(square / s.embedding + std::numeric_limits<float>::epsilon());
    for (size_t a = 0; a < s.embedding; ++a)
        work.embedding[a] *= scale;
    if (out.embedding.values)
        std::copy_n(work.embedding.data(), s.embedding, out.embedding.values + frame * out.embedding.step);

    if (out.probabilities.values) {
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
        d_ops.silu(work.small.data(), round_up(d_anomaly_in.columns, LANES));
        multiply(d_anomaly_out, work.small.data(), 1, 1, last, 0, false);
        out.logit.values[frame * out.logit.step] = last[0];
    }
}

// Bottleneck and decoder of a group of frames, whose bins and places stand in the workspace.
void encoder_network::reconstruct(
    const frames& in, size_t first, size_t count, workspace& work, const results& out) const
{
    const encoder_sizes& s = d_sizes;
    const size_t flat = s.flat(), flat_step = round_up(flat, LANES), wide = round_up(s.decoder_width, LANES);
    const size_t lanes = work.lanes, sigma_step = round_up(s.n_tokens(), LANES),
                 mean_step = round_up(s.fft_size, LANES);
    work.latents.resize(GROUP * flat_step);
    work.hidden1.resize(GROUP * wide);
    work.mixed_in.resize(GROUP * std::max(flat + N_CONDITION, wide));
    work.mean.resize(GROUP * mean_step);
    work.log_sigma.resize(GROUP * sigma_step);

    // Rows of y (count, n) as the input of the next map, and more values behind them.
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
    float *latents = work.latents.data(), *hidden = work.hidden1.data();
    multiply(d_bins, work.bins.data(), lanes, count, latents, flat_step, false);
    multiply(d_places, work.places.data(), lanes, count, latents, flat_step, true);
    const float* x = interleave(latents, flat_step, flat, nullptr, 0);
    multiply(d_direct, x, lanes, count, work.mean.data(), mean_step, false);
    x = interleave(latents, flat_step, flat, work.conditions.data(), N_CONDITION);
    multiply(d_hidden1, x, lanes, count, hidden, wide, false);
    d_ops.silu(hidden, count * wide);
    x = interleave(hidden, wide, s.decoder_width, nullptr, 0);
    multiply(d_hidden2, x, lanes, count, hidden, wide, false);
    d_ops.silu(hidden, count * wide);
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
