/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

/*! \file
 * A frequency or a rate that the user may state and tags may tell: which of them holds. */

#ifndef INCLUDED_SPECTRUMENCODER_TAGGED_QUANTITY_H
#define INCLUDED_SPECTRUMENCODER_TAGGED_QUANTITY_H

#include <cstdint>
#include <optional>
#include <string>

namespace gr {
namespace spectrumencoder {

/*!
 * Frequencies are related by their difference, rates by their ratio.
 *
 * The tag at the start is compared with what the user stated. If both agree, tags are followed as they are. If not,
 * something between the source and here has shifted or decimated the samples: what was stated holds, and later tags are
 * followed by their difference from the first (ratio, for rates). With an explicit relation (a freq_offset, a
 * rate_factor) the tags hold, corrected by it.
 *
 * A live change of the parameter holds at once in a stream without tags, or with such a relation. Where tags are
 * followed as they are it waits: the tag of the source's own retune says at which sample it happened. If none comes
 * within two seconds, what was stated holds.
 */
class tagged_quantity
{
public:
    enum class kind { frequency, rate };

    //! stated: 0 is not stated. correction: of tags, added to frequencies, multiplied into rates.
    tagged_quantity(kind what, double stated, double correction);

    std::optional<double> value() const { return d_value; } //!< nothing: not known
    bool corrected() const
    {
        return explicitly() || (d_relation && *d_relation != neutral());
    } //!< tags are not as here
    void forget_tags();

    //! A tag; NaN: not known from here on. tolerance: difference up to which both agree (of a ratio, for rates).
    //! early: the stream has just begun; a first tag that comes later tells of a change. least: a stated value that is
    //! not larger is a placeholder, which a tag overrules.
    void take(double tag, double tolerance, bool early, double least = 0.0);

    //! The present parameter; now: offset in the stream; patience: samples that a change waits for a tag.
    void state(double stated, uint64_t now, uint64_t patience, double tolerance);

    //! What the user should know of a contradiction, once; else empty.
    std::string take_warning();

private:
    struct waiting {
        double stated;
        uint64_t until;
        bool holds;
    };

    kind d_kind;
    double d_correction;
    double d_given;                   // as the user gave it
    std::optional<double> d_tag;      // the last one, corrected
    std::optional<double> d_relation; // of what holds to the tags; set by the first tag
    std::optional<double> d_value;
    std::optional<waiting> d_waiting; // a live change that no tag has confirmed
    bool d_warned = false;
    std::string d_warning;

    std::optional<double> stated() const;
    double neutral() const { return d_kind == kind::frequency ? 0.0 : 1.0; }
    bool explicitly() const { return d_correction != neutral(); }
    double relation(double value, double tag) const { return d_kind == kind::frequency ? value - tag : value / tag; }
    double apply(double tag, double by) const { return d_kind == kind::frequency ? tag + by : tag * by; }
    bool agree(double a, double b, double tolerance) const;
    void first_tag(double tolerance, bool early, double least);
    void warn(double tag, bool tag_holds);
};

} // namespace spectrumencoder
} // namespace gr

#endif /* INCLUDED_SPECTRUMENCODER_TAGGED_QUANTITY_H */
