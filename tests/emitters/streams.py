# SPDX-License-Identifier: GPL-3.0-or-later
"""Streams of made-up frames: averaged noise on a floor, with tones and bursts, given to a detector.

Shape letters: F frames, N bins.
"""

import numpy as np
from gnuradio.spectrumencoder.detector.detector import window_taps
from gnuradio.spectrumencoder.detector.events import Segment
from gnuradio.spectrumencoder.emitters.watcher import EmitterDetector
from gnuradio.spectrumencoder.encoder import features as layout

N, K, FRAMES_PER_S = 256, 16, 50
RATE = float(N * K * FRAMES_PER_S)
BIN_HZ = RATE / N
FREQ_HZ, T0_S, FLOOR_DB = 433e6, 1.7e9, -90.0
WINDOW = "blackmanharris"
CONTRACT = {"encoder": {"fft_size": N, "window": WINDOW, "stride": 8}, "labels": [], "name": "made-up"}


def segment_of(freq_hz=FREQ_HZ, average=K):
    """A tuning of the made-up band."""
    return Segment(freq_hz, RATE, "unknown", N * average, average, (T0_S, 0))


def hz_of(bin_, freq_hz=FREQ_HZ):
    """Frequency of a bin."""
    return freq_hz + (bin_ - N // 2) * BIN_HZ


def noise(frames, rng, spectra=K):
    """Averaged noise over its expectation, (F, N)."""
    return rng.gamma(spectra, 1.0 / spectra, (frames, N))


def line(bin_, snr_db):
    """Power (N,) over the noise of a steady tone at a bin, which need not be whole: the window's main lobe."""
    taps = window_taps(WINDOW, N)
    at = np.exp(2j * np.pi * np.outer(bin_ - np.arange(N), np.arange(N)) / N) @ taps
    return 10.0 ** (0.1 * snr_db) * np.abs(at) ** 2 / taps.sum() ** 2


def add(rows, first, count, bin_, snr_db, width=0):
    """Adds a tone (width 0), or a noise-like signal of so many bins around `bin_`, to frames first .. first + count - 1."""
    part = rows[first:first + count]
    if not width:
        part += line(bin_, snr_db)
    else:
        low = round(bin_ - width / 2)
        shape = np.zeros(N)
        shape[low:low + width] = 10.0 ** (0.1 * snr_db)
        part += shape * np.random.default_rng(first).gamma(K, 1.0 / K, part.shape)


def features_of(frames, clipped=0.0, average=K):
    """Features (F, 256) of frames that were encoded."""
    rows = np.zeros((frames, layout.N_FEATURES), np.float32)
    rows[:, layout.K_EFF], rows[:, layout.K_KEPT] = average, N // 8
    rows[:, layout.CLIPPED_SHARE] = clipped
    return rows


class Feed:
    """Gives frames to a detector, and keeps what it says.

    Attributes:
        said: fields of all messages so far. frame: number of the next frame.
    """

    def __init__(self, seed=0, *, detector=None, **settings):
        self.detector = EmitterDetector(CONTRACT, **settings) if detector is None else detector
        self.rng = np.random.default_rng(seed)
        self.frame, self.said, self.scores, self.notices = 0, [], [], []

    def noise(self, seconds):
        """Noise of so many seconds, (F, N)."""
        return noise(round(seconds * FRAMES_PER_S), self.rng)

    def quiet(self, seconds):
        """Gives noise alone."""
        return self.give(self.noise(seconds))

    def give(self, rows, *, batch=64, clipped=0.0, segment=None):
        """Gives frames (F, N) of power over the floor; returns the fields of the messages."""
        return self.give_db((10.0 * np.log10(rows) + FLOOR_DB).astype(np.float32), batch=batch, clipped=clipped, segment=segment)

    def give_db(self, psd, *, batch=64, clipped=0.0, segment=None, features=None, token_classes=None):
        """Gives frames (F, N) dBFS in batches of `batch`, or of the sizes that it lists over and over."""
        segment, said, first, turn = segment or segment_of(), [], 0, 0
        features = features_of(len(psd), clipped) if features is None else features
        while first < len(psd):
            size = batch if isinstance(batch, int) else batch[turn % len(batch)]
            part, turn = slice(first, first + size), turn + 1
            count = len(psd[part])
            starts = (self.frame + np.arange(count, dtype=np.uint64)) * np.uint64(segment.frame_hop)
            result = self.detector.process(psd[part], np.zeros((count, N), np.float32), features[part], starts, segment,
                                           None if token_classes is None else token_classes[part])
            assert result.scores.dtype == np.float32 and result.scores.shape == result.flagged.shape == (count,)
            self.scores.append(result.scores)
            self.notices += result.notices
            said += [emitted.fields for emitted in result.emitted]
            self.frame += count
            first = part.stop
        self.said += said
        return said

    def flush(self):
        """Ends the stream."""
        said = [emitted.fields for emitted in self.detector.flush()]
        self.said += said
        return said

    @property
    def now_s(self):
        """POSIX time of the next frame."""
        return T0_S + self.frame / FRAMES_PER_S


def opens(said, *kinds):
    """The messages that open an alert, of these kinds if any is named."""
    return [m for m in said if m["state"] == "open" and (not kinds or m["alert"] in kinds)]


def kinds_of(said):
    """The kinds of the alerts that open, in order."""
    return [m["alert"] for m in opens(said)]
