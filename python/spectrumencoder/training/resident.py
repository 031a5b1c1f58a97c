# SPDX-License-Identifier: GPL-3.0-or-later
"""Training frames that stay on the device: a batch is gathered there, and only the numbers of its frames cross over."""

from __future__ import annotations

import numpy as np
import torch


class ResidentFrames:
    """The frames of shards, joined, on one device.

    Args:
        device: holds the frames, 5 kB each of 1024 bins.
    """

    def __init__(self, device: torch.device):
        self.device = device
        self._joined: dict[str, torch.Tensor] = {}
        self._n_parts = 0

    def batch(self, parts: list[dict[str, np.ndarray]], rows: np.ndarray) -> dict[str, torch.Tensor]:
        """Frames on the device.

        Args:
            parts: arrays of all shards so far, in order; those of the calls before are its first. New ones are copied.
            rows: (B,) numbers of frames, counted through the shards.
        """
        if len(parts) > self._n_parts:
            for key in parts[0]:
                new = [torch.from_numpy(p[key]).to(self.device) for p in parts[self._n_parts:]]
                self._joined[key] = torch.cat(([self._joined[key]] if self._n_parts else []) + new)
            self._n_parts = len(parts)
        index = torch.from_numpy(np.ascontiguousarray(rows, np.int64)).to(self.device)
        return {key: value.index_select(0, index) for key, value in self._joined.items()}
