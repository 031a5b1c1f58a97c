# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion-aware token dropout: the tokens in which the tracker expects a signal are kept, at the same number of tokens.

In simulated scenes a drifting carrier was heard well a while ago (``HEARD`` reports, a second apart, each off by up to half a
bin), and the tracker predicts its band. Then the carrier is weak. Frames with and without it are encoded with k tokens, with
and without ``keep_bands_hz``. The score is the model's largest residual in the predicted band, the same bins for all. The
threshold is that of the frames without the carrier, which keep the same tokens.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ... import keys
from ...encoder.engine import Engine
from ...encoder.model_file import find_model, load
from ...measure.page import markdown_table, paragraph, with_interval
from ...measure.paired import PairedBootstrap
from ...measure.provenance import commit
from ...measure.rows import AblationError, Context
from ...simulate.signal import phasor
from ...simulate.synthesis import free_offset
from ...tokens.tokenize import Frames, tokenize
from ...tracker.doma import DomaTracker
from ..anomaly.windows import draw_scene

HEARD, CENTER_HZ, DRIFT_HZ_S = 20, 433.92e6, 200.0
RATE = 0.01  # false alarms a frame
_AVERAGE = 16


def run(config: dict, context: Context) -> dict:
    """Judges each (tokens kept, level, with or without keeping).

    Args:
        config: tokens_kept; levels_db, of the carrier over the noise in one bin; scenes, frames (of each), seed.
    """
    if not context.model:
        raise AblationError("this ablation judges a trained model; name --model")
    file = load(find_model(context.model))
    engine, found, scene_of = Engine(file, pad_batch=64), {}, []
    for number in range(config["scenes"]):
        context.progress(number, config["scenes"], f"scene {number}")
        scene, rng = draw_scene(number, config["seed"]), np.random.default_rng([config["seed"], 0x3071, number])
        offset, drift = free_offset(scene, scene.samp_rate / 1024, rng), DRIFT_HZ_S * rng.choice([-1, 1])
        band = _predicted(rng, scene.samp_rate, offset, drift)
        count = config["frames"] * _AVERAGE * engine.n_bins
        iq, time = scene.render(0, count), np.arange(count) / scene.samp_rate
        carrier = phasor(offset * time + drift * time**2 / 2) * np.float32(np.sqrt(scene.noise_power / 1024))
        spectra = {None: iq} | {db: iq + carrier * np.float32(10 ** (db / 20)) for db in config["levels_db"]}
        scene_of += [number] * config["frames"]
        for level, samples in spectra.items():
            frames = tokenize(samples, scene.samp_rate, average=_AVERAGE, center_freq=CENTER_HZ, flush=False)
            wanted, bins = _places(frames, band)
            for kept in config["tokens_kept"]:
                engine.set_dropout_rate(1 - kept / engine.config.n_tokens)
                for aware in (False, True):
                    made = engine.encode(frames.items, "ism", np.repeat(wanted[None], len(frames), 0) if aware else None)
                    found.setdefault((kept, level, aware), []).append(made.residual[:, bins].max(axis=1))
    context.commits.add(commit())
    paired = PairedBootstrap(np.zeros(len(scene_of), int), np.array(scene_of))
    rows = []
    for kept in config["tokens_kept"]:
        for level in config["levels_db"]:
            hits = {aware: np.concatenate([with_it > np.quantile(without, 1 - RATE) for with_it, without in zip(
                found[kept, level, aware], found[kept, None, aware], strict=True)]) for aware in (False, True)}
            rows.append({"tokens_kept": kept, "level_db": level, "plain": paired.interval(hits[False]),
                         "aware": paired.interval(hits[True]), "difference": paired.interval(hits[True], hits[False])})
    return {"rows": rows, "model": Path(context.model).stem, "model_sha256": file.contract["weights_sha256"],
            "n_scenes": config["scenes"], "n_frames": len(scene_of)}


def _predicted(rng: np.random.Generator, samp_rate: float, offset: float, drift: float) -> tuple[float, float]:
    """The band, in Hz, in which the tracker expects the carrier at time 0, after it was heard until then."""
    tracker = DomaTracker()
    for t in range(-HEARD, 1):
        error = rng.uniform(-0.5, 0.5) * samp_rate / 1024
        tracker.report({keys.EVENT_ID: f"heard {t}", keys.STATE: "open", keys.TIMESTAMP: 1.7e9 + t, keys.IS_ANOMALY: True,
                        keys.FREQ_CENTER_HZ: CENTER_HZ + offset + drift * t + error, keys.BANDWIDTH_HZ: samp_rate / 1024,
                        keys.POWER_DBFS: -50.0})
    bands = tracker.control()[keys.KEEP_BANDS_HZ]
    return min(bands, key=lambda band: abs(sum(band) / 2 - CENTER_HZ - offset))


def _places(frames: Frames, band: tuple[float, float]) -> tuple[np.ndarray, slice]:
    """Tokens that reach into the band, (M,) bool, and the bins of those."""
    freq, stride = frames.frequencies_hz(), frames.layout.stride
    half = (freq[1] - freq[0]) / 2
    wanted = ((freq[::stride] - half < band[1]) & (freq[stride - 1::stride] + half > band[0]))
    places = np.flatnonzero(wanted)
    return wanted, slice(places[0] * stride, (places[-1] + 1) * stride)


def report(result: dict) -> str:
    """One table."""
    rows = [[r["tokens_kept"], f"{r['level_db']:g}", with_interval(r["plain"]), with_interval(r["aware"]),
             with_interval(r["difference"], True)] for r in result["rows"]]
    header = ["k of 128", "carrier over the noise in a bin, dB", "plain", "aware", "aware - plain, points"]
    return "\n".join([paragraph(
        f"`{result['model']}`, {result['n_frames']} frames in {result['n_scenes']} simulated scenes, K = {_AVERAGE}. A "
        f"drifting carrier is heard well for {HEARD} s, then it is weak. The share of its frames that are found, %, at 1 % "
        "false alarms a frame, by the model's largest residual in the predicted band. *plain*: the k loudest tokens are kept. "
        "*aware*: the tokens that the tracker names are among the k, so that the compute is the same. 95 % intervals drawn "
        "over scenes.") + "\n",
        markdown_table(header, rows)])


def draw(result: dict, path: Path) -> None:
    """Detection against level."""
    from ...measure.plots import figure, finish

    fig, (axis,) = figure(1)
    for number, kept in enumerate(dict.fromkeys(r["tokens_kept"] for r in result["rows"])):
        rows = [r for r in result["rows"] if r["tokens_kept"] == kept]
        level = np.array([r["level_db"] for r in rows])
        for name, line in (("plain", "--"), ("aware", "-")):
            mean, low, high = (np.array([100 * r[name][k] for r in rows]) for k in ("mean", "low", "high"))
            axis.errorbar(level, mean, yerr=(np.maximum(mean - low, 0), np.maximum(high - mean, 0)), fmt=f"o{line}", markersize=3,
                          capsize=2, color=f"C{number}", label=f"k = {kept}, {name}")
    axis.set_xlabel("carrier over the noise in a bin, dB")
    axis.set_ylabel("found at 1 % false alarms, %")
    axis.legend(fontsize=8)
    finish(fig, path)
