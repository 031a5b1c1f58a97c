/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "arrays.h"
#include "sample_formats.h"

namespace py = pybind11;
using namespace gr::spectrumencoder;

namespace {

template <typename T>
void full_scale(const array<T>& values, array<float>& out)
{
    check(values.ndim() == 1 && out.ndim() == 1 && values.size() == out.size(), "out");
    float* to = out.mutable_data();
    py::gil_scoped_release others_may_run;
    to_full_scale(values.data(), values.size(), to);
}

template <typename T>
void bind(py::module& m)
{
    m.def("to_full_scale",
          &full_scale<T>,
          py::arg("values").noconvert(),
          py::arg("out").noconvert(),
          "int8, uint8, int16 or uint16 (n,), as fractions of full scale into out float32 (n,).");
}

} // namespace

void bind_sample_formats(py::module& m)
{
    bind<int8_t>(m);
    bind<uint8_t>(m);
    bind<int16_t>(m);
    bind<uint16_t>(m);
}
