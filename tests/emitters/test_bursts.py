# SPDX-License-Identifier: GPL-3.0-or-later
"""Bursts: what two that look alike do when they meet."""

import numpy as np
from gnuradio.spectrumencoder.emitters.bursts import BurstBuilder, FrameView
from gnuradio.spectrumencoder.emitters.regions import Region

N = 64


def frame(index):
    return FrameView(index, index * 100, index * 100 + 100, np.full(N, 2.0), np.ones(N), np.full(N, 2.0, np.float32), np.ones(N))


def test_a_region_over_three_bursts_makes_them_one():
    """A burst is itself, not what it looks like: it was looked for by its numbers, and comparing two of its arrays failed."""
    builder = BurstBuilder(N, hold=4)
    builder.see(frame(0), [Region(5, 9, 1.5, 1), Region(20, 24, 1.5, 1), Region(40, 44, 1.5, 1)])
    assert len(builder.open) == 3 and builder.open[0] != builder.open[1]
    for burst in builder.open:  # as alike as their first numbers can be
        burst.low, burst.high = 5, 44
    builder.see(frame(1), [Region(5, 44, 1.5, 1)])
    (burst,) = builder.open
    assert (burst.low, burst.high, burst.first, burst.last) == (5, 44, 0, 1)
