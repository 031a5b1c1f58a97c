/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

// The kernel alone: levels, floor, tail, refusals. Golden values against NumPy are in tests/tokens/test_tokenizer.py.

#include "frame_sums.h"
#include <boost/test/unit_test.hpp>
#include <gnuradio/fft/fft.h>
#include <gnuradio/io_signature.h>
#include <gnuradio/spectrumencoder/fft_tokenizer.h>
#include <gnuradio/spectrumencoder/keys.h>
#include <gnuradio/spectrumencoder/tokenizer.h>
#include <gnuradio/sync_block.h>
#include <gnuradio/top_block.h>
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <complex>
#include <cstdlib>
#include <limits>
#include <random>
#include <vector>

using gr::spectrumencoder::best_isa;
using gr::spectrumencoder::frame_sums;
using gr::spectrumencoder::isa;
using gr::spectrumencoder::tokenizer;

// Every allocation of this process is counted: these stand before those of the C library for all libraries too.
// A sanitizer has its own, and none is counted then.
static std::atomic<long> allocations{ 0 };
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static constexpr bool COUNTED = false;
#else
static constexpr bool COUNTED = true;
#endif
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);

void* malloc(size_t size) noexcept
{
    ++allocations;
    return __libc_malloc(size);
}
void* calloc(size_t n, size_t size) noexcept
{
    ++allocations;
    return __libc_calloc(n, size);
}
void* realloc(void* old, size_t size) noexcept
{
    ++allocations;
    return __libc_realloc(old, size);
}
void* memalign(size_t alignment, size_t size) noexcept
{
    ++allocations;
    return __libc_memalign(alignment, size);
}
void* aligned_alloc(size_t alignment, size_t size) noexcept
{
    return memalign(alignment, size);
}
int posix_memalign(void** to, size_t alignment, size_t size) noexcept
{
    *to = memalign(alignment, size);
    return *to ? 0 : ENOMEM;
}
}
#endif

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

    frames(tokenizer& kernel, const std::vector<gr_complex>& samples, bool flush = true, bool keep_constant = false)
    {
        const size_t room = kernel.max_frames(samples.size(), flush);
        items.resize(room * kernel.item_size());
        psd.resize(room * kernel.fft_size());
        start.resize(room);
        count = kernel.tokenize(
            samples.data(), samples.size(), 1e6, items.data(), psd.data(), start.data(), flush, keep_constant);
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
    const frames out(kernel, std::vector<gr_complex>(128), true, true);
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

BOOST_AUTO_TEST_CASE(the_loops_of_each_instruction_set_agree_with_double_precision)
{
    const float least = 1e-20f;
    for (isa which : { isa::generic, isa::avx2, isa::avx512 }) {
        if (which > best_isa())
            continue;
        const frame_sums& loops = frame_sums::of(which);
        for (const auto& [n, stride] : std::vector<std::pair<int, int>>{ { 1024, 8 },
                                                                         { 256, 8 },
                                                                         { 768, 24 },
                                                                         { 960, 8 },
                                                                         { 4096, 16 },
                                                                         { 64, 1 },
                                                                         { 27, 9 },
                                                                         { 25, 5 },
                                                                         { 16, 16 } }) {
            BOOST_TEST_CONTEXT("instruction set " << static_cast<int>(which) << ", " << n << " bins, stride " << stride)
            {
                const int tokens = n / stride, windows = 3;
                std::vector<float> sum(n), peak(n), mean(n), psd(n), scratch(3 * n), item(tokens * (stride + 2)),
                    product(2 * n);
                std::vector<double> token_sum(tokens), token_sumsq(tokens);
                std::vector<double> true_sum(n), true_peak(n), true_token(tokens), true_square(tokens);
                const auto bins = noise(n * windows, 1.0f);
                for (int w = 0; w < windows; ++w) {
                    const gr_complex* fft = bins.data() + w * n;
                    loops.add_window(reinterpret_cast<const float*>(fft),
                                     n,
                                     stride,
                                     sum.data(),
                                     peak.data(),
                                     token_sum.data(),
                                     token_sumsq.data(),
                                     scratch.data());
                    std::vector<double> of_token(tokens);
                    for (int i = 0; i < n; ++i) {
                        const double power = std::norm(std::complex<double>(fft[(i + n - n / 2) % n]));
                        true_sum[i] += power;
                        true_peak[i] = std::max(true_peak[i], power);
                        of_token[i / stride] += power;
                    }
                    for (int m = 0; m < tokens; ++m) {
                        true_token[m] += of_token[m];
                        true_square[m] += of_token[m] * of_token[m];
                    }
                }
                loops.mean_levels(sum.data(), n, windows, least, mean.data(), psd.data());
                const float floor_dbfs = -1.5f;
                loops.write_tokens(psd.data(),
                                   peak.data(),
                                   token_sum.data(),
                                   token_sumsq.data(),
                                   n,
                                   stride,
                                   windows,
                                   least,
                                   floor_dbfs,
                                   scratch.data(),
                                   item.data());
                for (int i = 0; i < n; ++i) {
                    BOOST_REQUIRE_CLOSE(sum[i], true_sum[i], 1e-4);
                    BOOST_REQUIRE_CLOSE(peak[i], true_peak[i], 1e-4);
                    BOOST_REQUIRE_SMALL(psd[i] - 10 * std::log10(true_sum[i] / windows), 1e-5);
                    BOOST_REQUIRE_EQUAL(item[i / stride * (stride + 2) + i % stride], psd[i] - floor_dbfs);
                }
                for (int m = 0; m < tokens; ++m) {
                    const double level = true_token[m] / windows;
                    const double deviation = std::sqrt(true_square[m] / windows - level * level);
                    const auto first = true_peak.begin() + m * stride;
                    const double largest = *std::max_element(first, first + stride);
                    const float* extra = &item[m * (stride + 2) + stride];
                    BOOST_REQUIRE_SMALL(extra[0] - (10 * std::log10(largest) - floor_dbfs), 1e-5);
                    BOOST_REQUIRE_SMALL(extra[1] - deviation / level, 1e-5);
                }

                loops.apply_window(reinterpret_cast<const float*>(bins.data()), mean.data(), product.data(), n);
                for (int i = 0; i < n; ++i)
                    BOOST_REQUIRE(gr_complex(product[2 * i], product[2 * i + 1]) == bins[i] * mean[i]);
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(decibels_over_all_that_a_float_holds)
{
    for (isa which : { isa::generic, isa::avx2, isa::avx512 }) {
        if (which > best_isa())
            continue;
        std::vector<float> power;
        for (float p = 1e-20f; p < 3e38f; p *= 1.0173f)
            power.push_back(p);
        power.insert(power.end(), { 1.0f, 0.99999994f, 1.0000001f, 3.4028235e38f, 0.0f, 1e-30f });
        std::vector<float> mean(power.size()), db(power.size());
        const int n = static_cast<int>(power.size());
        frame_sums::of(which).mean_levels(power.data(), n, 1, 1e-20f, mean.data(), db.data());
        for (int i = 0; i < n; ++i) {
            const double truth = 10 * std::log10(std::max<double>(power[i], 1e-20f));
            BOOST_REQUIRE_SMALL(db[i] - truth, 1e-6 + 1.2e-7 * std::abs(truth));
        }
    }
}

BOOST_AUTO_TEST_CASE(the_element_of_a_rank_is_that_of_sorting)
{
    const float infinity = std::numeric_limits<float>::infinity();
    std::mt19937 random(3);
    for (isa which : { isa::generic, isa::avx2, isa::avx512 }) {
        if (which > best_isa())
            continue;
        for (int trial = 0; trial < 600; ++trial) {
            const int n = 1 + random() % 300;
            std::vector<float> values(n);
            for (auto& value : values)
                switch (trial % 6) {
                case 0:
                    value = 1.0f + random() % 1000 * 1e-3f;
                    break;
                case 1:
                    value = 1e-20f;
                    break;
                case 2:
                    value = std::exp(static_cast<float>(random() % 130) - 46.0f);
                    break;
                case 3:
                    value = random() % 3 ? 2.0f : 3.0f;
                    break;
                case 4:
                    value = random() % 2 ? infinity : 3e38f;
                    break;
                default:
                    value = infinity;
                }
            auto sorted = values;
            std::sort(sorted.begin(), sorted.end());
            for (float guess : { 1e-20f, 1.3f, sorted[n / 2] < infinity ? sorted[n / 2] : 7.0f, 3.4028235e38f })
                for (int rank : { 0, n / 4, n - 1 })
                    BOOST_REQUIRE_EQUAL(frame_sums::of(which).of_rank(values.data(), n, rank, guess), sorted[rank]);
        }
    }
}

BOOST_AUTO_TEST_CASE(where_samples_lie_in_memory_changes_no_bit)
{
    tokenizer kernel(1024, 8, 4, 0.5);
    const auto samples = noise(40000, 1.0f);
    const frames at_once(kernel, samples);
    for (int shift : { 1, 3, 7 }) {
        std::vector<gr_complex> moved(shift);
        moved.insert(moved.end(), samples.begin(), samples.end());
        std::vector<float> items(at_once.items.size()), psd(at_once.psd.size());
        std::vector<uint64_t> start(at_once.start.size());
        kernel.tokenize(moved.data() + shift, samples.size(), 1e6, items.data(), psd.data(), start.data(), true);
        BOOST_CHECK(items == at_once.items);
        BOOST_CHECK(psd == at_once.psd);
    }
}

BOOST_AUTO_TEST_CASE(tokenizing_allocates_nothing)
{
    tokenizer kernel(1024, 8, 4);
    const auto samples = noise(1024 * 64, 1.0f);
    frames out(kernel, samples);
    const long before = allocations;
    BOOST_REQUIRE(before > 0 || !COUNTED);
    kernel.tokenize(samples.data(), samples.size(), 1e6, out.items.data(), out.psd.data(), out.start.data(), true);
    const long made = allocations - before;
    BOOST_CHECK_EQUAL(made, 0);
}

namespace {

class source : public gr::sync_block // n samples, without doing much
{
public:
    explicit source(long n)
        : sync_block("source", gr::io_signature::make(0, 0, 0), gr::io_signature::make(1, 1, sizeof(gr_complex))),
          d_left(n)
    {
    }
    int work(int room, gr_vector_const_void_star&, gr_vector_void_star& out) override
    {
        const int n = static_cast<int>(std::min<long>(room, d_left));
        auto* to = static_cast<gr_complex*>(out[0]);
        for (int i = 0; i < n; ++i)
            to[i] = { i % 2 ? 0.5f : -0.5f, 0.0f };
        d_left -= n;
        return n > 0 ? n : WORK_DONE;
    }

private:
    long d_left;
};

class sink : public gr::sync_block
{
public:
    explicit sink(size_t item) : sync_block("sink", gr::io_signature::make(1, 1, item), gr::io_signature::make(0, 0, 0))
    {
    }
    int work(int n, gr_vector_const_void_star&, gr_vector_void_star&) override { return n; }
};

long allocations_of_a_run(int frames)
{
    auto top = gr::make_top_block("top");
    auto from = gnuradio::make_block_sptr<source>(frames * 1024L * 4);
    auto block = gr::spectrumencoder::fft_tokenizer::make(1024, 8, 4, 0.0, "hann", 1e6, 0.0, 0.0, 64, false);
    auto tokens = gnuradio::make_block_sptr<sink>(block->item_size() * sizeof(float));
    auto psd = gnuradio::make_block_sptr<sink>(1024 * sizeof(float));
    top->connect(from, 0, block, 0);
    top->connect(block, 0, tokens, 0);
    top->connect(block, 1, psd, 0);
    const long before = allocations;
    top->run();
    BOOST_CHECK_EQUAL(block->frames(), static_cast<uint64_t>(frames));
    return allocations - before;
}

} // namespace

BOOST_AUTO_TEST_CASE(frames_cost_the_block_no_allocations)
{
    const long few = allocations_of_a_run(100), many = allocations_of_a_run(20100);
    BOOST_TEST_MESSAGE("allocations of 100 frames " << few << ", of 20,100 frames " << many);
    BOOST_CHECK_LT(many - few, 2000);
}

BOOST_AUTO_TEST_CASE(keys_are_interned_symbols)
{
    BOOST_CHECK(gr::spectrumencoder::keys::rx_freq() == pmt::intern("rx_freq"));
    BOOST_CHECK_EQUAL(gr::spectrumencoder::keys::vocabulary().at("STATUS_STATE"), "status");
}
