/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <gnuradio/spectrumencoder/tokenizer.h>
#include <pybind11/complex.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <cmath>
#include <stdexcept>

namespace py = pybind11;
using gr::spectrumencoder::tokenizer;

namespace {

// Exactly complex64 and contiguous: a silent conversion would hide a copy of the whole recording.
using samples_array = py::array_t<gr_complex, py::array::c_style>;

py::tuple tokenize(tokenizer& self, const samples_array& samples, double samp_rate, bool flush, bool keep_constant)
{
    if (samples.ndim() != 1)
        throw std::invalid_argument("samples has " + std::to_string(samples.ndim()) + " dimensions, not 1");
    if (!(std::isfinite(samp_rate) && samp_rate > 0.0))
        throw std::invalid_argument("samp_rate " + std::to_string(samp_rate) + " is not a positive number");

    const size_t n_samples = samples.size();
    const size_t room = self.max_frames(n_samples, flush);
    py::array_t<float> items({ room, static_cast<size_t>(self.item_size()) });
    py::array_t<float> psd({ room, static_cast<size_t>(self.fft_size()) });
    py::array_t<uint64_t> frame_start(room);
    size_t frames;
    {
        const gr_complex* from = samples.data();
        float* to_items = items.mutable_data();
        float* to_psd = psd.mutable_data();
        uint64_t* to_start = frame_start.mutable_data();
        py::gil_scoped_release release;
        frames = self.tokenize(from, n_samples, samp_rate, to_items, to_psd, to_start, flush, keep_constant);
    }
    if (frames == room)
        return py::make_tuple(items, psd, frame_start);
    const py::slice kept(0, frames, 1); // the others hold NaN, Inf or constant samples
    return py::make_tuple(items[kept], psd[kept], frame_start[kept]);
}

} // namespace

void bind_tokenizer(py::module& m)
{
    py::class_<tokenizer> kernel(
        m, "tokenizer", "The FFT tokenizer's mathematics, without a scheduler (docs/contracts.md).");
    kernel
        .def(py::init<int, int, int, double, const std::string&>(),
             py::arg("fft_size") = 1024,
             py::arg("stride") = 8,
             py::arg("average") = 16,
             py::arg("overlap") = 0.0,
             py::arg("window") = "blackmanharris",
             "Raises ValueError naming the argument, its value and its range.")
        .def("tokenize",
             &tokenize,
             py::arg("samples").noconvert(),
             py::arg("samp_rate"),
             py::arg("flush") = true,
             py::arg("keep_constant") = false,
             "complex64 (n,) -> items float32 (F, item_size), psd float32 (F, N) dBFS, frame_start uint64 (F,). "
             "Runs without the GIL; one object serves one thread.")
        .def("max_frames", &tokenizer::max_frames, py::arg("n_samples"), py::arg("flush") = true)
        .def("set_average", &tokenizer::set_average, py::arg("average"))
        .def_property_readonly("fft_size", &tokenizer::fft_size)
        .def_property_readonly("stride", &tokenizer::stride)
        .def_property_readonly("average", &tokenizer::average)
        .def_property_readonly("hop", &tokenizer::hop)
        .def_property_readonly("frame_hop", &tokenizer::frame_hop)
        .def_property_readonly("item_size", [](const tokenizer& self) { return self.item_size(); })
        .def_static("window_names", &tokenizer::window_names);
    kernel.attr("MIN_CONSTANT") = int{ gr::spectrumencoder::constant_run::MIN_LENGTH }; // identical samples in a row
    m.def("item_size",
          static_cast<int (*)(int, int)>(&tokenizer::item_size),
          py::arg("fft_size") = 1024,
          py::arg("stride") = 8,
          "Floats in one item of the tokens stream.");
}
