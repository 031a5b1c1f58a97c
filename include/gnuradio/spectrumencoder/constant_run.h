/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#ifndef INCLUDED_SPECTRUMENCODER_CONSTANT_RUN_H
#define INCLUDED_SPECTRUMENCODER_CONSTANT_RUN_H

#include <gnuradio/gr_complex.h>
#include <gnuradio/spectrumencoder/api.h>

namespace gr {
namespace spectrumencoder {

/*!
 * \brief Finds a run of identical samples in a stream that comes in parts.
 *
 * \details
 * A recorder writes zeros for samples that it lost, and a stuck converter repeats its last one. Real samples have
 * noise. Samples at full scale do not count: strong signals hold a receiver at its rails.
 */
class SPECTRUMENCODER_API constant_run
{
public:
    static constexpr int MIN_LENGTH = 1024;    //!< samples; shorter runs are usual in quiet recordings of few bits
    static constexpr float FULL_SCALE = 0.99f; //!< of |re| or |im|: a sample from here on is at full scale

    void add(const gr_complex* samples, int n); //!< The next n >= 1 samples. NaN is equal to nothing, 0 to -0.
    bool found() const { return d_found; }      //!< a run of MIN_LENGTH was among the samples since reset()
    void reset();

private:
    bool d_found = false;
    int d_length = 0; // of the run at the end of what was added
    gr_complex d_last;

    static bool at_full_scale(gr_complex sample);
    static bool within(const gr_complex* samples, int n);
};

} // namespace spectrumencoder
} // namespace gr

#endif /* INCLUDED_SPECTRUMENCODER_CONSTANT_RUN_H */
