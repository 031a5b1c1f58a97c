# SPDX-License-Identifier: GPL-3.0-or-later
"""The training loop: makes a model file with all variants from a configuration. It resumes; the same seed gives the same weights.

The first variant is trained whole. The others start from its averaged weights and train only their transformer blocks. Last, the
learned score of token dropout is fitted to the finished first variant; all variants share it.

Training uses AdamW with a cosine rate and an exponential average of the weights. Each batch has a random kept count and policy,
and the Gumbel temperature is annealed. The conditioning is jittered, and dropped in a fifth of frames; the band is hidden in half
of them. Under torchrun the processes share batches (`distributed`).

Everything random at step s comes from a generator seeded by (seed, variant, s), so an interrupted run continues exactly.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes

from ..atomic_file import write_file
from ..encoder.bottleneck import start_from_principal_components
from ..encoder.config import EncoderConfig
from ..encoder.encoder import DB_RANGE, DB_SCALE, SpectrumEncoder
from ..encoder.model_file import find_model, load, variant_name
from ..tokens.layout import FrameLayout
from .batch_augment import add_spurs, jitter_condition, mirror, mirror_truth, without_spurs
from .composed import groups_of
from .config import ConfigError, TrainingConfig, read_config
from .corpus import CLASSES, load_corpus, split
from .datasets import COMPOSED
from .distributed import Ranks
from .finish import finish
from .losses import imitation, losses, token_losses
from .resident import ResidentFrames
from .run_folder import RUN_FILE, claim
from .shards import ShardMaker, unlabel_unseen, without
from .transfer import transfer

OWN_OF_VARIANT = ("blocks.", "rope.")  # parameters that a further variant trains
CHOOSER = "dropout."
CODEC_FRAMES = 2048  # number of training frames that the map of encoded spectra is fitted to
# These start as principal components and move slowly
PRINCIPAL = ("bottleneck.bins.weight", "bottleneck.bins.bias", "decoder.direct.weight")


@dataclass
class Data:
    """The frames that training may see, joined over all shards loaded so far.

    `hidden`: numbers of the recordings to leave out. `balanced`: draw every class equally often, and frames without a class as
    often as they come. `seen_only`: see unlabel_unseen. `resident`: None, or what
    gathers batches on a device; they are the same frames.
    """

    maker: ShardMaker
    hidden: set[int]
    ranks: Ranks = Ranks()
    balanced: bool = False
    seen_only: bool = False
    parts: list = field(default_factory=list)
    resident: ResidentFrames | None = None

    def upto(self, count: int) -> list[dict[str, np.ndarray]]:
        """Arrays of shards 0 .. count-1."""
        while len(self.parts) < min(count, self.maker.count):
            with self.ranks.first():  # process 0 makes the shard, or waits for its workers
                shard = self.maker.get(len(self.parts))
            shard["label"] = unlabel_unseen(shard, self.maker.layout) if self.seen_only else shard["label"]
            self.parts.append(without(shard, self.hidden))
        return self.parts[:count]

    def batch(self, rng: np.random.Generator, shards: int, size: int) -> dict[str, torch.Tensor]:
        """`size` frames drawn from the first `shards` shards."""
        parts = self.upto(shards)
        ends = np.cumsum([len(p["label"]) for p in parts])
        rows = self._balanced_rows(rng, parts, size) if self.balanced else rng.integers(0, ends[-1], size)
        if self.resident is not None:
            return self.resident.batch(parts, rows)
        part = np.searchsorted(ends, rows, side="right")
        row = rows - np.concatenate(([0], ends))[part]
        return {key: torch.from_numpy(np.stack([parts[p][key][r] for p, r in zip(part, row, strict=True)])) for key in parts[0]}

    @staticmethod
    def _balanced_rows(rng: np.random.Generator, parts: list[dict[str, np.ndarray]], size: int) -> np.ndarray:
        label = np.concatenate([p["label"] for p in parts]).astype(int)
        counts = np.bincount(label + 1)  # the first count: frames without class
        classes = np.count_nonzero(counts[1:])
        share = np.where(counts > 0, (1 - counts[0] / len(label)) / max(classes, 1), 0.0)
        share[0] = counts[0] / len(label)
        limits = np.cumsum((share / np.maximum(counts, 1))[label + 1])
        return np.searchsorted(limits, rng.random(size) * limits[-1], side="right").clip(max=len(label) - 1)


def train(config: dict, corpus: list[Path], out: Path, resume: bool = False, minutes: float | None = None, progress=None,
          pool: Path | None = None) -> Path:
    """Train every variant of the configuration, fit temperatures and tables, and write `out/<name>.safetensors`.

    Under torchrun every process calls this with the same arguments; process 0 writes the files.

    Args:
        config: tables encoder, data, training (from TOML).
        corpus: folders of labelled SigMF recordings.
        out: folder for shards, checkpoints, log and the model file.
        resume: continue from the checkpoints in `out`. Without it, present checkpoints raise ConfigError.
        minutes: stop after this time, with a checkpoint to resume from.
        progress: called from time to time with (variant name, step, steps, dict of loss parts).
        pool: folder of shards to share with other trainings of the same recipe (`out/pool` when None).

    Returns:
        Path of the model file.

    Raises:
        ConfigError, CorpusError: the configuration or the corpus cannot be used.
        TimeoutError: `minutes` ran out; resume continues.
    """
    ranks = Ranks.from_environment()
    with ranks.joined():
        return _train(config, corpus, out, resume, minutes, progress if ranks.writes else None, pool, ranks)


def _train(config, corpus, out, resume, minutes, progress, pool, ranks: Ranks) -> Path:
    encoder, recipe, training = read_config(config)
    encoder = EncoderConfig.from_dict({**encoder.to_dict(), "labels": CLASSES})
    ranks.share(training.batch)  # raises ConfigError if the batch is too small
    sources = load_corpus(corpus)
    trained, held_out = split(sources, list(training.holdout))
    groups_of([s.name for s in sources], Path(recipe.folds) if recipe.folds else None)  # raises CorpusError
    start, teacher = open_network(training.start, encoder, same=True), open_network(training.teacher, encoder)
    is_new = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    with ranks.first():
        if not resume and list(out.glob("checkpoint_*.safetensors")):
            raise ConfigError(f"{out} holds checkpoints of an earlier run; continue with --resume or give another folder")
        claim(out, RUN_FILE, {"config": config, "sources": [s.name for s in sources]})
    torch.set_num_threads(training.threads)
    deadline = time.monotonic() + 60 * minutes if minutes is not None else math.inf
    with ranks.first():
        try:
            maker = make_pool(encoder, recipe, training, corpus, pool or out / "pool", "train", training.shards,
                              None if ranks.writes else 0)
        except ConfigError:  # the pool is another's
            if is_new and ranks.writes:
                (out / RUN_FILE).unlink()
                out.rmdir()
            raise
    hidden = {s.name for s in held_out}
    try:
        data = Data(maker, {n for n, name in enumerate(maker.sources) if name in hidden}, ranks,
                    training.balanced, training.seen_only,
                    resident=ResidentFrames(ranks.device) if ranks.device.type == "cuda" else None)
        networks, first = {}, start.state_dict() if start else None
        for number, (attention, rope) in enumerate(training.variants):
            shape = EncoderConfig.from_dict({**encoder.to_dict(), "attention": attention, "rope": rope})
            run = Run(shape, training, number, out, data, first, teacher, ranks)
            networks[variant_name(attention, rope)] = run.train(deadline, progress)
            first = run.averaged if number == 0 else first
        if training.chooser_steps:
            _fit_chooser(networks, training, out, data, ranks, deadline, progress)
    finally:
        maker.close()
    if not ranks.writes:
        return out / f"{training.name}.safetensors"
    return finish(networks, encoder, recipe, training, config, trained, held_out, out,
                  lambda count: make_pool(encoder, recipe, training, corpus, pool or out / "pool", "test", count), start,
                  {k: v.cpu() for k, v in data.batch(np.random.default_rng(training.seed), 1, CODEC_FRAMES).items()})


def _fit_chooser(networks: dict[str, SpectrumEncoder], training: TrainingConfig, out: Path, data: Data, ranks: Ranks,
                 deadline: float, progress) -> None:
    """Fit the learned score of token dropout to the first network, with all else fixed, and copy it to all networks."""
    first = next(iter(networks.values()))
    run = Run(first.config, training, len(networks), out, data, first.state_dict(), None, ranks, chooser=True)
    fitted = {k: v for k, v in run.train(deadline, progress).state_dict().items() if k.startswith(CHOOSER)}
    for network in networks.values():
        network.load_state_dict(fitted, strict=False)


def make_pool(encoder: EncoderConfig, recipe, training: TrainingConfig, corpus: list[Path], pool: Path, part: str,
              count: int, workers: int | None = None) -> ShardMaker:
    """The first `count` shards of a pool's part; missing ones are made."""
    return ShardMaker(pool, part, corpus, layout=FrameLayout(encoder.fft_size, encoder.stride), window=encoder.window,
                      bands=encoder.bands, recipe=recipe, seed=training.data_seed, count=count, size=training.shard_size,
                      workers=training.workers if workers is None else workers)


def open_network(name: str, encoder: EncoderConfig, same: bool = False) -> SpectrumEncoder | None:
    """The default variant of a model file, in eval mode, to start from or to learn from; None for "".

    Raises:
        ConfigError: the model has other labels, bands or frames, or (with `same`) another shape.
        ModelError: the file cannot be used.
    """
    if not name:
        return None
    file = load(find_model(name))
    config = file.config(file.variants[0])
    keys = ("labels", "bands", "fft_size", "stride", "window")
    if same:
        keys = [k for k in encoder.to_dict() if k not in ("attention", "rope", "token_classes")]
    for key in keys:
        if getattr(config, key) != getattr(encoder, key):
            raise ConfigError(f"{name} has {key} = {getattr(config, key)}, this configuration {getattr(encoder, key)}")
    network = SpectrumEncoder(config)
    network.load_state_dict({k: torch.from_numpy(v.copy()).float() for k, v in file.weights(file.variants[0]).items()})
    return network.eval()


def autocast_dtype(dtype: str, device: torch.device) -> torch.dtype | None:
    """The dtype of `SpectrumEncoder.autocast` for the setting `dtype` of the training: None for fp32.

    Raises:
        ConfigError: bf16 is wanted, but this CUDA device lacks it.
    """
    has_bf16 = device.type != "cuda" or torch.cuda.get_device_capability(device)[0] >= 8
    if dtype == "bf16" and not has_bf16:
        raise ConfigError("dtype bf16 needs a CUDA device of compute capability 8.0; use fp32")
    return torch.bfloat16 if dtype == "bf16" or (dtype == "auto" and device.type == "cuda" and has_bf16) else None


class Run:
    """Trains one variant, or the chooser (the learned score of token dropout), with a checkpoint."""

    def __init__(self, shape: EncoderConfig, training: TrainingConfig, number: int, out: Path, data: Data, first, teacher=None,
                 ranks: Ranks = Ranks(), chooser: bool = False):
        self.t, self.number, self.data, self.ranks = training, number, data, ranks
        self.name = "chooser" if chooser else variant_name(shape.attention, shape.rope)
        self.steps, self.rate = ((training.steps, training.rate) if number == 0 else
                                 (training.chooser_steps, training.chooser_rate) if chooser else
                                 (training.variant_steps, training.variant_rate))
        self.warmup = max(1, self.steps // 20) if chooser else training.warmup
        self.policies = (1.0, 0.0, 0.0, 0.0) if chooser else training.policies
        self.keep_weights = np.array(training.keep_weights)
        if chooser:  # a batch that keeps every token leaves nothing to choose
            self.keep_weights[[k == shape.n_tokens for k in shape.keep_choices]] = 0.0
            self.keep_weights /= self.keep_weights.sum()
        torch.manual_seed(training.seed)  # initial weights
        self.network = SpectrumEncoder(shape)
        if first is not None:
            transfer(first, self.network, theta=number == 0 or chooser)
        else:
            shard = data.upto(1)[0]
            levels = torch.from_numpy(shard["target"][shard["anomaly"] == 0].astype(np.float32))
            start_from_principal_components(self.network.bottleneck, self.network.decoder, levels.clamp(*DB_RANGE), DB_SCALE)
        self.device = ranks.device
        self.network.to(self.device).train()
        self.network.autocast = autocast_dtype(training.dtype, self.device)
        self.teacher = teacher.to(self.device) if teacher is not None else None
        if number > 0:  # the other parameters are shared with the first variant, as in the file
            for name, parameter in self.network.named_parameters():
                parameter.requires_grad_(name.startswith(CHOOSER if chooser else OWN_OF_VARIANT))
        trained = [(n, p) for n, p in self.network.named_parameters() if p.requires_grad]
        groups = [{"params": []}, {"params": [], "weight_decay": 0.0}, {"params": [], "weight_decay": 0.0, "scale": 10.0},
                  {"params": [], "weight_decay": 0.0, "scale": 0.1}]
        for name, p in trained:
            kind = 2 if name.startswith("rope.") else 3 if name in PRINCIPAL else 1 if p.ndim < 2 else 0
            groups[kind]["params"].append(p)
        groups = [g for g in groups if g["params"]]
        self.optimizer = torch.optim.AdamW(groups, lr=self.rate, weight_decay=training.weight_decay, betas=(0.9, 0.98))
        self.averaged = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        self.step = 0
        self.checkpoint = out / f"checkpoint_{self.name}.safetensors"
        self.log = out / "log.jsonl"
        if self.checkpoint.exists():
            self._load()
        self.shared = ranks.wrap(self.network)

    def train(self, deadline: float, progress) -> SpectrumEncoder:
        """Train to the end. Returns the network with averaged weights, in eval mode, on the CPU."""
        saved, began = time.monotonic(), time.monotonic()
        recent = {}
        while self.step < self.steps:
            parts = self.one_step()
            *figures, expired = self.ranks.mean([*parts.values(), float(time.monotonic() > deadline)])
            parts = dict(zip(parts, figures, strict=True))
            for key, value in parts.items():
                recent[key] = 0.98 * recent.get(key, value) + 0.02 * value
            if self.step % 50 == 0 and self.ranks.writes:
                row = {"variant": self.name, "step": self.step, "seconds": round(time.monotonic() - began, 1),
                       **{k: round(v, 4) for k, v in recent.items()}}
                with open(self.log, "a") as file:
                    file.write(json.dumps(row) + "\n")
                if progress:
                    progress(self.name, self.step, self.steps, recent)
            if time.monotonic() - saved > self.t.checkpoint_seconds:
                self._save()
                saved = time.monotonic()
            if expired:  # true in all processes at once
                with self.ranks.first():  # torchrun ends all processes once one has failed
                    self._save()
                raise TimeoutError(f"stopped at step {self.step} of {self.steps} of {self.name}; continue with --resume")
        self._save()
        self.network.load_state_dict(self.averaged)
        self.network.autocast = None
        return self.network.eval().cpu()

    def one_step(self) -> dict[str, float]:
        """Train on one batch. Returns the parts of the loss, and the share of frames that are classified right."""
        t, config = self.t, self.network.config
        rng = np.random.default_rng((t.seed, self.number, self.step))
        available = t.shards if self.number else min(t.shards, 1 + self.step // t.steps_per_shard)
        batch = {k: v.to(self.device) for k, v in self.data.batch(rng, available, t.batch).items()}
        done = self.step / self.steps
        for group in self.optimizer.param_groups:
            warm = min(1.0, (self.step + 1) / self.warmup)
            group["lr"] = self.rate * group.get("scale", 1.0) * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
        tokens = batch["tokens"].float().view(t.batch, config.n_tokens, config.token_dim)
        anomaly = batch["anomaly"].float()
        spurious = torch.zeros_like(anomaly)
        if t.mirror_share:
            turned = torch.from_numpy(rng.random(t.batch) < t.mirror_share).to(self.device)
            tokens, batch["target"] = mirror(tokens, batch["target"], turned)
            batch["token_label"], batch["boundary"] = mirror_truth(turned, batch["token_label"], batch["boundary"])
        if t.spur_share:
            before = tokens
            tokens, spurious = add_spurs(rng, tokens, t.spur_share)
            batch["token_label"] = without_spurs(batch["token_label"], before, tokens)
        keep = int(rng.choice(config.keep_choices, p=self.keep_weights))
        policy = ("gumbel", "energy", "entropy", "random")[rng.choice(4, p=self.policies)]
        noise = torch.from_numpy(rng.random((t.batch, config.n_tokens), np.float32)).to(self.device)
        unknown = len(config.bands) - 1
        hidden = torch.from_numpy(rng.random(t.batch) < t.band_hidden).to(self.device)
        shuffled = torch.from_numpy(rng.random(t.batch) < t.band_shuffled).to(self.device)
        other = torch.from_numpy(rng.integers(0, unknown + 1, t.batch).astype(np.int8)).to(self.device)
        band = torch.where(hidden, torch.full_like(batch["band"], unknown), torch.where(shuffled, other, batch["band"])).long()
        condition = jitter_condition(rng, batch["side"], t.condition_dropped)
        latent_noise = self._latent_noise(rng)
        weight = self._weights(batch, spurious)
        mine = self.ranks.share(t.batch)
        batch = {k: v[mine] for k, v in batch.items()}
        tokens, anomaly, spurious, noise, band, condition, latent_noise = (
            x[mine] for x in (tokens, anomaly, spurious, noise, band, condition, latent_noise))
        out = self.shared(tokens, batch["side"], band, keep, policy=policy, noise=noise, condition=condition,
                          temperature=t.temperature[0] * (t.temperature[1] / t.temperature[0]) ** done,
                          latent_noise=latent_noise)
        parts = losses(out, batch["target"].float(), batch["label"].long(), anomaly, smoothing=t.smoothing,
                       undecided=(spurious > 0) | (batch["source"] == COMPOSED))
        if out.token_logits is not None:
            parts["tokens"] = token_losses(out.token_logits, batch["token_label"].long(), batch["boundary"])
        parts = {key: value * weight[key] for key, value in parts.items()}
        total = (t.class_weight * parts["classes"] + t.reconstruction_weight * parts["reconstruction"]
                 + t.anomaly_weight * parts["anomaly"] + t.latent_weight * parts.get("latents", 0.0)
                 + t.token_weight * parts.get("tokens", 0.0))
        if self.teacher is not None:
            with torch.no_grad():  # the teacher sees the whole spectrum, whatever the student keeps
                teacher_logits = self.teacher(tokens, batch["side"], band, config.n_tokens, condition=condition).class_logits
            imitated = imitation(out.class_logits, teacher_logits, batch["anomaly"], t.teacher_temperature)
            parts["teacher"] = weight["teacher"] * imitated
            total = total + t.teacher_weight * parts["teacher"]
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        kept = min(t.ema, (1 + self.step) / (10 + self.step))
        for key, value in self.network.state_dict().items():
            self.averaged[key].lerp_(value, 1 - kept)
        scored = (batch["label"] >= 0) & (batch["anomaly"] == 0)
        right = (out.class_logits.argmax(-1) == batch["label"])[scored].float().mean()
        if self.ranks.size > 1:  # a share may have no scored frame
            right = right.nan_to_num(0.0) * weight["classes"]
        return {**{k: float(v.detach()) for k, v in parts.items()}, "accuracy": float(right)}

    def _weights(self, batch: dict[str, torch.Tensor], spurious: torch.Tensor) -> dict[str, torch.Tensor | float]:
        """Ranks.weight for each part of the loss: a mean over all frames, or those with a class, without spurs, or normal."""
        clean = batch["anomaly"] == 0
        scored = clean & (batch["label"] >= 0)
        decided = (spurious == 0) & (batch["source"] != COMPOSED)
        frames = {"reconstruction": torch.ones_like(clean), "classes": scored, "latents": scored, "anomaly": decided,
                  "teacher": clean, "tokens": (batch["token_label"] >= 0).any(dim=1)}
        return {key: self.ranks.weight(counted) for key, counted in frames.items()}

    def _latent_noise(self, rng: np.random.Generator) -> torch.Tensor:
        """(B, L, W): uniform noise with a random quantiser step per frame; a third of the frames have none."""
        config, (lower, upper) = self.network.config, np.log(self.t.latent_noise)
        step = np.exp(rng.uniform(lower, upper, (self.t.batch, 1, 1))) * (rng.random((self.t.batch, 1, 1)) > 1 / 3)
        noise = (rng.random((self.t.batch, config.latents, config.latent_width), np.float32) - 0.5) * step
        return torch.from_numpy(noise.astype(np.float32)).to(self.device)

    def _save(self) -> None:
        if not self.ranks.writes:
            return
        tensors = {f"weights.{k}": v.contiguous() for k, v in self.network.state_dict().items()}
        tensors |= {f"averaged.{k}": v.contiguous() for k, v in self.averaged.items()}
        for number, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{k}": v.contiguous() for k, v in state.items()}
        write_file(self.checkpoint, to_bytes({k: v.clone() for k, v in tensors.items()}, {"step": str(self.step)}))

    def _load(self) -> None:
        from safetensors import safe_open

        with safe_open(str(self.checkpoint), framework="pt") as opened:
            self.step = int(opened.metadata()["step"])
        tensors = {k: v.to(self.device) for k, v in load_file(str(self.checkpoint)).items()}
        pick = lambda prefix: {k[len(prefix):]: v for k, v in tensors.items() if k.startswith(prefix)}  # noqa: E731
        self.network.load_state_dict(pick("weights."))
        self.averaged = pick("averaged.")
        state = self.optimizer.state_dict()
        for key, value in pick("optimizer.").items():
            number, _, part = key.partition(".")
            state["state"].setdefault(int(number), {})[part] = value.cpu() if part == "step" else value
        self.optimizer.load_state_dict(state)
