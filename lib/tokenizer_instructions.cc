/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

// Program for tools/count_instructions.py: runs frames of noise through the kernel. Prints the instruction set and the
// number of windows.

#include "isa.h"
#include <gnuradio/spectrumencoder/tokenizer.h>
#include <iostream>
#include <random>
#include <vector>

using namespace gr::spectrumencoder;

int main()
{
    constexpr int N = 1024, K = 16, WINDOWS = 20 * K;
    tokenizer kernel(N, 8, K);
    std::mt19937 random(7);
    std::vector<gr_complex> samples(N * WINDOWS);
    for (auto& sample : samples)
        sample = { random() * 0x1p-32f - 0.5f, random() * 0x1p-32f - 0.5f };
    const size_t frames = kernel.max_frames(samples.size(), false);
    std::vector<float> items(frames * kernel.item_size()), psd(frames * N);
    std::vector<uint64_t> start(frames);
    kernel.tokenize(samples.data(), samples.size(), 1e6, items.data(), psd.data(), start.data(), false);

    std::cout << isa_name(best_isa()) << ' ' << WINDOWS << '\n';
}
