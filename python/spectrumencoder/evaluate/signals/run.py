# SPDX-License-Identifier: GPL-3.0-or-later
"""Every system on every scene. Scenes and what was found are kept on disk, so that another model costs only its own part."""

from __future__ import annotations

import fnmatch
import hashlib
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from ...encoder import features
from ...encoder.engine import Engine
from ...encoder.token_classes import NOISE, UNKNOWN_SIGNAL
from ...measure.provenance import commit
from ...measure.rows import Context
from ...training.corpus import CorpusError, Source, load_corpus, split
from . import figures
from .boxes import FoundBox, find_boxes
from .forest import BoxForest, examples_of
from .scenes import Scene, make_scene, with_boxes

MODEL, FRAME_LABEL, FOREST, ENERGY = "token classes", "energy + frame label", "energy + random forest", "energy alone"
SEEDS_OF_A_FOLD, TRAINING_SEEDS = 10_000, 5_000
_ROOM = Path(__file__).resolve().parents[2]


class FoldError(Exception):
    """Folds and models do not go together; one line."""


@dataclass(frozen=True)
class Fold:
    """A model with the recordings that it has not seen, and those that it has. engine: None: no model is judged."""

    name: str
    engine: Engine | None
    unseen: list[Source]
    seen: list[Source]


def evaluate(corpus: Sequence[Path], models: Sequence[str] = (), folds: Sequence[str] = (), *, scenes: int = 20, seed: int = 0,
             left_out: Sequence[str] = (), train_scenes: int = 20, dropout_rate: float = 0.25, cache_dir: Path,
             progress: Callable[[int, int, str], None] = lambda done, total, name: None) -> dict:
    """Measures what is not measured yet, and counts.

    Args:
        corpus: folders of labelled recordings.
        models: names or files; none: energy alone. folds: FILE:NAME for each model, the recordings that it did not learn from;
            none: each model is judged on what its file does not name as learned.
        scenes: of each fold. left_out: labels that the models did not learn: their boxes are unknown signals.
        train_scenes: of each fold, that the forest learns from; 0: no forest.
        cache_dir: where scenes and rows are kept. progress: called with (done, in all, what is measured).

    Returns:
        ``systems``: name -> what ``figures.summary`` gives, and how it was run.

    Raises:
        FoldError: folds and models do not go together. CorpusError, RecordingError, ModelError: a file cannot be used.
    """
    context = Context(cache_dir, list(corpus))
    parts = _folds(list(corpus), list(models), list(folds), dropout_rate)
    total, done, rows, used = len(parts) * (scenes + train_scenes * bool(models)), 0, {}, []
    for number, fold in enumerate(parts):
        first = seed + number * SEEDS_OF_A_FOLD
        forest = None
        if fold.engine is not None and train_scenes:
            forest, done = _forest(fold, context, first + TRAINING_SEEDS, train_scenes, left_out, total, done, progress)
        for n in range(scenes):
            progress(done, total, f"{fold.name}: scene {n + 1}")
            scene = make_scene(with_boxes(fold.unseen), corpus, first + n, cache_dir)
            scene = replace(scene, truth=[_as_known(box, left_out) for box in scene.truth])
            for name, boxes in _found(scene, fold, forest, context).items():
                rows.setdefault(name, []).append((boxes, scene))
            used.append({"fold": fold.name, "seed": scene.seed, "rate_hz": scene.rate_hz, "boxes": len(scene.truth),
                         "covered": sum(box.covered for box in scene.truth)})
            done += 1
    progress(total, total, "done")
    systems = {name: figures.summary(found, seed) for name, found in rows.items()}
    weights = [part.engine.contract["weights_sha256"] for part in parts if part.engine is not None]
    return {"commit": commit(), "seed": seed, "scenes": used, "models": [Path(m).stem for m in models],
            **({"weights_sha256": weights[0]} if weights else {}), "folds": [part.name for part in parts],
            "left_out": list(left_out), "dropout_rate": dropout_rate, "systems": systems,
            "paired": figures.paired(rows, seed)}


def _as_known(box, left_out: Sequence[str]):
    return box._replace(label=UNKNOWN_SIGNAL) if box.label in left_out else box


def _folds(corpus: list[Path], models: list[str], folds: list[str], dropout_rate: float) -> list[Fold]:
    if folds and models and len(folds) != len(models):
        raise FoldError(f"{len(folds)} folds are given for {len(models)} models; give one --fold for each --model, or none")
    folders = [load_corpus([folder]) for folder in corpus]
    sources = [source for folder in folders for source in folder]
    out = []
    for number in range(max(len(folds), len(models), 1)):
        engine = Engine(models[number], dropout_rate=dropout_rate) if models else None
        unseen = _held_out(folds[number], folders) if folds else sources
        if engine is not None:
            unseen = [source for source in unseen if source.name not in engine.trained_on]
        if not with_boxes(unseen):
            raise CorpusError(f"{models[number] if models else 'no model'}: has learned from every recording that has boxes; "
                              "give other recordings with --corpus, or a fold's model")
        names = {source.name for source in unseen}
        name = folds[number].rpartition(":")[2] if folds else Path(models[number]).stem if models else "all recordings"
        out.append(Fold(name, engine, unseen, [source for source in sources if source.name not in names]))
    return out


def _held_out(fold: str, folders: list[list[Source]]) -> list[Source]:
    """The recordings that a fold (FILE:NAME) holds out, and all of the folders of which it names none."""
    path, _, name = fold.rpartition(":")
    try:
        patterns = list(tomllib.loads(Path(path).read_text(encoding="utf-8"))[name]["holdout"])
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise FoldError(f"--fold {fold}: is no FILE:NAME of a table with `holdout` ({' '.join(str(error).split())})") from error
    split([source for folder in folders for source in folder], patterns)  # each pattern must match something
    out = []
    for folder in folders:
        mine = [source for source in folder if any(fnmatch.fnmatch(source.name, pattern) for pattern in patterns)]
        out += mine or folder
    return out


def _forest(fold: Fold, context: Context, first: int, count: int, left_out: Sequence[str], total: int, done: int,
            progress: Callable[[int, int, str], None]) -> tuple[BoxForest, int]:
    """The fold's forest, and the number of scenes done."""
    examples: list[list[float]] = []
    labels: list[str] = []
    seen = [source for source in with_boxes(fold.seen) if source.label not in left_out]
    for n in range(count):
        progress(done, total, f"{fold.name}: scene {n + 1} for the forest")
        scene = make_scene(seen, context.corpus, first + n, context.work)
        row = context.row(f"signals_examples_{_mark(scene)}", [_rooms(), _hash(scene)],
                          lambda scene=scene: dict(zip(("features", "labels"), examples_of(scene, find_boxes(scene)),
                                                       strict=True)))
        examples += row["features"]
        labels += row["labels"]
        done += 1
    return BoxForest(np.array(examples), labels), done


def _found(scene: Scene, fold: Fold, forest: BoxForest | None, context: Context) -> dict[str, list[FoundBox]]:
    """What each system finds in a scene."""
    energy = _boxes(context.row(f"signals_energy_{_mark(scene)}", [_rooms(), _hash(scene)],
                                lambda: {"boxes": [asdict(box) for box in find_boxes(scene)]}))
    if fold.engine is None:
        return {ENERGY: energy}
    engine, sha = fold.engine, fold.engine.contract["weights_sha256"]
    row = context.row(f"signals_model_{_mark(scene)}_{sha[:12]}", [_rooms(), _hash(scene), sha, engine.dropout_rate],
                      lambda: _of_model(scene, engine))
    out = {MODEL: _boxes(row)} if engine.has_token_classes else {}
    out[FRAME_LABEL] = [_labelled(box, np.array(row["frames"]), engine.labels) for box in energy]
    if forest is not None:
        out[FOREST] = forest.judged(scene, energy)
    return out


def _of_model(scene: Scene, engine: Engine) -> dict:
    """Boxes by the tokens of a model, and the class probabilities of each frame."""
    asked = engine.has_token_classes
    encoded = engine.encode(np.ascontiguousarray(scene.items), "unknown", token_classes=asked or None)
    classes = encoded.features[:, features.PROBABILITIES][:, :len(engine.labels)]
    boxes = find_boxes(scene, engine.labels, encoded.token_classes) if asked else []
    return {"boxes": [asdict(box) for box in boxes], "frames": np.round(classes, 4).tolist()}


def _labelled(box: FoundBox, frames: np.ndarray, labels: Sequence[str]) -> FoundBox:
    """A box with the class of the frames in which it is, noise left out. Such a label knows of no unknown signal."""
    mean = frames[box.first:box.last + 1].mean(axis=0)
    mean[list(labels).index(NOISE)] = 0.0
    best = int(mean.argmax())
    return replace(box, label=labels[best], confidence=box.score * float(mean[best] / max(mean.sum(), 1e-9)),
                   known=float(mean[best] / max(mean.sum(), 1e-9)))


def _boxes(row: dict) -> list[FoundBox]:
    return [FoundBox(**box) for box in row["boxes"]]


def _hash(scene: Scene) -> str:
    text = repr((scene.seed, scene.rate_hz, scene.items.shape, scene.truth, scene.recordings))
    return hashlib.sha256(text.encode() + np.asarray(scene.items[::16]).tobytes()).hexdigest()


def _mark(scene: Scene) -> str:
    return f"{scene.seed}_{_hash(scene)[:12]}_{_rooms()}"


@cache
def _rooms() -> str:
    """A hash of the sources that find boxes."""
    digest = hashlib.sha256(Path(__file__).with_name("boxes.py").read_bytes())
    for room in ("signals", "emitters/boxes.py", "emitters/law.py"):
        path = _ROOM / room
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
