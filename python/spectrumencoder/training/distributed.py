# SPDX-License-Identifier: GPL-3.0-or-later
"""Training in several processes under torchrun: each takes its share of every batch, DistributedDataParallel averages gradients.

All processes draw the same batch and the same random numbers, and keep their share of the frames. A part of the loss is a mean
over some frames only, for instance those with a label. A process may have more or fewer of these than its share. `Ranks.weight`
corrects for that, so the averaged gradient is that of the whole batch. The weights equal those of one process except for the
order of sums.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from .config import ConfigError

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")  # set by torchrun for each process


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together. Without torchrun there is only one.

    Attributes:
        rank: number of this process, 0 .. size - 1; process 0 writes every file.
        size: number of processes.
        local_rank: number of this process on its host.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @classmethod
    def from_environment(cls) -> Ranks:
        """Read the variables that torchrun sets.

        Raises:
            ConfigError: WORLD_SIZE is above 1 without the other variables, or a variable is no number.
        """
        try:
            if int(os.environ.get("WORLD_SIZE", "1")) == 1:
                return cls()
            missing = [name for name in VARIABLES if name not in os.environ]
            if missing:
                raise ConfigError(f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but {', '.join(missing)} is not set; start with: "
                                  "torchrun --standalone --nproc-per-node N --no-python spectrumencoder train ...")
            return cls(*(int(os.environ[name]) for name in VARIABLES[:3]))
        except ValueError as error:
            raise ConfigError(f"one of {', '.join(VARIABLES[:3])} in the environment is no whole number ({error})") from error

    @property
    def writes(self) -> bool:
        """Whether this process writes files and reports progress."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """The CUDA device of this process if the host has CUDA devices, else the CPU.

        Raises:
            ConfigError: this host has more processes than CUDA devices.
        """
        if not torch.cuda.is_available():
            return torch.device("cpu")
        if self.size == 1:
            return torch.device("cuda")
        if self.local_rank >= torch.cuda.device_count():
            raise ConfigError(f"process {self.local_rank} of this host has no CUDA device of its own, there are "
                              f"{torch.cuda.device_count()}; lower --nproc-per-node")
        return torch.device("cuda", self.local_rank)

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Context in which the processes communicate, through nccl on CUDA, else gloo."""
        if self.size == 1:
            yield
            return
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        torch.distributed.init_process_group("nccl" if self.device.type == "cuda" else "gloo", rank=self.rank,
                                             world_size=self.size)
        try:
            yield
        finally:
            gc.collect()  # wrapped networks hold the group in cycles; its threads must end before the interpreter
            torch.distributed.destroy_process_group()

    @contextmanager
    def first(self) -> Iterator[None]:
        """Process 0 runs the body first, then all others. If it raises, torchrun ends the others."""
        if self.size > 1 and not self.writes:
            torch.distributed.barrier()
        yield
        if self.size > 1 and self.writes:
            torch.distributed.barrier()

    def wrap(self, network: nn.Module) -> nn.Module:
        """Wrap the network so that gradients are averaged over the processes.

        The parameters in use differ between steps (no background token without dropout), but not between processes."""
        if self.size == 1:
            return network
        ids = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(network, device_ids=ids, find_unused_parameters=True)

    def share(self, count: int) -> slice:
        """The slice of `count` frames that belongs to this process.

        Raises:
            ConfigError: there are fewer frames than processes.
        """
        if count < self.size:
            raise ConfigError(f"a batch of {count} frames cannot be shared by {self.size} processes")
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def weight(self, counted: torch.Tensor) -> torch.Tensor | float:
        """Factor for a mean over this process's share of `counted` (B,) bool.

        With it, the average over the processes is the mean over all counted frames."""
        if self.size == 1:
            return 1.0
        return self.size * counted[self.share(len(counted))].sum() / counted.sum().clamp(min=1)

    def mean(self, values: list[float]) -> list[float]:
        """Averages over the processes."""
        if self.size == 1:
            return values
        summed = torch.tensor(values, dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(summed)
        return (summed / self.size).tolist()
