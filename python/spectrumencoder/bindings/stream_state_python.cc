/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "stream_state.h"
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <utility>

namespace py = pybind11;
using namespace gr::spectrumencoder;

namespace {

std::optional<std::pair<uint64_t, double>> parts(const std::optional<tag_time>& time)
{
    return time ? std::make_optional(std::make_pair(time->seconds, time->fraction)) : std::nullopt;
}

const char* name_of(change what)
{
    switch (what) {
    case change::none:
        return "";
    case change::retag:
        return "retag";
    case change::rate:
        return "rate";
    default:
        return "retune";
    }
}

} // namespace

void bind_stream_state(py::module& m)
{
    m.def("tag_frequency",
          &tag_frequency,
          py::arg("value"),
          py::arg("channel") = 0,
          "Hz of an rx_freq tag's PMT, NaN: not known from here on; None: it is no such value.");
    m.def("tag_rate",
          &tag_rate,
          py::arg("value"),
          py::arg("channel") = 0,
          "Samples per second of an rx_rate tag's PMT; None: it is no such value.");
    m.def(
        "tag_time",
        [](const pmt::pmt_t& value, size_t channel) { return parts(tag_time_of(value, channel)); },
        py::arg("value"),
        py::arg("channel") = 0,
        "(whole seconds, fraction) of an rx_time tag's PMT; None: it is no such value.");
    py::class_<stream_state>(m,
                             "stream_state",
                             "Frequency, rate and time of a stream of samples by its tags and what the user stated, "
                             "as fft_tokenizer has them; of its arguments those of the same name.")
        .def(
            py::init([](double samp_rate,
                        double center_freq,
                        bool use_tags,
                        double rate_factor,
                        double freq_offset,
                        int channel) {
                return stream_state(samp_rate, center_freq, tag_options{ use_tags, rate_factor, freq_offset, channel });
            }),
            py::arg("samp_rate") = 0.0,
            py::arg("center_freq") = 0.0,
            py::arg("use_tags") = true,
            py::arg("rate_factor") = 1.0,
            py::arg("freq_offset") = 0.0,
            py::arg("tag_channel") = 0)
        .def_property_readonly("samp_rate", &stream_state::samp_rate)
        .def_property_readonly("center_freq", &stream_state::center_freq, "Hz; None: not known.")
        .def_property_readonly("backward", &stream_state::backward, "rx_time tags before the expected time.")
        .def("forget_tags", &stream_state::forget_tags, py::arg("start") = 0)
        .def(
            "take",
            [](stream_state& self, const gr::tag_t& tag) -> py::object {
                if (!stream_state::is_ours(tag))
                    return py::str("");
                return self.valid(tag) ? py::object(py::str(name_of(self.take(tag)))) : py::object(py::none());
            },
            py::arg("tag"),
            "Takes a tag in order of offsets -> what it broke: \"retune\", \"rate\", \"retag\", or \"\"; None: its "
            "value is "
            "malformed.")
        .def(
            "set_parameters",
            [](stream_state& self, double samp_rate, double center_freq, uint64_t offset) {
                return name_of(self.set_parameters(samp_rate, center_freq, offset));
            },
            py::arg("samp_rate"),
            py::arg("center_freq"),
            py::arg("offset"),
            "The present parameters at a sample -> as take.")
        .def(
            "time_at",
            [](const stream_state& self, uint64_t offset) { return parts(self.time_at(offset)); },
            py::arg("offset"),
            "(whole seconds, fraction) of a sample; None: the stream never stated its time.")
        .def("take_warnings", &stream_state::take_warnings, "Lines for the user, each once.");
}
