# SPDX-License-Identifier: GPL-3.0-or-later
"""Results of a filter or a tracker, kept on disk: what was measured already is not measured again."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ...atomic_file import write_file
from .scene import Score
from .single import Errors


def kept(work: Path | None, key: dict, measure: Callable[[], list[Errors]]) -> list[Errors]:
    """The errors measured before under the same key, else measured now and written. Without a folder they are always measured."""
    if work is None:
        return measure()
    path = _path(work, key, "npz")
    if path.is_file():
        return _read(path)
    errors = measure()
    content = io.BytesIO()
    _write(content, key, errors)
    write_file(path, content.getvalue())
    return errors


def kept_score(work: Path | None, key: dict, measure: Callable[[], Score]) -> Score:
    """The same for a tracker's score on a scene."""
    if work is None:
        return measure()
    path = _path(work, key, "json")
    if path.is_file():
        return Score(**json.loads(path.read_text())["score"])
    score = measure()
    write_file(path, json.dumps({"key": key, "score": asdict(score)}).encode())
    return score


def _path(work: Path, key: dict, kind: str) -> Path:
    work.mkdir(parents=True, exist_ok=True)
    return work / f"{hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]}.{kind}"


def _write(file, key: dict, errors: list[Errors]):
    whats = list(errors[0].squared)
    head = {"key": key, "whats": whats, "flights": [
        [e.name, e.flight_class, e.seconds_per_update, len(e.state_nees), *(len(e.squared[w]) for w in whats)] for e in errors]}
    arrays = {f"squared{k}": np.concatenate([e.squared[w] for e in errors]) for k, w in enumerate(whats)}
    arrays |= {f"nees{k}": np.concatenate([e.nees[w] for e in errors]) for k, w in enumerate(whats)}
    np.savez_compressed(file, head=json.dumps(head), state_nees=np.concatenate([e.state_nees for e in errors]), **arrays)


def _read(path: Path) -> list[Errors]:
    with np.load(path) as content:
        head = json.loads(str(content["head"]))
        whats, rows = head["whats"], head["flights"]
        split = {"state_nees": _split(content["state_nees"], [r[3] for r in rows])}
        for k in range(len(whats)):
            for name in (f"squared{k}", f"nees{k}"):
                split[name] = _split(content[name], [r[4 + k] for r in rows])
    return [Errors(row[0], row[1], {w: split[f"squared{k}"][n] for k, w in enumerate(whats)},
                   {w: split[f"nees{k}"][n] for k, w in enumerate(whats)}, split["state_nees"][n], row[2])
            for n, row in enumerate(rows)]


def _split(values: np.ndarray, counts: list[int]) -> list[np.ndarray]:
    return np.split(values, np.cumsum(counts)[:-1])
