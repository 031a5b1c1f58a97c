/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "encoder_network.h"
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <algorithm>
#include <stdexcept>
#include <string>

namespace py = pybind11;
using namespace gr::spectrumencoder;

namespace {

using parameter_array = py::array_t<float, py::array::c_style | py::array::forcecast>;

constexpr const char* DTYPES[] = { "fp32", "bf16", "int8" }; // in the order of `precision`

precision precision_of(const std::string& dtype)
{
    for (size_t i = 0; i < PRECISIONS; ++i)
        if (dtype == DTYPES[i])
            return static_cast<precision>(i);
    throw std::invalid_argument("dtype '" + dtype + "' is not one of fp32, bf16, int8");
}

// By name; the best that the processor has for an empty one.
isa isa_of(const std::string& instructions)
{
    if (instructions.empty())
        return best_isa();
    for (const isa one : { isa::generic, isa::avx2, isa::avx512, isa::avx512_bf16 })
        if (instructions == isa_name(one) && one <= best_isa())
            return one;
    throw std::invalid_argument("instructions '" + instructions + "' are not of this processor; it has up to " +
                                isa_name(best_isa()));
}

std::unique_ptr<encoder_network>
make_network(const py::dict& sizes, const py::dict& weights, const std::string& instructions, const std::string& dtype)
{
    encoder_sizes s;
    const auto number = [&](const char* name) {
        try {
            return sizes[name].cast<size_t>();
        } catch (const py::cast_error&) {
            throw std::invalid_argument(std::string("size ") + name + " is " +
                                        py::repr(sizes[name]).cast<std::string>() + ", no whole number");
        }
    };
    s.fft_size = number("fft_size");
    s.stride = number("stride");
    s.width = number("width");
    s.layers = number("layers");
    s.heads = number("heads");
    s.kv_heads = number("kv_heads");
    s.kv_rank = number("kv_rank");
    s.mhla_blocks = number("mhla_blocks");
    s.mlp_width = number("mlp_width");
    s.score_width = number("score_width");
    s.sub_bands = number("sub_bands");
    s.token_share = number("token_share");
    s.latents = number("latents");
    s.latent_width = number("latent_width");
    s.decoder_width = number("decoder_width");
    s.embedding = number("embedding");
    s.labels = number("labels");
    s.bands = number("bands");
    s.attention = sizes["attention"].cast<std::string>();
    s.rope = sizes["rope"].cast<std::string>();
    s.band_token = sizes["band_token"].cast<bool>();
    s.token_classes = sizes["token_classes"].cast<bool>();

    const isa which = isa_of(instructions);
    const precision of_blocks = precision_of(dtype);
    std::vector<parameter_array> held;
    std::map<std::string, encoder_parameter> parameters;
    for (const auto& entry : weights) {
        held.push_back(parameter_array::ensure(entry.second));
        const parameter_array& values = held.back();
        if (!values)
            throw std::invalid_argument("parameter " + py::str(entry.first).cast<std::string>() +
                                        " is no array of numbers");
        parameters[entry.first.cast<std::string>()] = {
            values.data(), std::vector<size_t>(values.shape(), values.shape() + values.ndim())
        };
    }
    return std::make_unique<encoder_network>(s, parameters, which, of_blocks);
}

// A float array (frames, n), rows apart by any step; null for None.
encoder_network::output output_of(const py::object& array, size_t frames, size_t n, const char* name)
{
    if (array.is_none() || n == 0)
        return { nullptr, 0 };
    if (!py::isinstance<py::array_t<float>>(array))
        throw std::invalid_argument(std::string(name) + " is no array of float32");
    auto values = array.cast<py::array_t<float>>();
    const bool fits =
        values.ndim() == 2 && static_cast<size_t>(values.shape(0)) == frames &&
        static_cast<size_t>(values.shape(1)) == n && values.writeable() &&
        (frames == 0 || ((n == 1 || values.strides(1) == sizeof(float)) && values.strides(0) % sizeof(float) == 0 &&
                         (frames == 1 || values.strides(0) >= ssize_t(n * sizeof(float)))));
    if (!fits)
        throw std::invalid_argument(std::string(name) + " is no writeable array of " + std::to_string(frames) +
                                    " rows of " + std::to_string(n));
    return { values.mutable_data(), values.strides(0) / sizeof(float) };
}

void encode(const encoder_network& network,
            const py::array_t<float>& items,
            const py::array_t<int64_t, py::array::c_style>& bands,
            size_t kept,
            const std::string& policy,
            const py::object& noise,
            const py::object& wanted,
            size_t threads,
            const py::dict& out)
{
    using rule = encoder_network::policy;
    const std::map<std::string, rule> policies = {
        { "gumbel", rule::gumbel }, { "energy", rule::energy }, { "entropy", rule::entropy }, { "random", rule::random }
    };
    const auto found = policies.find(policy);
    if (found == policies.end())
        throw std::invalid_argument("dropout policy '" + policy + "' is not one of gumbel, energy, entropy, random");
    const encoder_sizes& s = network.sizes();
    const size_t used = s.n_tokens() * s.token_dim() + 3;
    if (items.ndim() != 2 || static_cast<size_t>(items.shape(1)) < used ||
        (items.size() > 0 && (items.strides(1) != sizeof(float) || items.strides(0) % sizeof(float))))
        throw std::invalid_argument("items are not rows of at least " + std::to_string(used) + " floats");
    const size_t frames = items.shape(0);
    if (bands.ndim() != 1 || static_cast<size_t>(bands.size()) != frames)
        throw std::invalid_argument("bands is not one number per frame");
    py::array_t<float, py::array::c_style> draws;
    py::array_t<bool, py::array::c_style> marks;
    if (!noise.is_none())
        draws = noise.cast<py::array_t<float, py::array::c_style>>();
    if (!wanted.is_none())
        marks = wanted.cast<py::array_t<bool, py::array::c_style>>();
    const auto per_token = [&](const py::array& of) {
        return of.ndim() == 2 && static_cast<size_t>(of.shape(0)) == frames &&
               static_cast<size_t>(of.shape(1)) == s.n_tokens();
    };
    if ((!noise.is_none() && !per_token(draws)) || (!wanted.is_none() && !per_token(marks)))
        throw std::invalid_argument("noise and wanted are not one value per frame and token");
    const auto get = [&](const char* name, size_t n) {
        return output_of(out.contains(name) ? py::object(out[name]) : py::none(), frames, n, name);
    };
    const encoder_network::results results = {
        get("residual", s.fft_size),    get("reconstruction", s.fft_size),
        get("latents", s.flat()),       get("embedding", s.embedding),
        get("probabilities", s.labels), get("logit", 1),
        get("keep_statistics", 8),      get("token_classes", s.n_tokens() * s.token_columns()),
    };
    const char* const names[] = { "residual",      "reconstruction", "latents",         "embedding",
                                  "probabilities", "logit",          "keep_statistics", "token_classes" };
    for (const auto& entry : out)
        if (std::none_of(std::begin(names), std::end(names), [&](const char* name) {
                return entry.first.cast<std::string>() == name;
            }))
            throw std::invalid_argument("'" + entry.first.cast<std::string>() + "' is nothing that can be filled");
    const bool heads_only = !results.residual.values && !results.reconstruction.values && !results.latents.values;
    const encoder_network::frames in = { items.data(),
                                         items.strides(0) / sizeof(float),
                                         bands.data(),
                                         frames,
                                         noise.is_none() ? nullptr : draws.data(),
                                         wanted.is_none() ? nullptr : reinterpret_cast<const uint8_t*>(marks.data()) };
    const py::gil_scoped_release release;
    network.encode(in, kept, found->second, heads_only, threads, results);
}

// c = a b by the kernel of all layers. The factors are packed once, the product is done `times` times.
void repeat_product(const parameter_array& a,
                    const parameter_array& b,
                    parameter_array& c,
                    size_t times,
                    const std::string& dtype,
                    const std::string& instructions)
{
    const bool fits = a.ndim() == 2 && b.ndim() == 2 && c.ndim() == 2 && a.shape(1) == b.shape(0) &&
                      c.shape(0) == a.shape(0) && c.shape(1) == b.shape(1) && b.shape(1) % LANES == 0;
    if (!fits)
        throw std::invalid_argument("a (m, k), b (k, n) and c (m, n) do not fit, or n is no multiple of " +
                                    std::to_string(LANES));
    const size_t rows = a.shape(0), columns = b.shape(1);
    const isa which = isa_of(instructions);
    const left_factor left(precision_of(dtype), a.data(), rows, a.shape(1));
    const encoder_ops& ops = encoder_ops_for(which);
    volk::vector<float> right(left.depth * columns), scale(columns);
    ops.pack[static_cast<size_t>(left.of)](b.data(), columns, right.data(), columns, scale.data(), b.shape(0), columns);
    const product of = left.times(right.data(), columns, scale.data(), c.mutable_data(), columns, columns, false);
    const py::gil_scoped_release release;
    while (times--)
        ops.multiply[static_cast<size_t>(left.of)](of);
}

} // namespace

void bind_encoder_network(py::module& m)
{
    m.def(
        "best_instructions",
        [] { return isa_name(best_isa()); },
        "What the processor has, of the instruction sets that kernels are compiled for: generic, avx2, avx512 or "
        "avx512_bf16");
    m.def("repeat_product",
          &repeat_product,
          "c = a b, `times` times: the encoder's product kernel alone, to measure it",
          py::arg("a"),
          py::arg("b"),
          py::arg("c").noconvert(),
          py::arg("times"),
          py::arg("dtype") = "fp32",
          py::arg("instructions") = "");
    py::class_<encoder_network>(m, "EncoderNetwork", "SpectrumEncoder's forward pass on the CPU, see encoder_network.h")
        .def(py::init(&make_network),
             py::arg("sizes"),
             py::arg("weights"),
             py::arg("instructions") = "",
             py::arg("dtype") = "fp32")
        .def_static("families",
                    &encoder_network::families,
                    "The attention families that this library computes, as EncoderConfig.attention names them")
        .def_property_readonly("dtype",
                               [](const encoder_network& of) { return DTYPES[static_cast<size_t>(of.of_blocks())]; })
        .def_property_readonly("instructions", [](const encoder_network& of) { return isa_name(of.instructions()); })
        .def("encode",
             &encode,
             "Fill the arrays of `out` (by name; an absent one is left out): residual, reconstruction, latents, "
             "embedding,\n"
             "probabilities, logit, keep_statistics, token_classes, a row per frame. Raises ValueError if an argument\n"
             "does not fit.",
             py::arg("items"),
             py::arg("bands"),
             py::arg("kept"),
             py::arg("policy"),
             py::arg("noise") = py::none(),
             py::arg("wanted") = py::none(),
             py::arg("threads") = 1,
             py::arg("out"));
}
