# SPDX-License-Identifier: GPL-3.0-or-later
"""Every detector on every band. What was measured is kept in rows on disk, so that a run goes on where it was cut off."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path

from ...detector.calibrate import TooFewFrames
from ...encoder.engine import Engine
from ...measure.provenance import commit
from ...measure.rows import Context
from ...simulate.compose.plan import Plan
from .bands import HOP, FieldBand, Times, band_key, field_plan, make_band
from .detectors import DETECTORS, SUBJECT, Entry
from .figures import summary
from .matching import Truth, judged

QUICK = Times(12.0, 12.0, 40.0)
_ROOM = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Sizes:
    """How much is watched. Of several times to learn the longest is composed; shorter ones are the last seconds of it."""

    learn_s: tuple[float, ...] = (120.0, 15.0)
    quiet_s: float = 600.0
    anomalous_s: float = 300.0
    per_plan: dict[str, tuple[float, float]] = field(default_factory=dict)  # name of a plan -> its quiet_s and anomalous_s

    def times(self, plan: str) -> Times:
        """Seconds of the parts of a plan's band."""
        return Times(max(self.learn_s), *self.per_plan.get(plan, (self.quiet_s, self.anomalous_s)))


def evaluate(plans: Sequence[Plan], corpus: Sequence[Path], *, detectors: Sequence[str] = (), model: str = "base",
          dropout_rate: float = 0.25, sizes: Sizes = Sizes(), seeds: Sequence[int] = (0,), cache_dir: Path,
          quick: bool = False, progress: Callable[[int, int, str], None] = lambda done, total, name: None) -> dict:
    """Measures what is not measured yet, and counts.

    Args:
        plans: of ``simulate.compose``. corpus: folders of recordings.
        detectors: names of ``detectors.DETECTORS``; none: all whose packages are there.
        seeds: a band for each, of each plan.
        cache_dir: where bands and rows are kept.
        quick: some seconds of each part.
        progress: called with (done, in all, what is measured).

    Returns:
        Under ``by_learning``, for each time to learn (s): ``pooled`` and ``per_plan``, each as ``figures.summary`` gives it.

    Raises:
        PlanError, CorpusError, RecordingError: as ``bands.make_band``.
        ModuleNotFoundError: a detector that was named needs a package that is not installed.
    """
    if quick:
        sizes = replace(sizes, learn_s=(QUICK.learn_s,), quiet_s=QUICK.quiet_s, anomalous_s=QUICK.anomalous_s, per_plan={})
    names = list(detectors) or [name for name, entry in DETECTORS.items() if not entry.missing]
    context = Context(cache_dir, list(corpus))
    engine = cache(lambda: Engine(model, dropout_rate=dropout_rate, pad_batch=64, dtype="auto"))
    rows, bands = [], []
    jobs = [(plan, seed) for plan in plans for seed in seeds]
    total, done = len(jobs) * len(sizes.learn_s) * len(names), 0
    for plan, seed in jobs:
        times = sizes.times(plan.name)
        key = band_key(field_plan(plan, seed, times), corpus)
        where = f"{plan.name}, seed {seed}"

        @cache
        def band(plan=plan, seed=seed, where=where, before=done, times=times) -> FieldBand:
            return make_band(plan, corpus, seed, times, cache_dir,
                             lambda made, frames: progress(before, total, f"{where}: composed {made / frames:.0%}"))

        for learn_s in sizes.learn_s:
            for name in names:
                progress(done, total, f"{where}: {name} after {learn_s:g} s")
                entry = DETECTORS[name]
                settings = {"band": key, "learn_s": learn_s, "sizes": asdict(times), "sources": _sources(entry.sources),
                            "model": [model, dropout_rate] if entry.uses_model else None}
                mark = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:12]
                row = context.row(f"field_{plan.name}_{seed}_{learn_s:g}s_{name}_{mark}", settings,
                                  lambda entry=entry, learn_s=learn_s, band=band: measured(band(), entry, engine, learn_s))
                rows.append(row | {"detector": name, "learn_s": learn_s, "seed": seed})
                done += 1
        bands.append({"plan": plan.name, "seed": seed, "key": key[:16]})
    progress(total, total, "done")
    used = [name for name in names if DETECTORS[name].uses_model]
    weights = {"model": engine().model_name, "weights_sha256": engine().contract["weights_sha256"]} if used else {}
    return weights | {"commit": commit(), "row_commits": sorted(context.commits), "quick": quick, "bands": bands,
                      "settings": asdict(sizes) | {"dropout_rate": dropout_rate}} | counted(rows)


def counted(rows: Sequence[dict]) -> dict:
    """The figures of rows, which have ``detector``, ``learn_s`` and ``seed`` beside what ``measured`` gives."""
    names, plans = (list(dict.fromkeys(row[key] for row in rows)) for key in ("detector", "plan"))
    return {
        "plans": plans, "seeds": sorted({row["seed"] for row in rows}), "subject": SUBJECT if SUBJECT in names else names[0],
        "left_out": [f"{name}: {entry.needs} is not installed" for name, entry in DETECTORS.items() if entry.missing],
        "defaults": {name: DETECTORS[name].default for name in names},
        "by_learning": {f"{learn_s:g}": {
            "pooled": summary([row for row in rows if row["learn_s"] == learn_s]),
            "per_plan": {plan: summary([row for row in rows if row["learn_s"] == learn_s and row["plan"] == plan], brief=True)
                         for plan in plans}} for learn_s in dict.fromkeys(row["learn_s"] for row in rows)}}


def measured(band: FieldBand, entry: Entry, engine: Callable[[], Engine], learn_s: float) -> dict:
    """A row: what a detector did on a band after learning its last ``learn_s`` seconds before ``band.learn``, at each point."""
    detector = entry.make(engine)
    first = max(0, band.learn - int(learn_s * band.rate_hz / HOP))
    truth = Truth.of(band, first)
    row = {"plan": band.name, "title": detector.name, "unit": detector.unit, "frames": len(band),
           "quiet_h": (band.quiet - band.learn) * band.frame_s / 3600,
           "anomalous_h": (len(band) - band.quiet) * band.frame_s / 3600,
           "anomalies": [{"kind": a.kind, "inr_db": round(a.inr_db, 2), "seconds": round(a.seconds, 4)} for a in truth.anomalies]}
    try:
        detector.learn(band, first, band.learn)
    except TooFewFrames as error:
        return row | {"refused": str(error)}
    alerts = detector.watch(band, band.learn, len(band))
    return row | {"points": {f"{point:g}": judged(alerts[point], truth, band) for point in detector.points}}


@cache
def _sources(rooms: tuple[str, ...]) -> str:
    """A hash of the Python sources of some rooms."""
    digest = hashlib.sha256()
    for room in rooms:
        path = _ROOM / room
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
