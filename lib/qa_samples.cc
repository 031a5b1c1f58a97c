/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

// The tokenizer's look at the samples themselves: those at full scale, and runs of identical ones.

#include "frame_sums.h"
#include <boost/test/unit_test.hpp>
#include <gnuradio/spectrumencoder/constant_run.h>
#include <gnuradio/spectrumencoder/tokenizer.h>
#include <algorithm>
#include <cmath>
#include <complex>
#include <limits>
#include <random>
#include <utility>
#include <vector>

using gr::spectrumencoder::best_isa;
using gr::spectrumencoder::constant_run;
using gr::spectrumencoder::frame_sums;
using gr::spectrumencoder::isa;
using gr::spectrumencoder::tokenizer;

namespace {

constexpr int RUN = constant_run::MIN_LENGTH;
constexpr float NOT_A_NUMBER = std::numeric_limits<float>::quiet_NaN();

std::vector<gr_complex> noise(size_t n, float sigma)
{
    std::mt19937 random(7);
    std::normal_distribution<float> normal(0.0f, sigma);
    std::vector<gr_complex> samples(n);
    for (auto& sample : samples)
        sample = { normal(random), normal(random) };
    return samples;
}

// 8-bit samples, as of a quiet receiver: neighbours are often equal.
std::vector<gr_complex> quantised(size_t n, float sigma)
{
    auto samples = noise(n, sigma);
    for (auto& sample : samples)
        sample = { std::rint(sample.real() * 128) / 128, std::rint(sample.imag() * 128) / 128 };
    return samples;
}

// Of samples below full scale.
int longest_run(const std::vector<gr_complex>& samples)
{
    int longest = 0, length = 0;
    for (size_t i = 0; i < samples.size(); ++i) {
        length = i > 0 && samples[i] == samples[i - 1] ? length + 1 : 1;
        if (std::abs(samples[i].real()) < 0.99f && std::abs(samples[i].imag()) < 0.99f)
            longest = std::max(longest, length);
    }
    return longest;
}

// Parts of random lengths 1..longest.
bool found_in_parts(const std::vector<gr_complex>& samples, int longest, std::mt19937& random)
{
    constant_run run;
    for (size_t at = 0; at < samples.size();) {
        const int n = std::min<size_t>(1 + random() % longest, samples.size() - at);
        run.add(samples.data() + at, n);
        at += n;
    }
    return run.found();
}

struct tokens {
    std::vector<float> items;
    std::vector<uint64_t> start;

    tokens(tokenizer& kernel, const std::vector<gr_complex>& samples, bool keep_constant = false)
    {
        const size_t room = kernel.max_frames(samples.size(), true);
        items.resize(room * kernel.item_size());
        std::vector<float> psd(room * kernel.fft_size());
        start.resize(room);
        const size_t n = kernel.tokenize(
            samples.data(), samples.size(), 1e6, items.data(), psd.data(), start.data(), true, keep_constant);
        start.resize(n);
        items.resize(n * kernel.item_size());
    }

    float clipped_share(const tokenizer& kernel, size_t frame) const
    {
        return items[frame * kernel.item_size() + kernel.n_tokens() * kernel.token_dim() + 3];
    }
};

using starts = std::vector<uint64_t>;

} // namespace

BOOST_AUTO_TEST_CASE(a_run_is_found_from_its_min_length_on)
{
    constexpr int n = 8 * RUN;
    for (int at : { 0, 1, RUN / 2 - 1, RUN / 2, 4 * RUN - 12, 7 * RUN })
        for (int length : { RUN - 1, RUN, RUN + 1 }) {
            auto samples = noise(n, 0.1f);
            length = std::min(length, n - at);
            std::fill_n(samples.begin() + at, length, gr_complex(0.25f, -0.5f));
            constant_run run;
            run.add(samples.data(), n);
            BOOST_CHECK_EQUAL(run.found(), length >= RUN);
            run.reset();
            BOOST_CHECK(!run.found());
        }
}

BOOST_AUTO_TEST_CASE(a_run_is_found_wherever_the_parts_split)
{
    constexpr int n = 3 * RUN;
    for (int length : { RUN - 1, RUN }) {
        auto samples = noise(n, 0.1f);
        std::fill_n(samples.begin() + RUN + 2, length, gr_complex());
        for (int split = 1; split < n; ++split) {
            constant_run run;
            run.add(samples.data(), split);
            run.add(samples.data() + split, n - split);
            BOOST_REQUIRE_EQUAL(run.found(), length == RUN);
        }
    }
}

BOOST_AUTO_TEST_CASE(runs_are_those_of_a_plain_search)
{
    std::mt19937 random(5);
    int found = 0;
    for (int trial = 0; trial < 400; ++trial) {
        auto samples = quantised(1 + random() % (12 * RUN), 0.3f / 128); // runs of tens of samples
        for (int n = random() % 4; n > 0; --n) {
            const size_t at = random() % samples.size();
            const gr_complex value = random() % 2 ? samples[at] : gr_complex(0.992f, 0.0f);
            std::fill_n(samples.begin() + at, std::min<size_t>(RUN - 28 + random() % 40, samples.size() - at), value);
        }
        const bool truth = longest_run(samples) >= RUN;
        BOOST_REQUIRE_EQUAL(found_in_parts(samples, 1 + random() % (6 * RUN), random), truth);
        found += truth;
    }
    BOOST_CHECK(found > 50 && found < 350);
}

BOOST_AUTO_TEST_CASE(a_run_at_full_scale_is_none_and_hides_none)
{
    const float below = std::nextafter(0.99f, 0.0f);
    const std::vector<std::pair<gr_complex, bool>> cases = { { { 0.99f, 0.0f }, false },
                                                             { { 0.0f, -0.99f }, false },
                                                             { { -1.0f, 1.0f }, false },
                                                             { { below, -below }, true },
                                                             { { -below, below }, true } };
    for (const auto& [value, counts] : cases)
        for (int split = 1; split < 3 * RUN; split += 7) {
            auto samples = noise(3 * RUN, 0.1f);
            std::fill_n(samples.begin() + 3, 2 * RUN + 5, value);
            constant_run run;
            run.add(samples.data(), split);
            run.add(samples.data() + split, 3 * RUN - split);
            BOOST_REQUIRE_EQUAL(run.found(), counts);
        }
    for (int length : { RUN - 1, RUN }) // right after the rails
        for (int rails : { 1, RUN - 1, RUN, RUN + 1, 2 * RUN }) {
            auto samples = noise(5 * RUN, 0.1f);
            std::fill_n(samples.begin() + 10, rails, gr_complex(1.0f, -1.0f));
            std::fill_n(samples.begin() + 10 + rails, length, gr_complex());
            constant_run run;
            run.add(samples.data(), 5 * RUN);
            BOOST_CHECK_EQUAL(run.found(), length == RUN);
        }
}

BOOST_AUTO_TEST_CASE(zero_equals_minus_zero_and_nan_equals_nothing)
{
    std::vector<gr_complex> samples(RUN, gr_complex(0.0f, -0.0f));
    samples[50] = gr_complex(-0.0f, 0.0f);
    constant_run zeros;
    zeros.add(samples.data(), RUN);
    BOOST_CHECK(zeros.found());
    samples.assign(2 * RUN, gr_complex(NOT_A_NUMBER, 0.0f));
    constant_run broken;
    broken.add(samples.data(), 2 * RUN);
    BOOST_CHECK(!broken.found());
}

BOOST_AUTO_TEST_CASE(each_instruction_set_finds_the_largest_sample_and_counts_those_beyond)
{
    for (isa which : { isa::generic, isa::avx2, isa::avx512 }) {
        if (which > best_isa())
            continue;
        const frame_sums& loops = frame_sums::of(which);
        for (int n : { 1, 16, 25, 64, 1000, 1024 })
            for (int at : { 0, n / 3, n - 1 })
                for (gr_complex loud : { gr_complex(0.9f, 0.0f), { -0.9f, 0.1f }, { 0.2f, 0.9f }, { 0.0f, -0.9f } }) {
                    auto samples = noise(n, 0.01f);
                    samples[at] = loud;
                    std::vector<float> window(n, 0.5f), out(2 * n);
                    const float* from = reinterpret_cast<const float*>(samples.data());
                    BOOST_REQUIRE_EQUAL(loops.apply_window(from, window.data(), out.data(), n), 0.9f);
                    BOOST_REQUIRE_EQUAL(loops.count_beyond(from, n, 0.9f), 1);
                    BOOST_REQUIRE_EQUAL(loops.count_beyond(from, n, 0.91f), 0);
                    samples[at] = { 0.95f, -0.95f }; // one sample, two parts
                    BOOST_REQUIRE_EQUAL(loops.count_beyond(from, n, 0.9f), 1);
                }
    }
}

BOOST_AUTO_TEST_CASE(the_share_of_samples_at_full_scale_is_exact)
{
    for (double overlap : { 0.0, 0.5, 0.75 }) {
        tokenizer kernel(256, 8, 4, overlap);
        const int covered = 3 * kernel.hop() + 256;
        auto samples = noise(2 * kernel.frame_hop() + 256, 0.1f);
        const int second = kernel.frame_hop() + 256; // beyond what the first frame covers
        samples[3] = { 0.99f, 0.0f };
        samples[kernel.hop() + 1] = { 0.0f, -1.0f };
        samples[70] = { 0.98999f, -0.98999f };
        samples[second] = { -5.0f, 5.0f };
        const tokens out(kernel, samples);
        BOOST_REQUIRE(out.start.size() >= 2);
        BOOST_CHECK_EQUAL(out.clipped_share(kernel, 0), static_cast<float>(2.0 / covered));
        BOOST_CHECK_EQUAL(out.clipped_share(kernel, 1), static_cast<float>(1.0 / covered));
    }
    tokenizer kernel(256, 8, 4);
    const tokens quiet(kernel, noise(1024 + 256, 0.1f));
    BOOST_CHECK_EQUAL(quiet.clipped_share(kernel, 0), 0.0f);
    auto loud = noise(1024 + 256, 0.1f);
    std::fill_n(loud.begin() + 1024, 100, gr_complex(1.0f, 0.0f));
    BOOST_CHECK_EQUAL(tokens(kernel, loud).clipped_share(kernel, 1),
                      static_cast<float>(100.0 / 256)); // the short last one
}

BOOST_AUTO_TEST_CASE(a_frame_with_constant_samples_is_left_out_and_the_next_is_right)
{
    tokenizer kernel(RUN, 8, 4);
    constexpr int frame = 4 * RUN;
    const auto clean = noise(5 * frame, 0.1f);
    const tokens all(kernel, clean);
    auto samples = clean;
    std::fill_n(samples.begin() + frame + RUN / 2 + 9, RUN, gr_complex()); // over the border of two windows
    const tokens out(kernel, samples);
    BOOST_CHECK((out.start == starts{ 0, 2 * frame, 3 * frame, 4 * frame }));
    const size_t size = kernel.item_size();
    BOOST_CHECK(std::equal(all.items.begin() + 2 * size, all.items.end(), out.items.begin() + size));
    BOOST_CHECK_EQUAL(tokens(kernel, samples, true).start.size(), 5u);

    samples[frame + RUN] = clean[frame + RUN]; // two shorter runs
    BOOST_CHECK_EQUAL(tokens(kernel, samples).start.size(), 5u);

    samples = clean;
    std::fill_n(samples.begin() + 2 * frame - (RUN - 1), 2 * (RUN - 1), gr_complex()); // RUN - 1 in each of two frames
    BOOST_CHECK_EQUAL(tokens(kernel, samples).start.size(), 5u);

    samples[100] = NOT_A_NUMBER;
    std::fill_n(samples.begin() + 300, 2 * RUN, gr_complex());
    BOOST_CHECK_EQUAL(tokens(kernel, samples, true).start.size(), 4u); // NaN is not kept
}

BOOST_AUTO_TEST_CASE(a_frame_at_the_rails_is_kept_and_says_so)
{
    tokenizer kernel(RUN, 8, 4);
    auto samples = noise(8 * RUN, 0.1f);
    std::fill_n(samples.begin() + 4 * RUN, 4 * RUN, gr_complex(1.0f, -1.0f));
    const tokens out(kernel, samples);
    BOOST_REQUIRE_EQUAL(out.start.size(), 2u);
    BOOST_CHECK_EQUAL(out.clipped_share(kernel, 0), 0.0f);
    BOOST_CHECK_EQUAL(out.clipped_share(kernel, 1), 1.0f);
}

BOOST_AUTO_TEST_CASE(constant_samples_in_the_overlap_drop_both_frames)
{
    tokenizer kernel(2 * RUN, 8, 4, 0.5);
    constexpr int frame = 4 * RUN; // from one to the next; each covers RUN more
    auto samples = noise(4 * frame + RUN, 0.1f);
    std::fill_n(samples.begin() + frame, RUN, gr_complex(0.5f, -0.5f));
    BOOST_CHECK((tokens(kernel, samples).start == starts{ 2 * frame, 3 * frame }));
}
