/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "tagged_quantity.h"
#include <cmath>
#include <cstdio>
#include <utility>

namespace gr {
namespace spectrumencoder {

tagged_quantity::tagged_quantity(kind what, double stated, double correction)
    : d_kind(what), d_correction(correction), d_given(stated)
{
    forget_tags();
}

std::optional<double> tagged_quantity::stated() const
{
    return d_given != 0.0 ? std::optional<double>(d_given) : std::nullopt;
}

void tagged_quantity::forget_tags()
{
    d_tag.reset();
    d_relation.reset();
    d_waiting.reset();
    d_value = stated();
    d_warned = false;
    d_warning.clear();
}

bool tagged_quantity::agree(double a, double b, double tolerance) const
{
    return std::abs(a - b) <= (d_kind == kind::frequency ? tolerance : tolerance * std::abs(b));
}

void tagged_quantity::first_tag(double tolerance, bool early, double least)
{
    d_relation = neutral();
    if (!early || !stated() || agree(*stated(), *d_tag, tolerance))
        return;
    const bool tag_holds = explicitly() || std::abs(*stated()) <= least;
    warn(*d_tag, tag_holds);
    if (!tag_holds)
        d_relation = relation(*stated(), *d_tag);
}

void tagged_quantity::take(double tag, double tolerance, bool early, double least)
{
    if (std::isnan(tag)) {
        d_tag.reset();
        d_value = d_relation ? std::nullopt : stated();
        return;
    }
    const std::optional<double> before = d_tag;
    d_tag = apply(tag, d_correction);
    if (!d_relation)
        first_tag(tolerance, early, least);
    else if (d_waiting && d_waiting->holds && before &&
             !agree(apply(*d_tag, *d_relation), d_waiting->stated, tolerance))
        d_relation = relation(d_waiting->stated, *before); // not the source was tuned then, but what follows it
    d_waiting.reset();
    d_value = apply(*d_tag, *d_relation);
}

void tagged_quantity::state(double given, uint64_t now, uint64_t patience, double tolerance)
{
    if (given != d_given) {
        d_given = given;
        d_waiting.reset();
        if (!d_tag) {
            d_value = d_relation && !stated() ? std::nullopt : stated();
        } else if (!stated()) {
            d_relation = neutral();
            d_value = d_tag;
        } else if (!explicitly() && !agree(given, *d_value, tolerance)) {
            const bool holds = *d_relation != neutral();
            d_waiting = waiting{ given, now + patience, holds };
            if (holds)
                d_value = given;
        }
    } else if (d_waiting && !d_waiting->holds && now >= d_waiting->until) {
        d_relation = relation(given, *d_tag);
        d_value = given;
        warn(*d_tag, false);
        d_waiting.reset();
    }
}

void tagged_quantity::warn(double tag, bool tag_holds)
{
    if (d_warned)
        return;
    d_warned = true;
    const bool frequency = d_kind == kind::frequency;
    const char* const parameter = frequency ? "center_freq" : "samp_rate";
    const char* const option = frequency ? "freq_offset" : "rate_factor";
    char text[400];
    std::snprintf(text,
                  sizeof(text),
                  "an %s tag says %.12g Hz%s, the parameter %s says %.12g: the %s; if that is not meant, set %s to 0, "
                  "give %s, or "
                  "set use_tags to False",
                  frequency ? "rx_freq" : "rx_rate",
                  tag,
                  explicitly() ? " (corrected)" : "",
                  parameter,
                  d_given,
                  tag_holds   ? "tag holds"
                  : frequency ? "parameter holds, and later tags are followed by their difference from it"
                              : "parameter holds, and later tags are followed by their ratio to it",
                  parameter,
                  option);
    d_warning = text;
}

std::string tagged_quantity::take_warning()
{
    return std::exchange(d_warning, std::string());
}

} // namespace spectrumencoder
} // namespace gr
