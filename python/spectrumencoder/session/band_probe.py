# SPDX-License-Identifier: GPL-3.0-or-later
"""band_probe: mean and maximum of the spectra of each tuning, for the picture of a survey."""

from __future__ import annotations

import numpy as np
from gnuradio import gr

from .. import keys
from ..blocks.safe_block import SafeBlock
from ..blocks.tags import frame_tags, known_freq
from ..display.band_spectrum import BandSpectrum


class band_probe(SafeBlock, gr.sync_block):
    """Sink of psd (fft_size floats per frame, dBFS).

    Args:
        fft_size: bins per frame.
        samp_rate, center_freq: Hz, until tags say otherwise.
        usable: share of the band, around its middle, that counts.

    Attributes: spectrum: a ``BandSpectrum``.
    """

    def __init__(self, fft_size: int, samp_rate: float, center_freq: float, usable: float = 1.0):
        gr.sync_block.__init__(self, "band_probe", [(np.float32, fft_size)], None)
        self.init_safe_block()
        self.set_tag_propagation_policy(gr.TPP_DONT)
        self.spectrum = BandSpectrum(fft_size, usable)
        self._rate, self._center = float(samp_rate), float(center_freq)

    def _work(self, input_items, output_items) -> int:
        psd, = input_items
        tags = frame_tags(self, len(psd))
        cuts = sorted({0, len(psd), *tags})
        for start, stop in zip(cuts, cuts[1:], strict=False):
            if start in tags:
                self._center = known_freq(tags[start].get(keys.RX_FREQ), self._center) or 0.0
                self._rate = tags[start].get(keys.RX_RATE, self._rate)
            self.spectrum.add(self._center, self._rate, psd[start:stop])
        return len(psd)
