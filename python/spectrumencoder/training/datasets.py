# SPDX-License-Identifier: GPL-3.0-or-later
"""Training frames: real recordings and simulated signals through random channels and receivers, as numbered shards.

Shard i depends only on the seed, i, the corpus and this source tree. So training is reproducible, whatever the machine's load.
Worker processes make the shards and write them as .npz files (atomically).

Shards are drawn from all recordings, and each frame carries the numbers of its recordings. Splits are made when frames are read,
so one pool of shards serves every split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..atomic_file import write_file
from ..simulate.scenes import FIRST_HELD_OUT_SEED, Scene
from ..simulate.waveforms import WAVEFORMS
from ..tokens.band_plan import BANDS
from ..tokens.layout import FrameLayout
from ..tokens.tokenize import tokenize
from . import augment, front_end
from .composed import MAX_EMITTERS, UNSURE, Composer
from .corpus import BLOCK, CLASSES, Source
from .spread import untypical

UNLABELLED = -1
COMPOSED = -2  # number of the recording of a frame that holds several
KINDS = ("real", "simulated", "gap", "noise", "unscored", "scene")
# Usual sample rates of each class, Hz; simulated rates are drawn around them
USUAL_RATES = {"ADS-B": (2.0e6, 2.4e6), "LTE": (1.92e6, 19.2e6), "GNSS": (4e6, 6e6, 12e6, 25e6, 50e6), "LoRa": (1e6, 2.4e6),
               "BLE": (4e6, 10e6), "802.15.4": (5e6, 10e6), "WiFi-OFDM": (20e6,), "ISM-sensor-OOK": (250e3, 1e6),
               "ISM-sensor-FSK": (250e3, 1e6)}
# Share of a class's frames that is simulated; larger for classes with fewer recordings, sessions and devices
SIMULATED = {"ADS-B": 0.3, "LTE": 0.25, "GNSS": 0.5, "LoRa": 0.25, "BLE": 0.5, "802.15.4": 0.5, "WiFi-OFDM": 0.3,
             "ISM-sensor-OOK": 0.25, "ISM-sensor-FSK": 0.45}
WIDE = ("LTE", "WiFi-OFDM", "802.15.4", "BLE")  # classes wide enough to show multipath
FAMILY_BAND = {"ADS-B": "aero", "LTE": "cellular", "GNSS": "gnss"}


@dataclass(frozen=True)
class Recipe:
    """Settings for drawing frames: the fields of the [data] table of the training configuration."""

    mix: tuple[float, ...] = (0.50, 0.17, 0.08, 0.05, 0.05, 0.15)  # share of each of KINDS
    averages: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    average_weights: tuple[float, ...] = (0.06, 0.08, 0.22, 0.16, 0.36, 0.08, 0.04)
    max_resample: float = 2.0
    max_shift: float = 0.2
    plain: float = 0.15  # share of real frames with the recording's own channel
    noise_share: float = 0.7  # share of frames with added noise
    snr_range_db: tuple[float, float] = (0.0, 28.0)
    clip_share: float = 0.12  # share of frames that drive the converter far into clipping
    mixed_share: float = 0.06  # share of real frames with a second, weaker recording on top; the stronger one gives the label
    mixed_range_db: tuple[float, float] = (-20.0, -8.0)
    anomaly_share: float = 0.2
    inr_range_db: tuple[float, float] = (3.0, 25.0)
    composed_share: float = 0.0  # share of frames that are composed, see training.composed
    folds: str = ""  # file of folds: a composed frame holds recordings of one fold only, so that the others may use it

    def __post_init__(self):
        if len(self.mix) != len(KINDS) or abs(sum(self.mix) - 1) > 1e-6:
            raise ValueError(f"mix {self.mix} must be {len(KINDS)} shares that sum to 1: {', '.join(KINDS)}")
        if len(self.averages) != len(self.average_weights) or abs(sum(self.average_weights) - 1) > 1e-6:
            raise ValueError(f"average_weights {self.average_weights} must be {len(self.averages)} shares that sum to 1")
        if not all(1 <= k <= 64 for k in self.averages):
            raise ValueError(f"averages {self.averages} must lie in 1..64")


MAX_BURST_DB = 5.0
SCENES_PER_SHARD, SCENE_SAMPLES = 5, 2**18


class FrameFactory:
    """Draws training frames.

    Args:
        sources: recordings; a frame carries the indices of its recordings in this list.
        layout, window: settings of the tokenizer.
        recipe: see Recipe.
        classes: names of the classes, in the order of their numbers. fill: classes without recordings come from the simulator.
    """

    def __init__(self, sources: list[Source], layout: FrameLayout, window: str, recipe: Recipe,
                 classes: Sequence[str] = CLASSES, fill: bool = False):
        self.layout, self.window, self.recipe, self.classes, self.fill = layout, window, recipe, classes, fill
        self.signals = [name for name in classes if name != "noise"]
        self.number = {id(s): n for n, s in enumerate(sources)}
        self.shaping = {c: [s for s in sources if s.cls == c] for c in sorted({s.cls for s in sources})}
        self.by_label = {}
        self.unscored = [s for s in sources if s.label is None]
        self.with_gaps = [s for s in sources if s.label == "noise" or (s.label and s.bursty)]
        for source in sources:
            if source.label and source.label != "noise":
                sessions = self.by_label.setdefault(source.label, {})
                sessions.setdefault(source.cls + source.recording.name.rsplit("_", 2)[0], []).append(source)
        self.waveforms = {}
        for name, waveform in WAVEFORMS.items():
            if waveform.label:
                self.waveforms.setdefault(waveform.label, []).append(name)
        self.composer = Composer(sources, layout, Path(recipe.folds) if recipe.folds else None, classes,
                                 fill) if recipe.composed_share else None

    # -- sources of samples: each gives (iq, samp_rate, label, band, share of the window that is on, Source or None)

    def _window(self, rng, source: Source, count: int, on: bool):
        """Start of a window of `count` samples that holds the signal (on) or lies in a gap; None if there is none."""
        last = len(source.iq) - count
        if last < 0:
            return None
        for _ in range(24):
            if on and source.bursty:
                block = int(rng.choice(np.flatnonzero(source.on))) * BLOCK
                start = int(np.clip(block - rng.integers(0, count), 0, last))
            else:
                start = int(rng.integers(0, last + 1))
            if (source.holds_signal if on else source.is_gap)(start, count):
                return start
        return None

    def _from(self, rng, source: Source, count: int, channel, on: bool):
        need = min(channel.native_count(count), len(source.iq))
        start = self._window(rng, source, need, on)
        if start is None:
            return None
        iq = source.iq[start:start + need]
        share = 1.0
        if on and source.bursty:
            share = float(np.clip(source.on[start // BLOCK:(start + need) // BLOCK + 1].mean(), 0.02, 1.0))
        return iq, share

    def _real(self, rng, count, channel):
        label = self.signals[rng.integers(len(self.signals))]
        sessions = self.by_label.get(label)
        if not sessions:
            return self._simulated(rng, count, channel, label) if self.fill else None
        if rng.random() < SIMULATED.get(label, 0.0):
            return self._simulated(rng, count, channel, label)
        names = list(sessions)
        weight = np.sqrt([len(sessions[n]) for n in names])  # a compromise between equal sessions and equal files
        group = sessions[names[rng.choice(len(names), p=weight / weight.sum())]]
        source = group[rng.integers(len(group))]
        if label == "GNSS":  # its middle alone would be flat, like noise
            channel = replace(channel, factor=max(channel.factor, float(rng.uniform(0.8, 1.2))))
        got = self._from(rng, source, count, channel, True)
        if got is None:
            return None
        iq = channel.apply(got[0])
        if label in WIDE and label != "LTE" and rng.random() < 0.3:  # like a recording at close range, or by cable
            iq = augment.multipath(rng, iq, source.samp_rate * channel.factor)
        return iq, source.samp_rate * channel.factor, label, source.band, got[1], source

    def _gap(self, rng, count, channel):
        if not self.with_gaps:
            return None
        source = self.with_gaps[rng.integers(len(self.with_gaps))]
        if rng.random() < 0.25:
            source = next((s for s in self.with_gaps if s.label == "noise"), source)
        got = self._from(rng, source, count, channel, False)
        return got and (channel.apply(got[0]), source.samp_rate * channel.factor, "noise", self._any_band(rng), 1.0, source)

    def _any_band(self, rng) -> str:
        """A random band. Every band must be empty at times in training; otherwise the band alone would name its classes."""
        return BANDS[rng.integers(len(BANDS))]

    def _unscored(self, rng, count, channel):
        if not self.unscored:
            return None
        source = self.unscored[rng.integers(len(self.unscored))]
        got = self._from(rng, source, count, channel, source.bursty)
        return got and (channel.apply(got[0]), source.samp_rate * channel.factor, None, source.band, got[1], source)

    def _simulated(self, rng, count, channel, label=None):
        label = label or self.signals[rng.integers(len(self.signals))]
        if label not in self.waveforms:
            return None
        if label == "GNSS":
            channel = replace(channel, factor=max(channel.factor, float(rng.uniform(0.8, 1.2))))
            count = channel.native_count(count)
        names = self.waveforms[label]
        waveform = WAVEFORMS[names[rng.integers(len(names))]]
        params = {**waveform.draw(rng), **untypical(rng, waveform.name)}
        usual = USUAL_RATES[label]
        width = min(waveform.width_of(params), 0.95 * usual[-1])
        rate = max(usual[rng.integers(len(usual))] * 2.0 ** rng.uniform(-1, 1), 1.05 * width)
        for _ in range(8):
            emission = waveform.emit(rng, count, rate, **params)
            share = sum(b - a for a, b in emission.on) / count
            if share > 0.02:
                break
        else:
            return None
        iq = emission.iq
        if label in WIDE and rng.random() < 0.5:
            iq = augment.multipath(rng, iq, rate)
        snr_db = rng.uniform(3, 35) if label != "GNSS" else rng.uniform(-24, -12)
        room = max(0.0, 0.5 - 0.5 * width / rate)
        turn = np.exp(2j * np.pi * rng.uniform(-room, room) * np.arange(count)).astype(np.complex64)
        power = float(np.mean(np.abs(iq) ** 2)) / share
        noise = power * (rate / width if label != "GNSS" else 1.0) * 10.0 ** (-snr_db / 10.0)
        iq = (iq * turn + augment.white(rng, count, noise)).astype(np.complex64)
        if label == "GNSS":  # only its front end is visible, so later stages are drawn as for recordings
            return channel.apply(front_end.gnss(rng, iq)), rate * channel.factor, label, "gnss", share, None
        return replace(channel, factor=1.0, shift=0.0).apply(iq), rate, label, FAMILY_BAND.get(label, "ism"), share, None

    def _noise(self, rng, count, channel):
        """White noise through a mild random filter or a recording's front end, resampled or not.

        The rate is a recording's or any other. A rate without empty frames would name its class."""
        rate = float(np.exp(rng.uniform(np.log(48e3), np.log(50e6))))
        iq, source = augment.white(rng, channel.native_count(count), 1.0), None
        if self.shaping and rng.random() < 0.8:
            label = rng.choice(list(self.shaping))
            other = self.shaping[label][rng.integers(len(self.shaping[label]))]
            rate = other.samp_rate * channel.factor
            amplitude = front_end.response(other) if other.label != "GNSS" and rng.random() < 0.75 else None
            if amplitude is not None:  # GNSS: only the front end is visible
                source, iq = other, front_end.shape(iq, amplitude)
        shaped = augment.Channel(factor=channel.factor, shift=channel.shift)
        if rng.random() < 0.7:  # a receiver's mild band edge; a steeper one would be a distinct shape
            shaped = replace(shaped, edge=float(rng.uniform(0.8, 1.0)), rolloff=float(rng.uniform(0.05, 0.25)),
                             stop_db=float(rng.uniform(3, 40)), tilt_db=channel.tilt_db, ripple_db=0.5 * channel.ripple_db,
                             ripple_cycles=channel.ripple_cycles, ripple_phase=channel.ripple_phase)
        iq = shaped.apply(iq)
        iq = iq + augment.white(rng, len(iq), float(np.mean(np.abs(iq) ** 2)) * 10.0 ** rng.uniform(-3, 0.3))
        return iq, rate, "noise", self._any_band(rng), 1.0, source

    def _scene(self, rng, count, channel):
        iq, rate = self.scenes[rng.integers(len(self.scenes))]
        start = int(rng.integers(0, len(iq) - count))
        shaped = replace(channel, factor=1.0, shift=0.0)
        return shaped.apply(iq[start:start + count]), rate, None, self._any_band(rng), 1.0, None

    def prepare_scenes(self, rng: np.random.Generator) -> None:
        """Begin the next shard: render the scenes for its frames. A scene costs far more than a frame."""
        self.scenes = []
        if self.composer is not None:
            self.composer.begin()
        while len(self.scenes) < SCENES_PER_SHARD and self.recipe.mix[KINDS.index("scene")] > 0:
            rate = float(np.exp(rng.uniform(np.log(500e3), np.log(20e6))))
            try:
                scene = Scene.random(int(rng.integers(FIRST_HELD_OUT_SEED)), rate)
            except ValueError:  # an emitter never came on: draw again
                continue
            self.scenes.append((scene.render(int(rng.integers(0, 2**20)), SCENE_SAMPLES), rate))

    def _mix(self, rng, iq, channel):
        """iq (n,) with a stretch of another recording on top, at mixed_range_db of its power."""
        other = [s for sessions in self.by_label.values() for group in sessions.values() for s in group]
        source = other[rng.integers(len(other))]
        channel = replace(channel, shift=float(rng.uniform(-0.4, 0.4)))
        got = self._from(rng, source, len(iq), channel, True)
        if got is None:
            return iq, None
        x = channel.apply(got[0])[:len(iq)]
        if len(x) < len(iq):
            return iq, None
        ratio = np.mean(np.abs(iq) ** 2) / (np.mean(np.abs(x) ** 2) + 1e-20)
        return iq + x * np.float32(np.sqrt(ratio * 10.0 ** (rng.uniform(*self.recipe.mixed_range_db) / 10.0))), source

    # -- one frame

    def draw(self, rng: np.random.Generator) -> dict:
        """Draw one frame.

        Returns:
            tokens (M*C,), side (3,), target (N,) clean level in dB over the frame's floor, label, band, anomaly, the truth of
            its tokens (token_label and boundary, (M,), see composed.truth_of), and the numbers of its recordings: source, mixed
            for the weaker one (-1: none), others (MAX_EMITTERS,) of a composed frame."""
        recipe = self.recipe
        if self.composer is not None and rng.random() < recipe.composed_share:
            return self._composed(rng)
        while True:
            average = int(rng.choice(recipe.averages, p=recipe.average_weights))
            count = average * self.layout.fft_size
            channel = augment.Channel.draw(rng, max_resample=recipe.max_resample, max_shift=recipe.max_shift, plain=recipe.plain)
            kind = KINDS[rng.choice(len(KINDS), p=recipe.mix)]
            got = getattr(self, f"_{kind}")(rng, count, channel)
            if got is not None and len(got[0]) >= self.layout.fft_size and np.mean(np.abs(got[0]) ** 2) > 1e-10:
                break
        iq, rate, label, band, share, source = got
        iq, mixed = iq[:count], None
        if kind == "real" and rng.random() < recipe.mixed_share:
            iq, mixed = self._mix(rng, iq, channel)
        if rng.random() < recipe.noise_share and kind != "noise":
            if label == "GNSS":
                added = float(np.mean(np.abs(iq) ** 2)) * (10.0 ** (rng.uniform(0, 3) / 10.0) - 1.0)
            else:
                low_db, high_db = recipe.snr_range_db
                low_db += min(MAX_BURST_DB, -2.5 * np.log10(share))  # a frame's mean hides a short burst sooner
                added = augment.noise_for_snr(augment.mean_psd(iq), rng.uniform(low_db, max(low_db, high_db)), share)
            iq = iq + augment.white(rng, len(iq), added)
        iq = augment.receiver_faults(rng, iq)
        anomalous = rng.random() < recipe.anomaly_share
        dirty = add_anomaly(rng, iq, rng.uniform(*recipe.inr_range_db)) if anomalous else iq
        frames = self._received(rng, (iq, dirty) if anomalous else (iq,), rate, average, label == "GNSS", recipe.clip_share)
        tokens, side = self.layout.split(frames[-1].items[:1])
        # the clean level over the *dirty* frame's floor, at the dirty frame's scale (quantise normalises the rms)
        level = 10.0 * np.log10(np.mean(np.abs(iq) ** 2) / np.mean(np.abs(dirty) ** 2)) if anomalous else 0.0
        target = frames[0].psd[0] + level - side[0, 0]
        number = self.classes.index(label) if label in self.classes else UNLABELLED
        return {"tokens": tokens[0].reshape(-1).astype(np.float16), "side": side[0].astype(np.float32),
                "target": np.clip(target, -60, 100).astype(np.float16), "label": np.int8(number),
                "band": band, "anomaly": np.int8(anomalous), "source": np.int16(self.number.get(id(source), -1)),
                "mixed": np.int16(self.number.get(id(mixed), -1)),
                "token_label": _token_label(tokens[0], average, UNLABELLED if anomalous or mixed else number, self.classes),
                "boundary": np.full(self.layout.n_tokens, UNSURE, np.int8), "others": np.full(MAX_EMITTERS, -1, np.int16)}

    def _received(self, rng, signals, rate: float, average: int, gnss: bool, clip_share: float) -> list:
        """One frame of each signal, through the same converter."""
        bits = 16 if rng.random() < 0.3 else int(rng.integers(5, 13))
        if gnss and rng.random() < 0.3:  # GNSS receivers often have 2 or 3 bits
            bits = int(rng.integers(2, 4))
        clipped = not gnss and rng.random() < clip_share
        low, high = (-8, 5) if clipped else (8, 30) if bits >= 8 else (7, 14) if bits > 3 else (3, 7)
        backoff = rng.uniform(low, high)
        return [tokenize(augment.quantise(x, bits, backoff), rate, fft_size=self.layout.fft_size, stride=self.layout.stride,
                         average=average, window=self.window, keep_constant=True) for x in signals]

    def _composed(self, rng: np.random.Generator) -> dict:
        """A composed frame. Its reconstruction is asked for without signals that none should hold (pure tones)."""
        got = None
        while got is None:
            average = int(rng.choice(self.recipe.averages, p=self.recipe.average_weights))
            got = self.composer.draw(rng, average)
        iq, clean, rate, truth = got
        same = clean is iq
        iq = augment.receiver_faults(rng, iq)
        frames = self._received(rng, (iq,) if same else (clean, iq), rate, average, False, 0.5 * self.recipe.clip_share)
        tokens, side = self.layout.split(frames[-1].items[:1])
        level = 0.0 if same else 10.0 * np.log10(np.mean(np.abs(clean) ** 2) / np.mean(np.abs(iq) ** 2))
        others = np.full(MAX_EMITTERS, -1, np.int16)
        others[:len(truth["sources"])] = truth["sources"]
        return {"tokens": tokens[0].reshape(-1).astype(np.float16), "side": side[0].astype(np.float32),
                "target": np.clip(frames[0].psd[0] + level - side[0, 0], -60, 100).astype(np.float16),
                "label": np.int8(truth["label"]), "band": self._any_band(rng), "anomaly": np.int8(0),
                "source": np.int16(COMPOSED), "mixed": np.int16(-1), "token_label": truth["token_label"],
                "boundary": truth["boundary"], "others": others}


def _token_label(tokens: np.ndarray, average: int, label: int, classes: Sequence[str]) -> np.ndarray:
    """(M,) int8: `noise` everywhere for noise. For a class, the class of the tokens (M, C) that stand out of the frame's floor,
    but not in the middle, the place of a receiver's DC offset; UNSURE else."""
    empty = classes.index("noise")
    out = np.full(len(tokens), empty if label == empty else UNSURE, np.int8)
    if label in (empty, UNLABELLED) or classes[label] == "GNSS":
        return out
    level = 10.0 * np.log10((10.0 ** (tokens[:, :-2] / 10.0)).mean(axis=1) + 1e-20)
    high = (level > 10.0 * np.log10(1.0 + 4.0 / np.sqrt(average))) & (level > level.max() - 25.0)
    middle = len(tokens) // 2
    high[middle - 1:middle + 1] = high[middle - 2] and high[middle + 1]
    out[high] = label
    return out


def add_anomaly(rng: np.random.Generator, iq: np.ndarray, inr_db: float) -> np.ndarray:
    """Add a band-limited noise-like signal, a pulse, a sweep or a barrage, at inr_db over the power in its own bins.

    A pure tone is left out on purpose: tests of the residual inject it.
    """
    n = len(iq)
    psd = augment.mean_psd(iq)
    bins = len(psd)
    kind = rng.choice(("narrow", "pulse", "sweep", "barrage"), p=(0.45, 0.2, 0.2, 0.15))
    width = float(rng.uniform(0.25, 1.0) if kind == "barrage" else np.exp(rng.uniform(np.log(0.003), np.log(0.15))))
    centre = float(rng.uniform(-0.5 + width / 2, 0.5 - width / 2))
    if kind == "sweep":
        t = np.linspace(0, 1, n, dtype=np.float32) * rng.integers(1, 9) % 1.0
        phase = np.cumsum((centre + width * (t - 0.5)) * 2 * np.pi)
        x = np.exp(1j * phase).astype(np.complex64)
    else:
        f = np.fft.fftfreq(n)
        shape = np.abs((f - centre + 0.5) % 1.0 - 0.5) <= max(width / 2, 1.0 / n)
        draw = augment.white(rng, n, 1.0) * shape
        x = np.fft.ifft(draw).astype(np.complex64)
    if kind == "pulse":
        on = int(np.clip(n * rng.uniform(0.05, 0.5), 16, n))
        start = int(rng.integers(0, n - on + 1))
        x[:start], x[start + on:] = 0, 0
    lower = int(np.clip((centre - width / 2 + 0.5) * bins, 0, bins - 1))
    upper = int(np.clip((centre + width / 2 + 0.5) * bins, lower + 1, bins))
    own = psd[lower:upper].mean() * max(width * bins, 1.0)
    power = np.mean(np.abs(x[np.abs(x) > 0]) ** 2) if np.any(x) else 1.0
    return iq + x * np.float32(np.sqrt(own * 10.0 ** (inr_db / 10.0) / (power + 1e-20)))


def make_shard(factory: FrameFactory, bands: tuple[str, ...], seed: int, number: int, size: int, path: Path) -> None:
    """Write shard `number` of `size` frames to path (.npz), atomically."""
    arrays = draw_shard(factory, bands, seed, number, size)
    write_file(path, lambda file: np.savez(file, **arrays))


def draw_shard(factory: FrameFactory, bands: tuple[str, ...], seed: int, number: int, size: int) -> dict[str, np.ndarray]:
    """The arrays of shard `number`, of `size` frames."""
    rng = np.random.default_rng((seed, number))
    factory.prepare_scenes(rng)
    return stacked([factory.draw(rng) for _ in range(size)], bands)


def stacked(rows: list[dict], bands: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Frames as ``FrameFactory.draw`` gives them as arrays, with numbers of bands."""
    unknown = len(bands) - 1
    arrays = {key: np.stack([r[key] for r in rows]) for key in rows[0] if key != "band"}
    arrays["band"] = np.array([bands.index(r["band"]) if r["band"] in bands else unknown for r in rows], np.int8)
    return arrays
