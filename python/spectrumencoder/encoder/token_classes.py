# SPDX-License-Identifier: GPL-3.0-or-later
"""The layout of the `token_classes` stream: what each token of a frame holds, by the model's token head.

An item has M rows of L + 2 floats, for a model with L labels: the probability of each label, in the order of the labels; that
of `UNKNOWN_SIGNAL`; and that of a boundary before the token. The first L + 1 sum to 1. The label `noise` says that the token is
empty. A frame without an answer is NaN throughout: it was skipped, or the model has no token head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

UNKNOWN_SIGNAL = "unknown signal"  # a signal that is none of the labels
NOISE = "noise"  # the label of an empty token
BELOW_NOISE = ("GNSS",)  # labels of signals that lie below the noise: their tokens show a receiver's front end, and no box is one
NO_TOKEN_HEAD = "token_classes: the network has no token head; use a model that has one"
BOUNDARY = "boundary"  # the last column: another emitter begins with this token


def classes(labels: Sequence[str]) -> list[str]:
    """Names of the L + 1 classes of a token: the model's labels and `UNKNOWN_SIGNAL`."""
    return [*labels, UNKNOWN_SIGNAL]


def columns(labels: Sequence[str]) -> list[str]:
    """Names of the L + 2 floats of a token: its classes and `BOUNDARY`."""
    return [*classes(labels), BOUNDARY]


def item_size(contract: Mapping[str, Any]) -> int:
    """Floats of an item, M (L + 2), for the contract of a model file."""
    frame = contract["encoder"]
    return int(frame["fft_size"]) // int(frame["stride"]) * len(columns(contract["labels"]))


def split(items: np.ndarray, labels: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Class probabilities (..., M, L + 1) and boundary probabilities (..., M) of items (..., M (L + 2)).

    Raises:
        ValueError: the items are not made of whole tokens.
    """
    n = len(columns(labels))
    if items.shape[-1] % n:
        raise ValueError(f"items of {items.shape[-1]} floats are not made of tokens of {n} floats; give items of a model with "
                         f"{len(labels)} labels")
    tokens = items.reshape(*items.shape[:-1], -1, n)
    return tokens[..., :-1], tokens[..., -1]


def without_hidden(tokens: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """Probabilities (..., L + 1 or L + 2) of tokens in which those of ``BELOW_NOISE`` count as `noise`; the same if there are
    none."""
    hidden = [n for n, label in enumerate(labels) if label in BELOW_NOISE]
    if not hidden or NOISE not in labels:
        return tokens
    out = tokens.copy()
    out[..., list(labels).index(NOISE)] += out[..., hidden].sum(axis=-1)
    out[..., hidden] = 0.0
    return out


def class_of(mean_probabilities: np.ndarray, labels: Sequence[str]) -> tuple[str, float]:
    """The class of something that is there, and its probability given that it is there.

    Args:
        mean_probabilities: (L + 1,) class probabilities, the mean over the tokens of a box. `noise` is left out, and the rest
            is scaled to the sum 1.
        labels: of the model.

    Returns:
        A label or `UNKNOWN_SIGNAL`, and its confidence in [0, 1]. Without any answer (NaN, or noise alone): `UNKNOWN_SIGNAL`
        and 0.

    Raises:
        ValueError: the probabilities are not one for each class.
    """
    names, left = classes(labels), np.array(mean_probabilities, np.float64)
    if left.shape != (len(names),):
        raise ValueError(f"probabilities of shape {left.shape} are not those of {len(names)} classes; give those of one box")
    if NOISE in names:
        left[names.index(NOISE)] = 0.0
    total = left.sum()
    if not total > 0.0:
        return UNKNOWN_SIGNAL, 0.0
    best = int(np.argmax(left))
    return names[best], float(left[best] / total)
