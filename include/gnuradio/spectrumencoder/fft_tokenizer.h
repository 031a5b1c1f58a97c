/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

/*! \file
 * The block `fft_tokenizer`: IQ samples in, frames of tokens and power spectra out. */

#ifndef INCLUDED_SPECTRUMENCODER_FFT_TOKENIZER_H
#define INCLUDED_SPECTRUMENCODER_FFT_TOKENIZER_H

#include <gnuradio/block.h>
#include <gnuradio/spectrumencoder/api.h>
#include <cstdint>
#include <string>

namespace gr {
namespace spectrumencoder {

/*!
 * \brief Turns IQ samples into frames of tokens (docs/contracts.md, "Frame").
 * \ingroup spectrumencoder
 *
 * \details
 * Input 0: complex, with `rx_freq`, `rx_rate`, `rx_time` tags where there are any.
 * Output 0 `tokens`: item_size() floats per frame. Output 1 `psd` (may stay unconnected): fft_size floats per frame,
 * dBFS. Message output `status`: a dict with the counters, at most once a second while frames are dropped, and at the
 * end.
 *
 * Both outputs carry `rx_freq`, `rx_rate`, `rx_time` (when the input has one), `frame_start`, `frame_hop`,
 * `frame_average` at frame 0 and after each discontinuity or change of the average. No frame reaches across a break:
 * the frame before it is emitted with as many windows (at least one) as it has, as is the last one of the stream. A tag
 * that continues what is known is no break. A frame that holds NaN, Inf or a run of identical samples (constant_run) is
 * dropped and counted. docs/contracts.md says which value holds if tags and parameters differ.
 */
class SPECTRUMENCODER_API fft_tokenizer : virtual public gr::block
{
public:
    typedef std::shared_ptr<fft_tokenizer> sptr;

    /*!
     * \param fft_size bins N, 16..65536
     * \param stride bins in a token; divides fft_size
     * \param average windows in a frame, 1..64
     * \param overlap fraction of a window shared with the next one, 0..0.95
     * \param window blackman, blackmanharris, flattop, hamming, hann, nuttall or rectangular
     * \param samp_rate samples per second; 0: not stated, `rx_rate` tags say it, else it is 1e6
     * \param center_freq Hz; 0: not stated, `rx_freq` tags say it, else it is not known
     * \param settle_ms samples skipped after a retune, 0..60000 ms
     * \param min_output_buffer room for frames on each output, 1..65536: lets the next block work in batches
     * \param live the samples come from a radio, as fast as its clock says: after a retune, what its buffers held at
     * that moment is skipped too. It carries the tag of the new frequency, and is of the old one
     * \param use_tags false: `rx_freq` and `rx_rate` tags are ignored
     * \param rate_factor rate here over `rx_rate`, such as 0.25 after a decimation by 4
     * \param freq_offset Hz, centre here less `rx_freq`, of a converter or a filter that shifts
     * \param tag_channel of tags that hold a value for each channel
     * \throws std::invalid_argument naming the argument, its value and its range
     */
    static sptr make(int fft_size = 1024,
                     int stride = 8,
                     int average = 16,
                     double overlap = 0.0,
                     const std::string& window = "blackmanharris",
                     double samp_rate = 0.0,
                     double center_freq = 0.0,
                     double settle_ms = 0.0,
                     int min_output_buffer = 64,
                     bool live = false,
                     bool use_tags = true,
                     double rate_factor = 1.0,
                     double freq_offset = 0.0,
                     int tag_channel = 0);

    // These change live and throw std::invalid_argument when out of range.
    virtual void set_average(int average) = 0;            //!< from the next frame on
    virtual void set_samp_rate(double samp_rate) = 0;     //!< a discontinuity, but see docs/contracts.md
    virtual void set_center_freq(double center_freq) = 0; //!< a retune, but see docs/contracts.md
    virtual void set_settle_ms(double settle_ms) = 0;     //!< from the next retune on

    virtual int average() const = 0;
    virtual double samp_rate() const = 0;
    virtual double center_freq() const = 0;
    virtual double settle_ms() const = 0;
    virtual int fft_size() const = 0;
    virtual int item_size() const = 0; //!< floats in one item of `tokens`

    // Counters since start()
    virtual uint64_t frames() const = 0;            //!< emitted
    virtual uint64_t dropped_frames() const = 0;    //!< all of those below
    virtual uint64_t dropped_retune() const = 0;    //!< lost to a change of frequency: less than a window before it
    virtual uint64_t dropped_rate() const = 0;      //!< likewise, of sample rate
    virtual uint64_t dropped_retag() const = 0;     //!< likewise, to a gap that changed neither (overflow)
    virtual uint64_t dropped_nonfinite() const = 0; //!< held NaN or Inf
    virtual uint64_t dropped_constant() const = 0;  //!< held a run of identical samples (constant_run)
    virtual uint64_t clipped_frames() const = 0;    //!< emitted, with samples at full scale
    virtual uint64_t short_frames() const = 0;      //!< emitted with fewer windows, before a break and at the end
    virtual uint64_t time_backward() const = 0;     //!< `rx_time` tags before the time that was expected
    virtual uint64_t malformed() const = 0;         //!< tags that were ignored because of their value
    virtual uint64_t overflows() const = 0;         //!< tags that told of a gap and changed neither frequency nor rate

    /*! When sample n came in is arrival_offset() + n / rate, in seconds of std::chrono::steady_clock, n counted from
     * the start: the earliest line through what was seen in the last seconds since a discontinuity. NaN before the
     * first sample. Means something for a source that keeps time, such as a radio. */
    virtual double arrival_offset() const = 0;
};

} // namespace spectrumencoder
} // namespace gr

#endif /* INCLUDED_SPECTRUMENCODER_FFT_TOKENIZER_H */
