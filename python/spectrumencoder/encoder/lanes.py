# SPDX-License-Identifier: GPL-3.0-or-later
"""Lanes: the steps of a lane run in the order given, at the same time as the steps of other lanes.

A lane of a CUDA device is a stream; a mark on it is an event. A CPU has no streams in PyTorch: its lane runs each step at once.
`PassRing` works with lanes alone, so that the same code orders the passes on every device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch


class Mark(Protocol):
    """A place among the steps of a lane."""

    def synchronize(self) -> None:
        """Return when all steps before the mark are done. Raises the error of a step that failed."""


class Lane(Protocol):
    """Steps in order."""

    def run(self, step: Callable[[], object]) -> None:
        """Run `step` after all earlier steps of this lane. It may still run when the call returns."""

    def mark(self) -> Mark:
        """A mark behind all steps so far."""

    def after(self, mark: Mark) -> None:
        """Later steps of this lane wait for the mark, of whichever lane."""


class Lanes(NamedTuple):
    """The lanes of a pass: its input goes to the device, is computed there, and its output comes back."""

    to_device: Lane
    compute: Lane
    to_host: Lane


class _Done:
    def synchronize(self) -> None:
        pass


class HostLane:
    """A lane of a CPU: a step is done when `run` returns."""

    def run(self, step: Callable[[], object]) -> None:
        step()

    def mark(self) -> Mark:
        return _Done()

    def after(self, mark: Mark) -> None:
        mark.synchronize()


class CudaLane:
    """A lane of a CUDA device: a stream of its own (torch.cuda.Stream).

    What a step uses must live until the step is done: the caching allocator does not know of it (Tensor.record_stream). The
    ring keeps its buffers, and waits for all steps before it lets go of one.
    """

    def __init__(self, device: torch.device):
        self.stream = torch.cuda.Stream(device)

    def run(self, step: Callable[[], object]) -> None:
        with torch.cuda.stream(self.stream):  # selects the stream's device too
            step()

    def mark(self) -> Mark:
        return self.stream.record_event()

    def after(self, mark: Mark) -> None:
        self.stream.wait_event(mark)


def lanes_of(device: torch.device) -> Lanes:
    """New lanes of a device; on CUDA three streams, as its two copy engines and its processors work at the same time."""
    if device.type == "cuda":
        return Lanes(CudaLane(device), CudaLane(device), CudaLane(device))
    lane = HostLane()
    return Lanes(lane, lane, lane)
