# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes against error and accuracy: the model's codec and classical ones, in serialised bytes with headers.

The error is the RMSE in dB, over all bins, of the decoded spectrum from the clean one of simulated scenes (`clean_scenes`).
Every codec's spectra are means of a logarithm: their bias for averaged noise, which follows from K, is taken off. The PDUs of
all codecs carry the model's label and confidence of each frame, in the same bytes. Frames of a group are successive, as a
receiver gives them, or of other scenes each, as a scan gives them. Accuracy: see ``accuracy``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ...encoder.engine import Engine
from ...encoder.fit_codec import fit_codec
from ...encoder.model_file import find_model, load
from ...encoder.pdu import pack_classes
from ...encoder.quantise import REFINE_STEPS, Codec, log_bias_db
from ...measure.provenance import commit
from ...tokens.layout import FrameLayout
from ..anomaly.clean_scenes import SceneFrames, make_scenes, shuffled
from .accuracy import accuracy
from .inputs import GROUP, steps_for, training_frames
from .rate_distortion import BYTES_RANGE, RATE_RANGE, Curve, compared, rmse_at
from .spectrum_codecs import Cosines, DeltaZstd, ModelCodec, PrincipalComponents, Wavelets, with_labels

TARGET_BYTES = (5, 8, 12, 20, 34, 68, 128)
FLOAT32_BYTES = 4
FIRST_SEED = 900_000  # of the scenes


def compress(model: str = "base", *, pool: Path | None = None, corpus: list[Path] | None = None, fold: str = "",
             averages: tuple[int, ...] = (16, 4, 1), n_scenes: int = 8, draws: int = 300, train_frames: int = 8192,
             refine: int = REFINE_STEPS, dropout_rate: float = 0.25, seed: int = 0, quick: bool = False,
             progress: Callable[[int, int, str], None] = lambda done, total, name: None) -> dict:
    """Compares the model's codec with PCA, DCT, wavelets and delta + zstd.

    Args:
        pool: frames of training (a pool of `train`), from which the classical codecs and classifiers learn, without recordings
            that the judged model was not trained on; None: simulated frames, and no accuracy.
        corpus: recordings for the accuracy. fold: model judged there, not trained on some of them; "": `model`.
        averages: K of the scenes, the first also with frames alone. n_scenes: of each K. draws: of the bootstrap.
        quick: a trial in seconds on few frames; its figures say nothing.

    Returns:
        See the keys; `report` makes a page of it.

    Raises:
        CompressError: pool and model do not go together. ModelError, CorpusError: as elsewhere.
    """
    if quick:
        averages, n_scenes, draws, train_frames = (4,), 2, 20, 64
    targets = TARGET_BYTES[1::3] if quick else TARGET_BYTES
    group = 16 if quick else GROUP
    file = load(find_model(model))
    layout, window = FrameLayout(file.contract["encoder"]["fft_size"], file.contract["encoder"]["stride"]), file.contract[
        "encoder"]["window"]
    tokens, side, labels = training_frames(file, pool, train_frames, seed)
    had_codec = "codec.mean" in file.tensors
    if not had_codec:
        fit_codec(file, tokens, side, seed=seed)
    engine = Engine(file, dropout_rate=dropout_rate)
    codec, levels = Codec(file), tokens[..., :-2].reshape(len(tokens), -1)
    codecs = [ModelCodec(engine, codec, detail=True, refine=refine), ModelCodec(engine, codec, detail=False, refine=refine),
              PrincipalComponents(levels), Cosines(levels), Wavelets(levels), DeltaZstd()]
    conditions, work, total = {}, 0, (len(averages) + 1) * len(codecs) + 1
    for number, average in enumerate(averages):
        scenes = make_scenes(n_scenes, group, average, layout, window, FIRST_SEED)
        for order, groups in (("successive", scenes), ("alone", shuffled(scenes, seed)))[:1 if number else 2]:
            curves, groups = {}, [with_labels(engine, g) for g in groups]
            for one in codecs:
                progress(work, total, f"K = {average}, {order}, {one.name}")
                curves[one.name] = measure(one, groups, targets)
                work += 1
            conditions[f"{order}, K = {average}"] = summarise(curves, groups, draws, seed)
    out = {"model": file.name, "weights_sha256": file.contract["weights_sha256"], "variant": engine.variant,
           "codec_in_file": had_codec, "tokens_kept": engine.k_kept, "group": group, "n_scenes": n_scenes, "refine": refine,
           "float32_bytes": FLOAT32_BYTES * layout.fft_size, "seed": seed, "commit": commit(), "training_frames": len(tokens),
           "training_from": "pool" if pool else "simulator", "conditions": conditions}
    if corpus and pool:
        progress(total - 1, total, "accuracy")
        out["accuracy"] = accuracy(fold or model, pool, corpus, codecs[2:], train_frames=train_frames, refine=refine,
                                   dropout_rate=dropout_rate, seed=seed, quick=quick)
    return out


def measure(codec, groups: list[SceneFrames], targets) -> tuple[list[int], Curve]:
    """Encode, serialise and decode all groups at the codec's operating points: step indices and the curve."""
    given = [codec.latents(g) if hasattr(codec, "latents") else None for g in groups]
    steps = steps_for(codec, groups, targets)
    size, squared = np.zeros((len(steps), len(groups))), np.zeros((len(steps), len(groups)))
    for row, step in enumerate(steps):
        for column, (frames, latents) in enumerate(zip(groups, given, strict=True)):
            data = codec.encode(frames, step, latents)
            wanted = frames.clean + log_bias_db(frames.average)
            size[row, column] = len(data) / len(frames.psd)
            squared[row, column] = np.mean(np.square(codec.decode(data) - wanted))
    return steps, Curve(size, squared)


def summarise(curves: dict[str, tuple[list[int], Curve]], groups: list[SceneFrames], draws: int, seed: int) -> dict:
    """The points of each codec, the error of the input, and the comparison of the model's codec with each other one."""
    from ...encoder.pdu import step_of
    points, ours = {}, curves["latents + detail"][1]
    for name, (steps, curve) in curves.items():
        size, rmse = curve.points()
        points[name] = [{"step_db": round(step_of(s), 4), "bytes": round(float(b), 2), "rmse_db": round(float(e), 4)}
                        for s, b, e in zip(steps, size, rmse, strict=True)]
    raw = np.sqrt(np.mean([np.mean(np.square(g.psd - g.clean - log_bias_db(g.average))) for g in groups]))
    versus = {name: compared(ours, curve, draws, seed) for name, (_, curve) in curves.items() if name != "latents + detail"}
    at = {name: {str(b): _finite(rmse_at(curve.points(), float(b))) for b in (8, 16, 34, 64, 128)}
          for name, (_, curve) in curves.items()}
    return {"uncompressed_rmse_db": round(float(raw), 4), "points": points, "rmse_at_bytes": at, "versus": versus,
            "bytes_range": list(BYTES_RANGE), "rate_range": list(RATE_RANGE), "n_groups": len(groups),
            "class_bytes": round(_class_bytes(groups), 3)}


def _class_bytes(groups: list[SceneFrames]) -> float:
    """Bytes of labels and confidences, for each frame."""
    size = sum(len(pack_classes(g.label, g.confidence)) for g in groups if g.label is not None)
    return size / sum(len(g.psd) for g in groups)


def _finite(value) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None
