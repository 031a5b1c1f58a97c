/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "frame_sums.h"
#include <gnuradio/fft/window.h>
#include <gnuradio/spectrumencoder/tokenizer.h>
#include <algorithm>
#include <cmath>
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

} // namespace

tokenizer::tokenizer(int fft_size, int stride, int average, double overlap, const std::string& window)
    : d_fft_size(checked_fft_size(fft_size)),
      d_stride(checked_stride(fft_size, stride)),
      d_hop(checked_hop(fft_size, overlap)),
      d_average((check_average(average), average)),
      d_loops(frame_sums::of(best_isa())),
      d_window(unit_gain_window(window, fft_size)),
      d_sum(fft_size),
      d_peak(fft_size),
      d_mean(fft_size),
      d_scratch(3 * fft_size),
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
    d_samples = d_clipped = 0;
    d_run.reset();
    std::fill(d_sum.begin(), d_sum.end(), 0.0f);
    std::fill(d_peak.begin(), d_peak.end(), 0.0f);
    std::fill(d_token_sum.begin(), d_token_sum.end(), 0.0);
    std::fill(d_token_sumsq.begin(), d_token_sumsq.end(), 0.0);
}

void tokenizer::add_window(const gr_complex* samples)
{
    const float largest = d_loops.apply_window(reinterpret_cast<const float*>(samples),
                                               d_window.data(),
                                               reinterpret_cast<float*>(d_fft->get_inbuf()),
                                               d_fft_size);
    const int added = d_windows == 0 ? d_fft_size : d_hop; // the others lie in the windows before
    check_samples(samples + d_fft_size - added, added, largest);
    d_fft->execute();
    d_loops.add_window(
        reinterpret_cast<const float*>(d_fft->get_outbuf()),
        d_fft_size,
        d_stride,
        d_sum.data(),
        d_peak.data(),
        d_token_sum.data(),
        d_token_sumsq.data(),
        reinterpret_cast<float*>(d_fft->get_inbuf())); // scratch: it is in the cache and no longer needed
    ++d_windows;
}

// The samples that a window adds to its frame; `largest` is that of the whole window.
void tokenizer::check_samples(const gr_complex* samples, int n, float largest)
{
    d_samples += n;
    if (largest >= FULL_SCALE)
        d_clipped += d_loops.count_beyond(reinterpret_cast<const float*>(samples), n, FULL_SCALE);
    d_run.add(samples, n);
}

// NaN and infinity stay in a sum. A window's powers are summed in float, like its bins, so an overflow shows too.
bool tokenizer::finite() const
{
    return std::all_of(d_token_sum.begin(), d_token_sum.end(), [](double sum) { return std::isfinite(sum); });
}

void tokenizer::finish_frame(float* item, float* psd, double samp_rate)
{
    constexpr float least = static_cast<float>(POWER_FLOOR);
    d_loops.mean_levels(d_sum.data(), d_fft_size, d_windows, least, d_mean.data(), psd);

    d_quartile = d_loops.of_rank(d_mean.data(), d_fft_size, d_fft_size / 4, d_quartile);
    const float floor_dbfs = static_cast<float>(10.0 * std::log10(d_quartile / quartile_of_mean_noise(d_windows)));

    d_loops.write_tokens(psd,
                         d_peak.data(),
                         d_token_sum.data(),
                         d_token_sumsq.data(),
                         d_fft_size,
                         d_stride,
                         d_windows,
                         least,
                         floor_dbfs,
                         d_scratch.data(),
                         item);
    float* side = item + n_tokens() * token_dim();
    side[0] = floor_dbfs;
    side[1] = static_cast<float>(d_windows);
    side[2] = static_cast<float>(samp_rate / d_fft_size);
    side[3] = static_cast<float>(static_cast<double>(d_clipped) / d_samples);
    std::fill(side + 4, item + item_size(), 0.0f);
    reset();
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
                           bool flush,
                           bool keep_constant)
{
    reset();
    size_t written = 0;
    const size_t frames = max_frames(n_samples, flush);
    for (size_t frame = 0; frame < frames; ++frame) {
        const size_t start = frame * frame_hop();
        for (size_t at = start; !complete() && at + d_fft_size <= n_samples; at += d_hop)
            add_window(samples + at);
        if (!finite() || (constant() && !keep_constant)) {
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
