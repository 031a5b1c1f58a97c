# SPDX-License-Identifier: GPL-3.0-or-later
"""The encoder with adaptive dropout: frames of interest by the engine in full, quiet frames with few tokens or not at all.

A quiet frame of the mode `held` repeats what the last encoded frame has given: expected spectrum, latents, embedding, class
probabilities, logit and token classes. Its floor and K are its own, and its residual compares its own levels with that
expectation. So a detector judges it as any other frame, by the psd and by the residual, and its label is the last known one.
Before the last encoded frame became quiet, `HOLD` quiet frames were encoded. So what is repeated is never a burst.

K_KEPT of a quiet frame is that of the dropout rate: it is a part of the key of its conformal table. K_ENCODED is the number of
tokens that were really encoded, 0 if none.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

from ..settings import DEFAULTS, SETTINGS
from ..tokens import layout
from . import features
from .adaptive_dropout import FEW, HELD, OFF, AdaptiveDropout
from .engine import EncodedFrames, Engine, GivenArrays

FEW_TOKENS = 8  # tokens of a quiet frame, of 128


class _Answer(NamedTuple):
    """What a quiet frame repeats."""

    features: np.ndarray  # (256,)
    mean_db: np.ndarray  # (N,) over the floor
    sigma_db: np.ndarray  # (N,)
    latents: np.ndarray  # (L, W)
    token_classes: np.ndarray | None  # (M (labels + 2),), if they were asked for


class AdaptiveEncoder:
    """Encodes frames in the order of time. State follows that order, so that batches change no bit.

    Args:
        engine: encodes; its settings may change between batches, followed by ``settings_changed``.
        mode: `off`: all frames in full. `few`: quiet frames with FEW_TOKENS tokens. `held`: quiet frames not at all.

    Attributes:
        n_full, n_few, n_held: number of frames by how they were encoded.
        n_tokens: number of tokens encoded.

    Raises:
        ValueError: there is no such mode.
    """

    def __init__(self, engine: Engine, mode: str = DEFAULTS.adaptive_dropout):
        self.engine = engine
        self._judge = AdaptiveDropout(engine.layout)
        self.reset()
        self.set_mode(mode)

    def reset(self) -> None:
        """Forgets all frames so far, the engine's too."""
        self.engine.reset()
        self._judge.reset()
        self._answer: _Answer | None = None
        self.n_full = self.n_few = self.n_held = self.n_tokens = 0

    def set_mode(self, mode: str) -> None:
        """Sets the `mode`. What is known of the background is forgotten."""
        self.mode = SETTINGS["adaptive_dropout"].check(mode)
        self._judge.reset()
        self._answer = None

    def settings_changed(self) -> None:
        """The next frame is encoded in full: the engine has other settings than those of the last one."""
        self._judge.refresh()

    @property
    def mean_tokens(self) -> float:
        """Tokens encoded per frame, since the last reset."""
        return self.n_tokens / max(1, self.n_full + self.n_few + self.n_held)

    def encode(self, items: np.ndarray, bands: list[str] | str = "unknown", wanted: np.ndarray | None = None,
               out: GivenArrays | None = None, places: Sequence[Hashable] | None = None, *,
               token_classes: np.ndarray | bool | None = None) -> EncodedFrames:
        """Like ``Engine.encode``.

        Args:
            items, bands, wanted, out, token_classes: as there.
            places: of each frame, any key that tells one tuning from another.
        """
        if self.mode == OFF:
            self._count(len(items), 0, 0)
            return self.engine.encode(items, bands, wanted, out, token_classes=token_classes)
        encoded = self.engine.empty(len(items), out, token_classes)
        if self._answer and self._answer.token_classes is None and encoded.token_classes is not None:
            self._judge.refresh()  # there is no answer yet that a held frame could repeat
        named = [bands] * len(items) if isinstance(bands, str) else list(bands)
        full = self._judge.full(items, wanted, list(zip(places or named, named, strict=True)))
        if full.all():
            self.engine.encode(items, bands, wanted, encoded, token_classes=encoded.token_classes)
            self._count(len(items), 0, 0)
        else:
            self._encode_apart(items, named, wanted, full, encoded)
        if self.mode == HELD and full.any():
            self._answer = self._answer_of(items, encoded, int(np.flatnonzero(full)[-1]))
        return encoded

    def _encode_apart(self, items: np.ndarray, bands: list[str], wanted: np.ndarray | None, full: np.ndarray,
                      out: EncodedFrames) -> None:
        """Encodes the full frames as one batch, then the quiet ones."""
        chosen, quiet, asked = np.flatnonzero(full), np.flatnonzero(~full), out.token_classes is not None
        if len(chosen):
            self._scatter(out, chosen, self.engine.encode(items[chosen], [bands[i] for i in chosen],
                                                          None if wanted is None else wanted[chosen], token_classes=asked))
        if self.mode == FEW:
            self._scatter(out, quiet, self.engine.encode(items[quiet], [bands[i] for i in quiet],
                                                         kept=min(FEW_TOKENS, self.engine.k_kept), token_classes=asked))
            self._count(len(chosen), len(quiet), 0)
            return
        last = np.maximum.accumulate(np.where(full, np.arange(len(full)), -1))[quiet]  # the full frame before each
        for source in np.unique(last):
            self._repeat(items, quiet[last == source], out, self._answer if source < 0 else self._answer_of(items, out, source))
        self._count(len(chosen), 0, len(quiet))

    def _scatter(self, out: EncodedFrames, numbers: np.ndarray, made: EncodedFrames) -> None:
        for to, part in zip(out, made, strict=True):
            to[numbers] = part
        if out.token_classes is not None:
            out.token_classes[numbers] = made.token_classes

    def _repeat(self, items: np.ndarray, numbers: np.ndarray, out: EncodedFrames, answer: _Answer) -> None:
        """Fills the rows of quiet frames with the answer of an earlier frame."""
        tokens, side = self.engine.layout.split(items[numbers])
        rows = np.repeat(answer.features[None], len(numbers), axis=0)
        rows[:, features.K_EFF], rows[:, features.FLOOR_DBFS] = side[:, layout.K_EFF], side[:, layout.FLOOR_DBFS]
        rows[:, features.K_ENCODED] = 0
        level = tokens[:, :, :-2].reshape(len(numbers), -1)
        self._scatter(out, numbers, EncodedFrames((level - answer.mean_db) / answer.sigma_db, rows,
                                                  answer.mean_db + side[:, layout.FLOOR_DBFS, None],
                                                  np.broadcast_to(answer.latents, (len(numbers), *answer.latents.shape)),
                                                  answer.token_classes))

    def _answer_of(self, items: np.ndarray, encoded: EncodedFrames, number: int) -> _Answer:
        """What an encoded frame has given. The residual is (level - mean) / sigma with one sigma per token: sigma follows."""
        tokens, side = self.engine.layout.split(items[number:number + 1])
        mean_db = encoded.reconstruction[number] - side[0, layout.FLOOR_DBFS]
        away = (tokens[0, :, :-2] - mean_db.reshape(tokens.shape[1], -1)).astype(np.float64)
        residual = encoded.residual[number].reshape(away.shape).astype(np.float64)
        size = np.square(residual).sum(axis=1)
        sigma = np.sqrt(np.divide(np.square(away).sum(axis=1), size, out=np.ones_like(size), where=size > 0))
        sigma_db = np.repeat(np.maximum(sigma, 1e-3), away.shape[1]).astype(np.float32)
        of_tokens = None if encoded.token_classes is None else encoded.token_classes[number].copy()
        return _Answer(encoded.features[number].copy(), mean_db, sigma_db, encoded.latents[number].copy(), of_tokens)

    def _count(self, n_full: int, n_few: int, n_held: int) -> None:
        self.n_full, self.n_few, self.n_held = self.n_full + n_full, self.n_few + n_few, self.n_held + n_held
        self.n_tokens += n_full * self.engine.k_kept + n_few * min(FEW_TOKENS, self.engine.k_kept)
