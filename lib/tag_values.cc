/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "tag_values.h"
#include <cmath>

namespace gr {
namespace spectrumencoder {

namespace {

std::optional<double> scalar(const pmt::pmt_t& value)
{
    if (pmt::is_uint64(value))
        return static_cast<double>(pmt::to_uint64(value));
    if (pmt::is_integer(value))
        return static_cast<double>(pmt::to_long(value));
    if (pmt::is_real(value))
        return pmt::to_double(value);
    return std::nullopt;
}

bool is_array(const pmt::pmt_t& value)
{
    return pmt::is_vector(value) || pmt::is_tuple(value);
}

// pmt::length counts the items of vectors and tuples; a uniform vector is asked for its own.
pmt::pmt_t element(const pmt::pmt_t& value, size_t channel)
{
    if (pmt::is_vector(value))
        return channel < pmt::length(value) ? pmt::vector_ref(value, channel) : nullptr;
    return channel < pmt::length(value) ? pmt::tuple_ref(value, channel) : nullptr;
}

std::optional<double> uniform_element(const pmt::pmt_t& value, size_t channel)
{
    if (channel >= pmt::length(value))
        return std::nullopt;
    if (pmt::is_f64vector(value))
        return pmt::f64vector_ref(value, channel);
    if (pmt::is_f32vector(value))
        return pmt::f32vector_ref(value, channel);
    if (pmt::is_s64vector(value))
        return static_cast<double>(pmt::s64vector_ref(value, channel));
    if (pmt::is_u64vector(value))
        return static_cast<double>(pmt::u64vector_ref(value, channel));
    if (pmt::is_s32vector(value))
        return pmt::s32vector_ref(value, channel);
    if (pmt::is_u32vector(value))
        return pmt::u32vector_ref(value, channel);
    return std::nullopt;
}

std::optional<double> number(const pmt::pmt_t& value, size_t channel)
{
    if (!value)
        return std::nullopt;
    if (pmt::is_uniform_vector(value))
        return uniform_element(value, channel);
    if (!is_array(value))
        return scalar(value);
    const pmt::pmt_t chosen = element(value, channel);
    return chosen ? scalar(chosen) : std::nullopt;
}

std::optional<tag_time> time_of_parts(const pmt::pmt_t& whole, const pmt::pmt_t& part)
{
    const auto fraction = scalar(part);
    if (!fraction || !std::isfinite(*fraction) || *fraction < 0.0)
        return std::nullopt;
    if (pmt::is_uint64(whole))
        return tag_time{ pmt::to_uint64(whole), *fraction };
    const auto seconds = scalar(whole);
    if (!seconds || !(*seconds >= 0.0 && *seconds < 9.2e18))
        return std::nullopt;
    const double floor = std::floor(*seconds);
    return tag_time{ static_cast<uint64_t>(floor), *fraction + (*seconds - floor) };
}

// A list is a chain of pairs: its second item is the car of what follows.
std::optional<tag_time> time_of_pair(const pmt::pmt_t& value)
{
    const pmt::pmt_t rest = pmt::cdr(value);
    return time_of_parts(pmt::car(value), pmt::is_pair(rest) ? pmt::car(rest) : rest);
}

std::optional<tag_time> time_of_one(const pmt::pmt_t& value)
{
    if (is_array(value) && pmt::length(value) >= 2)
        return time_of_parts(element(value, 0), element(value, 1));
    if (pmt::is_pair(value))
        return time_of_pair(value);
    return std::nullopt;
}

} // namespace

std::optional<double> tag_frequency(const pmt::pmt_t& value, size_t channel)
{
    const auto hz = number(value, channel);
    return hz && !std::isinf(*hz) ? hz : std::nullopt;
}

std::optional<double> tag_rate(const pmt::pmt_t& value, size_t channel)
{
    const auto rate = number(value, channel);
    return rate && std::isfinite(*rate) && *rate > 0.0 ? rate : std::nullopt;
}

std::optional<tag_time> tag_time_of(const pmt::pmt_t& value, size_t channel)
{
    if (!value)
        return std::nullopt;
    if (is_array(value) && channel < pmt::length(value)) {
        const pmt::pmt_t chosen = element(value, channel);
        if (is_array(chosen) || (pmt::is_pair(chosen) && !pmt::is_null(chosen)))
            return time_of_one(chosen);
    }
    return time_of_one(value);
}

} // namespace spectrumencoder
} // namespace gr
