# SPDX-License-Identifier: GPL-3.0-or-later
"""Speculative ensemble: `fast` answers every frame; `large` answers again if `fast` is not sure.

A model name can be a file's name or path (`base`), `speculative` (the shipped `fast` and `large`), or `speculative:FAST,LARGE`
(two names or paths). `load_models` and `open_engine` accept all of them.

* **The gate** is the calibrated confidence of `fast`: its largest class probability, with a temperature fitted on held-out frames
  (Guo et al., arXiv:1706.04599). A frame below `confidence_threshold` goes to `large`, as in a cascade of two (Viola and
  Jones, CVPR 2001). The frames of a call that go to `large` form separate batches, padded to `REFINE_BATCH` frames. If that many
  embeddings do not fill whole steps of `_SIMD_FLOATS`, batches have `pad_batch` frames instead. So a frame's numbers depend
  neither on its neighbours nor on how many others are in doubt.
* **The answer** (embedding and class probabilities) comes from the model that answered last; `features.ANSWERED_BY` says which.
  So the confidence always belongs to the label beside it. The two models' embeddings lie in different spaces.
* **Token classes** of a refined frame come from `large` too, if it has a token head. `fast` must have one for any to be given.
* **Everything else comes from `fast`, for every frame**: residual, reconstruction, latents, anomaly logit, keep scores, and the
  settings that form the key of the conformal table. A p-value holds only if the frame's score and the table's scores come from
  one distribution. `large` sees a selection, the frames in doubt, and anomalous frames are likely to be among them. A table of
  `large` learned on all frames would not hold for that selection. One score from two models would need a table of the mixture,
  and another table for each threshold. So the tables are those of `fast`: calibrate `fast`, then name the calibrated file as the
  first of the two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..settings import DEFAULTS, ENCODER, SETTINGS, of_stage
from . import features
from .engine import EncodedFrames, Engine, GivenArrays
from .model_file import ModelError, ModelFile, find_model, load

SPECULATIVE = "speculative"
SHIPPED = ("fast", "large")
FAST, LARGE = 0, 1  # features[ANSWERED_BY]
CONFIDENCE_THRESHOLD = DEFAULTS.confidence_threshold
REFINE_BATCH = 4  # few frames are in doubt at a time; a batch as large as that of `fast` would be mostly padding
_SIMD_FLOATS = 64  # floats per step of PyTorch's element-wise kernels; they round a remainder differently


def members(model: str | ModelFile) -> tuple[str, str] | None:
    """The names or paths of `fast` and `large` if `model` names an ensemble, else None.

    Raises:
        ModelError: `speculative:` without two models after it.
    """
    if not isinstance(model, str) or model.partition(":")[0] != SPECULATIVE:
        return None
    if model == SPECULATIVE:
        return SHIPPED
    fast, _, large = model.partition(":")[2].partition(",")
    if not fast or not large:
        raise ModelError(f"model {model!r} does not name two models; write {SPECULATIVE}:FAST,LARGE with names or paths")
    return fast.strip(), large.strip()


def load_models(model: str | ModelFile | tuple[ModelFile, ...]) -> tuple[ModelFile, ...]:
    """The files behind a model name, in the order of `features.ANSWERED_BY`. The contract and tables of the first one count.

    Files that are already loaded are returned unchanged, so all stages of a chain share one copy.

    Raises:
        ModelError: a file cannot be used, or the two of an ensemble do not go together.
    """
    if isinstance(model, ModelFile):
        model = (model,)
    if not isinstance(model, tuple):
        model = tuple(load(find_model(name)) for name in members(model) or (model,))
    if len(model) == 2:
        _check_pair(*model)
    return model


def open_engine(model: str | ModelFile | tuple[ModelFile, ...], *, confidence_threshold: float = CONFIDENCE_THRESHOLD,
                **settings: Any) -> Engine:
    """Open an Engine, or a SpeculativeEngine if `model` names an ensemble. Settings are those of Engine.

    Args:
        model: as `load_models` takes it.
        confidence_threshold: see SpeculativeEngine. A single model does not use it, but it must be valid.

    Raises:
        ModelError, ValueError: the constructors raise them.
    """
    SETTINGS["confidence_threshold"].check(confidence_threshold)
    files = load_models(model)
    if len(files) == 1:
        return Engine(files[0], **settings)
    return SpeculativeEngine(*files, confidence_threshold=confidence_threshold, **settings)


class SpeculativeEngine(Engine):
    """The engine of `fast`, which asks `large` about frames in doubt; see the module.

    Args:
        fast, large: model files that agree in labels and frame layout.
        confidence_threshold: in [0, 1]; frames with a lower confidence are refined. 0 refines none.
        settings: settings of Engine, for both models. If `dropout_policy` is "", both take the default of `fast`.

    Attributes:
        large: the Engine of the large model.
        n_accepted: frames answered by `fast` since the last reset.
        n_refined: frames answered by `large` since the last reset.

    Raises:
        ModelError: the files do not go together.
        ValueError: one of them cannot serve a setting.
    """

    def __init__(self, fast: ModelFile, large: ModelFile, *, confidence_threshold: float = CONFIDENCE_THRESHOLD,
                 pad_batch: int = DEFAULTS.pad_batch, **settings: Any):
        _check_pair(fast, large)
        self.set_confidence_threshold(confidence_threshold)
        self.n_accepted = self.n_refined = 0
        whole = REFINE_BATCH * large.contract["encoder"]["embedding"] % _SIMD_FLOATS == 0  # else bits depend on the place
        self.large = Engine(large, pad_batch=min(pad_batch, REFINE_BATCH) if whole else pad_batch, **settings)
        super().__init__(fast, pad_batch=pad_batch, **settings)

    @property
    def model_name(self) -> str:
        return f"{SPECULATIVE}:{self.file.name},{self.large.file.name}"

    @property
    def settings(self) -> list[str]:
        return [s for s in super().settings if s in self.large.settings]

    @property
    def trained_on(self) -> set[str]:
        return super().trained_on | self.large.trained_on

    # -- live changes hold for both, or for none; the other setters are made below

    def set_confidence_threshold(self, confidence_threshold: float) -> None:
        self.confidence_threshold = SETTINGS["confidence_threshold"].check(confidence_threshold)

    def _set_both(self, name: str, value: Any) -> None:
        before = getattr(self.large, name)
        value = self.file_default(name) if value == "" else value
        getattr(self.large, f"set_{name}")(value)
        try:
            getattr(super(), f"set_{name}")(value)
        except ValueError:
            getattr(self.large, f"set_{name}")(before)
            raise

    # -- inference

    def reset(self) -> None:
        super().reset()
        self.large.reset()
        self.n_accepted = self.n_refined = 0

    def encode(self, items: np.ndarray, bands: list[str] | str = "unknown", wanted: np.ndarray | None = None,
               out: GivenArrays | None = None, kept: int | None = None, *,
               token_classes: np.ndarray | bool | None = None) -> EncodedFrames:
        """Like Engine.encode, but `large` gives the embedding and the class probabilities of frames in doubt, and their token
        classes if it has a token head.

        Frames with a `kept` of their own are quiet ones (see `adaptive_encoder`): `fast` answers them. The `random` policy draws
        for `large` by the number of the refined frame."""
        encoded = super().encode(items, bands, wanted, out, kept, token_classes=token_classes)
        if kept is not None:
            self.n_accepted += len(items)
            return encoded
        confidence = encoded.features[:, features.PROBABILITIES].max(axis=1, initial=0.0)
        doubtful = np.flatnonzero(confidence < self.confidence_threshold)
        self.n_refined += len(doubtful)
        self.n_accepted += len(items) - len(doubtful)
        if len(doubtful):
            of_these = bands if isinstance(bands, str) else [bands[i] for i in doubtful]
            of_tokens = encoded.token_classes if self.large.has_token_classes else None
            refined = None if of_tokens is None else of_tokens[doubtful]
            answer = self.large.answer(np.asarray(items, np.float32)[doubtful], of_these,
                                       None if wanted is None else wanted[doubtful], refined)
            if of_tokens is not None:
                of_tokens[doubtful] = refined
            for part in (features.EMBEDDING, features.PROBABILITIES):
                encoded.features[doubtful, part] = answer[:, part]
            encoded.features[doubtful, features.ANSWERED_BY] = LARGE
        return encoded


def _setter_of_both(key: str) -> Callable[[SpeculativeEngine, Any], None]:
    def set_both(self: SpeculativeEngine, value: Any) -> None:
        self._set_both(key, value)
    return set_both


for _row in of_stage(ENCODER):
    _name = f"set_{_row.key}"
    if _row.live and hasattr(Engine, _name) and _name not in vars(SpeculativeEngine):
        setattr(SpeculativeEngine, _name, _setter_of_both(_row.key))


def _check_pair(fast: ModelFile, large: ModelFile) -> None:
    one, other = fast.contract, large.contract
    pair = f"{fast.name!r} and {large.name!r} cannot be one ensemble"
    for name in ("fft_size", "stride", "window"):
        if one["encoder"][name] != other["encoder"][name]:
            raise ModelError(f"{pair}: {name} is {one['encoder'][name]!r} and {other['encoder'][name]!r}; name two models "
                             "trained with the same frame layout")
    if list(one["labels"]) != list(other["labels"]):
        raise ModelError(f"{pair}: their labels are {', '.join(one['labels'])} and {', '.join(other['labels'])}; name two models "
                         "trained with the same labels")
    if not all(c["heads"].get("classes", True) for c in (one, other)):
        raise ModelError(f"{pair}: one of them names no classes; name two models with a class head")
    (low, high), (min_windows, max_windows) = one["average"], other["average"]
    if low < min_windows or high > max_windows:
        raise ModelError(f"{pair}: {fast.name!r} takes frames of {low}..{high} windows, {large.name!r} of "
                         f"{min_windows}..{max_windows}; name a large model that takes all of them")
