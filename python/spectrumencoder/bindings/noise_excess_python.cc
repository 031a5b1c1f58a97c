/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "arrays.h"
#include "noise_excess.h"
#include <algorithm>
#include <vector>

namespace py = pybind11;
using namespace gr::spectrumencoder;

namespace {

bool has_shape(const py::array& values, size_t rows, size_t columns)
{
    return values.ndim() == 2 && static_cast<size_t>(values.shape(0)) == rows &&
           static_cast<size_t>(values.shape(1)) == columns;
}

bool has_length(const py::array& values, size_t count)
{
    return values.ndim() == 1 && static_cast<size_t>(values.size()) == count;
}

array<double>
gains_of_frames(const array<float>& psd, const array<float>& mean, const array<uint32_t>& reference, double near)
{
    check(psd.ndim() == 2, "psd");
    const size_t frames = psd.shape(0), bins = psd.shape(1), count = reference.size();
    check(has_length(mean, bins), "mean");
    check(reference.ndim() == 1 &&
              std::all_of(reference.data(), reference.data() + count, [bins](uint32_t bin) { return bin < bins; }),
          "reference");
    array<double> result(frames);
    double* out = result.mutable_data();
    const others_may_run meanwhile(frames >= VERY_LONG_FRAMES);
    common_gains(psd.data(), frames, bins, mean.data(), reference.data(), count, near, out);
    return result;
}

array<float> medians_of_columns(const array<float>& values)
{
    check(values.ndim() == 2 && values.shape(0) >= 1, "values");
    array<float> result(values.shape(1));
    float* out = result.mutable_data();
    column_medians(values.data(), values.shape(0), values.shape(1), out);
    return result;
}

void excess(const array<float>& psd,
            const array<float>& gains,
            const array<float>& mean,
            const array<float>& share,
            const array<float>& parts,
            const array<float>& allowed,
            float busy,
            array<float>& ratio,
            array<float>& fresh)
{
    check(psd.ndim() == 2, "psd");
    const size_t frames = psd.shape(0), bins = psd.shape(1);
    const bool rounded = share.size() > 0;
    check(has_length(gains, frames), "gains");
    check(has_length(mean, bins) && has_length(allowed, bins), "mean or allowed");
    check(!rounded || (has_length(share, bins) && has_shape(parts, frames, 2)), "share or parts");
    check(has_shape(ratio, frames, bins) && has_shape(fresh, frames, bins), "ratio or fresh");
    const expectation of{ bins, mean.data(), rounded ? share.data() : nullptr, allowed.data(), busy };
    float *to_ratio = ratio.mutable_data(), *to_fresh = fresh.mutable_data();
    const others_may_run meanwhile(frames >= VERY_LONG_FRAMES);
    noise_excess(psd.data(), frames, gains.data(), parts.data(), of, to_ratio, to_fresh);
}

array<float> scores(const array<float>& rows, const array<uint32_t>& sizes, const array<double>& limits)
{
    check(rows.ndim() == 2 && static_cast<size_t>(rows.shape(0)) >= EXCESS_HISTORY, "rows");
    const size_t frames = rows.shape(0) - EXCESS_HISTORY, bins = rows.shape(1);
    check(sizes.ndim() == 2 && sizes.shape(1) == 2, "sizes");
    check(has_shape(limits, sizes.shape(0), EXCESS_LENGTHS), "limits");
    std::vector<excess_size> all;
    for (ssize_t size = 0; size < sizes.shape(0); ++size) {
        all.push_back({ sizes.at(size, 0), sizes.at(size, 1) });
        check(all.back().width >= 1 && all.back().width <= bins && all.back().step >= 1, "a box");
    }
    array<float> result(frames);
    float* out = result.mutable_data();
    const others_may_run meanwhile(frames >= VERY_LONG_FRAMES);
    excess_scores(rows.data(), frames, bins, all.data(), all.size(), limits.data(), out);
    return result;
}

} // namespace

void bind_noise_excess(py::module& m)
{
    m.attr("EXCESS_LENGTHS") = EXCESS_LENGTHS;
    m.attr("EXCESS_HISTORY") = EXCESS_HISTORY;
    m.def("common_gains",
          &gains_of_frames,
          py::arg("psd").noconvert(),
          py::arg("mean").noconvert(),
          py::arg("reference").noconvert(),
          py::arg("near"),
          "psd float32 (F, N) and mean float32 (N,) dBFS, reference uint32 bins, near dB -> float64 (F,) dB.");
    m.def("column_medians",
          &medians_of_columns,
          py::arg("values").noconvert(),
          "values float32 (F, N), F at least 1 -> float32 (N,).");
    m.def(
        "noise_excess",
        &excess,
        py::arg("psd").noconvert(),
        py::arg("gains").noconvert(),
        py::arg("mean").noconvert(),
        py::arg("share").noconvert(),
        py::arg("parts").noconvert(),
        py::arg("allowed").noconvert(),
        py::arg("busy"),
        py::arg("ratio").noconvert(),
        py::arg("fresh").noconvert(),
        "psd float32 (F, N), gains float32 (F,), mean and allowed float32 (N,), share float32 (N,) with parts float32 "
        "(F, 2) or both empty; writes ratio and fresh float32 (F, N).");
    m.def("excess_scores",
          &scores,
          py::arg("rows").noconvert(),
          py::arg("sizes").noconvert(),
          py::arg("limits").noconvert(),
          "rows float32 (EXCESS_HISTORY + F, N), sizes uint32 (widths, 2: width and step), limits float64 (widths, "
          "EXCESS_LENGTHS) -> float32 (F,).");
}
