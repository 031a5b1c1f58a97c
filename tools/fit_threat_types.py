# SPDX-License-Identifier: GPL-3.0-or-later
"""Fits the classifier of possible threats on simulated scenes and judges it on others:

    tools/fit_threat_types.py --out python/spectrumencoder/detector/threat_types.json --report docs/results/threat_types.md

Each scene has its own channel plan, calibrates the detector as `calibrate` does, and has windows with an anomaly of each
kind. The classifier learns from the detector's messages about its events. Temperature and limit are cross-validated over
scenes. The scenes for judging take no part in the fit.
"""

import argparse
import json
import re
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gnuradio.spectrumencoder import keys
from gnuradio.spectrumencoder.detector.detector import Detector
from gnuradio.spectrumencoder.detector.events import CLOSE, Segment
from gnuradio.spectrumencoder.detector.learn_band import learn_bands
from gnuradio.spectrumencoder.detector.table import Table
from gnuradio.spectrumencoder.detector.threat_types import ENDED, FEATURES, GOING, NONE, ThreatTypes
from gnuradio.spectrumencoder.encoder.engine import Engine
from gnuradio.spectrumencoder.evaluate.anomaly.windows import WINDOW_FRAMES, Injected, Unit, draw_scene, scene_unit
from gnuradio.spectrumencoder.measure.page import command_block, kept_words, markdown_table, page, paragraph
from gnuradio.spectrumencoder.measure.provenance import commit
from gnuradio.spectrumencoder.simulate.anomalies import ANOMALY_KINDS
from scipy.optimize import minimize_scalar
from sklearn.linear_model import LogisticRegression

SEED = 900  # scenes that no evaluation uses
# kind of anomaly -> name of its type; kinds that an event cannot tell apart share one. Not `spoof` and `stealth`
TYPES = {"tone": "carrier", "jam_tone": "carrier", "scont": "new signal", "pulse": "pulse", "wpulse": "wideband pulse",
         "wideband": "barrage", "jam_broadband": "barrage", "jam_swept": "barrage", "jam_pulsed": "barrage", "chirp": "sweep",
         "hopper": "hopper", "detshift": "displaced signal", "dclass": NONE, "missing": "missing signal"}
KINDS = tuple(kind for kind in ANOMALY_KINDS if kind in TYPES)
NAMES = tuple(dict.fromkeys(name for name in TYPES.values() if name != NONE))
AVERAGE, CALIBRATION, AFTER = 16, 2000, 8  # windows in a frame, frames, clean frames after a window: events end by themselves
MIN_PRECISION = 0.85  # of named events in held-out scenes, so that new scenes reach 0.8
MIN_POWER_SHARE = 0.05  # an event belongs to the anomaly if that changes its power by this share
STRENGTH = 0.3  # penalty of the regression, 1 / C


FALSE_ALARM, SIDE_EFFECT = "false alarm", "side effect"  # instead of a kind


@dataclass(frozen=True)
class Message:
    """One message of an event: its truth and the classifier's features."""

    scene: int
    name: str
    kind: str
    state: str
    features: np.ndarray


class Recorder:
    """Stands in the place of the classifier and keeps what it is asked."""

    def __init__(self):
        self.asked: list[np.ndarray] = []

    def possible(self, features: np.ndarray, ended: bool) -> None:
        self.asked.append(features)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="JSON file of the weights")
    parser.add_argument("--report", type=Path, required=True, help="Markdown page with the figures of the scenes judged")
    parser.add_argument("--model", default="base")
    parser.add_argument("--scenes", type=int, default=12, help="to fit on")
    parser.add_argument("--judged", type=int, default=6, help="scenes after those, to judge on")
    parser.add_argument("--per-kind", type=int, default=10, help="windows with each kind in a scene")
    parser.add_argument("--windows", type=int, default=60, help="clean windows of a scene")
    parser.add_argument("--seed", type=int, default=SEED)
    a = parser.parse_args()
    engine, messages = Engine(a.model, dropout_rate=0.25, pad_batch=64), []
    for number in range(a.scenes + a.judged):
        messages += scene_messages(engine, number, a.per_kind, a.windows, a.seed)
        print(f"scene {number + 1} of {a.scenes + a.judged}: {len(messages)} messages", flush=True)
    content = fit([t for t in messages if t.scene < a.scenes]) | {
        "commit": commit(), "model": engine.model_name, "seed": a.seed, "scenes": a.scenes, "per_kind": a.per_kind}
    a.out.write_text(as_text(content))
    figures = report(content, [t for t in messages if t.scene >= a.scenes], a.judged)
    a.report.write_text(page("Possible threats: the names given to events", figures, kept_words(a.report)))


# -- the detector's messages about scenes


def scene_messages(engine: Engine, number: int, per_kind: int, n_windows: int, seed: int) -> list[Message]:
    """The messages of one scene's events, in clean windows and in those with an anomaly."""
    unit = scene_unit(engine, draw_scene(number, seed), number, average=AVERAGE, n_calibration=CALIBRATION, n_kept=0,
                      n_windows=n_windows, per_kind=per_kind, kinds=KINDS, seed=seed)
    tables = learn_bands([unit.recording], engine, average=AVERAGE)
    parts = [unit.calibration, unit.clean, *(i.frames for i in unit.injected)]
    encoded = engine.encode(np.concatenate([f.items for f in parts]), unit.band)
    return tell(unit, number, engine.contract, tables, np.concatenate([f.psd for f in parts]), encoded.residual, encoded.features)


def tell(unit: Unit, number: int, contract: dict, tables: dict[str, Table], psd: np.ndarray, residual: np.ndarray,
         features: np.ndarray) -> list[Message]:
    """The messages of a unit's events; rows of psd, residual and features are those of its calibration, its clean windows and its
    windows with an anomaly, one after another. In clean windows every flagged frame may open an event: those are false alarms."""
    first, hop = len(unit.calibration), unit.calibration.frame_hop
    segment = Segment(unit.freq_hz, unit.samp_rate, unit.band, hop, unit.average)
    detector, lax = Detector(contract, tables), Detector(contract, tables, false_events_per_hour=np.inf)
    for one in (detector, lax):
        one.tracker.types = Recorder()

    def judge(of: Detector, rows: slice, frame: int) -> list[dict]:
        count = rows.stop - rows.start
        return of.process(psd[rows], residual[rows], features[rows], (frame + np.arange(count)) * hop, segment).events

    for one in (detector, lax):
        judge(one, slice(0, first), 0)
        one.discontinuity()
        one.tracker.types.asked.clear()
    messages = named(judge(lax, slice(first, first + len(unit.clean)), first), lax.tracker.types.asked, unit, number, first, None)
    for window in range(unit.n_windows):
        at = first + window * WINDOW_FRAMES
        for n, one in enumerate(unit.injected):
            if one.base == window:
                state = copy_of(detector)
                put = first + len(unit.clean) + n * WINDOW_FRAMES
                events = judge(state, slice(put, put + WINDOW_FRAMES), at)
                after = min(AFTER, first + len(unit.clean) - at - WINDOW_FRAMES)
                if after:
                    events += judge(state, slice(at + WINDOW_FRAMES, at + WINDOW_FRAMES + after), at + WINDOW_FRAMES)
                events += [e.fields for e in state.flush()]
                messages += named(events, state.tracker.types.asked, unit, number, at, one)
        judge(detector, slice(at, at + WINDOW_FRAMES), at)
        detector.tracker.types.asked.clear()
    return messages


def copy_of(detector: Detector) -> Detector:
    fixed = [detector.contract, *detector.tables.values(), *(t.band for t in detector.tables.values() if t.band is not None)]
    return deepcopy(detector, {id(one): one for one in fixed})


def named(events: list[dict], asked: list[np.ndarray], unit: Unit, number: int, at: int,
          injected: Injected | None) -> list[Message]:
    assert len(events) == len(asked), (len(events), len(asked))
    messages = []
    for event, features in zip(events, asked, strict=True):
        kind = FALSE_ALARM if injected is None else injected.truth.kind if is_of(event, unit, at, injected) else SIDE_EFFECT
        messages.append(Message(number, TYPES.get(kind, NONE), kind, event[keys.STATE], features))
    return messages


def is_of(event: dict, unit: Unit, at: int, injected: Injected) -> bool:
    """True if the anomaly in the window from frame `at` on adds or removes enough of the event's power."""
    hop, n_bins = unit.calibration.frame_hop, injected.change.shape[1]
    first = max(event[keys.SAMPLE_START] // hop - at, 0)
    last = min(-(-(event[keys.SAMPLE_START] + event[keys.SAMPLE_COUNT]) // hop) - at, WINDOW_FRAMES)
    if last <= first:
        return False
    width = unit.samp_rate / n_bins
    count = round(event[keys.BANDWIDTH_HZ] / width)
    low = round((event[keys.FREQ_CENTER_HZ] - unit.freq_hz) / width + n_bins // 2 - (count - 1) / 2)
    change = np.abs(injected.change[first:last, low:low + count]).sum()
    begin = at - len(unit.calibration)
    return change >= MIN_POWER_SHARE * (10.0 ** (unit.clean.psd[begin + first:begin + last, low:low + count] / 10.0)).sum()


# -- the fit


def fit(messages: list[Message]) -> dict:
    """The weights file's content without its provenance."""
    classes = (*NAMES, NONE)
    content = {"features": list(FEATURES), "classes": list(classes)}
    for head, mine in ((GOING, [t for t in messages if t.state != CLOSE]), (ENDED, [t for t in messages if t.state == CLOSE])):
        x, y = np.array([t.features for t in mine]), np.array([classes.index(t.name) for t in mine])
        scene = np.array([t.scene for t in mine])
        logits = np.empty((len(x), len(classes)))
        for fold in range(6):
            out = scene % 6 == fold
            logits[out] = logits_of(regression(x[~out], y[~out], len(classes)), x[out])
        found = minimize_scalar(loss, args=(logits, y), bounds=(0.3, 5.0), method="bounded")
        temperature = round(float(found.x), 3)
        limit = limit_of(soft(logits / temperature), y)
        content[head] = {name: rounded(v) for name, v in regression(x, y, len(classes)).items()} | {
            "temperature": temperature, "limit": limit, "messages": len(x)}
    return content


def regression(x: np.ndarray, y: np.ndarray, n_classes: int) -> dict[str, np.ndarray]:
    """mean (D,), scale (D,), weights (D, C), bias (C,)."""
    mean, scale = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-3)
    model = LogisticRegression(C=1.0 / STRENGTH, max_iter=2000).fit((x - mean) / scale, y)
    weights, bias = np.zeros((x.shape[1], n_classes)), np.full(n_classes, -20.0)
    weights[:, model.classes_], bias[model.classes_] = model.coef_.T, model.intercept_
    return {"mean": mean, "scale": scale, "weights": weights, "bias": bias}


def logits_of(of: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    return (x - of["mean"]) / of["scale"] @ of["weights"] + of["bias"]


def soft(logits: np.ndarray) -> np.ndarray:
    likely = np.exp(logits - logits.max(axis=1, keepdims=True))
    return likely / likely.sum(axis=1, keepdims=True)


def loss(temperature: float, logits: np.ndarray, y: np.ndarray) -> float:
    return float(-np.mean(np.log(soft(logits / temperature)[np.arange(len(y)), y] + 1e-30)))


def limit_of(chances: np.ndarray, y: np.ndarray) -> float:
    """The smallest limit, in steps of 0.01, at which named events reach MIN_PRECISION."""
    best, none = chances.argmax(axis=1), chances.shape[1] - 1
    for limit in np.arange(0.30, 1.0, 0.01):
        said = (best != none) & (chances.max(axis=1) >= limit)
        if said.any() and (best[said] == y[said]).mean() >= MIN_PRECISION:
            return round(float(limit), 2)
    return 1.0


def rounded(values: np.ndarray) -> list:
    return np.round(values, 4).tolist()


def as_text(content: dict) -> str:
    """JSON, a list of numbers on one line."""
    return re.sub(r"\[[-0-9.e,\s]*\]", lambda m: "[" + " ".join(m[0][1:-1].split()) + "]", json.dumps(content, indent=1)) + "\n"


# -- the judgement


def report(content: dict, messages: list[Message], n_scenes: int) -> str:
    """The figures as Markdown: shares named and right with intervals over scenes, and what was named what."""
    types = ThreatTypes(content)
    lines = [paragraph(
        f"Fitted on {content['scenes']} simulated scenes, judged on {n_scenes} others, {content['per_kind']} windows with each "
        "kind in a scene, 0 to 20 dB INR. A message is of the anomaly if the anomaly adds or takes 5 % or more of the power "
        "in its bins and frames; other messages in such a window are side effects. False alarms are the messages of clean "
        "windows with `false_events_per_hour` of infinity: every flagged frame may open one. Intervals: 95 %, bootstrap over "
        "scenes. The columns *new*, *displaced* and *missing* are signals.")]
    for head, mine in ((ENDED, [t for t in messages if t.state == CLOSE]), (GOING, [t for t in messages if t.state != CLOSE])):
        named = [types.possible(t.features, head == ENDED) for t in mine]
        best = np.array([next(iter(n)) if n else "" for n in named], object)
        name, kind, scene = (np.array([getattr(t, of) for t in mine], object) for of in ("name", "kind", "scene"))
        said, right, real = best != "", best == name, np.isin(kind, KINDS)
        figures = [("of the messages of an anomaly, named", real, said), ("of all that is named, named right", said, right),
                   ("of side effects, named (wrongly)", kind == SIDE_EFFECT, said),
                   ("of false alarms, named (wrongly)", kind == FALSE_ALARM, said)]
        known = sorted({k for k in kind[real]}, key=KINDS.index)
        lines += ["", "## Events that have ended (`close`)" if head == ENDED else "## Events that go on (`open`, `update`)", "",
                  *(f"* {text}: {share(of, what, scene)}" for text, of, what in figures), "",
                  *named_table(kind, best, (*known, SIDE_EFFECT, FALSE_ALARM)).splitlines(), "",
                  *calibration(types, mine, head)]
    lines += ["", command_block(f"tools/fit_threat_types.py --scenes {content['scenes']} --judged {n_scenes} --per-kind "
                                f"{content['per_kind']} --seed {content['seed']} --out threat_types.json --report "
                                "threat_types.md"),
              f"Measured at {content['commit'][:12]}."]
    return "\n".join(lines)


def named_table(kind: np.ndarray, best: np.ndarray, rows: tuple[str, ...]) -> str:
    """Table of true types against named types, in messages; correct names in bold."""
    lines = []
    for row in rows:
        here = kind == row
        counts = [int((here & (best == n)).sum()) for n in (*NAMES, "")]
        lines.append([row, int(here.sum()), *(f"**{c}**" if c and n == TYPES.get(row) else str(c)
                                              for n, c in zip((*NAMES, ""), counts, strict=True))])
    return markdown_table(["put in", "messages", *(n.removesuffix(" signal") for n in NAMES), "nothing"], lines)


def share(of: np.ndarray, what: np.ndarray, scene: np.ndarray) -> str:
    rng, numbers = np.random.default_rng(0), np.unique(scene.astype(int))
    total = np.array([(of & (scene == n)).sum() for n in numbers])
    hits = np.array([(of & what & (scene == n)).sum() for n in numbers])
    drawn = rng.integers(0, len(numbers), (2000, len(numbers)))
    low, high = np.quantile(hits[drawn].sum(axis=1) / np.maximum(total[drawn].sum(axis=1), 1), (0.025, 0.975))
    whole = 100 * hits.sum() / max(total.sum(), 1)
    return f"{whole:.0f} % ({100 * low:.0f} to {100 * high:.0f} %), {hits.sum()} of {total.sum()}"


def calibration(types: ThreatTypes, mine: list[Message], head: str) -> list[str]:
    """Accuracy of the most probable class, by its probability."""
    chances = types.probabilities(np.array([t.features for t in mine]), head == ENDED)
    highest = chances.max(axis=1)
    hit = np.array([types.classes[c] for c in chances.argmax(axis=1)], object) == np.array([t.name for t in mine], object)
    edges, parts = (20, 40, 60, 80, 90, 100), []
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        at = (100 * highest > low) & (100 * highest <= high)
        if at.any():
            parts.append(f"{low}-{high} %: {100 * hit[at].mean():.0f} % of {at.sum()}")
    return ["Right, by the probability of the likeliest class, absent or not:", "; ".join(parts) + "."]


if __name__ == "__main__":
    main()
