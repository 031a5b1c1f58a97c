/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "frame_counters.h"
#include <gnuradio/spectrumencoder/keys.h>
#include <sstream>

namespace gr {
namespace spectrumencoder {

void frame_counters::reset()
{
    for (auto* counter : { &frames,
                           &retune,
                           &rate,
                           &retag,
                           &nonfinite,
                           &constant,
                           &clipped,
                           &short_frames,
                           &backward,
                           &malformed_tags,
                           &retags })
        *counter = 0;
}

std::string frame_counters::summary() const
{
    std::ostringstream text;
    text << frames << " frames, " << dropped() << " dropped";
    if (dropped() > 0)
        text << " (retune " << retune << ", rate " << rate << ", re-tag " << retag << ", NaN or Inf " << nonfinite
             << ", constant samples " << constant << ")";
    if (clipped > 0)
        text << ", " << clipped << " with samples at full scale";
    return text.str();
}

pmt::pmt_t frame_counters::status(const char* state) const
{
    pmt::pmt_t status = pmt::make_dict();
    status = pmt::dict_add(status, keys::block(), pmt::mp("fft_tokenizer"));
    status = pmt::dict_add(status, keys::status_state(), pmt::mp(state));
    status = pmt::dict_add(status, keys::message(), pmt::mp(summary()));
    status = pmt::dict_add(status, keys::frames(), pmt::from_uint64(frames));
    status = pmt::dict_add(status, keys::dropped_frames(), pmt::from_uint64(dropped()));
    status = pmt::dict_add(status, keys::dropped_retune(), pmt::from_uint64(retune));
    status = pmt::dict_add(status, keys::dropped_rate(), pmt::from_uint64(rate));
    status = pmt::dict_add(status, keys::dropped_retag(), pmt::from_uint64(retag));
    status = pmt::dict_add(status, keys::dropped_nonfinite(), pmt::from_uint64(nonfinite));
    status = pmt::dict_add(status, keys::dropped_constant(), pmt::from_uint64(constant));
    status = pmt::dict_add(status, keys::clipped_frames(), pmt::from_uint64(clipped));
    status = pmt::dict_add(status, keys::short_frames(), pmt::from_uint64(short_frames));
    status = pmt::dict_add(status, keys::time_backward(), pmt::from_uint64(backward));
    status = pmt::dict_add(status, keys::overflows(), pmt::from_uint64(retags));
    return pmt::dict_add(status, keys::malformed(), pmt::from_uint64(malformed_tags));
}

} // namespace spectrumencoder
} // namespace gr
