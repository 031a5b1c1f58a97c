# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated frames whose clean spectrum is known: what the frame would read if its noise could be averaged away.

A frame's clean PSD is the expectation of its PSD over realisations of the noise alone, the transmissions being those of the
frame. Signal and noise are independent, so that this is, bin by bin, the PSD of the transmissions without noise through the same
windows, plus the noise power per bin, P sum(w^2) / (sum w)^2 for white noise of power P and window w. Nothing is estimated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import get_window

from ...simulate.scenes import Scene
from ...tokens.layout import FrameLayout
from ...tokens.tokenize import tokenize

RATES_HZ = (500e3, 20e6)
_TINY = np.complex64(1e-12)  # keeps the spectrum of silence finite


@dataclass(frozen=True)
class SceneFrames:
    """F successive frames of a scene.

    `items` are as the tokenizer gives them; `psd` and `clean` (F, N) dBFS; `floor` (F,) dBFS; `average` K; `samp_rate` Hz;
    `name`. `label` (F,) int and `confidence` (F,) are those that a model gave (see `spectrum_codecs.with_labels`), None: none.
    """

    items: np.ndarray
    psd: np.ndarray
    clean: np.ndarray
    floor: np.ndarray
    average: int
    samp_rate: float
    name: str
    label: np.ndarray | None = None
    confidence: np.ndarray | None = None

    @property
    def level(self) -> np.ndarray:
        """(F, N) dB over the floor."""
        return self.psd - self.floor[:, None]


def scene_frames(seed: int, n_frames: int, average: int, layout: FrameLayout, window: str) -> SceneFrames | None:
    """Frames of the scene of a seed, drawn as the scenes of training are (1 to 5 emitters, 0 to 25 dB). None if the draw gives an
    emitter that does not fit or is never on.
    """
    rng = np.random.default_rng([seed, 0xC0DEC])
    rate = float(np.exp(rng.uniform(*np.log(RATES_HZ))))
    try:
        scene = Scene.random(seed, rate)
    except ValueError:
        return None
    count = n_frames * average * layout.fft_size
    signals = np.zeros(count, np.complex64)
    for index in range(len(scene.emitters)):
        signals += scene.emit(index, 0, count).iq
    settings = dict(fft_size=layout.fft_size, stride=layout.stride, average=average, window=window, keep_constant=True)
    frames = tokenize(signals + scene.noise(0, count), rate, **settings)
    silent = tokenize(signals + _TINY, rate, **settings)
    taps = get_window(window, layout.fft_size)
    noise = scene.noise_power * np.sum(taps**2) / np.sum(taps) ** 2
    clean = 10.0 * np.log10(10.0 ** (silent.psd.astype(np.float64) / 10.0) + noise)
    _, side = layout.split(frames.items)
    names = "+".join(e.waveform for e in scene.emitters) or "noise"
    return SceneFrames(frames.items, frames.psd, clean, side[:, 0].astype(np.float64), average, rate, f"{seed} {names}")


def make_scenes(count: int, n_frames: int, average: int, layout: FrameLayout, window: str, first_seed: int) -> list[SceneFrames]:
    """The first `count` scenes that can be made, from a seed on."""
    out, seed = [], first_seed
    while len(out) < count:
        frames = scene_frames(seed, n_frames, average, layout, window)
        seed += 1
        if frames is not None:
            out.append(frames)
    return out


def shuffled(scenes: list[SceneFrames], seed: int) -> list[SceneFrames]:
    """As many groups, each of frames of all scenes in turn: no frame predicts the next, as in a scan."""
    rng = np.random.default_rng(seed)
    n_frames = len(scenes[0].psd)
    order = [rng.permutation(n_frames) for _ in scenes]
    out = []
    for group in range(len(scenes)):
        picks = [((group + i) % len(scenes), order[(group + i) % len(scenes)][i]) for i in range(n_frames)]
        take = lambda field: np.stack([getattr(scenes[s], field)[f] for s, f in picks])  # noqa: E731, B023 (used at once)
        out.append(SceneFrames(take("items"), take("psd"), take("clean"), take("floor"), scenes[0].average,
                               scenes[group].samp_rate, f"group {group}"))
    return out
