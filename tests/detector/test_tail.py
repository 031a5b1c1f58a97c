# SPDX-License-Identifier: GPL-3.0-or-later
"""The generalised Pareto tail: rates beyond the table, clusters, few excesses."""

import numpy as np
import pytest
from gnuradio.spectrumencoder.detector.tail import START_SHARE, Tail


@pytest.mark.parametrize("shape", [0.0, 0.15, 0.3])
def test_the_rate_a_hundred_times_beyond_the_table(shape):
    """Of 5,000 scores the tail states what comes 5e-6 times a frame within a factor that such a table allows."""
    rng = np.random.default_rng(0)
    draw = lambda count: rng.exponential(1, count) if shape == 0 else ((1 - rng.random(count)) ** -shape - 1) / shape  # noqa: E731
    realised = []
    for _ in range(20):
        level = Tail.fit(draw(5000)).level(5e-6)
        realised.append(np.exp(-level) if shape == 0 else (1 + shape * level) ** (-1 / shape))
    assert 0.1 < np.median(realised) / 5e-6 < 4


def test_frames_of_a_cluster_count_once():
    rng = np.random.default_rng(1)
    independent = rng.exponential(1, 4000)
    clustered = np.repeat(independent, 8)
    one, other = Tail.fit(independent, ordered=False), Tail.fit(clustered)
    assert one.rate == pytest.approx(START_SHARE, rel=0.05)
    assert other.rate < 0.2 * START_SHARE
    assert Tail.fit(clustered, ordered=False).rate == pytest.approx(START_SHARE, rel=0.05)


def test_levels_rise_as_rates_fall():
    tail = Tail.fit(np.random.default_rng(2).exponential(1, 300))
    levels = [tail.level(rate) for rate in (0.5, 0.01, 1e-4, 1e-6)]
    assert levels[0] == tail.start and (np.diff(levels) > 0).all() and np.isfinite(levels).all()


def test_scores_that_are_all_alike():
    tail = Tail.fit(np.full(300, 2.0))
    assert tail.start == 2.0 and 2.0 < tail.level(1e-6) < 2.1
