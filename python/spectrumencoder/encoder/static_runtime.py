# SPDX-License-Identifier: GPL-3.0-or-later
"""The torch runtime of a CUDA device: passes of static shapes as CUDA graphs, several in flight.

A pass of a small network is a hundred kernels of a few microseconds each, and launching them one by one takes longer than they
do. A CUDA graph launches all of them at once. It needs static shapes and static memory. So there is one `GraphStep` for each form
of a pass and each number of rows, captured on first use. A form is what the kernels depend on: kept tokens, policy, backend,
inputs and outputs.

With `pad_batch` every pass has that many rows, so a frame's numbers do not depend on its batch. Without it, passes have 1, 2, 4
.. `LARGEST` rows, and numbers agree to rounding.

Input and output of a frame are one row each, copied in one piece. The residual is computed on the device.

On a CPU the same code runs without graphs. Tests use that; `Engine` has `EagerNetwork` there.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import torch

from .config import EncoderConfig
from .encoder import Encoded, SpectrumEncoder
from .lanes import CudaLane, Lanes, lanes_of
from .pass_ring import PLACES, Pass, PassRing
from .token_classes import NO_TOKEN_HEAD
from .torch_runtime import EagerNetwork, keep_statistics, token_classes

LARGEST = 1024  # max rows of a pass
MAX_STEPS = 32  # steps that are kept, each with its graph's memory
WARM_UP = 3  # runs before a capture, as PyTorch's notes on CUDA graphs advise: libraries set themselves up, kernels are chosen
_one_capture = threading.Lock()  # PyTorch allows one capture at a time in a process; each block has a thread


@dataclass(frozen=True)
class Form:
    """What the kernels of a pass depend on, besides its rows.

    Attributes:
        kept, policy, backend: as of `NativeNetwork.encode`.
        noise, wanted: whether rows have them.
        outputs: name and width of each output.
    """

    kept: int
    policy: str
    backend: str
    noise: bool
    wanted: bool
    outputs: tuple[tuple[str, int], ...]

    @property
    def heads_only(self) -> bool:
        """Whether the bottleneck and the decoder are left out."""
        return not {"residual", "reconstruction", "latents"} & {name for name, _ in self.outputs}

    def input_places(self, config: EncoderConfig, item_size: int) -> dict[str, slice]:
        """Columns of an input row."""
        widths = {"items": item_size, "bands": 1}
        widths |= {name: config.n_tokens for name in ("noise", "wanted") if getattr(self, name)}
        return places(widths)


def places(widths: dict[str, int]) -> dict[str, slice]:
    """Columns of each part of a row, one after the other."""
    made, start = {}, 0
    for name, width in widths.items():
        made[name] = slice(start, start + width)
        start += width
    return made


class GraphStep:
    """A pass with static shapes; on CUDA a graph of it.

    Args:
        network: in eval mode, on its device.
        rows: R, frames in a pass.
        stream: the CUDA stream to warm up, to capture and to run on, so that they share the scratch memory of cuBLAS; None: no
            graph.
        compiler: backend of torch.compile for the kernels, "" for PyTorch's own.
    """

    def __init__(self, network: EagerNetwork, form: Form, rows: int, stream: torch.cuda.Stream | None = None, compiler: str = ""):
        self._network, self._form = network, form
        self._compute = torch.compile(self.compute, backend=compiler, dynamic=False) if compiler else self.compute
        self.input_places = form.input_places(network.network.config, network.layout.item_size)
        self.output_places = places(dict(form.outputs))
        n_in, n_out = (max(place.stop for place in p.values()) for p in (self.input_places, self.output_places))
        self.inputs, self.outputs = (torch.zeros(rows, n, device=network.device) for n in (n_in, n_out))
        self._graph = None
        if stream is not None:
            self._graph = self._capture(stream)

    def run(self) -> None:
        """Compute `outputs` from `inputs` on the current stream."""
        if self._graph is not None:
            self._graph.replay()
        else:
            self._compute()

    def compute(self) -> None:
        """Compute `outputs` from `inputs`, kernel by kernel."""
        row = {name: self.inputs[:, place] for name, place in self.input_places.items()}
        tokens, side = self._network.layout.split(row["items"])
        with torch.no_grad():  # torch.compile cannot trace inference mode inside a function
            encoded = self._network.network(
                tokens, side, row["bands"][:, 0].long(), self._form.kept, policy=self._form.policy, noise=row.get("noise"),
                backend=self._form.backend, heads_only=self._form.heads_only,
                wanted=row["wanted"] > 0.5 if "wanted" in row else None)
            for name, place in self.output_places.items():
                self.outputs[:, place] = OUTPUTS[name](self._network.network, encoded, tokens, side)

    def _capture(self, stream: torch.cuda.Stream) -> torch.cuda.CUDAGraph:
        """The graph of `compute`. Its memory is its own: graphs that share memory must be replayed in the order of capture."""
        stream.wait_stream(torch.cuda.current_stream(stream.device))  # weights, inputs and outputs are made there
        graph = torch.cuda.CUDAGraph()
        # the outer stream: torch.cuda.graph does not put the stream back if the capture fails
        with _one_capture, torch.cuda.device(stream.device), torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self._compute()
            # other threads of a flowgraph may use CUDA meanwhile: what they do is no error of this capture
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                self._compute()
        return graph


class StaticNetwork(EagerNetwork):
    """A SpectrumEncoder that writes into given arrays, by passes of static shapes.

    Args:
        network: in eval mode, on `device`.
        lanes: the device's own if None.
        graphs: False runs passes on a CUDA device kernel by kernel.
    """

    def __init__(self, network: SpectrumEncoder, device: torch.device | str, *, lanes: Lanes | None = None,
                 n_places: int = PLACES, graphs: bool = True):
        super().__init__(network, _numbered(torch.device(device)))
        self._steps: OrderedDict[tuple[Form, int], GraphStep] = OrderedDict()
        lanes = lanes if lanes is not None else lanes_of(self.device)
        self._stream = lanes.compute.stream if graphs and isinstance(lanes.compute, CudaLane) else None
        self._ring = PassRing(self.device, lanes, n_places)

    @property
    def pinned_bytes(self) -> int:
        """Bytes of the ring on the host."""
        return self._ring.host_bytes

    def encode(self, items: np.ndarray, bands: np.ndarray, kept: int, policy: str, *, backend: str, pad_batch: int, noise=None,
               wanted=None, **out: np.ndarray) -> None:
        """Encode frames into the given arrays; see `EagerNetwork.encode`.

        Raises:
            ValueError: token classes of a network without a head for them.
            RuntimeError: the device reports an error, such as no memory.
        """
        if "token_classes" in out and self.network.token_head is None:
            raise ValueError(NO_TOKEN_HEAD)
        form = Form(kept, policy, backend, noise is not None, wanted is not None,
                    tuple((name, value.shape[1]) for name, value in out.items()))
        rows_of = {"items": items, "bands": bands[:, None], "noise": noise, "wanted": wanted}
        while len(self._steps) > MAX_STEPS:  # nothing is in flight
            self._steps.popitem(last=False)
        self._ring.run([self._pass(form, rows, start, count, rows_of, out) for rows, start, count in cut(len(items), pad_batch)])

    def _pass(self, form: Form, rows: int, start: int, count: int, rows_of: dict, out: dict[str, np.ndarray]) -> Pass:
        """A pass over `count` frames from `start`; the other rows repeat the last of them."""
        step = self._step(form, rows)

        def give(row: np.ndarray) -> None:
            for name, place in step.input_places.items():
                row[:count, place] = rows_of[name][start:start + count]
            row[count:] = row[count - 1]

        def take(row: np.ndarray) -> None:
            for name, place in step.output_places.items():
                out[name][start:start + count] = row[:count, place]

        return Pass(step, give, take)

    def _step(self, form: Form, rows: int) -> GraphStep:
        """The step of this form, made on first use; the one used last is forgotten last."""
        step = self._steps.get((form, rows))
        if step is None:
            step = self._steps[form, rows] = GraphStep(self, form, rows, self._stream)
        self._steps.move_to_end((form, rows))
        return step


def cut(count: int, pad_batch: int) -> list[tuple[int, int, int]]:
    """Passes over `count` frames: rows of the pass, first frame, number of frames.

    Args:
        pad_batch: rows of every pass; 0: a power of two, LARGEST or fewer.
    """
    made, start = [], 0
    while start < count:
        rows = pad_batch or min(LARGEST, 1 << (count - start - 1).bit_length())
        made.append((rows, start, min(rows, count - start)))
        start += rows
    return made


def _numbered(device: torch.device) -> torch.device:
    """"cuda" with the number of the current device: streams and graphs belong to one device."""
    return torch.device("cuda", torch.cuda.current_device()) if device.type == "cuda" and device.index is None else device


def _residual(network: SpectrumEncoder, encoded: Encoded, tokens: torch.Tensor, side: torch.Tensor) -> torch.Tensor:
    return (tokens[..., :-2].flatten(1) - encoded.mean_db) / encoded.log_sigma.exp()


OUTPUTS = {  # the same as `EagerNetwork` computes, partly on the host
    "residual": _residual,
    "reconstruction": lambda network, encoded, tokens, side: encoded.mean_db + side[:, :1],
    "latents": lambda network, encoded, tokens, side: encoded.latents.flatten(1),
    "embedding": lambda network, encoded, tokens, side: encoded.embedding,
    "probabilities": lambda network, encoded, tokens, side: torch.softmax(encoded.class_logits / network.temperature, dim=-1),
    "logit": lambda network, encoded, tokens, side: encoded.anomaly_logit[:, None],
    "token_classes": lambda network, encoded, tokens, side: token_classes(encoded.token_logits, network.token_temperature),
    "keep_statistics": lambda network, encoded, tokens, side: keep_statistics(encoded.kept.score, encoded.kept.keep),
}
