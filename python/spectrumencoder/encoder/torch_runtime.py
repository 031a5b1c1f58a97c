# SPDX-License-Identifier: GPL-3.0-or-later
"""The torch runtime: PyTorch computes the network on any device, with any backend and precision."""

from __future__ import annotations

import numpy as np
import torch

from ..tokens.layout import FrameLayout
from .config import LARGEST_BATCH, EncoderConfig
from .encoder import Encoded, SpectrumEncoder
from .precision import reduce_precision
from .token_classes import NO_TOKEN_HEAD


class EagerNetwork:
    """A SpectrumEncoder that writes into given arrays, like `NativeNetwork`.

    Args:
        network: in eval mode, on `device`.
    """

    def __init__(self, network: SpectrumEncoder, device: torch.device | str):
        self.network, self.device = network, torch.device(device)
        self.layout = FrameLayout(network.config.fft_size, network.config.stride)

    @classmethod
    def from_weights(cls, config: EncoderConfig, weights: dict[str, np.ndarray], device: str, dtype: str) -> EagerNetwork:
        """Make the network from weights, with its blocks in this precision.

        Raises:
            ValueError: the weights do not fit the configuration.
        """
        network = SpectrumEncoder(config)
        try:
            network.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in weights.items()})
        except RuntimeError as error:
            raise ValueError(" ".join(str(error).split())[:200]) from error
        return cls(reduce_precision(network.eval().to(device), dtype), device)

    def encode(self, items: np.ndarray, bands: np.ndarray, kept: int, policy: str, *, backend: str, pad_batch: int, noise=None,
               wanted=None, **out: np.ndarray) -> None:
        """Encode frames into the given arrays; see `NativeNetwork.encode`.

        Args:
            backend: name of an attention backend of the network's family.
            pad_batch: frames per forward pass, the last pass filled up; 0 runs batches without padding.
        """
        if "token_classes" in out and self.network.token_head is None:
            raise ValueError(NO_TOKEN_HEAD)
        step = pad_batch or LARGEST_BATCH
        for start in range(0, len(items), step):
            part = slice(start, min(start + step, len(items)))
            count = part.stop - part.start
            inputs = [items[part], bands[part], *(None if x is None else x[part] for x in (noise, wanted))]
            if count < pad_batch:
                inputs = [None if x is None else _filled_up(x, pad_batch) for x in inputs]
            heads_only = not {"residual", "reconstruction", "latents"} & set(out)
            encoded = self._forward(*inputs, kept, policy, backend, heads_only)
            self._fill(items[part], encoded, {name: values[part] for name, values in out.items()})

    def _forward(self, items, bands, noise, wanted, kept, policy, backend, heads_only) -> Encoded:
        tokens, side, noise, wanted, bands = (
            None if x is None else torch.from_numpy(np.ascontiguousarray(x)).to(self.device)
            for x in (*self.layout.split(items), noise, wanted, bands))
        with torch.inference_mode():
            return self.network(tokens, side, bands, kept, policy=policy, noise=noise, backend=backend, heads_only=heads_only,
                                wanted=wanted)

    def _fill(self, items: np.ndarray, encoded: Encoded, out: dict[str, np.ndarray]) -> None:
        """Write the first len(items) frames of the network's output."""
        count = len(items)
        tokens, side = self.layout.split(items)
        on_host = lambda x: x[:count].cpu().numpy()  # noqa: E731
        mean = None if encoded.mean_db is None else on_host(encoded.mean_db)
        if "residual" in out:
            level = tokens[:, :, :-2].reshape(count, -1)  # dB over the floor, N bins
            np.divide(level - mean, np.exp(on_host(encoded.log_sigma)), out=out["residual"])
        if "reconstruction" in out:
            np.add(mean, side[:, :1], out=out["reconstruction"])
        if "latents" in out:
            out["latents"][:] = on_host(encoded.latents.flatten(1))
        if "embedding" in out:
            out["embedding"][:] = on_host(encoded.embedding)
        if "probabilities" in out:
            with torch.inference_mode():
                out["probabilities"][:] = on_host(torch.softmax(encoded.class_logits / self.network.temperature, dim=-1))
        if "logit" in out:
            out["logit"][:, 0] = on_host(encoded.anomaly_logit)
        if "token_classes" in out:
            with torch.inference_mode():
                out["token_classes"][:] = on_host(token_classes(encoded.token_logits, self.network.token_temperature))
        if "keep_statistics" in out:
            out["keep_statistics"][:] = on_host(keep_statistics(encoded.kept.score[:count], encoded.kept.keep[:count]))


def _filled_up(x: np.ndarray, count: int) -> np.ndarray:
    return np.concatenate((x, np.repeat(x[-1:], count - len(x), axis=0)))


def token_classes(logits: torch.Tensor, temperature: torch.Tensor) -> torch.Tensor:
    """Logits (B, M, L + 2) -> probabilities (B, M (L + 2)): softmax of the classes, sigmoid of the boundary."""
    return torch.cat((torch.softmax(logits[..., :-1] / temperature, dim=-1), torch.sigmoid(logits[..., -1:])), dim=-1).flatten(1)


def keep_statistics(score: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """(B, 8): mean, std, min, max of the kept scores, then of the dropped ones (0 when none are dropped)."""
    chosen = torch.stack((keep, ~keep))  # (2, B, M): both at once, since separate calls are all overhead
    count = chosen.sum(dim=2)
    n = count.clamp(min=1)
    mean = (score * chosen).sum(dim=2) / n
    std = (((score - mean[..., None]) * chosen).square().sum(dim=2) / n).sqrt()
    low = score.masked_fill(~chosen, torch.inf).amin(dim=2)
    high = score.masked_fill(~chosen, -torch.inf).amax(dim=2)
    parts = torch.stack((mean, std, low, high), dim=2)  # (2, B, 4)
    return torch.where(count[..., None] > 0, parts, 0.0).transpose(0, 1).reshape(len(score), 8)
