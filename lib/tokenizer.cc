/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <gnuradio/fft/window.h>
#include <gnuradio/spectrumencoder/tokenizer.h>
#include <volk/volk.h>
#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <numeric>
#include <sstream>
#include <stdexcept>

namespace gr {
namespace spectrumencoder {

namespace {

using window_function = std::vector<float> (*)(int);

const std::map<std::string, window_function>& window_functions()
{
    static const std::map<std::string, window_function> functions = {
        { "blackman", [](int n) { return fft::window::blackman(n); } },
        { "blackmanharris", [](int n) { return fft::window::blackman_harris(n); } },
        { "flattop", [](int n) { return fft::window::flattop(n); } },
        { "hamming", [](int n) { return fft::window::hamming(n); } },
        { "hann", [](int n) { return fft::window::hann(n); } },
        { "nuttall", [](int n) { return fft::window::nuttall(n); } },
        { "rectangular", [](int n) { return fft::window::rectangular(n); } },
    };
    return functions;
}

template <class T>
[[noreturn]] void refuse(const char* argument, T value, const std::string& range)
{
    std::ostringstream message;
    message << argument << ' ' << value << ' ' << range;
    throw std::invalid_argument(message.str());
}

int checked_fft_size(int fft_size)
{
    if (fft_size < tokenizer::MIN_FFT_SIZE || fft_size > tokenizer::MAX_FFT_SIZE)
        refuse("fft_size", fft_size, "is outside 16..65536");
    return fft_size;
}

int checked_stride(int fft_size, int stride)
{
    if (stride < 1 || stride > fft_size)
        refuse("stride", stride, "is outside 1..fft_size " + std::to_string(fft_size));
    if (fft_size % stride)
        refuse("stride", stride, "does not divide fft_size " + std::to_string(fft_size));
    return stride;
}

int checked_hop(int fft_size, double overlap)
{
    if (!(overlap >= 0.0 && overlap <= tokenizer::MAX_OVERLAP)) // also refuses NaN
        refuse("overlap", overlap, "is outside 0..0.95");
    return static_cast<int>(std::nearbyint(fft_size * (1.0 - overlap)));
}

volk::vector<float> unit_gain_window(const std::string& name, int fft_size)
{
    const auto found = window_functions().find(name);
    if (found == window_functions().end()) {
        std::string names;
        for (const auto& known : tokenizer::window_names())
            names += (names.empty() ? "" : ", ") + known;
        refuse("window", "'" + name + "'", "is not one of " + names);
    }
    const std::vector<float> taps = found->second(fft_size);
    const double sum = std::accumulate(taps.begin(), taps.end(), 0.0);
    volk::vector<float> window(fft_size);
    std::transform(
        taps.begin(), taps.end(), window.begin(), [sum](float tap) { return static_cast<float>(tap / sum); });
    return window;
}

// Quantile 0.25 of a unit-mean gamma variable of shape k (mean of k exponential powers).
// Wilson, Hilferty: The distribution of chi-square, PNAS 17 (1931).
double quartile_of_mean_noise(int k)
{
    constexpr double z = -0.6744898; // standard normal quantile 0.25
    const double v = 1.0 / (9.0 * k);
    return std::pow(1.0 - v + z * std::sqrt(v), 3);
}

constexpr float DB_PER_OCTAVE = 3.01029995663981195f; // 10 log10(2)

// 10 log10 of n powers, clamped from below.
void power_to_db(float* db, const float* power, int n)
{
    constexpr float least = static_cast<float>(tokenizer::POWER_FLOOR);
    for (int i = 0; i < n; ++i)
        db[i] = std::max(power[i], least);
    volk_32f_log2_32f(db, db, n);
    volk_32f_s32f_multiply_32f(db, db, DB_PER_OCTAVE, n);
}

} // namespace

tokenizer::tokenizer(int fft_size, int stride, int average, double overlap, const std::string& window)
    : d_fft_size(checked_fft_size(fft_size)),
      d_stride(checked_stride(fft_size, stride)),
      d_hop(checked_hop(fft_size, overlap)),
      d_average((check_average(average), average)),
      d_window(unit_gain_window(window, fft_size)),
      d_power(fft_size),
      d_mean(fft_size),
      d_peak(fft_size),
      d_scratch(fft_size + 1),
      d_histogram(1 << 12),
      d_token_peak(fft_size / stride),
      d_token_sum(fft_size / stride),
      d_token_sumsq(fft_size / stride)
{
    d_fft = std::make_unique<fft::fft_complex_fwd>(fft_size);
    reset();
}

int tokenizer::item_size(int fft_size, int stride)
{
    const int used = checked_fft_size(fft_size) / checked_stride(fft_size, stride) * (stride + 2) + 8;
    return (used + 63) / 64 * 64;
}

const std::vector<std::string>& tokenizer::window_names()
{
    static const std::vector<std::string> names = [] {
        std::vector<std::string> all;
        for (const auto& entry : window_functions())
            all.push_back(entry.first);
        return all;
    }();
    return names;
}

void tokenizer::check_average(int average)
{
    if (average < 1 || average > MAX_AVERAGE)
        refuse("average", average, "is outside 1..64");
}

void tokenizer::set_average(int average)
{
    check_average(average);
    d_average = average;
    reset();
}

void tokenizer::reset()
{
    d_windows = 0;
    d_finite = true;
    std::fill(d_mean.begin(), d_mean.end(), 0.0f);
    std::fill(d_peak.begin(), d_peak.end(), 0.0f);
    std::fill(d_token_sum.begin(), d_token_sum.end(), 0.0);
    std::fill(d_token_sumsq.begin(), d_token_sumsq.end(), 0.0);
}

void tokenizer::add_window(const gr_complex* samples)
{
    volk_32fc_32f_multiply_32fc(d_fft->get_inbuf(), samples, d_window.data(), d_fft_size);
    d_fft->execute();

    // Magnitude squared and fftshift in one: the negative frequencies are the upper part of the FFT's output.
    const int negative = d_fft_size / 2;
    const gr_complex* bins = d_fft->get_outbuf();
    volk_32fc_magnitude_squared_32f(d_power.data(), bins + d_fft_size - negative, negative);
    volk_32fc_magnitude_squared_32f(d_power.data() + negative, bins, d_fft_size - negative);
    volk_32f_x2_add_32f(d_mean.data(), d_mean.data(), d_power.data(), d_fft_size);
    volk_32f_x2_max_32f(d_peak.data(), d_peak.data(), d_power.data(), d_fft_size);

    double total = 0.0;
    const float* power = d_power.data();
    for (size_t m = 0; m < d_token_sum.size(); ++m, power += d_stride) {
        const double token = std::accumulate(power, power + d_stride, 0.0f);
        d_token_sum[m] += token;
        d_token_sumsq[m] += token * token; // double: spread is a small difference of large sums
        total += token;
    }
    d_finite = d_finite && std::isfinite(total);
    ++d_windows;
}

void tokenizer::finish_frame(float* item, float* psd, double samp_rate)
{
    volk_32f_s32f_multiply_32f(d_mean.data(), d_mean.data(), 1.0f / d_windows, d_fft_size);
    power_to_db(psd, d_mean.data(), d_fft_size);

    const double quartile = std::max<double>(mean_power_of_rank(d_fft_size / 4), POWER_FLOOR);
    const float floor_dbfs = static_cast<float>(10.0 * std::log10(quartile / quartile_of_mean_noise(d_windows)));

    write_tokens(item, psd, floor_dbfs);
    float* side = item + n_tokens() * token_dim();
    side[0] = floor_dbfs;
    side[1] = static_cast<float>(d_windows);
    side[2] = static_cast<float>(samp_rate / d_fft_size);
    std::fill(side + 3, item + item_size(), 0.0f);
    reset();
}

// The element that sorting d_mean would put at `rank`. The bits of a float that is not negative sort as it does: one
// histogram of their upper 12 finds the bucket, nth_element the element in it (alone it would take six times as long at
// N = 1024).
float tokenizer::mean_power_of_rank(int rank)
{
    constexpr int LOWER_BITS = 20;
    const auto bucket_of = [](float power) {
        uint32_t bits;
        std::memcpy(&bits, &power, sizeof(bits));
        return bits >> LOWER_BITS;
    };
    std::fill(d_histogram.begin(), d_histogram.end(), 0);
    for (const float power : d_mean)
        ++d_histogram[bucket_of(power)];
    uint32_t bucket = 0;
    while (rank >= d_histogram[bucket])
        rank -= d_histogram[bucket++];

    int n = 0;
    for (const float power : d_mean) {
        d_scratch[n] = power;
        n += bucket_of(power) == bucket; // without a branch
    }
    std::nth_element(d_scratch.begin(), d_scratch.begin() + rank, d_scratch.begin() + n);
    return d_scratch[rank];
}

void tokenizer::write_tokens(float* tokens, const float* psd, float floor_dbfs)
{
    const int n = n_tokens();
    for (int m = 0; m < n; ++m) {
        const auto first = d_peak.begin() + m * d_stride;
        d_token_peak[m] = *std::max_element(first, first + d_stride);
    }
    power_to_db(d_token_peak.data(), d_token_peak.data(), n);

    for (int m = 0; m < n; ++m, psd += d_stride) {
        for (int s = 0; s < d_stride; ++s)
            *tokens++ = psd[s] - floor_dbfs;
        *tokens++ = d_token_peak[m] - floor_dbfs;
        const double mean = d_token_sum[m] / d_windows;
        const double variance = d_token_sumsq[m] / d_windows - mean * mean;
        *tokens++ =
            d_windows > 1 && mean > 0.0 && variance > 0.0 ? static_cast<float>(std::sqrt(variance) / mean) : 0.0f;
    }
}

size_t tokenizer::max_frames(size_t n_samples, bool flush) const
{
    if (n_samples < static_cast<size_t>(d_fft_size))
        return 0;
    const size_t windows = (n_samples - d_fft_size) / d_hop + 1;
    return (windows + (flush ? d_average - 1 : 0)) / d_average;
}

size_t tokenizer::tokenize(const gr_complex* samples,
                           size_t n_samples,
                           double samp_rate,
                           float* items,
                           float* psd,
                           uint64_t* frame_start,
                           bool flush)
{
    reset();
    size_t written = 0;
    const size_t frames = max_frames(n_samples, flush);
    for (size_t frame = 0; frame < frames; ++frame) {
        const size_t start = frame * frame_hop();
        for (size_t at = start; !complete() && at + d_fft_size <= n_samples; at += d_hop)
            add_window(samples + at);
        if (!finite()) {
            reset();
            continue;
        }
        finish_frame(items + written * item_size(), psd + written * d_fft_size, samp_rate);
        frame_start[written++] = start;
    }
    return written;
}

} // namespace spectrumencoder
} // namespace gr
