# SPDX-License-Identifier: GPL-3.0-or-later
"""A ring of passes in flight: while the device computes one pass, the input of the next is copied, and the output of the last.

Each place of the ring has a buffer for input and output on the host (pinned on CUDA, so that copies are asynchronous) and on the
device. A place is used again when the host has taken its output. Outputs are taken in the order of the passes.

A step has static inputs and outputs of its own, which a CUDA graph needs. So a pass goes host buffer -> device buffer -> static
input -> static output -> device buffer -> host buffer. The two copies within the device cost microseconds, and let the copy
of one pass run while another is computed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

import numpy as np
import torch

from .lanes import Lanes, Mark

PLACES = 3  # one copied in, one computed, one copied out


class Step(Protocol):
    """A computation with static shapes."""

    inputs: torch.Tensor  # (R, I) float32, on the device
    outputs: torch.Tensor  # (R, O) float32, on the device

    def run(self) -> None:
        """Compute `outputs` from `inputs`."""


class Pass(NamedTuple):
    """One run of a step.

    Attributes:
        step: computes it.
        give: writes the input to a host array (R, I) float32.
        take: reads the output from a host array (R, O) float32, which is used again afterwards.
    """

    step: Step
    give: Callable[[np.ndarray], None]
    take: Callable[[np.ndarray], None]


class _Place:
    """Buffers of one pass: flat, so that passes of all shapes can use them."""

    def __init__(self, device: torch.device, n_in: int, n_out: int):
        pinned = device.type == "cuda"
        self.host_in, self.host_out = (torch.zeros(n, pin_memory=pinned) for n in (n_in, n_out))
        self.device_in, self.device_out = (torch.zeros(n, device=device) for n in (n_in, n_out))


class PassRing:
    """Runs passes, several at a time.

    Args:
        device: the steps' device.
        lanes: where steps and copies run.
        places: number of passes in flight.
    """

    def __init__(self, device: torch.device, lanes: Lanes, places: int = PLACES):
        self._device, self._lanes, self._n_places = device, lanes, places
        self._places: list[_Place] = []
        self._n_in = self._n_out = 0

    @property
    def host_bytes(self) -> int:
        """Bytes of the host's buffers."""
        return 4 * self._n_places * (self._n_in + self._n_out)

    def run(self, passes: Sequence[Pass]) -> None:
        """Run the passes. All outputs are taken when it returns; nothing runs any more, after an error neither.

        Raises:
            RuntimeError: the device reports an error; outputs of this pass and later ones are not taken.
        """
        self._reserve(passes)
        waiting: deque[tuple[Mark, torch.Tensor, Pass]] = deque()
        try:
            for number, one in enumerate(passes):
                if len(waiting) == self._n_places:
                    self._finish(*waiting.popleft())
                waiting.append((*self._start(self._places[number % self._n_places], one), one))
            while waiting:
                self._finish(*waiting.popleft())
        except BaseException:
            for lane in self._lanes:  # the buffers are still in use
                with suppress(RuntimeError):
                    lane.mark().synchronize()
            raise

    def _start(self, place: _Place, one: Pass) -> tuple[Mark, torch.Tensor]:
        """Start a pass. Returns the mark of its end, and the host's view of its output."""
        step = one.step
        host_in, device_in = (_shaped(x, step.inputs) for x in (place.host_in, place.device_in))
        host_out, device_out = (_shaped(x, step.outputs) for x in (place.host_out, place.device_out))
        one.give(host_in.numpy())
        to_device, compute, to_host = self._lanes
        to_device.run(lambda: device_in.copy_(host_in, non_blocking=True))
        compute.after(to_device.mark())

        def computed():
            step.inputs.copy_(device_in)
            step.run()
            device_out.copy_(step.outputs)

        compute.run(computed)
        to_host.after(compute.mark())
        to_host.run(lambda: host_out.copy_(device_out, non_blocking=True))
        return to_host.mark(), host_out

    @staticmethod
    def _finish(mark: Mark, host_out: torch.Tensor, one: Pass) -> None:
        mark.synchronize()
        one.take(host_out.numpy())

    def _reserve(self, passes: Sequence[Pass]) -> None:
        """Make the buffers larger if these passes need it. Nothing is in flight."""
        n_in = max((p.step.inputs.numel() for p in passes), default=0)
        n_out = max((p.step.outputs.numel() for p in passes), default=0)
        if n_in <= self._n_in and n_out <= self._n_out:
            return
        self._n_in, self._n_out = max(n_in, self._n_in), max(n_out, self._n_out)
        self._places = [_Place(self._device, self._n_in, self._n_out) for _ in range(self._n_places)]
        # the zeros above are written on the current stream of PyTorch, and the lanes have others
        if self._device.type == "cuda":
            torch.cuda.current_stream(self._device).synchronize()


def _shaped(flat: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return flat[:like.numel()].view(like.shape)
