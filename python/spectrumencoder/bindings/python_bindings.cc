/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

// The compiled module spectrumencoder_python. Bindings are written by hand, with named arguments and defaults.

#include <pybind11/pybind11.h>

namespace py = pybind11;

void bind_band_rows(py::module& m);
void bind_driver_failure(py::module& m);
void bind_encoder_network(py::module& m);
void bind_keys(py::module& m);
void bind_noise_excess(py::module& m);
void bind_overflow_marks(py::module& m);
void bind_tokenizer(py::module& m);
void bind_fft_tokenizer(py::module& m);
void bind_python_block(py::module& m);
void bind_sample_formats(py::module& m);
void bind_score_maxima(py::module& m);
void bind_stream_state(py::module& m);

PYBIND11_MODULE(spectrumencoder_python, m)
{
    m.doc() = "C++ part of gr-spectrumencoder: vocabulary, tokenizer kernel, fft_tokenizer block";
    py::module::import("gnuradio.gr"); // registers the base classes of blocks
    bind_band_rows(m);
    bind_driver_failure(m);
    bind_encoder_network(m);
    bind_keys(m);
    bind_noise_excess(m);
    bind_overflow_marks(m);
    bind_tokenizer(m);
    bind_fft_tokenizer(m);
    bind_python_block(m);
    bind_sample_formats(m);
    bind_score_maxima(m);
    bind_stream_state(m);
}
