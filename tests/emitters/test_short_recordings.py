# SPDX-License-Identifier: GPL-3.0-or-later
"""A few frames teach, too: what they showed is the background, and what follows is judged. Noise alone makes nothing missing."""

import numpy as np
import pytest
from streams import BIN_HZ, Feed, add, hz_of, noise


def kinds_of(said):
    return [message["alert"] for message in said if message["state"] == "open" and message["is_anomaly"]]


@pytest.mark.parametrize("by", ["time", "command"])
def test_a_few_frames_teach_what_follows(by):
    feed = Feed(learn_s=0.4 if by == "time" else 1e9)  # 20 frames
    rng = np.random.default_rng(1)
    feed.give(noise(20, rng))
    if by == "command":
        feed.detector.finish_learning()
    assert not feed.detector.learning
    later = noise(60, rng)
    add(later, 20, 16, 90, 20.0)
    feed.give(later)
    assert kinds_of(feed.said) == ["new"]
    assert feed.said[0]["freq_center_hz"] == pytest.approx(hz_of(90), abs=BIN_HZ)
    scores = np.concatenate(feed.scores)
    assert np.isnan(scores[:20]).all() and np.isfinite(scores[20:]).all()


def test_fewer_than_eight_frames_teach_nothing():
    feed = Feed(learn_s=1e9)
    feed.give(noise(7, np.random.default_rng(2)))
    feed.detector.finish_learning()
    feed.give(noise(20, np.random.default_rng(3)))
    assert np.isnan(np.concatenate(feed.scores)).all()


def test_a_weak_narrow_carrier_is_not_missing_by_noise_alone_and_is_when_it_stops():
    feed, rng = Feed(learn_s=4.0), np.random.default_rng(4)  # 200 frames: too few to know what its place usually shows

    def rows(frames, on=True):
        made = noise(frames, rng)
        if on:
            add(made, 0, frames, 100, 6.0)
        return made

    feed.give(rows(200))
    assert [e["steady"] for e in feed.detector.heard] == [True]
    feed.give(rows(200))
    assert np.concatenate(feed.scores)[200:].max() < 1.0
    feed.give(rows(30, on=False))
    assert np.concatenate(feed.scores)[-20:].max() > 1.0
