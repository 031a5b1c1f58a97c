# SPDX-License-Identifier: GPL-3.0-or-later
"""Adaptive dropout on bands of real recordings: what it saves, and what becomes of bursts, labels and events.

Each plan of `dataset compose` gives a stretch of a band with its truth. Its frames are encoded in batches of 16 at the dropout
rate 0.25: all of them (`off`, the reference), quiet ones with few tokens (`few`), quiet ones not at all (`held`). The detector,
with the general tables of the model, judges all three: residual, logit and embedding alone, which is what could differ.
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import numpy as np

from ...detector.detector import Detector
from ...detector.events import Segment
from ...encoder import features
from ...encoder.adaptive_dropout import FEW, HELD, OFF, REFRESH_S
from ...encoder.adaptive_encoder import FEW_TOKENS, AdaptiveEncoder
from ...encoder.encoder import mflop_per_spectrum
from ...encoder.engine import Engine
from ...encoder.model_file import find_model, load
from ...measure.page import markdown_table, paragraph
from ...measure.rows import AblationError, Context
from ...measure.timing import cpu_model
from ...recordings.sample_format import SampleFormat
from ...recordings.sigmf_writer import encode
from ...simulate.compose.band import Band
from ...simulate.compose.plan import Plan, read_plan
from ...tokens.band_plan import band_of
from ...tokens.tokenize import tokenize

MODES = (OFF, FEW, HELD)
_AVERAGE, _BATCH = 16, 16
_RATE = 0.25
_PARTS = 60  # of a stretch, in the picture
_LONG = 0.5  # share of the stretch from which on a signal is no burst


def run(config: dict, context: Context) -> dict:
    """Judges each plan.

    Args:
        config: plans, of ``simulate.compose.plans``; seconds of each; seed.
    """
    if not context.model or not context.corpus:
        raise AblationError("this ablation judges a trained model on bands of real recordings; name --model and --corpus")
    file, rows = load(find_model(context.model)), []
    settings = {"sha256": file.contract["weights_sha256"], "seconds": config["seconds"], "seed": config["seed"]}
    for number, name in enumerate(config["plans"]):
        context.progress(number, len(config["plans"]), name)
        plan = dataclasses.replace(read_plan(name), seed=config["seed"], seconds=config["seconds"])
        rows.append({"plan": name} | context.row(name, settings, lambda plan=plan: judge(file, plan, context.corpus)))
    return {"rows": rows, "model": Path(context.model).stem, "model_sha256": file.contract["weights_sha256"],
            "cpu": cpu_model()}


def judge(file, plan: Plan, corpus: list[Path]) -> dict:
    """The figures of one plan."""
    band = Band(plan, corpus)
    runs = {mode: _Run(file, mode, plan) for mode in MODES}
    order, rng = list(MODES), np.random.default_rng(plan.seed)
    hop = _AVERAGE * file.contract["encoder"]["fft_size"]
    stored = SampleFormat(plan.datatype)
    for iq in band.stream(hop * _BATCH):
        frames = tokenize(stored.decode(encode(iq, plan.datatype).view(np.uint8)), plan.rate_hz, average=_AVERAGE,
                          center_freq=plan.freq_hz, flush=False)
        rng.shuffle(order)
        for mode in order:
            if len(frames):
                runs[mode].take(frames.items, frames.psd)
    truth = _bursts(band.truth, hop, runs[OFF].n_frames, plan)
    plain, n_frames = runs[OFF].labels(), runs[OFF].n_frames
    in_burst = np.zeros(n_frames, bool)
    for first, stop in truth:
        in_burst[first:stop] = True
    row = {"n_frames": n_frames, "n_bursts": len(truth), "in_burst": float(in_burst.mean()), "modes": {}}
    for mode, made in runs.items():
        full, labels = made.tokens() == runs[OFF].tokens(), made.labels()
        settled = np.arange(n_frames) >= n_frames // 2
        row["modes"][mode] = {
            "mflop": round(made.mflop(), 3), "ms": round(1e3 * made.seconds / n_frames, 4),
            "mean_tokens": round(float(made.tokens().mean()), 2), "full": float(full.mean()),
            "full_second_half": float(full[settled].mean()),
            "bursts_seen": _share([full[a:b].any() for a, b in truth]),
            "bursts_from_the_first_frame": _share([full[min(a + 1, b - 1)] for a, b in truth]),
            "burst_frames_full": _share(full[in_burst]),
            "same_label": float((labels == plain).mean()), "same_label_in_bursts": _share((labels == plain)[in_burst]),
            "same_label_of_bursts": _share([_often(labels[a:b]) == _often(plain[a:b]) for a, b in truth]),
            "bursts_named": _share([(labels[a:b] != made.noise).any() for a, b in truth]),
            "flagged": float(made.flagged().mean()), "same_verdict": float((made.flagged() == runs[OFF].flagged()).mean()),
            "bursts_flagged": _share([made.flagged()[a:b].any() for a, b in truth]),
            "parts": [float(part.mean()) for part in np.array_split(full, _PARTS)]}
    return row


class _Run:
    """One mode on one band: encoder, detector, what they gave, and the processor's time for the encoder."""

    def __init__(self, file, mode: str, plan: Plan):
        self._engine = Engine(file, dropout_rate=_RATE, dtype="auto")
        self._adaptive, self._detector = AdaptiveEncoder(self._engine, mode), Detector.from_model(file)
        self._band, self._hop = band_of(plan.freq_hz), _AVERAGE * self._engine.n_bins
        self._segment = Segment(plan.freq_hz, plan.rate_hz, self._band, self._hop, _AVERAGE)
        self._tokens: list[np.ndarray] = []
        self._labels: list[np.ndarray] = []
        self._flagged: list[np.ndarray] = []
        self.noise = self._engine.labels.index("noise")
        self.n_frames = 0
        self.seconds = 0.0

    def take(self, items: np.ndarray, psd: np.ndarray) -> None:
        began = time.thread_time()
        out = self._adaptive.encode(items, self._band)
        self.seconds += time.thread_time() - began
        rows = out.features
        self._tokens.append(rows[:, features.K_ENCODED].astype(int))
        self._labels.append(rows[:, features.PROBABILITIES][:, :len(self._engine.labels)].argmax(axis=1))
        starts = (self.n_frames + np.arange(len(items))) * self._hop
        self._flagged.append(self._detector.process(psd, out.residual, rows, starts, self._segment).flagged)
        self.n_frames += len(items)

    def tokens(self) -> np.ndarray:
        return np.concatenate(self._tokens)

    def labels(self) -> np.ndarray:
        return np.concatenate(self._labels)

    def flagged(self) -> np.ndarray:
        return np.concatenate(self._flagged)

    def mflop(self) -> float:
        """Mean of all frames; the judgement itself (element-wise work) is not counted, as elsewhere."""
        counts, n = np.unique(self.tokens(), return_counts=True)
        costs = [mflop_per_spectrum(self._engine.config, int(k)) if k else 0.0 for k in counts]
        return float(np.dot(costs, n) / n.sum())


def _bursts(truth: list[dict], hop: int, n_frames: int, plan: Plan) -> list[tuple[int, int]]:
    """First frame and end of each emission that is shorter than half of the stretch."""
    out = []
    for note in truth:
        first, count = note["core:sample_start"], note.get("core:sample_count", 0)
        if "core:freq_lower_edge" in note and count < _LONG * plan.n_samples:
            low, high = first // hop, min(n_frames, -(-(first + count) // hop))
            if low < high:
                out.append((low, high))
    return out


def _share(values) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _often(labels: np.ndarray) -> int:
    return int(np.bincount(labels).argmax())


def report(result: dict) -> str:
    """Tables of costs, of what was seen, and of what stayed the same."""
    costs, losses, alike = [], [], []
    ratios: dict[str, list[float]] = {mode: [] for mode in MODES}
    for row in result["rows"]:
        off, few, held = (row["modes"][mode] for mode in MODES)
        for mode in MODES:
            ratios[mode].append(row["modes"][mode]["mflop"] / off["mflop"])
        costs.append([row["plan"], row["n_frames"], _percent(row["in_burst"]), _percent(held["full"]),
                      _percent(held["full_second_half"]), *(f"{m['mflop']:.1f}" for m in (off, few, held)),
                      f"{held['mflop'] / off['mflop']:.2f}", *(f"{m['ms']:.3f}" for m in (off, few, held))])
        losses.append([row["plan"], row["n_bursts"], *(_percent(held[key]) for key in (
            "bursts_seen", "bursts_from_the_first_frame", "burst_frames_full", "bursts_named"))])
        keys = ("same_label_of_bursts", "same_label_in_bursts", "same_label", "same_verdict")
        alike.append([row["plan"], *(_percent(mode[key]) for key in keys for mode in (few, held)),
                      " / ".join(_percent(mode["bursts_flagged"]) for mode in (off, few, held))])
    config = result["configuration"]
    return "\n".join([paragraph(
        f"`{result['model']}`, {config['seconds']:g} s of each plan, dropout rate {_RATE} (*off*), batches of {_BATCH}, one "
        f"thread of {result['cpu']}. *few*: quiet frames with {FEW_TOKENS} tokens. *held*: quiet frames repeat the last answer. "
        f"Both encode a frame in full each {REFRESH_S:g} s at the latest. MFLOP: multiply-adds times two of the network, a "
        "frame. ms: processor time, a frame, with the judgement, on a machine that was not quiet. Mean of the plans against "
        "*off*: "
        f"{np.mean(ratios[FEW]):.2f} (few), {np.mean(ratios[HELD]):.2f} (held) of the MFLOP.") + "\n",
        markdown_table(["plan", "frames", "in bursts, %", "full, %", "2nd half, %", "MFLOP: off", "few", "held", "held / off",
                        "ms: off", "few", "held"], costs),
        paragraph("Bursts are emissions shorter than half of the stretch. *seen*: a frame of it was encoded in full. *from its "
                  "start*: so was its second frame, the first that it fills. *named*: a frame of it has another label than "
                  "noise, with `held`.") + "\n",
        markdown_table(["plan", "bursts", "seen, %", "from its start, %", "their frames in full, %", "named, %"], losses),
        paragraph("The same label, and the same verdict of the detector (1 % of false alarms, general table), as with *off*, %. "
                  "The label of a burst is that of the largest number of its frames. *flagged*: bursts with a flagged frame.")
        + "\n",
        markdown_table(["plan", "bursts: few", "held", "their frames: few", "held", "all frames: few", "held", "verdicts: few",
                        "held", "flagged: off / few / held"], alike)])


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def draw(result: dict, path: Path) -> None:
    """Share of full frames over the stretch, and cost of each plan against `off`."""
    from ...measure.plots import figure, finish

    fig, axes = figure(2)
    seconds = result["configuration"]["seconds"]
    for row in result["rows"]:
        parts = np.mean(np.reshape(row["modes"][HELD]["parts"], (-1, 3)), axis=1)
        axes[0].plot((np.arange(len(parts)) + 0.5) * seconds / len(parts), 100 * parts, label=row["plan"], lw=1.2)
    axes[0].set_xlabel("time, s")
    axes[0].set_ylabel("frames encoded in full, %")
    axes[0].set_ylim(0, 145)
    axes[0].legend(fontsize=7, ncols=3, loc="upper center")
    place = np.arange(len(result["rows"]))
    for number, mode in enumerate((FEW, HELD)):
        axes[1].bar(place + 0.38 * (number - 0.5), [r["modes"][mode]["mflop"] / r["modes"][OFF]["mflop"] for r in result["rows"]],
                    0.36, label=mode)
    axes[1].axhline(0.5, color="black", lw=0.8, ls="--", label="goal")
    axes[1].set_xticks(place, [r["plan"] for r in result["rows"]], rotation=30, ha="right", fontsize=8)
    axes[1].set_ylabel("MFLOP against r = 0.25")
    axes[1].legend(fontsize=8)
    finish(fig, path)
