# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a whole simulated recording for ``dataset synth``: scene, one anomaly of any kind with its truth, receiver, SigMF files.

The seed draws the channel plan, the receiver and the anomaly's place. ``noise_seed`` (by default the seed itself) draws traffic
and noise. The bundled demo scene is ``synthesise(Synthesis())``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..recordings.sigmf_writer import write_recording, write_whole
from ..tokens.band_plan import UNKNOWN, band_of
from .anomalies import ANOMALY_KINDS, DEFAULT_LEVELS_DB
from .anomaly_draws import draw_anomaly
from .anomaly_rendering import anomaly_change
from .injections import KINDS, Change, Truth, injection, note
from .receivers import Receiver
from .scenes import Scene

TRUTH_SUFFIX = ".truth.json"
BITS = {"ci8": 8, "cu8": 8, "ci16_le": 12, "cf32_le": 16}
START_TIME = "2026-01-01T00:00:00Z"  # time in the metadata of every simulated recording, so that results are reproducible
MAX_SAMPLES = 1 << 26


@dataclass(frozen=True)
class Synthesis:
    """Settings of a recording. The anomaly's frequencies are offsets from the centre; None draws a free place from the seed.

    inr_db is the level as the anomaly's kind defines it (``anomalies``); None takes DEFAULT_LEVELS_DB.
    """

    seed: int = 7
    noise_seed: int | None = None
    samp_rate: float = 2e6
    seconds: float = 0.524288
    center_freq_hz: float | None = 868.5e6
    noise_dbfs: float = -36.0
    anomaly: str = "scont"
    inr_db: float | None = None
    anomaly_offset_hz: float | None = None
    anomaly_width_hz: float | None = None
    anomaly_start_s: float | None = None
    anomaly_seconds: float | None = None
    datatype: str = "ci8"

    @property
    def n_samples(self) -> int:
        return int(round(self.seconds * self.samp_rate))


def synthesise(what: Synthesis) -> tuple[np.ndarray, Scene, list[Truth]]:
    """The receiver's samples complex64 (n,), the scene, and the rows of the anomaly's truth (empty without one).

    Raises:
        ValueError: a parameter is out of range; the message has its name and value.
    """
    blocks, scene, truths = stream(what)
    return joined(blocks, what.n_samples), scene, truths


def stream(what: Synthesis) -> tuple[Iterator[np.ndarray], Scene, list[Truth]]:
    """Like ``synthesise``, with the samples in blocks. Only the anomaly's samples are all in memory at once.

    Raises:
        ValueError: a parameter is out of range; the message has its name and value.
    """
    if not 1 <= what.n_samples <= MAX_SAMPLES:
        raise ValueError(f"{what.seconds:g} s at {what.samp_rate:g} Hz are {what.n_samples} samples; 1 to {MAX_SAMPLES} are "
                         "made: ask for fewer seconds")
    if what.anomaly not in ("none", *ANOMALY_KINDS):
        raise ValueError(f"anomaly {what.anomaly!r} is none of none, {', '.join(ANOMALY_KINDS)}")
    band = band_of(what.center_freq_hz)
    scene = Scene.random(what.seed, what.samp_rate, (4, 6), band=None if band == UNKNOWN else band, snr_db=(10.0, 25.0),
                         noise_dbfs=what.noise_dbfs, center_freq_hz=None if band == UNKNOWN else what.center_freq_hz)
    scene = scene.with_seed(what.seed if what.noise_seed is None else what.noise_seed)
    blocks, truths = scene.stream(0, what.n_samples), []
    if what.anomaly != "none":
        change, truths = _anomaly(what, scene)
        blocks = _changed(blocks, change)
    return receiver_of(what).stream(blocks), scene, truths


def joined(blocks: Iterable[np.ndarray], count: int) -> np.ndarray:
    """Join blocks with a total of ``count`` samples into one array."""
    out, done = np.empty(count, np.complex64), 0
    for block in blocks:
        out[done:done + len(block)] = block
        done += len(block)
    return out


def _changed(blocks: Iterator[np.ndarray], change: Change) -> Iterator[np.ndarray]:
    first = 0
    for block in blocks:
        yield change.applied(block, first)
        first += len(block)


def _anomaly(what: Synthesis, scene: Scene) -> tuple[Change, list[Truth]]:
    """The four kinds of ``inject`` keep their own way to choose a place, because the bundled scene was made with it."""
    rng, center = np.random.default_rng([what.seed, 0xA2]), what.center_freq_hz or 0.0
    samples = lambda start, count: joined(scene.stream(start, count), count)  # noqa: E731
    level = DEFAULT_LEVELS_DB[what.anomaly] if what.inr_db is None else what.inr_db
    if what.anomaly in KINDS:
        change, truth = injection(samples, what.n_samples, what.samp_rate, what.anomaly, rng, center_freq_hz=center,
                                  inr_db=level, **_place(what, scene, rng))
        return change, [truth]
    start, length = (None if t is None else round(t * what.samp_rate) for t in (what.anomaly_start_s, what.anomaly_seconds))
    anomaly = draw_anomaly(rng, what.anomaly, scene, what.samp_rate, what.n_samples, level_db=level, sample_start=start,
                           sample_count=length, freq_offset_hz=what.anomaly_offset_hz, bandwidth_hz=what.anomaly_width_hz)
    return anomaly_change(samples, what.n_samples, what.samp_rate, anomaly, scene=scene, center_freq_hz=center)


def receiver_of(what: Synthesis) -> Receiver:
    """The receiver of a synthesis: the seed determines it, and the data type its converter."""
    rng = np.random.default_rng([what.seed, 0x5E])
    return Receiver(passband=0.92, rolloff=0.08, stop_db=float(rng.uniform(12, 25)), ripple_db=float(rng.uniform(0.2, 0.8)),
                    tilt_db=float(rng.normal(0, 0.4)), iq_image_db=float(rng.uniform(-50, -40)),
                    dc_dbfs=what.noise_dbfs - 20, bits=BITS.get(what.datatype), seed=what.seed)


def write(what: Synthesis, path: str | Path) -> Path:
    """Make a recording and write NAME.sigmf-data, NAME.sigmf-meta and NAME.truth.json; returns the metadata's path.

    Raises:
        ValueError: as for ``synthesise``, or the data type cannot be written.
        RecordingError: the files cannot be written.
    """
    if what.datatype not in BITS:
        raise ValueError(f"datatype {what.datatype!r} cannot be written; use one of {', '.join(BITS)}")
    blocks, scene, found = stream(what)
    center = what.center_freq_hz or 0.0
    emitters = [{"waveform": e.waveform, "freq_center_hz": center + e.freq_offset_hz, "bandwidth_hz": e.bandwidth_hz,
                 "snr_db": e.snr_db, "activity": e.activity, "params": e.params} for e in scene.emitters]
    notes = [note(0, what.n_samples, "simulated", f"whole file; family={band_of(what.center_freq_hz)}; class=simulated")]
    notes += [note(0, what.n_samples, e["waveform"], f"emitter of the scene; SNR {e['snr_db']:.1f} dB while on",
                    e["freq_center_hz"], e["bandwidth_hz"]) for e in emitters]
    notes += [truth.as_annotation() for truth in found]
    noise_seed = what.seed if what.noise_seed is None else what.noise_seed
    meta_path = write_recording(path, blocks, what.samp_rate, what.datatype, center_freq_hz=what.center_freq_hz,
                                datetime=START_TIME, annotations=notes,
                                description=f"Simulated, not off the air. Seed {what.seed}, traffic and noise seed {noise_seed}.")
    truths = {"seed": what.seed, "noise_seed": noise_seed, "samp_rate": what.samp_rate, "n_samples": what.n_samples,
              "center_freq_hz": what.center_freq_hz, "noise_dbfs": what.noise_dbfs,
              "anomalies": [truth.as_dict() for truth in found], "emitters": emitters}
    name = meta_path.name.removesuffix(".sigmf-meta")
    write_whole(meta_path.with_name(name + TRUTH_SUFFIX), (json.dumps(truths, indent=1) + "\n").encode())
    return meta_path


def _place(what: Synthesis, scene: Scene, rng: np.random.Generator) -> dict:
    """Arguments of ``inject``: the requested ones, else a free part of the band, from about 40 % of the time on."""
    n, place = what.n_samples, {}
    share = rng.uniform(0.38, 0.46)
    start = round(n * share) if what.anomaly_start_s is None else round(what.anomaly_start_s * what.samp_rate)
    seconds = what.anomaly_seconds
    if seconds is None and what.anomaly != "pulse":
        seconds = 0.28 * n / what.samp_rate
    place |= {"sample_start": start, "sample_count": None if seconds is None else max(1, round(seconds * what.samp_rate))}
    if what.anomaly == "wideband":
        return place
    width = what.samp_rate / 1024
    if what.anomaly != "tone":
        width = what.anomaly_width_hz or what.samp_rate / (40 if what.anomaly == "scont" else 4)
        place["bandwidth_hz"] = width
    asked = what.anomaly_offset_hz
    return place | {"freq_offset_hz": free_offset(scene, width, rng) if asked is None else asked}


def free_offset(scene: Scene, width_hz: float, rng: np.random.Generator) -> float:
    """A frequency offset for a signal of this width in the freest part of the band: one of the best tenth of 1000 drawn places.

    It keeps away from emitters and 0 Hz.
    """
    reach = 0.4 * scene.samp_rate - width_hz / 2
    places = rng.uniform(-reach, reach, 1000)
    room = np.abs(places) - width_hz / 2
    for emitter in scene.emitters:
        room = np.minimum(room, np.abs(places - emitter.freq_offset_hz) - (width_hz + emitter.bandwidth_hz) / 2)
    best = np.argsort(room, kind="stable")[-100:]
    return float(places[int(rng.choice(best))])
