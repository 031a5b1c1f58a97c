/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "arrays.h"
#include "score_maxima.h"

namespace py = pybind11;
using namespace gr::spectrumencoder;

namespace {

// Rows of `count` values each, which may stand apart: columns of a wider array.
class results
{
public:
    results(py::array_t<float, 0>& out, size_t frames, size_t count)
    {
        check(out.ndim() == 2 && static_cast<size_t>(out.shape(0)) == frames &&
                  static_cast<size_t>(out.shape(1)) == count && (count < 2 || out.strides(1) == sizeof(float)) &&
                  out.strides(0) % sizeof(float) == 0 &&
                  (frames < 2 || out.strides(0) >= ssize_t(count * sizeof(float))),
              "out");
        data = out.mutable_data();
        step = out.strides(0) / sizeof(float);
    }

    float* data;
    size_t step;
};

void boxes(const array<float>& rows,
           const array<uint32_t>& edges,
           const array<float>& median,
           const array<float>& per_up,
           const array<float>& per_down,
           py::array_t<float, 0>& out)
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
    const results to(out, frames, BOX_LENGTHS * 2 * parts);
    const others_may_run meanwhile(frames >= LONG_FRAMES);
    box_maxima(
        rows.data(), frames, edges.data(), parts, median.data(), per_up.data(), per_down.data(), to.data, to.step);
}

void windows(const array<float>& residual,
             const array<uint32_t>& scales,
             const array<int>& signs,
             py::array_t<float, 0>& out)
{
    check(residual.ndim() == 2 && residual.shape(1) >= 1, "residual");
    check(scales.ndim() == 1 && signs.ndim() == 1 && scales.size() == signs.size(), "signs");
    for (ssize_t window = 0; window < scales.size(); ++window)
        check(scales.at(window) >= 1, "a scale");
    const size_t frames = residual.shape(0), count = scales.size();
    const results to(out, frames, count);
    const others_may_run meanwhile(frames >= VERY_LONG_FRAMES);
    window_maxima(residual.data(), frames, residual.shape(1), scales.data(), signs.data(), count, to.data, to.step);
}

array<float> standardised(const array<float>& values,
                          const array<uint32_t>& columns,
                          const array<float>& median,
                          const array<float>& spread)
{
    check(values.ndim() == 2, "values");
    check(columns.ndim() == 1, "columns");
    for (ssize_t column = 0; column < columns.size(); ++column)
        check(columns.at(column) < values.shape(1), "columns");
    check(median.ndim() == 1 && median.size() == columns.size(), "median");
    check(spread.ndim() == 1 && spread.size() == columns.size(), "spread");
    array<float> largest(values.shape(0));
    largest_standardised(values.data(),
                         values.shape(0),
                         values.shape(1),
                         columns.data(),
                         columns.size(),
                         median.data(),
                         spread.data(),
                         largest.mutable_data());
    return largest;
}

} // namespace

void bind_score_maxima(py::module& m)
{
    m.attr("BOX_LENGTHS") = BOX_LENGTHS;
    m.attr("BOX_HISTORY") = BOX_HISTORY;
    m.def("box_maxima",
          &boxes,
          py::arg("rows").noconvert(),
          py::arg("edges").noconvert(),
          py::arg("median").noconvert(),
          py::arg("per_up").noconvert(),
          py::arg("per_down").noconvert(),
          py::arg("out").noconvert(),
          "rows float32 (BOX_HISTORY + F, P), edges uint32, limits float32 (BOX_LENGTHS, P); writes out float32 (F, "
          "BOX_LENGTHS * 2 * parts), which may be columns of a wider array.");
    m.def("window_maxima",
          &windows,
          py::arg("residual").noconvert(),
          py::arg("scales").noconvert(),
          py::arg("signs").noconvert(),
          py::arg("out").noconvert(),
          "residual float32 (F, N), scales uint32, signs int32; writes out float32 (F, windows), which may be columns "
          "of a wider array.");
    m.def("largest_standardised",
          &standardised,
          py::arg("values").noconvert(),
          py::arg("columns").noconvert(),
          py::arg("median").noconvert(),
          py::arg("spread").noconvert(),
          "values float32 (F, all), columns uint32 (C,), median and spread float32 (C,) -> float32 (F,).");
}
