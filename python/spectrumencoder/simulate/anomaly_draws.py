# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws plans of single anomalies from a generator: place, width, time and channel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .anomalies import ANOMALY_KINDS, DEFAULT_LEVELS_DB, MIN_SAMPLES, Anomaly
from .anomaly_shapes import waveform_of
from .injections import FRAME_BINS, check_place, own_width
from .occupancy import USABLE_SHARE, Channel, channels_of, free_place, usable
from .scenes import Emitter, Scene
from .signal import occupied_band
from .waveforms import WAVEFORMS

_MIN_ON_SHARE = 0.2          # min share of the stretch that an emitter is on, so that its absence means something
_MIN_COUNT = 64              # min samples of an anomaly
_SHORT_KINDS = ("pulse", "wpulse")
_NEVER_GIVEN = ("detshift", "dclass", "missing", "spoof")   # their place follows from the plan
_GNSS = "cdma_noise"


@dataclass(frozen=True)
class _Draft:
    """The common inputs of the functions that draw a kind."""

    kind: str
    rng: np.random.Generator
    background: Scene | np.ndarray
    samp_rate: float
    first_sample: int
    start: int
    count: int
    level_db: float
    seed: int
    offset: float | None
    width: float | None
    channels: list[Channel]

    def made(self, offset: float, width: float, *, level_db: float | None = None, dwells=(), **params) -> Anomaly:
        level = self.level_db if level_db is None else level_db
        return Anomaly(self.kind, self.start, self.count, float(offset), float(width), float(level), self.seed, params,
                       tuple(dwells))


def draw_anomaly(rng: np.random.Generator, kind: str, background: Scene | np.ndarray, samp_rate: float, n_samples: int, *,
                 level_db: float | None = None, first_sample: int = 0, sample_start: int | None = None,
                 sample_count: int | None = None, freq_offset_hz: float | None = None,
                 bandwidth_hz: float | None = None) -> Anomaly:
    """Draw place, width, time and shape of an anomaly for n_samples samples. The same generator state gives the same plan.

    The anomaly lies within the samples. It lasts 0.4 to 0.9 of them, a pulse 1/64 to 1/8.

    Args:
        background: a scene, or a recording's power spectrum (N,) (``signal.power_spectrum``) in the samples' own scale.
        level_db: level as the kind defines it (``anomalies``); None takes DEFAULT_LEVELS_DB. detshift, dclass and missing take
            the channel with the nearest SNR; dclass and missing then have that channel's level.
        first_sample: sample of the scene at which the samples begin.
        sample_start, sample_count, freq_offset_hz, bandwidth_hz: values to use instead of drawn ones, if the kind leaves them
            open. A hopper's bandwidth is that of a dwell.

    Raises:
        ValueError: there is no such kind; a parameter is out of range or not open to this kind; the plan has no channel or no
            room for it.
    """
    if kind not in ANOMALY_KINDS:
        raise ValueError(f"anomaly {kind!r} is none of {', '.join(ANOMALY_KINDS)}")
    if n_samples < MIN_SAMPLES:
        raise ValueError(f"{n_samples} samples are too few for an anomaly; it takes at least {MIN_SAMPLES}")
    level = DEFAULT_LEVELS_DB[kind] if level_db is None else float(level_db)
    if kind == "stealth" and not level < 0:
        raise ValueError(f"a stealth signal lies below the floor: its level of {level:g} dB must be negative")
    _check_given(kind, samp_rate, freq_offset_hz, bandwidth_hz)
    channels = channels_of(background, samp_rate)
    seed = int(rng.integers(1 << 31))
    start, count = _when(rng, kind, n_samples, sample_start, sample_count)
    draft = _Draft(kind, rng, background, float(samp_rate), first_sample, start, count, level, seed, freq_offset_hz, bandwidth_hz,
                   channels)
    anomaly = _DRAW[kind](draft)
    check_place(samp_rate, n_samples, start, count, anomaly.freq_offset_hz, anomaly.bandwidth_hz)
    return anomaly


def _check_given(kind: str, samp_rate: float, offset: float | None, width: float | None) -> None:
    if kind in _NEVER_GIVEN and (offset is not None or width is not None):
        raise ValueError(f"the plan determines the place of a {kind}; freq_offset_hz {offset} and bandwidth_hz {width} cannot "
                         "be set")
    if width is not None and own_width(kind, samp_rate) is not None:
        raise ValueError(f"a {kind} has its own width; bandwidth_hz {width:g} cannot be set")
    if width is not None and not 0 < width <= samp_rate:
        raise ValueError(f"bandwidth_hz {width:g} is outside 0..{samp_rate:g}")
    if kind == "hopper" and offset is not None:
        raise ValueError(f"a hopper has a place for every dwell; freq_offset_hz {offset:g} cannot be set")
    if kind == "wideband" and offset:
        raise ValueError(f"a wideband anomaly fills the rate: freq_offset_hz {offset:g} must be 0")


def _when(rng, kind: str, n: int, start: int | None, count: int | None) -> tuple[int, int]:
    share = _log_uniform(rng, 1 / 64, 1 / 8) if kind in _SHORT_KINDS else rng.uniform(0.4, 0.9)
    if count is None:
        count = max(1, round(share * n))
        if start is not None:
            count = min(count, n - start)
    moment = rng.uniform()
    if start is None:
        start = round(moment * max(n - count, 0))
    if start < 0 or count < 1 or start + count > n:
        raise ValueError(f"anomaly at samples {start}..{start + count} lies outside 0..{n}")
    if count < _MIN_COUNT:
        raise ValueError(f"an anomaly of {count} samples is too short; it takes at least {_MIN_COUNT}")
    return int(start), int(count)


def _new(low: float, high: float) -> Callable[[_Draft], Anomaly]:
    """A new signal with a width of low..high of the rate, at a free place. Without room it is narrower, min two bins."""
    def draw(d: _Draft) -> Anomaly:
        offset, width = _fit(d, _log_uniform(d.rng, low, high) * d.samp_rate)
        return d.made(offset, width)
    return draw


def _fit(d: _Draft, width: float) -> tuple[float, float]:
    width = own_width(d.kind, d.samp_rate) or d.width or width
    if d.offset is not None:
        return d.offset, width
    shrinks = own_width(d.kind, d.samp_rate) is None and d.width is None
    place = free_place(d.rng, d.channels, d.samp_rate, width)
    while place is None and shrinks and width > 4 * d.samp_rate / FRAME_BINS:
        width *= 0.7
        place = free_place(d.rng, d.channels, d.samp_rate, width)
    if place is None:
        raise ValueError(f"the plan leaves no free place of {width:g} Hz in {d.samp_rate:g} Hz for a {d.kind}")
    return place, width


def _across(low: float, high: float, more: Callable[[_Draft], dict] = lambda d: {}, *,
            covers: int = 0) -> Callable[[_Draft], Anomaly]:
    """A wide signal over any channels: of 100 drawn places the first that covers enough, else the one that covers most."""
    def draw(d: _Draft) -> Anomaly:
        widths = np.exp(d.rng.uniform(np.log(low), np.log(high), 100)) * d.samp_rate if d.width is None else np.full(100, d.width)
        reach = np.maximum(max(USABLE_SHARE * d.samp_rate, widths.max()) - widths, 0) / 2
        offsets = d.rng.uniform(-1, 1, 100) * reach if d.offset is None else np.full(100, d.offset)
        covered = sum((np.abs(offsets - c.center_hz) < widths / 2).astype(int) for c in d.channels) + np.zeros(100, int)
        covered[np.abs(offsets) + widths / 2 > d.samp_rate / 2] = -1
        best = int(np.argmax(np.minimum(covered, covers)))
        return d.made(offsets[best], widths[best], **more(d))
    return draw


def _on_a_channel(low: float, high: float, more: Callable[[_Draft], dict] = lambda d: {}) -> Callable[[_Draft], Anomaly]:
    """A jammer on a channel, off its centre by up to a quarter of its width. Without a channel, the place is arbitrary."""
    def draw(d: _Draft) -> Anomaly:
        width = own_width(d.kind, d.samp_rate) or d.width or _log_uniform(d.rng, low, high) * d.samp_rate
        reach = max(USABLE_SHARE * d.samp_rate - width, 0) / 2
        aside = d.rng.uniform(-1, 1)
        if d.offset is not None:
            offset = d.offset
        elif d.channels:
            aim = d.channels[int(d.rng.integers(len(d.channels)))]
            offset = np.clip(aim.center_hz + 0.25 * aside * aim.width_hz, -reach, reach)
        else:
            offset = aside * reach
        return d.made(offset, width, **more(d))
    return draw


def _hopper(d: _Draft) -> Anomaly:
    """5 to 16 dwells, each on for 0.5 to 0.9 of its slot."""
    slots = int(d.rng.integers(5, 17))
    share, width = d.rng.uniform(0.5, 0.9), _log_uniform(d.rng, 0.005, 0.03) * d.samp_rate
    _, width = _fit(d, width)
    length, dwells = d.count // slots, []
    for slot in range(slots):
        offset = free_place(d.rng, d.channels, d.samp_rate, width)
        dwells.append((d.start + slot * length, max(1, round(share * length)), offset))
    low, high = min(o for *_, o in dwells) - width / 2, max(o for *_, o in dwells) + width / 2
    return d.made((low + high) / 2, high - low, dwells=dwells, dwell_width_hz=float(width))


def _detshift(d: _Draft) -> Anomaly:
    """A signal moved by half its width (min six bins) to 0.4 of the rate. In a plan, its old place counts as free.

    In a recording only signals block a place: spurs are everywhere.
    """
    channel = _channel(d)
    others = usable(d.channels, d.samp_rate)
    if channel.emitter is not None:
        others.remove(channel)
    nearest = max(channel.width_hz / 2, 6 * d.samp_rate / FRAME_BINS)
    furthest = max(0.4 * d.samp_rate, 1.5 * nearest)
    moves = np.exp(d.rng.uniform(np.log(nearest), np.log(furthest), 400)) * d.rng.choice([-1, 1], 400)
    for offset in channel.center_hz + moves:
        if abs(offset) + channel.width_hz / 2 <= USABLE_SHARE * d.samp_rate / 2 and all(
                abs(offset - c.center_hz) > (channel.width_hz + c.width_hz) / 2 for c in others):
            return d.made(offset, channel.width_hz, **_where(d, channel))
    raise ValueError(f"the plan leaves no place of {channel.width_hz:g} Hz for the signal at {channel.center_hz:g} Hz to move to")


def _dclass(d: _Draft) -> Anomaly:
    """A waveform with 0.5 to 1.1 times the channel's width that is on for at least 0.2 of the time."""
    channel = _channel(d, needs_floor=True)
    was = "" if channel.emitter is None else d.background.emitters[channel.emitter].waveform
    names = [name for name in WAVEFORMS if name not in (was, "tone", "band_noise", _GNSS)]
    for name in [*d.rng.permutation(names).tolist(), "gmsk" if was == "band_noise" else "band_noise"]:
        for _ in range(4):
            params = WAVEFORMS[name].draw(d.rng)
            if name == "band_noise":
                params["bandwidth_hz"] = channel.width_hz / (1 + params["rolloff"])
            if not 0.5 <= WAVEFORMS[name].width_of(params) / channel.width_hz <= 1.1:
                continue
            made = waveform_of(d.seed, name, params, d.count, d.samp_rate)
            on = sum(b - a for a, b in made.on)
            if on < _MIN_ON_SHARE * d.count:
                continue
            low, high = occupied_band(np.concatenate([made.iq[a:b] for a, b in made.on]), d.samp_rate)
            if 0.4 * channel.width_hz <= high - low <= 1.2 * channel.width_hz:
                return d.made(channel.center_hz, max(high - low, d.samp_rate / FRAME_BINS), level_db=channel.snr_db,
                              **_where(d, channel), waveform=name, waveform_params=params)
    raise ValueError(f"no other waveform is {channel.width_hz:g} Hz wide, as the channel at {channel.center_hz:g} Hz is")


def _missing(d: _Draft) -> Anomaly:
    channel = _channel(d, needs_floor=True)
    return d.made(channel.center_hz, channel.width_hz, level_db=channel.snr_db, **_where(d, channel))


def _channel(d: _Draft, needs_floor: bool = False) -> Channel:
    """The channel with the SNR nearest to the level, among those on for at least 0.2 of the stretch.

    For ``missing``, emitters that are ever silent by themselves for half of the stretch do not count: nobody would miss them.
    """
    found = [c for c in usable(d.channels, d.samp_rate) if c.floor_density is not None or not needs_floor]
    for channel in sorted(found, key=lambda c: abs(c.snr_db - d.level_db)):
        if channel.emitter is None:
            return channel
        on = d.background.emit(channel.emitter, d.first_sample + d.start, d.count).on
        if sum(b - a for a, b in on) < _MIN_ON_SHARE * d.count:
            continue
        if d.kind != "missing":
            return channel
        always = d.background.emitters[channel.emitter].activity == 1 and _longest_gap(on, d.count) < d.count / 2
        if always and not d.background.pauses(channel.emitter, d.count // 2):
            return channel
    if isinstance(d.background, Scene):
        regularly = "regularly " if d.kind == "missing" else ""
        raise ValueError(f"{d.kind} takes an emitter of the plan that is {regularly}on for {_MIN_ON_SHARE:g} of samples "
                         f"{d.start}..{d.start + d.count}; none of {len(d.channels)} is: try another seed")
    raise ValueError(f"{d.kind} takes a channel eight bins wide and 3 dB over the floor, with free bins beside it; of "
                     f"{len(d.channels)} that the spectrum shows none is one")


def _longest_gap(on: list[tuple[int, int]], count: int) -> int:
    ends = [0, *(x for interval in on for x in interval), count]
    return max(b - a for a, b in zip(ends[::2], ends[1::2], strict=True))


def _where(d: _Draft, channel: Channel) -> dict:
    """Parameters with which ``apply_anomaly`` finds the channel again."""
    if channel.emitter is not None:
        return {"emitter": channel.emitter}
    return {"low_hz": channel.low_hz, "high_hz": channel.high_hz, "snr_db": channel.snr_db,
            "floor_density": channel.floor_density}


def _spoof(d: _Draft) -> Anomaly:
    drift = {"delay_s": float(d.rng.uniform(0.5, 2) / 1.023e6), "drift_hz": [float(x) for x in d.rng.uniform(-500, 500, 2)]}
    emitters: list[Emitter] = d.background.emitters if isinstance(d.background, Scene) else []
    for index, emitter in enumerate(emitters):
        if emitter.waveform == _GNSS:
            return d.made(emitter.freq_offset_hz, emitter.bandwidth_hz, emitter=index, **drift)
    width = WAVEFORMS[_GNSS].bandwidth_hz
    if width > d.samp_rate:
        raise ValueError(f"a spoofed GNSS signal is {width:g} Hz wide; the rate of {d.samp_rate:g} Hz is too low for it")
    return d.made(0.0, width, waveform_params=WAVEFORMS[_GNSS].draw(d.rng), **drift)


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


_DRAW: dict[str, Callable[[_Draft], Anomaly]] = {
    "tone": _new(1 / FRAME_BINS, 1 / FRAME_BINS), "scont": _new(0.005, 0.08), "pulse": _new(0.01, 0.1),
    "wpulse": _across(0.2, 0.6, covers=2), "wideband": lambda d: d.made(0.0, d.samp_rate),
    "chirp": _across(0.05, 0.4, lambda d: {"period": d.count / int(d.rng.integers(1, 17))}),
    "hopper": _hopper, "detshift": _detshift, "dclass": _dclass, "missing": _missing, "spoof": _spoof,
    "jam_tone": _on_a_channel(1 / FRAME_BINS, 1 / FRAME_BINS),
    "jam_swept": _across(0.33, 0.75, lambda d: {"period": _log_uniform(d.rng, 200, 4000)}, covers=1),
    "jam_pulsed": _on_a_channel(0.1, 0.4, lambda d: {"period": d.count / int(d.rng.integers(8, 33)),
                                                     "duty": float(d.rng.uniform(0.1, 0.4))}),
    "jam_broadband": _on_a_channel(0.33, 0.75), "stealth": _across(0.2, 0.75),
}
