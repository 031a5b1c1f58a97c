# SPDX-License-Identifier: GPL-3.0-or-later
"""Adds a class of the user's own to a model: new rows in the heads that name classes, all else as it was.

The heads are linear maps of what the network knows of a frame, of its latents, and of each token. So the network stays, with its
reconstruction, codec and conformal tables. Each head gets a row for the new class, and its rows are fitted to frames of the new
class among frames of all others (logistic regression), held near what they were.

Frames are drawn as for training (``datasets``): through random channels and receivers, composed and plain. Classes without
recordings come from the simulator.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from ..encoder.encoder import SpectrumEncoder
from ..encoder.model_file import SHARED, ModelFile, find_model, load, save_apart
from ..encoder.token_classes import NOISE, UNKNOWN_SIGNAL
from ..measure.provenance import commit
from ..tokens.layout import FrameLayout
from .config import ConfigError
from .corpus import CorpusError, Source, load_corpus
from .datasets import FrameFactory, Recipe, draw_shard, stacked
from .finish import set_temperature, set_token_temperature
from .own_recordings import load_own
from .shards import BURSTY, unlabel_unseen

OWN_TO_OTHERS = 3  # plain frames of recordings: one of the new class to so many of all others
MIX = (0.55, 0.15, 0.12, 0.13, 0.05, 0.0)  # of ``datasets.KINDS``: scenes have no class
MIN_SHOWN = 0.2  # share of the new class's plain frames in which its signal must show
NOISE_FRAMES = 40  # of each average, by which it is judged whether a signal shows
ANCHOR, SMALL = 3e-3, 1e-4  # weight of what the rows of old classes move by, and of the new row's size
SMOOTHING = 0.05  # of labels, as in training
EMPTY_TOKENS = 8  # of a frame, that are used
BATCH = 128
MAX_NAME = 40

Progress = Callable[[str, int, int], None]


class Head(NamedTuple):
    """A linear map that names classes: its name, and how many rows behind the classes are of something else."""

    name: str
    more_rows: int = 0


class Judged(NamedTuple):
    """How the class was named on frames of recordings that were kept back, and of the simulator: shares of frames.

    Attributes:
        right: of the new class, named so. taken: of other classes, taken for it. others, others_before: of other classes, named
            right now and by the model before. n_own, n_others: numbers of frames.
    """

    right: float
    taken: float
    others: float
    others_before: float
    n_own: int
    n_others: int


def add_class(name: str, folder: Path, out: Path, *, model: str = "base", corpus: Sequence[Path] = (), frames: int = 4096,
              seed: int = 0, progress: Progress = lambda what, done, total: None) -> Judged:
    """Writes a model file with a further class.

    Args:
        name: of the class. folder: its recordings, of any format. out: the model file; nothing else is written.
        model: a shipped model, or a file. corpus: folders of labelled recordings of the other classes; without any they come from
            the simulator.
        frames: number to learn from; a quarter as many judge the result.
        seed: of all that is random.
        progress: called with what is done, how far, of how much.

    Raises:
        ConfigError: the name or the model cannot be used. CorpusError, RecordingError: recordings cannot be.
    """
    torch.set_num_threads(1)  # sums in the same order on every machine
    file = load(find_model(model))
    config = file.config(file.variants[0])
    labels = _labels(file, name)
    _check_out(out)
    own = load_own(Path(folder), name, config.fft_size)
    others = load_corpus([Path(one) for one in corpus]) if corpus else []
    recipe = _recipe(file)
    network = _network(file, file.variants[0])
    drawn = [_draw(part + others, file, recipe, labels, seed + number, count, progress, what) for number, (part, count, what) in
             enumerate(((own.learned, frames, "drawing frames"), (own.kept_back, frames // 4, "drawing frames to judge by")))]
    for part, sources in zip(drawn, (own.learned, own.kept_back), strict=True):
        of_own = (part["source"] >= 0) & (part["source"] < len(sources)) & (part["before"] == len(labels) - 1)
        shown = int((part["label"] == len(labels) - 1)[of_own].sum())
        if not shown or shown < MIN_SHOWN * int(of_own.sum()):
            raise CorpusError(f"{folder}: the signal of {name} shows in {shown} of {int(of_own.sum())} frames of its recordings; "
                              "mark its bursts by annotations, or record it stronger")
    tensors = dict(file.tensors)
    heads = [Head("heads.classes"), Head("latent_head.classes")]
    heads += [Head("token_head.classes", 1)] if config.token_classes else []
    shared = all(f"weights.{SHARED}.{head.name}.weight" in tensors for head in heads)
    for variant in file.variants[:1] if shared else file.variants:
        place = SHARED if shared else variant
        known = _features(_network(file, variant), drawn[0], heads, progress)
        for head in heads:
            rows = [tensors[f"weights.{place}.{head.name}.{part}"] for part in ("weight", "bias")]
            fitted = fit_rows(*(torch.from_numpy(np.array(part)).float() for part in rows), *known[head.name], head.more_rows)
            for part, value in zip(("weight", "bias"), fitted, strict=True):
                tensors[f"weights.{place}.{head.name}.{part}"] = value.numpy()
    contract = copy.deepcopy(file.contract) | {"name": out.name.removesuffix(".safetensors"), "labels": labels}
    contract["encoder"]["labels"] = labels
    made = ModelFile(contract, tensors, out)
    _set_temperatures(file, made, drawn[1])
    judged = _judge(network, _network(made, made.variants[0]), drawn[1], contract["default_policy"])
    contract["metrics"] = {**contract.get("metrics", {}), "added_class": {key: round(value, 4) for key, value in
                                                                        judged._asdict().items()}}
    contract["training"] = {**contract.get("training", {}), "added": [*contract.get("training", {}).get("added", []), {
        "class": name, "model": file.name, "commit": commit(), "frames": frames, "seed": seed,
        "recordings": [s.name for s in own.learned], "kept_back": [s.name for s in own.kept_back],
        "corpus": len(others)}]}
    save_apart(out, contract, tensors)
    return judged


def fit_rows(weight: torch.Tensor, bias: torch.Tensor, features: torch.Tensor, labels: torch.Tensor,
             more_rows: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """The weights and biases of a linear head with one class more, the last of the labels.

    Logistic regression, each class weighing as the root of its number. The rows of old classes are held near what they were.

    Args:
        weight: (L + U + R, E), bias: (L + U + R,), of L labels, U = 1 class that is no label (only if R > 0), R more_rows.
        features: (F, E). labels: (F,) numbers among the L + 1 labels, and L + 1 for the class that is no label.
    """
    unknown = int(more_rows > 0)
    n_labels = len(weight) - more_rows - unknown
    new_weight = torch.cat((weight[:n_labels], torch.zeros(1, weight.shape[1]), weight[n_labels:]))
    new_bias = torch.cat((bias[:n_labels], bias[:n_labels].mean()[None], bias[n_labels:]))
    n_classes = n_labels + 1 + unknown
    before_w, before_b = new_weight[:n_classes].clone(), new_bias[:n_classes].clone()
    w, b = before_w.clone().requires_grad_(), before_b.clone().requires_grad_()
    counts = torch.bincount(labels, minlength=n_classes).float()
    class_weight = counts.clamp(min=1.0).rsqrt()
    old = torch.ones(n_classes, 1)
    old[n_labels] = 0.0
    optimizer = torch.optim.LBFGS([w, b], max_iter=200, history_size=20, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        moved = ANCHOR * (((w - before_w) * old).square().sum() + ((b - before_b) * old[:, 0]).square().sum())
        value = F.cross_entropy(features @ w.T + b, labels, weight=class_weight, label_smoothing=SMOOTHING) + moved \
            + SMALL * w[n_labels].square().sum()
        value.backward()
        return value
    optimizer.step(loss)
    new_weight[:n_classes], new_bias[:n_classes] = w.detach(), b.detach()
    return new_weight, new_bias


def _labels(file: ModelFile, name: str) -> list[str]:
    labels = list(file.contract["labels"])
    if not name.strip() or name != name.strip() or len(name) > MAX_NAME or not name.isprintable():
        raise ConfigError(f"{name!r} cannot be the name of a class; use 1 to {MAX_NAME} printable characters")
    if name.casefold() in [label.casefold() for label in (*labels, UNKNOWN_SIGNAL)]:
        raise ConfigError(f"the model {file.name} has a class {name} already; its classes are {', '.join(labels)}")
    if NOISE not in labels or not file.contract["heads"].get("classes", True):
        raise ConfigError(f"the model {file.name} has no class {NOISE}, or names none at all; use another model")
    if len(labels) >= 64:
        raise ConfigError(f"the model {file.name} has {len(labels)} classes, and no room for another")
    return [*labels, name]


def _check_out(out: Path) -> None:
    if out.suffix != ".safetensors":
        raise ConfigError(f"--out {out} is no name of a model file; write it like {out.with_suffix('.safetensors').name}")
    if not out.parent.is_dir():
        raise ConfigError(f"--out {out}: there is no folder {out.parent}; make it first")


def _recipe(file: ModelFile) -> Recipe:
    """The model's own recipe, if its file has one, without what has no class and without folds."""
    stated = file.contract.get("training", {}).get("config", {}).get("data", {})
    known = {field.name for field in fields(Recipe)}
    recipe = Recipe(**{key: tuple(value) if isinstance(value, list) else value for key, value in stated.items() if key in known})
    low, high = file.contract["average"]
    weights = {k: w for k, w in zip(recipe.averages, recipe.average_weights, strict=True) if low <= k <= high}
    total = sum(weights.values())
    return replace(recipe, mix=MIX, anomaly_share=0.0, folds="", averages=tuple(weights),
                   average_weights=tuple(w / total for w in weights.values()),
                   composed_share=0.5 if file.has_token_classes else 0.0)


def _draw(sources: list[Source], file: ModelFile, recipe: Recipe, labels: list[str], seed: int, count: int, progress: Progress,
          what: str) -> dict[str, torch.Tensor]:
    """Frames, as the arrays of a shard."""
    config = file.config(file.variants[0])
    layout = FrameLayout(config.fft_size, config.stride)
    factory = FrameFactory([s if s.label in labels else replace(s, label=None) for s in sources], layout, config.window, recipe,
                           labels, fill=True)
    factory.signals = [*factory.signals[:-1], *factory.signals[-1:] * max(1, round((len(labels) - 2) / OWN_TO_OTHERS))]
    rng = np.random.default_rng(seed)  # not shard by shard: each would make its simulated signals anew, which is what takes long
    factory.prepare_scenes(rng)
    rows = []
    for number in range(count):
        if number % 32 == 0:
            progress(what, number, count)
        rows.append(factory.draw(rng))
    shard = stacked(rows, config.bands)
    noise = FrameFactory([], layout, config.window, replace(recipe, mix=(0.0, 0.0, 0.0, 1.0, 0.0, 0.0), composed_share=0.0,
                                                            average_weights=(1.0 / len(recipe.averages),) * len(recipe.averages)),
                         labels)
    empty = draw_shard(noise, config.bands, seed, 0, NOISE_FRAMES * len(recipe.averages))
    both = {key: np.concatenate([shard[key], empty[key]]) for key in shard}
    shard["before"] = shard["label"]
    shard["label"] = unlabel_unseen(both, layout, labels, (*BURSTY, labels[-1]))[:len(shard["label"])]
    return {key: torch.from_numpy(value) for key, value in shard.items()}


def _network(file: ModelFile, variant: str) -> SpectrumEncoder:
    network = SpectrumEncoder(file.config(variant))
    network.load_state_dict({k: torch.from_numpy(np.array(v)).float() for k, v in file.weights(variant).items()})
    return network.eval()


def _batches(network: SpectrumEncoder, frames: dict[str, torch.Tensor]):
    """(slice, tokens (B, M, C), side, band) of the frames; half of the frames hide their band."""
    config = network.config
    unknown = len(config.bands) - 1
    for start in range(0, len(frames["label"]), BATCH):
        part = slice(start, start + BATCH)
        band = frames["band"][part].long().clone()
        band[::2] = unknown
        yield part, frames["tokens"][part].float().view(-1, config.n_tokens, config.token_dim), frames["side"][part], band


def _features(network: SpectrumEncoder, frames: dict[str, torch.Tensor], heads: list[Head],
              progress: Progress) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """What goes into each head, and the class that it should name: (F, E) and (F,)."""
    seen: dict[str, torch.Tensor] = {}
    hooks = [network.get_submodule(head.name).register_forward_pre_hook(
        lambda module, inputs, name=head.name: seen.__setitem__(name, inputs[0])) for head in heads]
    found: dict[str, list] = {head.name: [] for head in heads}
    config, generator = network.config, torch.Generator().manual_seed(0)
    with torch.inference_mode():
        for number, (part, tokens, side, band) in enumerate(_batches(network, frames)):
            progress("looking at frames", part.start, len(frames["label"]))
            keep = config.n_tokens if number % 2 else config.keep_for_rate(0.25)
            noise = torch.rand(len(tokens), config.n_tokens, generator=generator)
            out = network(tokens, side, band, keep, policy="energy", noise=noise)
            label, scored = frames["label"][part].long(), frames["anomaly"][part] == 0
            chosen = (label >= 0) & scored
            for head in heads:
                if head.more_rows:
                    found[head.name].append(_of_tokens(seen[head.name], out.kept.index, keep, frames["token_label"][part].long(),
                                                       config.labels.index(NOISE)))
                else:
                    found[head.name].append((seen[head.name][chosen], label[chosen]))
    for hook in hooks:
        hook.remove()
    return {name: (torch.cat([x for x, _ in rows]).clone(), torch.cat([y for _, y in rows]).clone())
            for name, rows in found.items()}


def _of_tokens(inputs: torch.Tensor, index: torch.Tensor, keep: int, label: torch.Tensor,
               empty: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs of the token head (B, background + k, E), as ``TokenHead`` lays them out, of tokens with a known class.

    empty: number of the class of empty tokens, of which few are used.
    """
    frames, n_tokens = label.shape
    n_background = inputs.shape[1] - keep
    if n_background:
        full = inputs[:, :n_background].repeat_interleave(n_tokens // n_background, dim=1)
        inputs = full.scatter(1, index[..., None].expand(-1, -1, inputs.shape[-1]), inputs[:, n_background:])
    use = (label >= 0) & (label != empty)
    use |= (label == empty) & (torch.rand(label.shape, generator=torch.Generator().manual_seed(1)) < EMPTY_TOKENS / n_tokens)
    return inputs[use], label[use]


def _set_temperatures(before: ModelFile, made: ModelFile, frames: dict[str, torch.Tensor]) -> None:
    """Fits the temperatures on frames of recordings that were kept back; none gets surer than it was.

    The model has seen the recordings of the corpus, and the simulator is easier than the air, so theirs would be too sure.
    """
    fitted = {}
    for variant in made.variants:
        network, old = _network(made, variant), _network(before, variant)
        keep = network.config.keep_for_rate(0.25)
        set_temperature(network, frames, keep, made.contract["default_policy"])
        fitted[f"{variant}.temperature"] = max(float(network.temperature), float(old.temperature))
        if network.config.token_classes:
            set_token_temperature(network, frames, keep, made.contract["default_policy"])
            fitted[f"{variant}.token_temperature"] = max(float(network.token_temperature), float(old.token_temperature))
    for key, value in fitted.items():
        made.tensors.pop(f"weights.{SHARED}.{key.rpartition('.')[2]}", None)
        made.tensors[f"weights.{key}"] = np.asarray(value, np.float32)


def _judge(before: SpectrumEncoder, after: SpectrumEncoder, frames: dict[str, torch.Tensor], policy: str) -> Judged:
    new, guesses = len(after.config.labels) - 1, []
    for network in (before, after):
        keep, found = network.config.keep_for_rate(0.25), []
        with torch.inference_mode():
            for _, tokens, side, band in _batches(network, frames):
                noise = torch.rand(len(tokens), network.config.n_tokens, generator=torch.Generator().manual_seed(0))
                out = network(tokens, side, band, keep, policy=policy, noise=noise, heads_only=True)
                found.append(out.class_logits.argmax(1))
        guesses.append(torch.cat(found))
    label = frames["label"].long()
    own, others = label == new, (label >= 0) & (label != new)

    def share(right: torch.Tensor) -> float:
        return float(right.float().mean()) if len(right) else 0.0
    return Judged(share(guesses[1][own] == new), share(guesses[1][others] == new), share((guesses[1] == label)[others]),
                  share((guesses[0] == label)[others]), int(own.sum()), int(others.sum()))
