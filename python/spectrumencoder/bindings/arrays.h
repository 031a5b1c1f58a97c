/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

/*! \file What bindings that take NumPy arrays share. */

#ifndef INCLUDED_SPECTRUMENCODER_ARRAYS_H
#define INCLUDED_SPECTRUMENCODER_ARRAYS_H

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <optional>
#include <stdexcept>
#include <string>

template <typename T>
using array = pybind11::array_t<T, pybind11::array::c_style>;

inline void check(bool right, const char* what)
{
    if (!right)
        throw std::invalid_argument(std::string(what) + " does not fit the other arguments");
}

//! Lets other threads run Python meanwhile, where that pays: to get the lock back costs as much as a short calculation.
class others_may_run
{
public:
    explicit others_may_run(bool it_takes_long)
    {
        if (it_takes_long)
            d_released.emplace();
    }

private:
    std::optional<pybind11::gil_scoped_release> d_released;
};

constexpr size_t LONG_FRAMES = 16,
                 VERY_LONG_FRAMES = 64; // from as many on the detector's slower, and quicker, kernels take long

#endif
