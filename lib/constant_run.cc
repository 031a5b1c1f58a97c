/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <gnuradio/spectrumencoder/constant_run.h>
#include <cmath>

namespace gr {
namespace spectrumencoder {

void constant_run::reset()
{
    d_found = false;
    d_length = 0;
}

void constant_run::add(const gr_complex* samples, int n)
{
    if (d_found)
        return;
    int begun = 0; // samples that continue the run before them
    while (d_length > 0 && begun < n && samples[begun] == d_last)
        ++begun;
    d_length += begun;
    d_found = (d_length >= MIN_LENGTH && !at_full_scale(d_last)) || within(samples, n);
    if (begun == n)
        return;
    d_last = samples[n - 1];
    d_length = 1;
    while (d_length < n && samples[n - 1 - d_length] == d_last)
        ++d_length;
}

bool constant_run::at_full_scale(gr_complex sample)
{
    return std::abs(sample.real()) >= FULL_SCALE || std::abs(sample.imag()) >= FULL_SCALE;
}

// Looks at the last sample of a run that would begin at `begin`, and from there back to the first one that differs,
// which such a run cannot hold. So one pair of neighbours in MIN_LENGTH is compared, as a rule.
// A run at full scale is passed over as far as it was seen.
bool constant_run::within(const gr_complex* samples, int n)
{
    int begin = 0;
    for (int end = MIN_LENGTH - 1; end < n; end = begin + MIN_LENGTH - 1) {
        int equal = end;
        while (equal > begin && samples[equal - 1] == samples[end])
            --equal;
        if (equal > begin)
            begin = equal;
        else if (at_full_scale(samples[end]))
            begin = end + 1;
        else
            return true;
    }
    return false;
}

} // namespace spectrumencoder
} // namespace gr
