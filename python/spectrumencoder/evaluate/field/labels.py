# SPDX-License-Identifier: GPL-3.0-or-later
"""The class that alerts on field bands have: of each anomaly that is a burst of a recording, by a model that has not seen it.

The class is that of the anomaly's own box, read as the detector reads it (``emitters.box_classes``). Beside it stands the label
of the whole frames, which alerts had before. Whether an anomaly is found at all is judged by ``evaluate field``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ...emitters.box_classes import BoxClasses
from ...encoder import features
from ...encoder.engine import Engine
from ...encoder.token_classes import UNKNOWN_SIGNAL
from ...measure.page import command_block, markdown_table, measured_at, paragraph
from ...measure.provenance import commit
from ...simulate.compose.anomalies import KIND
from ...simulate.compose.emitters import SOURCE
from ...simulate.compose.plan import RECORDING, Plan
from ...training.corpus import CorpusError, load_corpus
from .bands import N_BINS, FieldBand, make_band
from .matching import Boxes
from .run import Sizes

TITLE = "Classes of alerts on field bands"
MAX_FRAMES = 256  # of an anomaly, from its first one on


def evaluate(plans: Sequence[Plan], corpus: Sequence[Path], models: Sequence[str], *, dropout_rate: float = 0.25,
             sizes: Sizes = Sizes(), seeds: Sequence[int] = (0,), cache_dir: Path,
             progress: Callable[[int, int, str], None] = lambda done, total, name: None) -> dict:
    """Judge the classes.

    Args:
        models: each judges the recordings that its training held out; the first that held one out judges it.
        plans, corpus, sizes, seeds, cache_dir, progress: see ``run.evaluate``.

    Returns:
        ``rows``: of each anomaly its plan, recording, class, INR, and what the box and the frames were called. ``known`` and
        ``unknown``: number, and the share that each called rightly; a class without a label must be `unknown signal`.

    Raises:
        CorpusError: no model held out any recording of these plans. As ``run.evaluate`` else.
    """
    engines = [Engine(model, dropout_rate=dropout_rate, dtype="auto") for model in models]
    held = [set(engine.contract["training"]["held_out"]) for engine in engines]
    classes = {source.name: source.label or UNKNOWN_SIGNAL for source in load_corpus(list(corpus))}
    rows, jobs = [], [(plan, seed) for plan in plans for seed in seeds]
    for done, (plan, seed) in enumerate(jobs):
        progress(done, len(jobs), f"{plan.name}, seed {seed}")
        band = make_band(plan, corpus, seed, sizes.times(plan.name), cache_dir)
        for truth in band.truth:
            if truth.get(KIND) != RECORDING:
                continue
            engine = next((e for e, names in zip(engines, held, strict=True) if truth[SOURCE] in names), None)
            if engine is not None:
                rows.append({"plan": plan.name, "recording": truth[SOURCE], "class": classes[truth[SOURCE]],
                             "called": box_class(band, truth, engine), "frames_called": frame_class(band, truth, engine)})
    progress(len(jobs), len(jobs), "done")
    if not rows:
        raise CorpusError(f"no recording of the anomalies of {', '.join(p.name for p in plans)} was held out from "
                          f"{', '.join(models)}; name the models of folds")
    return counted(rows) | {"rows": rows, "models": [e.model_name for e in engines], "commit": commit(),
                            "weights_sha256": engines[0].contract["weights_sha256"], "seeds": list(seeds)}


def frames_of(band: FieldBand, truth: dict) -> tuple[int, int]:
    box = Boxes.of([truth], band)
    first = int(box.begin[0])
    return first, min(len(band), max(first + 1, int(np.ceil(box.end[0]))), first + MAX_FRAMES)


def box_class(band: FieldBand, truth: dict, engine: Engine) -> str:
    """The class of an anomaly's box, over all of its frames."""
    first, stop = frames_of(band, truth)
    told = engine.encode(band.items(first, stop), band.band, token_classes=True).token_classes
    reader, box = BoxClasses(engine.labels, N_BINS), Boxes.of([truth], band)
    low, high = np.clip([int(box.low[0]), int(np.ceil(box.high[0])) - 1], 0, N_BINS - 1).tolist()
    shares = reader.of_box(reader.read(told, len(told)).sum(axis=0), low, max(low, high), None)
    return max(shares, key=lambda name: shares[name]) if shares else UNKNOWN_SIGNAL


def frame_class(band: FieldBand, truth: dict, engine: Engine) -> str:
    """The label of an anomaly's frames, taken together."""
    first, stop = frames_of(band, truth)
    mean = engine.encode(band.items(first, stop), band.band).features[:, features.PROBABILITIES].mean(axis=0)
    return engine.labels[int(mean[:len(engine.labels)].argmax())]


def counted(rows: Sequence[dict]) -> dict:
    """Number and shares of rows whose class is a label, and of those whose class is none."""
    out = {}
    for name in ("known", "unknown"):
        own = [r for r in rows if (r["class"] == UNKNOWN_SIGNAL) == (name == "unknown")]
        out[name] = {"anomalies": len(own)} | {
            key: round(float(np.mean([r[key] == r["class"] for r in own])), 4) if own else None
            for key in ("called", "frames_called")}
    return out


def report(result: dict, command: str) -> str:
    """The page's figures."""
    share = lambda value: "-" if value is None else f"{100 * value:.0f}"  # noqa: E731
    bands = len({r["plan"] for r in result["rows"]})
    out = [paragraph(f"The class of each anomaly that is a burst of a recording, on {bands} field bands, by the model that "
                     "has not seen it: of its box, and the label of its whole frames, which alerts had before. In per "
                     "cent.")]
    out.append(markdown_table(["recordings", "anomalies", "box right", "frames right"], [
        [{"known": "of a class of the model", "unknown": "of no class (unknown signal)"}[name], str(result[name]["anomalies"]),
         share(result[name]["called"]), share(result[name]["frames_called"])] for name in ("known", "unknown")]))
    confused = Counter((r["recording"].rsplit("_", 2)[0], r["class"], r["called"]) for r in result["rows"])
    ordered = sorted(confused.items(), key=lambda item: (item[0][0], -item[1]))
    out.append(paragraph("By recording and what its box was called:"))
    out.append(markdown_table(["recordings", "class", "called", "anomalies"], [
        [name, cls, called, str(count)] for (name, cls, called), count in ordered]))
    return "\n\n".join([*(part.strip() for part in out), command_block(command).strip(), measured_at(result)]) + "\n"
