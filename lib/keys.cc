/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <gnuradio/spectrumencoder/keys.h>

namespace gr {
namespace spectrumencoder {
namespace keys {

#define X(name, function, key)                                                                                         \
    const pmt::pmt_t& function()                                                                                       \
    {                                                                                                                  \
        static const pmt::pmt_t symbol = pmt::mp(key);                                                                 \
        return symbol;                                                                                                 \
    }
SPECTRUMENCODER_KEYS(X)
#undef X

const std::map<std::string, std::string>& vocabulary()
{
#define X(name, function, key) { #name, key },
    static const std::map<std::string, std::string> all = { SPECTRUMENCODER_KEYS(X) };
#undef X
    return all;
}

} // namespace keys
} // namespace spectrumencoder
} // namespace gr
