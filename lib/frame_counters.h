/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

/*! \file
 * What became of the frames: counted by the work thread, read by any. */

#ifndef INCLUDED_SPECTRUMENCODER_FRAME_COUNTERS_H
#define INCLUDED_SPECTRUMENCODER_FRAME_COUNTERS_H

#include <pmt/pmt.h>
#include <atomic>
#include <cstdint>
#include <string>

namespace gr {
namespace spectrumencoder {

struct frame_counters {
    std::atomic<uint64_t> frames{ 0 };
    std::atomic<uint64_t> retune{ 0 };
    std::atomic<uint64_t> rate{ 0 };
    std::atomic<uint64_t> retag{ 0 };
    std::atomic<uint64_t> nonfinite{ 0 };
    std::atomic<uint64_t> constant{ 0 };
    std::atomic<uint64_t> clipped{ 0 };      // frames that were sent and hold samples at full scale
    std::atomic<uint64_t> short_frames{ 0 }; // sent with fewer windows, before a break and at the end
    std::atomic<uint64_t> backward{ 0 };     // rx_time tags before the expected time
    std::atomic<uint64_t> malformed_tags{ 0 };
    std::atomic<uint64_t> retags{ 0 }; // discontinuities, whether or not a frame was lost by them

    uint64_t dropped() const { return retune + rate + retag + nonfinite + constant; }
    void reset();
    std::string summary() const;
    pmt::pmt_t status(const char* state) const; //!< the dict for the port `status`
};

} // namespace spectrumencoder
} // namespace gr

#endif /* INCLUDED_SPECTRUMENCODER_FRAME_COUNTERS_H */
