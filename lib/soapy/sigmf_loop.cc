/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "sigmf_loop.h"
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <nlohmann/json.hpp>

namespace spectrumtest {

namespace {

constexpr size_t MAX_BYTES = size_t(1) << 30;

template <class T>
void convert(const std::vector<char>& bytes, float offset, float scale, std::vector<sample>& out)
{
    out.resize(bytes.size() / (2 * sizeof(T)));
    for (size_t i = 0; i < out.size(); ++i) {
        T pair[2];
        std::memcpy(pair, bytes.data() + i * sizeof(pair), sizeof(pair));
        out[i] = { (float(pair[0]) - offset) * scale, (float(pair[1]) - offset) * scale };
    }
}

} // namespace

sigmf_loop::sigmf_loop(const std::string& path)
{
    const auto refuse = [&path](const std::string& what) -> void {
        throw std::invalid_argument("spectrumtest: file " + path + ": " + what);
    };
    const std::string suffix = ".sigmf-meta";
    if (path.size() <= suffix.size() || path.substr(path.size() - suffix.size()) != suffix)
        refuse("not a .sigmf-meta file");
    std::ifstream meta_file(path);
    if (!meta_file)
        refuse("cannot be read");
    std::string type;
    try {
        const auto meta = nlohmann::json::parse(meta_file);
        type = meta.at("global").at("core:datatype").get<std::string>();
        d_rate = meta.at("global").at("core:sample_rate").get<double>();
        d_freq = meta.at("captures").at(0).at("core:frequency").get<double>();
    } catch (const nlohmann::json::exception& error) {
        refuse(std::string("wants core:datatype, core:sample_rate and a capture's core:frequency: ") + error.what());
    }
    std::ifstream data(path.substr(0, path.size() - suffix.size()) + ".sigmf-data", std::ios::binary | std::ios::ate);
    if (!data || data.tellg() <= 0)
        refuse("its .sigmf-data is missing or empty");
    if (size_t(data.tellg()) > MAX_BYTES)
        refuse("longer than 1 GiB");
    std::vector<char> bytes(size_t(data.tellg()));
    data.seekg(0);
    data.read(bytes.data(), std::streamsize(bytes.size()));
    if (type == "cf32_le")
        convert<float>(bytes, 0.0f, 1.0f, d_samples);
    else if (type == "ci16_le")
        convert<int16_t>(bytes, 0.0f, 1.0f / 32768, d_samples);
    else if (type == "ci8")
        convert<int8_t>(bytes, 0.0f, 1.0f / 128, d_samples);
    else if (type == "cu8")
        convert<uint8_t>(bytes, 127.5f, 1.0f / 127.5f, d_samples);
    else
        refuse("datatype " + type + " is not cf32_le, ci16_le, ci8 or cu8");
    if (d_samples.empty())
        refuse("holds no whole sample");
    d_power = 0.0;
    for (const sample& v : d_samples)
        d_power += std::norm(v) / d_samples.size();
}

void sigmf_loop::render(uint64_t block, const tuning&, sample* out)
{
    size_t at = size_t((block * BLOCK) % d_samples.size());
    for (size_t i = 0; i < BLOCK;) {
        const size_t run = std::min(BLOCK - i, d_samples.size() - at);
        std::copy_n(d_samples.data() + at, run, out + i);
        i += run;
        at = 0;
    }
}

} // namespace spectrumtest
