# SPDX-License-Identifier: GPL-3.0-or-later
"""The score of a place by what it showed: usual bursts are not unusual; another place, another shape, absence and class are."""

import numpy as np
import pytest
from gnuradio.spectrumencoder.emitters.usual import FIRST, Usual

N, SIGMA_DB, ALL = 256, 1.1, slice(0, 256)
PLACE = slice(100, 108)


def frames(count, seed, *, place=PLACE, on=True, shape=0.0, classes=None):
    """Noise (F, N) in dB, a signal of 10 dB in each second eight frames, if it is on; a class for each frame."""
    rng = np.random.default_rng(seed)
    level = rng.normal(0.0, SIGMA_DB, (count, N)).astype(np.float32)
    busy = (np.arange(count) // 8) % 2 == 0
    if on:
        level[busy, place] += 10.0 + shape * np.linspace(-1.0, 1.0, place.stop - place.start)
    made = np.zeros((count, 3), np.float32)
    made[:, 0], made[busy, 1] = 0.1, 0.8
    return level, made if classes is None else classes(made)


@pytest.fixture(scope="module")
def known():
    usual = Usual(N, 3, SIGMA_DB)
    usual.learn(*frames(1600, 0))
    usual.settle(ALL)
    assert usual.ready
    return usual


def judged(known, *made):
    known.restart()
    return known.score(*made)


def test_its_usual_bursts_stay_near_what_was_learned(known):
    score = judged(known, *frames(1600, 1))
    assert score.max() < 1.0


@pytest.mark.parametrize("change", [dict(place=slice(104, 112)), dict(place=slice(40, 48)), dict(shape=10.0)],
                         ids=["displaced", "elsewhere", "another shape"])
def test_what_its_place_never_showed_is_unusual(known, change):
    assert judged(known, *frames(64, 2, **change)).max() > 1.0


def test_absence_of_what_was_always_there_is_unusual():
    usual = Usual(N, 0, SIGMA_DB)
    steady = frames(1600, 3, on=False)[0]
    steady[:, PLACE] += 10.0
    usual.learn(steady, np.zeros((1600, 0), np.float32))
    usual.settle(ALL)
    assert usual.score(frames(64, 4, on=False)[0], np.zeros((64, 0), np.float32)).max() > 1.5


def test_another_class_is_unusual_and_a_frame_without_one_is_not(known):
    def other(made):
        return made[:, [0, 2, 1]]

    def none(made):
        made[20:] = 0.0
        return made

    usual = judged(known, *frames(64, 5)).max()
    assert judged(known, *frames(64, 5, classes=other)).max() > max(1.5, usual)
    assert judged(known, *frames(64, 5, classes=none))[:40].max() < 1.0


def test_bins_outside_the_usable_ones_are_not_judged():
    usual = Usual(N, 0, SIGMA_DB)
    made, none = frames(1600, 6)[0], np.zeros((1600, 0), np.float32)
    usual.learn(made, none)
    usual.settle(slice(0, 64))
    score = usual.score(frames(64, 7, place=slice(200, 208))[0], none[:64])
    assert score.max() < 1.0


def test_scores_and_learning_do_not_depend_on_batches():
    one, other = Usual(N, 3, SIGMA_DB), Usual(N, 3, SIGMA_DB)
    made = frames(700, 8)
    one.learn(*made)
    for first in range(0, 700, 13):
        other.learn(*(part[first:first + 13] for part in made))
    one.settle(ALL)
    other.settle(ALL)
    later = frames(60, 9)
    parts = [other.score(*(part[first:first + 7] for part in later)) for first in range(0, 60, 7)]
    np.testing.assert_array_equal(np.concatenate(parts), one.score(*later))


def test_too_few_frames_judge_nothing():
    usual = Usual(N, 3, SIGMA_DB)
    usual.learn(*frames(32 * FIRST - 1, 10))
    usual.settle(ALL)
    assert not usual.ready
