/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "score_maxima.h"
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <stdexcept>
#include <string>

namespace py = pybind11;
using namespace gr::spectrumencoder;

namespace {

template <typename T>
using array = py::array_t<T, py::array::c_style>;

void check(bool right, const char* what)
{
    if (!right)
        throw std::invalid_argument(std::string(what) + " does not fit the other arguments");
}

array<double> sums_of_boxes(const array<float>& values,
                            const array<uint32_t>& low,
                            const array<uint32_t>& high,
                            const array<double>& divisor)
{
    check(values.ndim() == 2, "values");
    check(low.ndim() == 1 && high.ndim() == 1 && divisor.ndim() == 1 && low.size() == high.size() &&
              low.size() == divisor.size(),
          "a list of boxes");
    for (ssize_t box = 0; box < low.size(); ++box)
        check(low.data()[box] < high.data()[box] && ssize_t(high.data()[box]) <= values.shape(1), "a box");
    const size_t frames = values.shape(0), count = low.size();
    array<double> sums({ frames, count });
    box_sums(
        values.data(), frames, values.shape(1), low.data(), high.data(), divisor.data(), count, sums.mutable_data());
    return sums;
}

array<float> boxes(const array<float>& rows,
                   const array<uint32_t>& edges,
                   const array<float>& median,
                   const array<float>& per_up,
                   const array<float>& per_down)
{
    check(edges.ndim() == 1 && edges.size() >= 2 && edges.at(0) == 0, "edges");
    const size_t parts = edges.size() - 1, count = edges.at(parts);
    for (size_t part = 0; part < parts; ++part)
        check(edges.at(part) < edges.at(part + 1), "edges");
    check(rows.ndim() == 2 && static_cast<size_t>(rows.shape(1)) == count && rows.shape(0) >= ssize_t(BOX_HISTORY),
          "rows");
    for (const auto* limit : { &median, &per_up, &per_down })
        check(limit->ndim() == 2 && limit->shape(0) == ssize_t(BOX_LENGTHS) &&
                  static_cast<size_t>(limit->shape(1)) == count,
              "a limit");
    const size_t frames = rows.shape(0) - BOX_HISTORY;
    array<float> maxima({ frames, BOX_LENGTHS * 2 * parts });
    box_maxima(
        rows.data(), frames, edges.data(), parts, median.data(), per_up.data(), per_down.data(), maxima.mutable_data());
    return maxima;
}

array<float> windows(const array<float>& residual, const array<uint32_t>& scales, const array<int>& signs)
{
    check(residual.ndim() == 2 && residual.shape(1) >= 1, "residual");
    check(scales.ndim() == 1 && signs.ndim() == 1 && scales.size() == signs.size(), "signs");
    for (ssize_t window = 0; window < scales.size(); ++window)
        check(scales.at(window) >= 1, "a scale");
    const size_t frames = residual.shape(0), count = scales.size();
    array<float> maxima({ frames, count });
    window_maxima(
        residual.data(), frames, residual.shape(1), scales.data(), signs.data(), count, maxima.mutable_data());
    return maxima;
}

} // namespace

void bind_score_maxima(py::module& m)
{
    m.attr("BOX_LENGTHS") = BOX_LENGTHS;
    m.attr("BOX_HISTORY") = BOX_HISTORY;
    m.def("box_sums",
          &sums_of_boxes,
          py::arg("values").noconvert(),
          py::arg("low").noconvert(),
          py::arg("high").noconvert(),
          py::arg("divisor").noconvert(),
          "values float32 (F, N), low and high uint32 (P,), divisor float64 (P,) -> float64 (F, P).");
    m.def("box_maxima",
          &boxes,
          py::arg("rows").noconvert(),
          py::arg("edges").noconvert(),
          py::arg("median").noconvert(),
          py::arg("per_up").noconvert(),
          py::arg("per_down").noconvert(),
          "rows float32 (BOX_HISTORY + F, P), edges uint32, limits float32 (BOX_LENGTHS, P) -> float32 (F, BOX_LENGTHS "
          "* 2 * parts).");
    m.def("window_maxima",
          &windows,
          py::arg("residual").noconvert(),
          py::arg("scales").noconvert(),
          py::arg("signs").noconvert(),
          "residual float32 (F, N), scales uint32, signs int32 -> float32 (F, windows).");
}
