# SPDX-License-Identifier: GPL-3.0-or-later
"""10,000 frames of what no receiver should give, through tokenizer, encoder and detector: no exception, no storm of events."""

import numpy as np
import pytest
from gnuradio.spectrumencoder import keys
from gnuradio.spectrumencoder.detector.detector import Detector
from gnuradio.spectrumencoder.detector.events import BURST_EVENTS, EVENTS_PER_S, Segment
from gnuradio.spectrumencoder.detector.learn_band import learn_bands
from gnuradio.spectrumencoder.encoder.engine import Engine
from gnuradio.spectrumencoder.recordings import MemoryRecording
from gnuradio.spectrumencoder.tokens.tokenize import tokenize

RATE, N, N_FRAMES, BLOCK = 2.4e6, 1024, 10_000, 2000


@pytest.fixture(scope="module")
def engine():
    return Engine("fast", dropout_rate=0.75)


@pytest.fixture(scope="module")
def table(engine):
    return learn_bands([MemoryRecording("quiet", noise(np.random.default_rng(0), 2000 * N), RATE)], engine, average=1)


def noise(rng, count, level=0.01):
    return (level * rng.standard_normal(2 * count, np.float32)).view(np.complex64)


def clipped(rng, count):
    return np.sign(rng.standard_normal(2 * count, np.float32)).view(np.complex64)


def silence(rng, count):
    return np.zeros(count, np.complex64)


def broken(rng, count):
    """A sample in every third frame is not a number."""
    out = noise(rng, count)
    out[::3 * N] = np.nan
    return out


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", [noise, clipped, silence, broken])
def test_no_exception_and_no_storm(engine, table, kind):
    judge, rng, opened, frames = Detector(engine.contract, table), np.random.default_rng(7), 0, 0
    segment = Segment(0.0, RATE, "unknown", N, 1)
    for block in range(1 + N_FRAMES // BLOCK):
        makes = kind if block else noise  # first what is usual
        made = tokenize(makes(rng, BLOCK * N), RATE, average=1, flush=False, keep_constant=True)
        assert len(made) == (BLOCK if makes is not broken else pytest.approx(2 * BLOCK / 3, abs=2))  # others are dropped
        encoded = engine.encode(made.items, "unknown")
        starts = N * np.arange(frames, frames + len(made))
        frames += len(made)
        result = judge.process(made.psd, encoded.residual, encoded.features, starts, segment)
        assert np.isfinite(result.scores).all() and np.isfinite(result.p_values).all()
        opened += sum(e[keys.STATE] == "open" for e in result.events)
    judge.flush()
    assert judge.n_judged == frames and judge.tracker.n_open == 0
    assert opened <= BURST_EVENTS + EVENTS_PER_S * frames * segment.frame_s + 1
    if kind in (noise, broken):
        assert opened <= 2 and judge.n_flagged < 0.03 * frames
    else:
        assert opened >= 1  # what has happened is told
