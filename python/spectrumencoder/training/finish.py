# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a model file from trained networks: class temperature, general conformal tables, metrics, contract."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ..encoder.config import POLICIES, EncoderConfig
from ..encoder.encoder import SpectrumEncoder, mflop_per_spectrum
from ..encoder.fit_codec import fit_codec
from ..encoder.model_file import SHARED, SUFFIX, ModelFile, save_apart
from .corpus import Source
from .run_folder import started_at
from .shards import without
from .tables import general_tables
from .temperature import best_temperature, fit_temperature

TEST_SHARDS = 2  # number of shards of the pool's part `test`
MAX_TOKEN_FRAMES, MAX_TOKENS = 2048, 40000  # held-out frames and tokens that the tokens' temperature is fitted on
NOISE = "noise"


def finish(networks: dict[str, SpectrumEncoder], encoder: EncoderConfig, recipe, training, config: dict, trained: list[Source],
           held_out: list[Source], out: Path, test_pool, start: SpectrumEncoder | None,
           codec_frames: dict[str, torch.Tensor]) -> Path:
    """Write `out/<name>.safetensors` and its tables beside it, from networks (variant name -> network, the first is the default).

    The temperature of each variant's class softmax is fitted on test frames of held-out recordings and of the simulator. It is
    one scalar and changes no decision. If training used all recordings, the temperature is that of `start`, whose training held
    some out. The general conformal tables are learned on the unmodified held-out recordings, or on all if none is held out.

    Args:
        test_pool: n -> ShardMaker for the first n shards of the pool's part `test`.
        codec_frames: tokens and side of the training frames used to fit the map of the encoded spectra.
    """
    frames = None
    if held_out:
        maker = test_pool(TEST_SHARDS)
        try:
            seen = {n for n, name in enumerate(maker.sources) if name in {s.name for s in trained}}
            shards = [without(maker.get(i), seen) for i in range(TEST_SHARDS)]
        finally:
            maker.close()
        frames = {key: torch.from_numpy(np.concatenate([s[key] for s in shards])) for key in shards[0]}
    metrics, variants = {}, []
    keep = encoder.keep_for_rate(0.25)
    for name, network in networks.items():
        if not training.theta_by_band:
            share_theta(network)
        if frames is not None:
            metrics[name] = set_temperature(network, frames, keep, training.default_policy)
            if encoder.token_classes:
                metrics[name] |= set_token_temperature(network, frames, keep, training.default_policy)
        else:
            network.temperature.fill_(float(start.temperature))
            metrics[name] = {"temperature": round(float(start.temperature), 4)}
            if encoder.token_classes:
                network.token_temperature.fill_(float(start.token_temperature))
        metrics[name]["mflop_per_spectrum"] = round(mflop_per_spectrum(network.config, keep), 2)
        variants.append({"name": name, "attention": network.config.attention, "rope": network.config.rope})
    tensors = pack_weights({name: network.state_dict() for name, network in networks.items()})
    default = next(iter(networks.values()))
    contract = {
        "name": training.name, "encoder": encoder.to_dict(), "variants": variants, "policies": list(POLICIES),
        "default_policy": training.default_policy,
        "labels": list(encoder.labels), "bands": list(encoder.bands), "average": [min(recipe.averages), max(recipe.averages)],
        "rates": [1 - k / encoder.n_tokens for k in encoder.keep_choices], "dtypes": ["fp32"], "steps": training.steps,
        "heads": {"classes": True, "anomaly": training.anomaly_weight > 0, "token_classes": encoder.token_classes},
        "metrics": metrics, "theta": thetas(default),
        "training": {"config": config, "commit": started_at(out),
                     "trained_on": [s.name for s in trained], "held_out": [s.name for s in held_out]},
    }
    path = out / f"{training.name}{SUFFIX}"
    model = ModelFile(contract, tensors, path)
    fit_codec(model, codec_frames["tokens"].float().view(-1, encoder.n_tokens, encoder.token_dim).numpy(),
              codec_frames["side"].numpy(), seed=training.seed)
    if training.table_frames:
        general_tables(model, held_out or trained, training.table_frames)
    save_apart(path, model.contract, model.tensors)
    return path


def share_theta(network: SpectrumEncoder) -> None:
    """Give every band the theta of `unknown`. If a band had one class only in training, its own theta would name that class."""
    if network.config.rope == "dynamic":
        with torch.no_grad():
            network.rope.log_theta.fill_(float(network.rope.log_theta[-1]))


def pack_weights(states: dict[str, dict[str, torch.Tensor]]) -> dict[str, np.ndarray]:
    """Tensors of a model file from the variants' states. Tensors equal in all variants are stored once."""
    tensors = {}
    for variant, state in states.items():
        for name, value in state.items():
            same = len(states) > 1 and all(name in s and torch.equal(s[name], value) for s in states.values())
            tensors[f"weights.{SHARED if same else variant}.{name}"] = value.contiguous().numpy()
    return tensors


def set_temperature(network: SpectrumEncoder, frames: dict[str, torch.Tensor], keep: int, policy: str) -> dict[str, float]:
    """Fit the network's softmax temperature on the labelled, clean frames, and set it.

    Returns:
        Accuracy, temperature, and the ECE before and after. The ECE after is measured on recordings not used for the fit
        (`temperature.fit_temperature`)."""
    chosen = (frames["label"] >= 0) & (frames["anomaly"] == 0)
    c = network.config
    logits = []
    noise = torch.rand(int(chosen.sum()), c.n_tokens, generator=torch.Generator().manual_seed(0))  # for the policy random
    with torch.inference_mode():
        tokens = frames["tokens"][chosen].float().view(-1, c.n_tokens, c.token_dim)
        side = frames["side"][chosen]
        unknown = torch.full((len(tokens),), len(c.bands) - 1, dtype=torch.long)
        for start in range(0, len(tokens), 128):
            part = slice(start, start + 128)
            logits.append(network(tokens[part], side[part], unknown[part], keep, policy=policy, noise=noise[part]).class_logits)
    logits, labels = torch.cat(logits), frames["label"][chosen].long()
    fitted = fit_temperature(logits, labels, frames["source"][chosen].long())
    network.temperature.fill_(fitted.temperature)
    accuracy = float((logits.argmax(1) == labels).float().mean())
    return {"held_out_frames": int(len(labels)), "accuracy_augmented": round(accuracy, 4),
            "temperature": round(fitted.temperature, 4), "ece_before": round(fitted.ece_before, 4),
            "ece_after": round(fitted.ece_after, 4)}


def set_token_temperature(network: SpectrumEncoder, frames: dict[str, torch.Tensor], keep: int, policy: str) -> dict[str, float]:
    """Fit the temperature of the tokens' classes on held-out frames, and set it. Not more empty tokens count than others.

    Returns:
        The share of right classes of tokens that hold a signal, and of empty ones; and the temperature."""
    label = frames["token_label"].long()
    chosen = torch.nonzero((label >= 0).any(dim=1)).squeeze(1)[:MAX_TOKEN_FRAMES]
    c = network.config
    unknown = torch.full((128,), len(c.bands) - 1, dtype=torch.long)
    noise = torch.rand(128, c.n_tokens, generator=torch.Generator().manual_seed(0))
    logits = []
    with torch.inference_mode():
        for part in chosen.split(128):
            tokens = frames["tokens"][part].float().view(-1, c.n_tokens, c.token_dim)
            logits.append(network(tokens, frames["side"][part], unknown[:len(part)], keep, policy=policy, noise=noise[:len(part)],
                                  heads_only=True).token_logits[..., :-1])
    logits, label = torch.cat(logits).flatten(0, 1), label[chosen].flatten()
    empty = label == c.labels.index(NOISE)
    full = (label >= 0) & ~empty
    if not full.any():
        return {}
    right = logits.argmax(1) == label
    rates = {"token_accuracy": round(float(right[full].float().mean()), 4),
             "empty_accuracy": round(float(right[empty].float().mean()), 4)}
    some = torch.nonzero(empty).squeeze(1)
    some = some[::max(1, len(some) // int(full.sum()))]
    fitted_on = torch.cat((torch.nonzero(full).squeeze(1), some))[::max(1, 2 * int(full.sum()) // MAX_TOKENS)]
    network.token_temperature.fill_(best_temperature(logits[fitted_on], label[fitted_on]))
    return rates | {"token_temperature": round(float(network.token_temperature), 4)}


def thetas(network: SpectrumEncoder) -> dict[str, float]:
    """Learned theta of each band at 1 kHz bins; empty unless RoPE is dynamic."""
    if network.config.rope != "dynamic":
        return {}
    values = network.rope.log_theta.detach().exp().tolist()
    by_band = {b: round(v, 2) for b, v in zip(network.config.bands, values, strict=True)}
    return {"slope": round(float(network.rope.slope.detach()), 5), **by_band}
