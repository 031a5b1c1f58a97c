/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "arrays.h"
#include "band_rows.h"
#include <vector>

namespace py = pybind11;
using namespace gr::spectrumencoder;

namespace {

band_statistics
statistics(size_t bins, const array<float>& mean, const array<float>& deviation, const array<float>& components)
{
    check(mean.ndim() == 1 && static_cast<size_t>(mean.size()) == bins, "mean");
    check(deviation.ndim() == 1 && static_cast<size_t>(deviation.size()) == bins, "deviation");
    check(components.ndim() == 2 && static_cast<size_t>(components.shape(1)) == bins, "components");
    return { bins, mean.data(), deviation.data(), components.data(), static_cast<size_t>(components.shape(0)) };
}

// The plan of boxes, and the list of sizes that it points to.
class boxes_of_frames
{
public:
    boxes_of_frames(const array<uint32_t>& sizes, size_t deviation_sizes, size_t bins)
    {
        check(sizes.ndim() == 2 && sizes.shape(1) == 2 && deviation_sizes <= static_cast<size_t>(sizes.shape(0)),
              "sizes");
        d_plan.boxes = 0;
        for (ssize_t size = 0; size < sizes.shape(0); ++size) {
            d_sizes.push_back({ sizes.at(size, 0), sizes.at(size, 1) });
            check(d_sizes.back().width >= 1 && d_sizes.back().width <= bins && d_sizes.back().step >= 1, "a box");
            d_plan.boxes += (bins - d_sizes.back().width) / d_sizes.back().step + 1;
        }
        d_plan.sizes = d_sizes.data();
        d_plan.deviation_sizes = deviation_sizes;
        d_plan.power_sizes = d_sizes.size() - deviation_sizes;
    }

    const box_plan& plan() const { return d_plan; }

private:
    std::vector<box_size> d_sizes;
    box_plan d_plan;
};

void check_rows(const array<float>& rows, size_t frames, const box_plan& plan)
{
    check(rows.ndim() == 2 && static_cast<size_t>(rows.shape(0)) == frames &&
              static_cast<size_t>(rows.shape(1)) == plan.boxes,
          "rows");
}

array<float> deviations(const array<float>& levels,
                        const array<float>& mean,
                        const array<float>& deviation,
                        const array<float>& components)
{
    check(levels.ndim() == 2, "levels");
    const size_t frames = levels.shape(0), bins = levels.shape(1);
    const band_statistics band = statistics(bins, mean, deviation, components);
    array<float> result({ frames, bins });
    float* out = result.mutable_data();
    const others_may_run meanwhile(frames >= VERY_LONG_FRAMES);
    standardise(levels.data(), frames, band, out);
    return result;
}

void rows_of_boxes(const array<float>& deviation,
                   const array<float>& level,
                   const array<uint32_t>& sizes,
                   size_t deviation_sizes,
                   array<float>& rows)
{
    check(deviation.ndim() == 2 && level.ndim() == 2 && level.shape(0) == deviation.shape(0) &&
              level.shape(1) == deviation.shape(1),
          "level");
    const size_t frames = deviation.shape(0), bins = deviation.shape(1);
    const boxes_of_frames boxes(sizes, deviation_sizes, bins);
    check_rows(rows, frames, boxes.plan());
    float* out = rows.mutable_data();
    const others_may_run meanwhile(frames >= LONG_FRAMES);
    box_rows(deviation.data(), level.data(), frames, bins, boxes.plan(), out);
}

size_t rows_of_band(const array<float>& psd,
                    const py::array_t<float, 0>& floor,
                    const array<float>& curve,
                    const array<float>& mean,
                    const array<float>& deviation,
                    const array<float>& components,
                    const array<uint32_t>& sizes,
                    size_t deviation_sizes,
                    array<float>& levels,
                    array<float>& rows)
{
    check(psd.ndim() == 2, "psd");
    const size_t frames = psd.shape(0), bins = psd.shape(1);
    check(floor.ndim() == 1 && static_cast<size_t>(floor.size()) == frames && floor.strides(0) >= 0 &&
              floor.strides(0) % sizeof(float) == 0,
          "floor");
    check(curve.ndim() == 1 && static_cast<size_t>(curve.size()) == bins, "curve");
    check(levels.ndim() == 2 && levels.shape(0) == psd.shape(0) && levels.shape(1) == psd.shape(1), "levels");
    const band_statistics band = statistics(bins, mean, deviation, components);
    const boxes_of_frames boxes(sizes, deviation_sizes, bins);
    check_rows(rows, frames, boxes.plan());
    float *level = levels.mutable_data(), *out = rows.mutable_data();
    const others_may_run meanwhile(frames >= LONG_FRAMES);
    return band_rows(psd.data(),
                     floor.data(),
                     floor.strides(0) / sizeof(float),
                     frames,
                     curve.data(),
                     band,
                     boxes.plan(),
                     level,
                     out);
}

void sums_of_deviations(const array<float>& levels,
                        const array<float>& mean,
                        const array<float>& curve,
                        const array<float>& limit,
                        const array<float>& deviation,
                        const array<bool>& chosen,
                        array<double>& sums,
                        array<double>& squares)
{
    check(levels.ndim() == 2, "levels");
    const size_t frames = levels.shape(0), bins = levels.shape(1);
    for (const auto* one : { &mean, &curve, &limit, &deviation })
        check(one->ndim() == 1 && static_cast<size_t>(one->size()) == bins, "mean, curve, limit or deviation");
    check(chosen.ndim() == 1 && static_cast<size_t>(chosen.size()) == frames, "chosen");
    check(sums.ndim() == 1 && static_cast<size_t>(sums.size()) == bins, "sums");
    check(squares.ndim() == 1 && static_cast<size_t>(squares.size()) == bins, "squares");
    double *sum = sums.mutable_data(), *square = squares.mutable_data();
    const others_may_run meanwhile(frames >= VERY_LONG_FRAMES);
    add_deviations(levels.data(),
                   frames,
                   bins,
                   mean.data(),
                   curve.data(),
                   limit.data(),
                   deviation.data(),
                   reinterpret_cast<const uint8_t*>(chosen.data()),
                   sum,
                   square);
}

} // namespace

void bind_band_rows(py::module& m)
{
    m.attr("PROJECTION_LANES") = PROJECTION_LANES;
    m.def("standardise",
          &deviations,
          py::arg("levels").noconvert(),
          py::arg("mean").noconvert(),
          py::arg("deviation").noconvert(),
          py::arg("components").noconvert(),
          "levels float32 (F, N), mean and deviation float32 (N,), components float32 (R, N) -> float32 (F, N).");
    m.def("box_rows",
          &rows_of_boxes,
          py::arg("deviation").noconvert(),
          py::arg("level").noconvert(),
          py::arg("sizes").noconvert(),
          py::arg("deviation_sizes"),
          py::arg("rows").noconvert(),
          "deviation and level (dB) float32 (F, N), sizes uint32 (width and step, of deviations and then of power); "
          "writes rows float32 (F, P).");
    m.def("band_rows",
          &rows_of_band,
          py::arg("psd").noconvert(),
          py::arg("floor").noconvert(),
          py::arg("curve").noconvert(),
          py::arg("mean").noconvert(),
          py::arg("deviation").noconvert(),
          py::arg("components").noconvert(),
          py::arg("sizes").noconvert(),
          py::arg("deviation_sizes"),
          py::arg("levels").noconvert(),
          py::arg("rows").noconvert(),
          "psd float32 (F, N), floor float32 (F,), curve float32 (N,), the rest as of standardise and box_rows; writes "
          "levels float32 (F, N) and rows float32 (F, P) -> how many frames are not finite.");
    m.def("add_deviations",
          &sums_of_deviations,
          py::arg("levels").noconvert(),
          py::arg("mean").noconvert(),
          py::arg("curve").noconvert(),
          py::arg("limit").noconvert(),
          py::arg("deviation").noconvert(),
          py::arg("chosen").noconvert(),
          py::arg("sums").noconvert(),
          py::arg("squares").noconvert(),
          "levels float32 (F, N), mean, curve, limit and deviation float32 (N,), chosen bool (F,); adds to sums and "
          "squares float64 (N,).");
}
