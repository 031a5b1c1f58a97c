/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <gnuradio/spectrumencoder/keys.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

namespace py = pybind11;

void bind_keys(py::module& m)
{
    m.def("keys", &gr::spectrumencoder::keys::vocabulary, "Name -> key of the C++ vocabulary (keys.h).");
}
