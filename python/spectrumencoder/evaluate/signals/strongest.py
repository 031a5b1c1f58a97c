# SPDX-License-Identifier: GPL-3.0-or-later
"""The class of the strongest signal of each recording that a model has not seen, at the frequency at which it was recorded.

It is found and named as ``survey`` does. Beside it stand the same without the places of classes (``tokens.class_plan``), and the
label of the whole frames, noise left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ... import keys
from ...encoder import features
from ...encoder.engine import Engine
from ...encoder.token_classes import BELOW_NOISE, NOISE, UNKNOWN_SIGNAL
from ...measure.page import command_block, markdown_table, measured_at, paragraph
from ...measure.provenance import commit
from ...signals.signal_list import SignalList
from ...tokens.tokenize import tokenize
from ...training.corpus import CorpusError, Source, load_corpus
from ..inference.windows import bootstrap

TITLE = "The strongest signal of each recording"
MAX_FRAMES, N_BINS = 256, 1024
_AVERAGES, _FRAMES = (16, 4, 1), 4  # spectra in a frame: the first of which a recording holds so many frames
SYSTEMS = {"called": "its box, at its frequency", "anywhere": "its box, wherever it is", "frames": "its frames"}


def evaluate(corpus: Sequence[Path], models: Sequence[str], *, dropout_rate: float = 0.25,
             progress: Callable[[int, int, str], None] = lambda done, total, name: None) -> dict:
    """Judge the classes.

    Args:
        corpus: folders of labelled recordings. models: each judges the recordings that its training held out, the first one
            that did; those that no model has learned from are judged by the first.

    Returns:
        ``rows``: of each recording its class and what each of ``SYSTEMS`` called it (None: nothing was found). ``known`` and
        ``unknown``: number, and for each system the share that is right with a 95 % interval by bootstrap over sessions.

    Raises:
        CorpusError: a folder holds no recording, or the models have learned from all of them.
    """
    engines = [Engine(model, dropout_rate=dropout_rate) for model in models]
    held = [set(engine.contract["training"]["held_out"]) for engine in engines]
    learned = set().union(*(engine.trained_on for engine in engines))
    jobs = [(source, engine) for source in load_corpus(list(corpus)) if source.label != NOISE and source.label not in BELOW_NOISE
            and (engine := next((e for e, names in zip(engines, held, strict=True) if source.name in names),
                                None if source.name in learned else engines[0]))]
    if not jobs:
        raise CorpusError(f"{', '.join(models)}: no recording was held out of training; give other recordings, or models of folds")
    rows = []
    for done, (source, engine) in enumerate(jobs):
        progress(done, len(jobs), source.name)
        rows.append({"recording": source.name, "class": source.label or UNKNOWN_SIGNAL} | judged(source, engine))
    progress(len(jobs), len(jobs), "done")
    return summary(rows) | {"rows": rows, "models": [e.model_name for e in engines], "commit": commit(),
                            "weights_sha256": engines[0].contract["weights_sha256"]}


def judged(source: Source, engine: Engine) -> dict[str, str | None]:
    """What each of ``SYSTEMS`` calls the strongest signal of a recording."""
    average = next((k for k in _AVERAGES if len(source.iq) >= _FRAMES * k * N_BINS), _AVERAGES[-1])
    items = tokenize(source.iq[:MAX_FRAMES * average * N_BINS], source.samp_rate, average=average).items
    encoded = engine.encode(items, "unknown", token_classes=True)
    captures = source.recording.captures
    out: dict[str, str | None] = {}
    for system, freq_hz in (("called", captures[0].frequency_hz if captures else None), ("anywhere", None)):
        listed = SignalList(source.samp_rate, freq_hz, average * N_BINS, engine.labels, average=average)
        listed.update(items, encoded.token_classes)
        listed.flush()
        out[system] = max(listed.table(), key=_energy, default={keys.LABEL: None})[keys.LABEL]
    mean = encoded.features[:, features.PROBABILITIES].mean(axis=0)[:len(engine.labels)]
    mean[[n for n, label in enumerate(engine.labels) if label == NOISE or label in BELOW_NOISE]] = 0.0
    return out | {"frames": engine.labels[int(mean.argmax())]}


def _energy(row: dict) -> float:
    return row[keys.POWER_DBFS] + 10.0 * np.log10(max(row[keys.DUTY_CYCLE], 1e-3))


def summary(rows: Sequence[dict]) -> dict:
    """``known`` and ``unknown`` of ``evaluate``."""
    out = {}
    for name in ("known", "unknown"):
        own = [r for r in rows if (r["class"] == UNKNOWN_SIGNAL) == (name == "unknown")]
        out[name] = {"recordings": len(own)} | {system: _share(own, system) for system in SYSTEMS}
    return out


def _share(rows: Sequence[dict], system: str) -> dict | None:
    if not rows:
        return None
    right = np.array([r[system] == r["class"] for r in rows], float)
    low, high = bootstrap(right, np.array([r["recording"].rsplit("_", 2)[0] for r in rows]))
    return {"mean": round(float(right.mean()), 4), "low": round(low, 4), "high": round(high, 4)}


def report(result: dict, command: str) -> str:
    """The page's figures."""
    def share(value: dict | None) -> str:
        return "-" if value is None else f"{100 * value['mean']:.1f} ({100 * value['low']:.0f} to {100 * value['high']:.0f})"
    rows = result["rows"]
    out = [paragraph("The class of the strongest signal of each recording, at the frequency at which it was recorded, by a model "
                     "that has not seen it. Share that is right, in per cent, with 95 % intervals by bootstrap over sessions."),
           markdown_table(["recordings", "number", *SYSTEMS.values()], [
               [{"known": "of a class of the model", "unknown": "of no class (unknown signal)"}[name],
                str(result[name]["recordings"]), *(share(result[name][system]) for system in SYSTEMS)]
               for name in ("known", "unknown")]),
           paragraph("By class, number that is right:"),
           markdown_table(["class", "recordings", *SYSTEMS.values()], [
               [cls, str(count), *(str(sum(r[system] == cls for r in rows if r["class"] == cls)) for system in SYSTEMS)]
               for cls, count in sorted(Counter(r["class"] for r in rows).items())]),
           paragraph("What is wrong, by its box at its frequency:"),
           markdown_table(["class", "called", "recordings"], [
               [cls, called or "nothing found", str(count)] for (cls, called), count in
               sorted(Counter((r["class"], r["called"]) for r in rows if r["called"] != r["class"]).items(),
                      key=lambda item: (-item[1], str(item[0])))])]
    return "\n\n".join([*(part.strip() for part in out), command_block(command).strip(), measured_at(result)]) + "\n"
