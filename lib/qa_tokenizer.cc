/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

// The kernel alone: levels, floor, tail, refusals. Golden values against NumPy are in tests/tokens/test_tokenizer.py.

#include <boost/test/unit_test.hpp>
#include <gnuradio/spectrumencoder/keys.h>
#include <gnuradio/spectrumencoder/tokenizer.h>
#include <cmath>
#include <complex>
#include <limits>
#include <random>
#include <vector>

using gr::spectrumencoder::tokenizer;

namespace {

std::vector<gr_complex> tone(size_t n, double cycles_per_sample, float amplitude)
{
    std::vector<gr_complex> samples(n);
    for (size_t i = 0; i < n; ++i)
        samples[i] = std::polar(amplitude, static_cast<float>(2 * M_PI * std::fmod(i * cycles_per_sample, 1.0)));
    return samples;
}

std::vector<gr_complex> noise(size_t n, float sigma)
{
    std::mt19937 random(7);
    std::normal_distribution<float> normal(0.0f, sigma / std::sqrt(2.0f));
    std::vector<gr_complex> samples(n);
    for (auto& sample : samples)
        sample = { normal(random), normal(random) };
    return samples;
}

struct frames {
    std::vector<float> items, psd;
    std::vector<uint64_t> start;
    size_t count;

    frames(tokenizer& kernel, const std::vector<gr_complex>& samples, bool flush = true)
    {
        const size_t room = kernel.max_frames(samples.size(), flush);
        items.resize(room * kernel.item_size());
        psd.resize(room * kernel.fft_size());
        start.resize(room);
        count = kernel.tokenize(samples.data(), samples.size(), 1e6, items.data(), psd.data(), start.data(), flush);
    }
};

} // namespace

BOOST_AUTO_TEST_CASE(full_scale_tone_reads_0_dbfs)
{
    for (const auto& window : tokenizer::window_names()) {
        tokenizer kernel(1024, 8, 2, 0.0, window);
        const frames out(kernel, tone(2048, 100.0 / 1024, 1.0f));
        BOOST_REQUIRE_EQUAL(out.count, 1u);
        BOOST_CHECK_SMALL(out.psd[512 + 100], 1e-4f);
    }
}

BOOST_AUTO_TEST_CASE(floor_reads_the_mean_noise_power_for_any_average)
{
    for (int average : { 1, 2, 4, 16, 64 }) {
        tokenizer kernel(1024, 8, average, 0.0, "rectangular");
        const frames out(kernel, noise(1024 * 256, 0.1f));
        double floor = 0.0;
        for (size_t f = 0; f < out.count; ++f)
            floor += out.items[f * kernel.item_size() + 1280] / out.count;
        BOOST_CHECK_SMALL(floor - 10 * std::log10(0.01 / 1024), 0.15); // Wilson-Hilferty is 0.08 dB off at K = 1
    }
}

BOOST_AUTO_TEST_CASE(silence_is_clamped)
{
    tokenizer kernel(64, 8, 2);
    const frames out(kernel, std::vector<gr_complex>(128));
    BOOST_REQUIRE_EQUAL(out.count, 1u);
    for (float level : out.psd)
        BOOST_CHECK_CLOSE(level, -200.0f, 1e-4);
    BOOST_CHECK_EQUAL(out.items[9], 0.0f); // spread
}

BOOST_AUTO_TEST_CASE(short_last_frame_and_item_layout)
{
    tokenizer kernel(1024, 8, 16);
    BOOST_CHECK_EQUAL(kernel.item_size(), 1344);
    BOOST_CHECK_EQUAL(kernel.frame_hop(), 16384);
    const auto samples = noise(16384 + 5 * 1024 + 1023, 1.0f);
    const frames whole(kernel, samples, false);
    BOOST_CHECK_EQUAL(whole.count, 1u);
    const frames all(kernel, samples);
    BOOST_REQUIRE_EQUAL(all.count, 2u);
    BOOST_CHECK_EQUAL(all.start[1], 16384u);
    BOOST_CHECK_EQUAL(all.items[1281], 16.0f);
    BOOST_CHECK_EQUAL(all.items[1344 + 1281], 5.0f);
    BOOST_CHECK_EQUAL(all.items[1282], static_cast<float>(1e6 / 1024));
    BOOST_CHECK_EQUAL(kernel.max_frames(1023, true), 0u);
}

BOOST_AUTO_TEST_CASE(non_finite_frame_is_left_out_and_the_next_is_right)
{
    tokenizer kernel(256, 8, 4);
    auto samples = noise(256 * 12, 1.0f);
    const frames clean(kernel, samples);
    samples[256 * 4 + 17] = std::numeric_limits<float>::infinity();
    const frames dirty(kernel, samples);
    BOOST_REQUIRE_EQUAL(clean.count, 3u);
    BOOST_REQUIRE_EQUAL(dirty.count, 2u);
    BOOST_CHECK_EQUAL(dirty.start[1], 256u * 8);
    const size_t size = kernel.item_size();
    BOOST_CHECK(std::equal(clean.items.begin() + 2 * size, clean.items.end(), dirty.items.begin() + size));
}

BOOST_AUTO_TEST_CASE(arguments_out_of_range_are_refused)
{
    BOOST_CHECK_THROW(tokenizer(15), std::invalid_argument);
    BOOST_CHECK_THROW(tokenizer(65537, 1), std::invalid_argument);
    BOOST_CHECK_THROW(tokenizer(1024, 0), std::invalid_argument);
    BOOST_CHECK_THROW(tokenizer(1024, 7), std::invalid_argument);
    BOOST_CHECK_THROW(tokenizer(1024, 8, 0), std::invalid_argument);
    BOOST_CHECK_THROW(tokenizer(1024, 8, 65), std::invalid_argument);
    BOOST_CHECK_THROW(tokenizer(1024, 8, 16, -0.1), std::invalid_argument);
    BOOST_CHECK_THROW(tokenizer(1024, 8, 16, 0.96), std::invalid_argument);
    BOOST_CHECK_THROW(tokenizer(1024, 8, 16, std::nan("")), std::invalid_argument);
    BOOST_CHECK_THROW(tokenizer(1024, 8, 16, 0.0, "boxcar"), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(keys_are_interned_symbols)
{
    BOOST_CHECK(gr::spectrumencoder::keys::rx_freq() == pmt::intern("rx_freq"));
    BOOST_CHECK_EQUAL(gr::spectrumencoder::keys::vocabulary().at("STATUS_STATE"), "status");
}
