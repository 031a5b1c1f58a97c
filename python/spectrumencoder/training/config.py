# SPDX-License-Identifier: GPL-3.0-or-later
"""The training configuration (TOML tables encoder, data, training), checked."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ..encoder.config import POLICIES, EncoderConfig
from .datasets import Recipe

DTYPES = ("auto", "fp32", "bf16")


class ConfigError(Exception):
    """A training configuration cannot be used. The message is one line."""


@dataclass(frozen=True)
class TrainingConfig:
    """The [training] table."""

    name: str = "base"
    seed: int = 0
    steps: int = 6000
    variant_steps: int = 800
    batch: int = 128
    rate: float = 1e-3
    variant_rate: float = 4e-4
    chooser_steps: int = 0  # final steps that train only the learned score of token dropout (policy gumbel)
    chooser_rate: float = 3e-3
    weight_decay: float = 0.02
    warmup: int = 200
    ema: float = 0.999
    smoothing: float = 0.05
    class_weight: float = 1.0
    reconstruction_weight: float = 0.3
    anomaly_weight: float = 0.3
    latent_weight: float = 0.2  # weight of the class loss from the latents alone
    token_weight: float = 1.0  # weight of the loss of the tokens' classes, for an encoder with token_classes
    latent_noise: tuple[float, float] = (0.06, 1.6)  # range of imitated quantiser steps, log-uniform; a third has none
    start: str = ""  # model file whose default variant the first variant starts from
    teacher: str = ""  # model file whose default variant's class probabilities are imitated (distillation)
    teacher_weight: float = 1.0
    teacher_temperature: float = 2.0
    temperature: tuple[float, float] = (1.0, 0.3)
    default_policy: str = "gumbel"  # default in the model file; its temperature and tables are made with it
    policies: tuple[float, ...] = (0.7, 0.1, 0.1, 0.1)  # share of gumbel, energy, entropy, random batches
    keep_weights: tuple[float, ...] = (0.1, 0.18, 0.2, 0.1, 0.26, 0.05, 0.11)
    band_hidden: float = 0.5
    band_shuffled: float = 0.1  # share of frames given a random band: a signal of one band may occur in another
    theta_by_band: bool = True  # False: after training every band gets the theta of `unknown`
    condition_dropped: float = 0.2
    balanced: bool = False  # draw every class equally often, whatever its number of frames
    seen_only: bool = False  # frames of bursty classes lose their label if no signal is visible
    mirror_share: float = 0.0  # share of frames with a mirrored spectrum: no class prefers a side
    spur_share: float = 0.0  # share of frames that get steady carriers, like a receiver's spurs, whatever the class
    data_seed: int = 0  # seed of the shards; `seed` is for weights and batches
    shards: int = 40
    shard_size: int = 4096
    steps_per_shard: int = 40
    workers: int = 1
    threads: int = 1
    dtype: str = "auto"  # linear maps of the blocks: fp32, bf16 (torch.autocast), or auto: bf16 on a CUDA device that has it
    checkpoint_seconds: float = 60.0
    table_frames: int = 60  # frames of each held-out recording in the general conformal tables; 0: no such tables
    holdout: tuple[str, ...] = ()
    variants: tuple[tuple[str, str], ...] = (("softmax", "dynamic"),)

    def __post_init__(self):
        if self.steps < 1 or self.variant_steps < 0 or self.batch < 1 or self.shards < 1 or self.shard_size < 1:
            raise ValueError(f"steps {self.steps}, batch {self.batch}, shards {self.shards} and shard_size {self.shard_size} "
                             "must be at least 1")
        if len(self.policies) != len(POLICIES) or abs(sum(self.policies) - 1) > 1e-6:
            raise ValueError(f"policies {self.policies} must be {len(POLICIES)} shares that sum to 1: {', '.join(POLICIES)}")
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype {self.dtype!r} is not one of {', '.join(DTYPES)}")
        if self.default_policy not in POLICIES:
            raise ValueError(f"default_policy {self.default_policy!r} is not one of {', '.join(POLICIES)}")
        if abs(sum(self.keep_weights) - 1) > 1e-6:
            raise ValueError(f"keep_weights {self.keep_weights} must sum to 1")
        if not self.variants:
            raise ValueError("variants must name something")
        if not self.holdout and not self.start:
            raise ValueError("holdout must name something: the temperature comes from held-out recordings (or, when all are "
                             "trained on, from the model file named by start, whose training held some out)")
        if not 0 < self.latent_noise[0] <= self.latent_noise[1]:
            raise ValueError(f"latent_noise {self.latent_noise} must be a range of steps above 0")
        object.__setattr__(self, "variants", tuple((a, r) for a, r in self.variants))


def read_config(config: dict) -> tuple[EncoderConfig, Recipe, TrainingConfig]:
    """Split a configuration into its tables encoder, data and training.

    Raises:
        ConfigError: a table or setting is unknown, or a value is out of range.
    """
    made = []
    for name, cls in (("encoder", EncoderConfig), ("data", Recipe), ("training", TrainingConfig)):
        table = config.get(name, {})
        unknown = set(table) - {f.name for f in fields(cls)}
        if unknown:
            raise ConfigError(f"unknown setting(s) in [{name}]: {', '.join(sorted(unknown))}")
        try:
            made.append(cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}))
        except (TypeError, ValueError) as error:
            raise ConfigError(f"[{name}]: {error}") from error
    extra = set(config) - {"encoder", "data", "training"}
    if extra:
        raise ConfigError(f"unknown table(s) {', '.join(sorted(extra))}; there are encoder, data, training")
    set_elsewhere = {"attention", "rope", "labels"} & set(config.get("encoder", {}))
    if set_elsewhere:
        raise ConfigError(f"[encoder]: {', '.join(sorted(set_elsewhere))} cannot be set; attention and rope come from variants "
                          "of [training], the labels are the corpus' classes")
    encoder, recipe, training = made
    if len(training.keep_weights) != len(encoder.keep_choices):
        raise ConfigError(f"[training]: {len(training.keep_weights)} keep_weights for {len(encoder.keep_choices)} keep_choices")
    for attention, rope in training.variants:
        try:
            EncoderConfig.from_dict({**encoder.to_dict(), "attention": attention, "rope": rope})
        except ValueError as error:
            raise ConfigError(f"[training]: variant {attention}, {rope}: {error}") from error
    return encoder, recipe, training


def with_fold(config: dict, folds: dict, name: str) -> dict:
    """The configuration with one fold held out, and without general conformal tables.

    The fold's name is added to the model's name, and replaces {fold} in start and teacher.

    Args:
        folds: fold name -> table, each with a list `holdout` of shell patterns (recipes/train/folds.toml).

    Raises:
        ConfigError: there is no such fold.
    """
    if name not in folds or not folds[name].get("holdout"):
        raise ConfigError(f"fold {name!r} is not one of {', '.join(folds)}")
    training = {key: value.replace("{fold}", name) if key in ("start", "teacher") else value
                for key, value in config.get("training", {}).items()}
    return {**config, "training": {**training, "holdout": folds[name]["holdout"], "table_frames": 0,
                                   "name": f"{training.get('name', TrainingConfig.name)}_{name}"}}
