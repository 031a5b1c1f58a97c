/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <gnuradio/spectrumencoder/fft_tokenizer.h>
#include <pybind11/pybind11.h>
#include <cmath>
#include <limits>
#include <sstream>
#include <stdexcept>

namespace py = pybind11;

namespace {

/* A slider of GNU Radio's GUI sends floats for whole numbers, too, as the sum of its steps. */
void set_average(gr::spectrumencoder::fft_tokenizer& self, double average)
{
    const double whole = std::round(average);
    if (!(std::abs(whole - average) <= 1e-6) || std::abs(average) > std::numeric_limits<int>::max()) {
        std::ostringstream message;
        message << "average " << average << " is not a whole number in 1..64";
        throw std::invalid_argument(message.str());
    }
    self.set_average(static_cast<int>(whole));
}

} // namespace

void bind_fft_tokenizer(py::module& m)
{
    using gr::spectrumencoder::fft_tokenizer;

    py::class_<fft_tokenizer, gr::block, gr::basic_block, std::shared_ptr<fft_tokenizer>>(
        m,
        "fft_tokenizer",
        R"(IQ samples to frames of tokens (output 0: item_size floats) and power spectra (output 1: fft_size floats, dBFS).

The page docs/fft_tokenizer.md describes the frame. A frame with NaN, infinity or 1024 identical samples in a row is dropped and
counted. docs/contracts.md says which value holds if a tag and a parameter differ. Message output `status`.

Args:
    fft_size: bins N, 16..65536.
    stride: bins in a token; divides fft_size.
    average: windows in a frame, 1..64.
    overlap: fraction of a window shared with the next one, 0..0.95.
    window: blackman, blackmanharris, flattop, hamming, hann, nuttall or rectangular.
    samp_rate: samples per second; 0: not stated, tags say it, else it is 1e6.
    center_freq: Hz; 0: not stated, tags say it, else it is not known.
    settle_ms: ms of samples skipped after a retune, 0..60000.
    min_output_buffer: frames that each output has room for, 1..65536; the next block works in batches up to that.
    live: the samples come from a radio: after a retune the samples that its buffers held before are skipped, too.
    use_tags: False: `rx_freq` and `rx_rate` tags are ignored.
    rate_factor: rate here over `rx_rate`, such as 0.25 after a decimation by 4.
    freq_offset: Hz, centre here less `rx_freq`, of a converter or a filter that shifts.
    tag_channel: of tags that hold a value for each channel.

Raises:
    ValueError: an argument is out of range; names it, its value and its range.)")
        .def(py::init(&fft_tokenizer::make),
             py::arg("fft_size") = 1024,
             py::arg("stride") = 8,
             py::arg("average") = 16,
             py::arg("overlap") = 0.0,
             py::arg("window") = "blackmanharris",
             py::arg("samp_rate") = 0.0,
             py::arg("center_freq") = 0.0,
             py::arg("settle_ms") = 0.0,
             py::arg("min_output_buffer") = 64,
             py::arg("live") = false,
             py::arg("use_tags") = true,
             py::arg("rate_factor") = 1.0,
             py::arg("freq_offset") = 0.0,
             py::arg("tag_channel") = 0)
        .def("set_average", &set_average, py::arg("average"))
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
        .def("dropped_constant", &fft_tokenizer::dropped_constant)
        .def("clipped_frames", &fft_tokenizer::clipped_frames)
        .def("short_frames", &fft_tokenizer::short_frames)
        .def("time_backward", &fft_tokenizer::time_backward)
        .def("malformed", &fft_tokenizer::malformed)
        .def("overflows", &fft_tokenizer::overflows)
        .def("arrival_offset", &fft_tokenizer::arrival_offset);
}
