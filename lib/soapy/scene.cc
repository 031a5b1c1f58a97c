/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "scene.h"
#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <set>
#include <sstream>
#include <stdexcept>
#include <fftw3.h>
#include <nlohmann/json.hpp>

namespace spectrumtest {

namespace {

using nlohmann::json;

constexpr double INF = std::numeric_limits<double>::infinity();
constexpr size_t NOISE_LENGTH = size_t(1) << 18;
constexpr size_t LENGTH_A = 131072, LENGTH_B = 177147; // 2^17 and 3^11: coprime
constexpr float HALF_POWER = 0.70710678f;

double amplitude(double db)
{
    return std::pow(10.0, db / 20.0);
}

// splitmix64: a well mixed number from a seed and a counter
uint64_t mix(uint64_t seed, uint64_t counter)
{
    uint64_t z = seed + 0x9E3779B97F4A7C15u * (counter + 1);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

[[noreturn]] void refuse(const std::string& text)
{
    throw std::invalid_argument("spectrumtest: scene: " + text);
}

double number(const json& object, const char* field, double low, double high, double otherwise)
{
    if (!object.contains(field)) {
        if (std::isnan(otherwise))
            refuse(std::string(field) + " is missing in " + object.dump());
        return otherwise;
    }
    const json& value = object[field];
    if (!value.is_number() || !(value.get<double>() >= low && value.get<double>() <= high)) {
        std::ostringstream text;
        text << field << ' ' << value.dump() << " is not a number from " << low << " to " << high;
        refuse(text.str());
    }
    return value.get<double>();
}

void only_fields(const json& object, const std::set<std::string>& allowed)
{
    if (!object.is_object())
        refuse(object.dump().substr(0, 60) + " is not a JSON object");
    for (const auto& item : object.items())
        if (!allowed.count(item.key()))
            refuse("unknown field " + item.key() + " in " + object.dump().substr(0, 120));
}

emitter read_emitter(const json& object)
{
    static const std::set<std::string> common{
        "type", "freq_hz", "power_dbfs", "start_s", "stop_s", "period_s", "on_s"
    };
    static const double required = std::nan("");
    emitter e{};
    const std::string type = object.is_object() ? object.value("type", std::string()) : std::string();
    std::set<std::string> fields = common;
    if (type == "tone") {
        e.type = emitter::kind::tone;
    } else if (type == "noise") {
        e.type = emitter::kind::noise;
        fields.insert("bandwidth_hz");
        e.bandwidth_hz = number(object, "bandwidth_hz", 1.0, 1e9, required);
    } else if (type == "fm") {
        e.type = emitter::kind::fm;
        fields.insert({ "deviation_hz", "audio_hz" });
        e.deviation_hz = number(object, "deviation_hz", 1.0, 1e7, 75e3);
        e.audio_hz = number(object, "audio_hz", 100.0, 1e6, 15e3);
    } else {
        refuse("an emitter's type is tone, noise or fm, not " + object.dump().substr(0, 120));
    }
    only_fields(object, fields);
    e.freq_hz = number(object, "freq_hz", 0.0, 1e12, required);
    e.power_dbfs = number(object, "power_dbfs", -200.0, 0.0, required);
    e.start_s = number(object, "start_s", 0.0, 1e9, 0.0);
    e.stop_s = number(object, "stop_s", 0.0, 1e9, INF);
    e.period_s = number(object, "period_s", 1e-6, 1e9, INF);
    e.on_s = number(object, "on_s", 0.0, 1e9, INF);
    if (std::isinf(e.period_s) != std::isinf(e.on_s))
        refuse("period_s and on_s go together in " + object.dump().substr(0, 120));
    return e;
}

// The inverse transform of a random spectrum: unit power, circular.
std::vector<sample>
shaped(size_t length, uint64_t seed, const std::function<sample(double, sample)>& shape, double rate)
{
    std::mt19937_64 random(seed);
    std::normal_distribution<float> normal;
    std::vector<sample> bins(length);
    for (size_t k = 0; k < length; ++k) {
        const double frequency = (k < (length + 1) / 2 ? double(k) : double(k) - double(length)) * rate / length;
        const float re = normal(random), im = normal(random);
        bins[k] = shape(frequency, { re, im });
    }
    auto* data = reinterpret_cast<fftwf_complex*>(bins.data());
    const fftwf_plan plan = fftwf_plan_dft_1d(int(length), data, data, FFTW_BACKWARD, FFTW_ESTIMATE);
    fftwf_execute(plan);
    fftwf_destroy_plan(plan);
    return bins;
}

void normalise(std::vector<sample>& values, double power)
{
    double sum = 0.0;
    for (const sample& v : values)
        sum += std::norm(v);
    const float scale = sum > 0.0 ? float(std::sqrt(power * values.size() / sum)) : 0.0f;
    for (sample& v : values)
        v *= scale;
}

std::vector<sample> noise_table(size_t length, uint64_t seed, double bandwidth_hz, double rate)
{
    auto table = shaped(
        length, seed, [=](double f, sample draw) { return std::abs(f) <= bandwidth_hz / 2 ? draw : sample(0); }, rate);
    normalise(table, 0.5);
    return table;
}

// exp(j phase). The phase is the integral of Gaussian noise from 30 Hz to audio_hz; its deviation is deviation_hz / 3.
std::vector<sample> fm_table(size_t length, uint64_t seed, const emitter& e, double rate)
{
    const auto audio = [&](double f) { return std::abs(f) >= 30.0 && std::abs(f) <= e.audio_hz; };
    auto table = shaped(
        length, seed, [&](double f, sample draw) { return audio(f) ? draw / float(f) : sample(0); }, rate);
    double mean_square = 0.0; // of the frequency, the derivative of the real part over 2 pi
    for (size_t n = 0; n < length; ++n) {
        const double step = table[(n + 1) % length].real() - table[n].real();
        mean_square += std::pow(step * rate / (2 * M_PI), 2) / length;
    }
    const double wanted = e.deviation_hz / 3 * HALF_POWER;
    const double scale = mean_square > 0.0 ? wanted / std::sqrt(mean_square) : 0.0;
    for (sample& v : table)
        v = std::polar(1.0f, float(std::remainder(v.real() * scale, 2 * M_PI)));
    return table;
}

} // namespace

double emitter::half_width_hz() const
{
    return type == kind::noise ? bandwidth_hz / 2 : type == kind::fm ? deviation_hz + audio_hz : 0.0;
}

bool emitter::seen_from(const tuning& where) const
{
    const double offset = std::abs(freq_hz - where.center_hz);
    return offset <= where.rate / 2 + half_width_hz() && offset <= where.bandwidth_hz / 2 + half_width_hz();
}

scene::scene(const std::string& text, uint64_t seed) : d_seed(seed), d_noise(NOISE_LENGTH)
{
    json description;
    try {
        description = json::parse(text);
    } catch (const json::parse_error& error) {
        refuse(std::string("not JSON: ") + error.what());
    }
    only_fields(description, { "noise_dbfs_hz", "emitters" });
    d_noise_dbfs_hz = number(description, "noise_dbfs_hz", -250.0, -60.0, -130.0);
    if (description.contains("emitters") && !description["emitters"].is_array())
        refuse("emitters is not a JSON array");
    for (const json& object : description.value("emitters", json::array()))
        d_emitters.push_back(read_emitter(object));

    std::mt19937_64 random(seed);
    std::normal_distribution<float> normal(0.0f, HALF_POWER);
    for (sample& v : d_noise)
        v = { normal(random), normal(random) };
}

double scene::power(const tuning& where) const
{
    double sum = std::pow(10.0, d_noise_dbfs_hz / 10) * where.rate;
    for (const emitter& e : d_emitters)
        if (e.seen_from(where))
            sum += std::pow(10.0, e.power_dbfs / 10) * (std::isinf(e.period_s) ? 1.0 : e.on_s / e.period_s);
    return sum;
}

void scene::prepare(double rate)
{
    for (const emitter& e : d_emitters)
        if (e.type != emitter::kind::tone)
            waveform_of(e, rate);
}

void scene::render(uint64_t block, const tuning& where, sample* out)
{
    add_noise(block, float(amplitude(d_noise_dbfs_hz) * std::sqrt(where.rate)), out);
    for (size_t number = 0; number < d_emitters.size(); ++number)
        if (d_emitters[number].seen_from(where))
            add_emitter(block, number, where, out);
}

// Sum of two stretches of one table, each with its own start, so that it does not repeat.
void scene::add_noise(uint64_t block, float amplitude, sample* out) const
{
    const uint64_t draw = mix(d_seed, block);
    const sample* a = d_noise.data() + (draw & 0xffffffff) % (NOISE_LENGTH - BLOCK);
    const sample* b = d_noise.data() + (draw >> 32) % (NOISE_LENGTH - BLOCK);
    const float scale = amplitude * HALF_POWER;
    for (size_t i = 0; i < BLOCK; ++i)
        out[i] = scale * (a[i] + b[i]);
}

const waveform& scene::waveform_of(const emitter& e, double rate)
{
    std::ostringstream name;
    name.precision(17);
    name << int(e.type) << ' ' << e.bandwidth_hz << ' ' << e.deviation_hz << ' ' << e.audio_hz << ' ' << rate;
    auto& entry = d_waveforms[name.str()];
    if (!entry) {
        entry = std::make_shared<waveform>();
        const uint64_t seed = mix(d_seed, 0x5eed);
        if (e.type == emitter::kind::noise) {
            entry->a = noise_table(LENGTH_A, seed, e.bandwidth_hz, rate);
            entry->b = noise_table(LENGTH_B, seed + 1, e.bandwidth_hz, rate);
        } else {
            entry->a = fm_table(LENGTH_A, seed, e, rate);
            entry->b = fm_table(LENGTH_B, seed + 1, e, rate);
        }
    }
    return *entry;
}

namespace {

// values[i] of the emitter's own waveform, unit power, samples [first, first + BLOCK)
void own_waveform(const waveform* shape, emitter::kind type, uint64_t first, uint64_t shift, sample* values)
{
    if (type == emitter::kind::tone) {
        std::fill_n(values, BLOCK, sample(1.0f));
        return;
    }
    size_t a = (first + shift) % LENGTH_A, b = (first + shift) % LENGTH_B;
    for (size_t i = 0; i < BLOCK;) {
        const size_t run = std::min({ BLOCK - i, LENGTH_A - a, LENGTH_B - b });
        const sample *pa = shape->a.data() + a, *pb = shape->b.data() + b;
        if (type == emitter::kind::noise)
            for (size_t k = 0; k < run; ++k)
                values[i + k] = pa[k] + pb[k];
        else
            for (size_t k = 0; k < run; ++k)
                values[i + k] = { pa[k].real() * pb[k].real() - pa[k].imag() * pb[k].imag(),
                                  pa[k].real() * pb[k].imag() + pa[k].imag() * pb[k].real() };
        i += run;
        a = (a + run) % LENGTH_A;
        b = (b + run) % LENGTH_B;
    }
}

// out += amplitude * values * exp(j 2 pi cycles n), n counted from `first`; sixteen phasors side by side
void add_shifted(const sample* values, uint64_t first, double cycles, float amplitude, sample* out)
{
    constexpr size_t LANES = 16;
    const auto turn = [cycles](double n) {
        const double phase = 2 * M_PI * std::remainder(cycles * n, 1.0);
        return std::complex<double>(std::cos(phase), std::sin(phase));
    };
    std::array<float, LANES> re, im;
    for (size_t k = 0; k < LANES; ++k) {
        const auto phasor = turn(double(k));
        re[k] = float(phasor.real());
        im[k] = float(phasor.imag());
    }
    std::complex<double> start = double(amplitude) * turn(double(first));
    const auto step = turn(double(LANES));
    for (size_t i = 0; i < BLOCK; i += LANES, start *= step) {
        const float sr = float(start.real()), si = float(start.imag());
        const float* v = reinterpret_cast<const float*>(values + i);
        float* o = reinterpret_cast<float*>(out + i);
        for (size_t k = 0; k < LANES; ++k) {
            const float pr = sr * re[k] - si * im[k], pi = sr * im[k] + si * re[k];
            o[2 * k] += v[2 * k] * pr - v[2 * k + 1] * pi;
            o[2 * k + 1] += v[2 * k] * pi + v[2 * k + 1] * pr;
        }
    }
}

// Whether an emitter is off in the whole of a block: the usual case of one that comes now and then.
bool is_off(const emitter& e, uint64_t first, double rate)
{
    const double begin = double(first) / rate, end = double(first + BLOCK) / rate;
    if (end < e.start_s || begin >= e.stop_s)
        return true;
    const double since = std::isinf(e.period_s) ? 0.0 : std::fmod(begin, e.period_s);
    return since > e.on_s && since + (end - begin) < e.period_s;
}

// Silences values while the emitter is off. Returns false if it is off all the time.
bool gate(const emitter& e, uint64_t first, double rate, sample* values)
{
    if (e.start_s == 0.0 && std::isinf(e.stop_s) && std::isinf(e.period_s))
        return true;
    bool any = false;
    for (size_t i = 0; i < BLOCK; ++i) {
        const double t = double(first + i) / rate;
        const bool on = t >= e.start_s && t < e.stop_s && (std::isinf(e.period_s) || std::fmod(t, e.period_s) < e.on_s);
        any |= on;
        if (!on)
            values[i] = 0.0f;
    }
    return any;
}

} // namespace

void scene::add_emitter(uint64_t block, size_t number, const tuning& where, sample* out)
{
    const emitter& e = d_emitters[number];
    const uint64_t first = block * BLOCK;
    if (is_off(e, first, where.rate))
        return;
    const waveform* shape = e.type == emitter::kind::tone ? nullptr : &waveform_of(e, where.rate);
    std::array<sample, BLOCK> values;
    own_waveform(shape, e.type, first, mix(d_seed, number) >> 24, values.data());
    if (gate(e, first, where.rate, values.data()))
        add_shifted(
            values.data(), first, (e.freq_hz - where.center_hz) / where.rate, float(amplitude(e.power_dbfs)), out);
}

const char* const scene::noise_only = R"({"emitters": []})";

// The FM band with ten stations, and sensors and a carrier that comes and goes around 433.92 MHz.
const char* const scene::builtin = R"({"noise_dbfs_hz": -125, "emitters": [
    {"type": "fm", "freq_hz": 88.6e6, "power_dbfs": -32},
    {"type": "fm", "freq_hz": 90.3e6, "power_dbfs": -45},
    {"type": "fm", "freq_hz": 92.1e6, "power_dbfs": -38},
    {"type": "fm", "freq_hz": 94.8e6, "power_dbfs": -30},
    {"type": "fm", "freq_hz": 96.2e6, "power_dbfs": -48},
    {"type": "fm", "freq_hz": 98.9e6, "power_dbfs": -35},
    {"type": "fm", "freq_hz": 100.7e6, "power_dbfs": -40},
    {"type": "fm", "freq_hz": 102.4e6, "power_dbfs": -33},
    {"type": "fm", "freq_hz": 104.6e6, "power_dbfs": -44},
    {"type": "fm", "freq_hz": 106.9e6, "power_dbfs": -36},
    {"type": "tone", "freq_hz": 433.92e6, "power_dbfs": -40, "period_s": 0.9, "on_s": 0.06},
    {"type": "noise", "freq_hz": 434.4e6, "bandwidth_hz": 125e3, "power_dbfs": -42, "period_s": 1.7, "on_s": 0.25},
    {"type": "tone", "freq_hz": 433.5e6, "power_dbfs": -45, "start_s": 20, "period_s": 20, "on_s": 2}
]})";

} // namespace spectrumtest
