/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "score_maxima.h"
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <stdexcept>
#include <string>
#include <vector>

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

array<float> deviations(const array<float>& levels,
                        const array<float>& mean,
                        const array<float>& deviation,
                        const array<float>& components)
{
    check(levels.ndim() == 2, "levels");
    const size_t frames = levels.shape(0), bins = levels.shape(1);
    check(mean.ndim() == 1 && static_cast<size_t>(mean.size()) == bins, "mean");
    check(deviation.ndim() == 1 && static_cast<size_t>(deviation.size()) == bins, "deviation");
    check(components.ndim() == 2 && static_cast<size_t>(components.shape(1)) == bins, "components");
    array<float> result({ frames, bins });
    float* out = result.mutable_data();
    py::gil_scoped_release others_may_run;
    standardise(
        levels.data(), frames, bins, mean.data(), deviation.data(), components.data(), components.shape(0), out);
    return result;
}

array<double> sums_of_boxes(const array<float>& deviation,
                            const array<float>& power,
                            const array<uint32_t>& sizes,
                            size_t deviation_sizes,
                            array<float>& rows)
{
    check(deviation.ndim() == 2 && power.ndim() == 2 && power.shape(0) == deviation.shape(0) &&
              power.shape(1) == deviation.shape(1),
          "power");
    check(sizes.ndim() == 2 && sizes.shape(1) == 2 && deviation_sizes <= static_cast<size_t>(sizes.shape(0)), "sizes");
    const size_t frames = deviation.shape(0), bins = deviation.shape(1), n_sizes = sizes.shape(0);
    std::vector<box_size> list(n_sizes);
    size_t of_deviation = 0, of_power = 0;
    for (size_t size = 0; size < n_sizes; ++size) {
        list[size] = { sizes.at(size, 0), sizes.at(size, 1) };
        check(list[size].width >= 1 && list[size].width <= bins && list[size].step >= 1, "a box");
        (size < deviation_sizes ? of_deviation : of_power) += (bins - list[size].width) / list[size].step + 1;
    }
    check(rows.ndim() == 2 && static_cast<size_t>(rows.shape(0)) == frames &&
              static_cast<size_t>(rows.shape(1)) == of_deviation + of_power,
          "rows");
    array<double> means({ frames, of_power });
    auto* out = rows.mutable_data();
    auto* mean = means.mutable_data();
    py::gil_scoped_release others_may_run;
    box_sums(deviation.data(),
             power.data(),
             frames,
             bins,
             list.data(),
             deviation_sizes,
             n_sizes - deviation_sizes,
             out,
             of_deviation + of_power,
             mean);
    return means;
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
    float* out = maxima.mutable_data();
    py::gil_scoped_release others_may_run;
    box_maxima(rows.data(), frames, edges.data(), parts, median.data(), per_up.data(), per_down.data(), out);
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
    float* out = maxima.mutable_data();
    py::gil_scoped_release others_may_run;
    window_maxima(residual.data(), frames, residual.shape(1), scales.data(), signs.data(), count, out);
    return maxima;
}

} // namespace

void bind_score_maxima(py::module& m)
{
    m.attr("BOX_LENGTHS") = BOX_LENGTHS;
    m.attr("BOX_HISTORY") = BOX_HISTORY;
    m.attr("PROJECTION_LANES") = PROJECTION_LANES;
    m.def("standardise",
          &deviations,
          py::arg("levels").noconvert(),
          py::arg("mean").noconvert(),
          py::arg("deviation").noconvert(),
          py::arg("components").noconvert(),
          "levels float32 (F, N), mean and deviation float32 (N,), components float32 (R, N) -> float32 (F, N).");
    m.def("box_sums",
          &sums_of_boxes,
          py::arg("deviation").noconvert(),
          py::arg("power").noconvert(),
          py::arg("sizes").noconvert(),
          py::arg("deviation_sizes"),
          py::arg("rows").noconvert(),
          "deviation and power float32 (F, N), sizes uint32 (width and step, of deviations and then of power), rows "
          "float32 "
          "(F, P), of which the deviations' boxes are written -> means of the others, float64 (F, P of power).");
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
