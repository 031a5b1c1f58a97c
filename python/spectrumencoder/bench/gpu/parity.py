# SPDX-License-Identifier: GPL-3.0-or-later
"""The same answers as the CPU: outputs and gradients of every setting against the oracle, and frames in batches of all sizes.

The oracle is the network in fp64 on the CPU, with the family's plain backend (`*_naive`). Ours is `StaticNetwork` on the device,
as the engine runs it, with the family's default backend. Gradients come from the network itself, as training runs it.

An error is |ours - oracle| over |oracle|, both as root mean squares over all frames. A gradient's is over all parameters. Frames
are compared if both kept the same tokens; in fp32 and fp64 two scores may tie, so a few may not, and their share is limited too.

`TOLERANCE` has three classes. `fp32`: all products in fp32. `flash`: dtype fp32 on a CUDA device, but the flash kernel in bf16,
as it has no fp32. `bf16`: dtype bf16. A bf16 number has 8 bits of mantissa, so that each is wrong by up to 0.4 %.
"""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import torch

from ...encoder import features
from ...encoder.attention import BACKENDS, DEFAULT_OF_FAMILY
from ...encoder.config import ATTENTION_FAMILIES, POLICIES, ROPE_MODES, EncoderConfig
from ...encoder.encoder import SpectrumEncoder, normalise_tokens
from ...encoder.engine import Engine
from ...encoder.features import BF16, FP32
from ...encoder.model_file import ModelError, find_model
from ...encoder.precision import reduce_precision, why_not
from ...encoder.static_runtime import OUTPUTS, StaticNetwork
from ...tokens.layout import FrameLayout
from ...training.corpus import CLASSES
from .device import numbered
from .frames import draw_frames
from .part import Note, PartSettings

TOLERANCE = {"fp32": 1e-4, "flash": 2e-2, "bf16": 4e-2}
GRADIENT_TOLERANCE = {"fp32": 3e-4, "flash": 4e-2, "bf16": 8e-2}
MAX_OTHER_TOKENS = 0.02  # share of frames in which a tie is broken another way
MODELS = ("fast", "base", "large")
FRAMES = 8
ORACLE_OF_FAMILY = {b.family: b.name for b in BACKENDS.values() if b.oracle}
SMALL = dict(fft_size=128, width=16, layers=1, heads=2, kv_heads=1, kv_rank=8, mhla_blocks=4, mlp_width=32, score_width=4,
             latents=2, latent_width=4, keep_choices=(4, 12, 16), decoder_width=32, embedding=8, sub_bands=2, token_classes=True)
BASE = dict(width=64, layers=3, heads=4, mlp_width=192, sub_bands=8, token_classes=True)  # as recipes/train/base.toml
COMPARED = ("residual", "reconstruction", "latents", "embedding", "probabilities", "logit", "token_classes", "keep_statistics")


def run(settings: PartSettings, note: Note) -> None:
    """Notes `tolerance`; `engine`: the shipped models; `rows`: one for each setting, with its errors; `worst`; `holds`."""
    device, rows = numbered(settings.device), []
    torch.backends.cuda.matmul.allow_tf32 = False
    note("tolerance", {"outputs": TOLERANCE, "gradients": GRADIENT_TOLERANCE, "other_tokens": MAX_OTHER_TOKENS})
    note("engine", [row for name in MODELS for row in _shipped(name, settings, device)])
    left_out = 0
    for family in ATTENTION_FAMILIES:
        for rope in ROPE_MODES:
            if not settings.has_time(0.9):
                left_out += 1
                continue
            rows += _network_rows(family, rope, settings, device)
            note("rows", rows)
    note("networks_left_out", left_out)
    note("worst", worst(rows))
    note("holds", holds(rows, left_out))


def worst(rows: list[dict]) -> dict:
    """class -> output -> largest error."""
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        of_class = found.setdefault(row["class"], {})
        for key, value in row["errors"].items():
            of_class[key] = max(of_class.get(key, 0.0), value)
    return found


def holds(rows: list[dict], left_out: int = 0) -> bool:
    """Whether every row is within its tolerance, and none is missing."""
    return bool(rows) and not left_out and all(row["within"] for row in rows)


def within(row: dict) -> bool:
    """Whether a row's errors are within the tolerance of its class."""
    return row["other_tokens"] <= MAX_OTHER_TOKENS and all(
        error <= (GRADIENT_TOLERANCE if name == "gradient" else TOLERANCE)[row["class"]] for name, error in row["errors"].items())


def drawn_network(config: EncoderConfig, seed: int) -> SpectrumEncoder:
    """A network whose every weight is drawn, also those that start at zero or one."""
    torch.manual_seed(seed)
    network = SpectrumEncoder(config).eval()
    with torch.no_grad():
        for p in network.parameters():
            p.add_(torch.randn_like(p) * (0.3 / max(p.shape[-1] if p.ndim else 1, 1) ** 0.5))
    return network


def _network_rows(family: str, rope: str, settings: PartSettings, device: torch.device) -> list[dict]:
    """Rows of one network: every policy, kept count and dtype."""
    config = EncoderConfig(**(SMALL if settings.small else BASE), attention=family, rope=rope, labels=CLASSES)
    network = drawn_network(config, settings.seed)
    oracle = deepcopy(network).double()
    flash = device.type == "cuda" and BACKENDS[DEFAULT_OF_FAMILY[family]].flash_kernel
    ours = {dtype: _on_device(network, dtype, device) for dtype in (FP32, BF16) if not why_not(dtype, device)}
    rows = []
    for policy in POLICIES:
        for kept in (config.keep_choices[len(config.keep_choices) // 2], config.n_tokens):
            inputs = draw_inputs(config, policy, settings)
            wanted = Wanted(oracle, inputs, kept, policy)
            for dtype, (reduced, trained) in ours.items():
                errors, other = output_errors(wanted, reduced)
                gradient = _gradient(trained, inputs, kept, policy, DEFAULT_OF_FAMILY[family])
                errors["gradient"] = _relative(gradient, wanted.gradient)
                kind = "bf16" if dtype == BF16 else "flash" if flash else "fp32"
                row = {"family": family, "rope": rope, "policy": policy, "kept": kept, "dtype": dtype, "class": kind,
                       "errors": errors, "other_tokens": other}
                rows.append(row | {"within": within(row)})
    return rows


def _on_device(network: SpectrumEncoder, dtype: str, device: torch.device) -> tuple[StaticNetwork, SpectrumEncoder]:
    """The network as the engine runs it, and as training does, in that precision of the blocks."""
    reduced = StaticNetwork(reduce_precision(deepcopy(network).to(device), dtype), device)
    trained = deepcopy(network).to(device)
    trained.autocast = torch.bfloat16 if dtype == BF16 else None
    return reduced, trained


class Inputs:
    """Frames for one comparison, in NumPy."""

    def __init__(self, config: EncoderConfig, items: np.ndarray, layout, rng: np.random.Generator, policy: str):
        self.items, self.layout = items, layout
        self.bands = rng.integers(0, len(config.bands), len(items))
        self.noise = rng.random((len(items), config.n_tokens), np.float32)
        self.given_noise = self.noise if policy == "random" else None

    def tensors(self, network: SpectrumEncoder, device: torch.device | str) -> tuple:
        """tokens, side, band and noise in the network's dtype."""
        dtype = network.position.dtype
        tokens, side = (torch.from_numpy(x.copy()).to(device, dtype) for x in self.layout.split(self.items))
        return tokens, side, torch.from_numpy(self.bands).to(device), torch.from_numpy(self.noise).to(device, dtype)


def draw_inputs(config: EncoderConfig, policy: str, settings: PartSettings) -> Inputs:
    """Frames for a network of this configuration."""
    layout, rng = FrameLayout(config.fft_size, config.stride), np.random.default_rng(settings.seed)
    items, _ = draw_frames(rng, FRAMES, layout)
    return Inputs(config, items, layout, rng, policy)


class Wanted:
    """What the oracle gives for some frames: outputs, kept tokens, gradient.

    Args:
        oracle: in fp64, on the CPU.
    """

    def __init__(self, oracle: SpectrumEncoder, inputs: Inputs, kept: int, policy: str):
        self.config, self.inputs, self.kept, self.policy = oracle.config, inputs, kept, policy
        backend = ORACLE_OF_FAMILY[oracle.config.attention]
        tokens, side, band, noise = inputs.tensors(oracle, "cpu")
        with torch.no_grad():
            encoded = oracle(tokens, side, band, kept, policy=policy, noise=noise, backend=backend)
            self.outputs = {name: OUTPUTS[name](oracle, encoded, tokens, side).numpy() for name in COMPARED}
        self.keep = encoded.kept.keep.numpy()
        self.gradient = _gradient(oracle, inputs, kept, policy, backend)


def output_errors(wanted: Wanted, ours: StaticNetwork) -> tuple[dict[str, float], float]:
    """Error of each output over the frames that kept the same tokens, and the share of the others."""
    inputs, kept, policy = wanted.inputs, wanted.kept, wanted.policy
    out = {name: np.empty(value.shape, np.float32) for name, value in wanted.outputs.items()}
    ours.encode(inputs.items, inputs.bands, kept, policy, backend=DEFAULT_OF_FAMILY[wanted.config.attention],
                pad_batch=len(inputs.items), noise=inputs.given_noise, **out)
    same = (_kept(ours, inputs, kept, policy) == wanted.keep).all(axis=1)
    return {name: _relative(out[name][same], value[same]) for name, value in wanted.outputs.items()}, 1.0 - float(same.mean())


@torch.no_grad()
def _kept(ours: StaticNetwork, inputs: Inputs, kept: int, policy: str) -> np.ndarray:
    """(F, M) bool: the tokens that the network on the device keeps."""
    tokens, _, _, noise = inputs.tensors(ours.network, ours.device)
    return ours.network.dropout(normalise_tokens(tokens), kept, policy, noise=noise).keep.cpu().numpy()


def _gradient(network: SpectrumEncoder, inputs: Inputs, kept: int, policy: str, backend: str) -> np.ndarray:
    """All gradients of a sum of all outputs, in training: the straight-through gradient of token dropout is in it."""
    network.train().zero_grad(set_to_none=True)
    tokens, side, band, noise = inputs.tensors(network, network.position.device)
    out = network(tokens, side, band, kept, policy=policy, noise=noise, temperature=0.7, backend=backend)
    (out.mean_db.square().mean() / 100 + out.log_sigma.mean() + out.class_logits.square().mean() + out.anomaly_logit.mean()
     + out.latent_logits.square().mean() + out.token_logits.square().mean()).backward()
    network.eval()
    return torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in network.parameters()]).cpu().numpy()


def _relative(ours: np.ndarray, wanted: np.ndarray) -> float:
    """Root mean square of the difference over that of what is wanted; 1 if there is nothing to compare."""
    size = float(np.sqrt(np.mean(np.square(wanted, dtype=np.float64)))) if wanted.size else 0.0
    return float(np.sqrt(np.mean(np.square(ours - wanted, dtype=np.float64)))) / size if size else 1.0


def _shipped(name: str, settings: PartSettings, device: torch.device) -> list[dict]:
    """A shipped model in fp32 and bf16: device against CPU, and frames in batches of all sizes. Empty without the file."""
    try:
        path = str(find_model(name))
    except ModelError:
        return []
    rows = []
    for dtype in (FP32, BF16):
        if why_not(dtype, device) or (settings.small and (name != "fast" or dtype != FP32)):
            continue
        ours, unpadded = (Engine(path, compute=settings.device, runtime="torch", dtype=dtype, pad_batch=pad) for pad in (16, 0))
        cpu = Engine(path, compute="cpu", runtime="torch")
        items, _ = draw_frames(np.random.default_rng(settings.seed), 24 if settings.small else 96, ours.layout)
        got, wanted = ours.encode(items), cpu.encode(items)
        embedding, probabilities = ((x.features[:, place] for x in (got, wanted))
                                    for place in (features.EMBEDDING, features.PROBABILITIES))
        got_p, wanted_p = probabilities
        rows.append({"model": name, "dtype": dtype, "device": ours.device,
                     "residual_error": _relative(got.residual, wanted.residual), "embedding_error": _relative(*embedding),
                     "max_probability_difference": float(np.abs(got_p - wanted_p).max()),
                     "same_class": float(np.mean(got_p.argmax(1) == wanted_p.argmax(1))),
                     "batch": _batches(ours, items, got), "unpadded": _batches(unpadded, items, got)})
    return rows


def _batches(engine: Engine, items: np.ndarray, whole) -> dict:
    """The frames again in batches of 1, 2, 3, ..: the same bits as in one, or the largest difference of a residual."""
    parts, start, size = [], 0, 1
    while start < len(items):
        parts.append(engine.encode(items[start:start + size]))
        start, size = start + size, size + 1
    residual, rows = (np.concatenate([getattr(p, name) for p in parts]) for name in ("residual", "features"))
    return {"pad_batch": engine.pad_batch, "same_bits": bool(np.array_equal(residual, whole.residual)
                                                             and np.array_equal(rows, whole.features)),
            "max_difference": float(np.abs(residual - whole.residual).max())}
