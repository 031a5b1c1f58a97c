/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <gnuradio/spectrumencoder/fft_tokenizer.h>
#include <pybind11/pybind11.h>

namespace py = pybind11;

void bind_fft_tokenizer(py::module& m)
{
    using gr::spectrumencoder::fft_tokenizer;

    py::class_<fft_tokenizer, gr::block, gr::basic_block, std::shared_ptr<fft_tokenizer>>(
        m,
        "fft_tokenizer",
        "IQ samples to frames of tokens (output 0: item_size floats) and power spectra (output 1: fft_size floats, "
        "dBFS).\n\n"
        "samp_rate and center_freq stand in where the stream has no rx_rate, rx_freq tags. Message output `status`.\n"
        "Raises ValueError naming the argument, its value and its range. See docs/contracts.md, \"Frame\".")
        .def(py::init(&fft_tokenizer::make),
             py::arg("fft_size") = 1024,
             py::arg("stride") = 8,
             py::arg("average") = 16,
             py::arg("overlap") = 0.0,
             py::arg("window") = "blackmanharris",
             py::arg("samp_rate") = 1e6,
             py::arg("center_freq") = 0.0,
             py::arg("settle_ms") = 0.0,
             py::arg("min_output_buffer") = 64,
             py::arg("live") = false)
        .def("set_average", &fft_tokenizer::set_average, py::arg("average"))
        .def("set_samp_rate", &fft_tokenizer::set_samp_rate, py::arg("samp_rate"))
        .def("set_center_freq", &fft_tokenizer::set_center_freq, py::arg("center_freq"))
        .def("set_settle_ms", &fft_tokenizer::set_settle_ms, py::arg("settle_ms"))
        .def("average", &fft_tokenizer::average)
        .def("samp_rate", &fft_tokenizer::samp_rate)
        .def("center_freq", &fft_tokenizer::center_freq)
        .def("settle_ms", &fft_tokenizer::settle_ms)
        .def("fft_size", &fft_tokenizer::fft_size)
        .def("item_size", &fft_tokenizer::item_size)
        .def("frames", &fft_tokenizer::frames)
        .def("dropped_frames", &fft_tokenizer::dropped_frames)
        .def("dropped_retune", &fft_tokenizer::dropped_retune)
        .def("dropped_rate", &fft_tokenizer::dropped_rate)
        .def("dropped_retag", &fft_tokenizer::dropped_retag)
        .def("dropped_nonfinite", &fft_tokenizer::dropped_nonfinite)
        .def("malformed", &fft_tokenizer::malformed)
        .def("overflows", &fft_tokenizer::overflows)
        .def("arrival_offset", &fft_tokenizer::arrival_offset);
}
