# SPDX-License-Identifier: GPL-3.0-or-later
"""The choices of the controls: the settings that a model file has weights for and that this machine can run."""

from __future__ import annotations

from dataclasses import dataclass

from ..encoder.attention import BACKENDS
from ..encoder.ensemble import load_models
from ..encoder.pytorch import choose_device

FALSE_EVENTS_PER_HOUR = (0.1, 0.3, 1.0, 3.0, 10.0, 100.0, 1000.0)


@dataclass(frozen=True)
class Choices:
    """Values of each setting, in the order in which they are shown."""

    dropout_rates: tuple[float, ...]
    rope_modes: tuple[str, ...]
    backends: tuple[str, ...]
    false_events_per_hour: tuple[float, ...] = FALSE_EVENTS_PER_HOUR


def choices_of(model: str) -> Choices:
    """The choices of a model, named as for spectrum_monitor. For two models: those of the first.

    Raises:
        ModelError: the model file is missing or invalid.
    """
    file = load_models(model)[0]
    contract, encoder = file.contract, file.config(file.variants[0])
    families = {variant["attention"] for variant in contract["variants"]}
    device = choose_device("auto")
    return Choices(tuple(sorted(1 - k / encoder.n_tokens for k in encoder.keep_choices)),
                   tuple(dict.fromkeys(variant["rope"] for variant in contract["variants"])),
                   tuple(b.name for b in BACKENDS.values() if b.family in families and b.why_not(device) is None))
