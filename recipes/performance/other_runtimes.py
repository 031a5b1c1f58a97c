#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The native runtime against what else can run the network on a CPU, one thread, in turn, in one process.

torch.compile, AOTInductor, ONNX Runtime and OpenVINO get the whole network at fixed shapes (r = 0.25, policy `energy`), without
the engine around it, and so do less than the native runtime, which is timed through `Engine.encode`. What is not installed is
left out: `pip install onnx onnxscript onnxruntime openvino "numpy<2"` in a venv of its own. ONNX has no complex numbers, so the
variant without rotary embedding is exported, and attention is written out for the exports. Nothing of this is needed to run the
project: the table in docs/results/performance_notes.md says why there is no such runtime in it.

    recipes/performance/other_runtimes.py --model base --rope none --out other_runtimes.json
"""

import argparse
import importlib.metadata
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from gnuradio.spectrumencoder.atomic_file import write_file
from gnuradio.spectrumencoder.encoder.engine import Engine

ROUNDS, WARM_UP = 30, 3


class Whole(torch.nn.Module):
    """The network with everything fixed but the frames."""

    def __init__(self, engine: Engine, backend: str):
        super().__init__()
        self.network, self.k, self.backend = engine._network("torch", engine.variant).network, engine.k_kept, backend

    def forward(self, tokens, side, band):
        e = self.network(tokens, side, band, self.k, policy="energy", backend=self.backend)
        return e.mean_db, e.log_sigma, e.embedding, e.class_logits, e.anomaly_logit, e.latents


def frames(engine: Engine, count: int) -> np.ndarray:
    items = np.random.default_rng(0).normal(0.0, 3.0, (count, engine.layout.item_size)).astype(np.float32)
    engine.layout.split(items)[1][:] = [-90.0, 16.0, 1953.125]
    return items


def arms(engine: Engine, items: np.ndarray, folder: Path):
    """Name and a function of no argument that encodes all items, one after the other as they become ready."""
    tokens, side = (torch.from_numpy(np.ascontiguousarray(part)) for part in engine.layout.split(items))
    inputs = (tokens, side, torch.zeros(len(items), dtype=torch.long))
    native = Engine(engine.file, runtime="native", rope_mode=engine.rope_mode)
    yield "native", lambda: native.encode(items)
    eager, written_out = Whole(engine, engine.backend).eval(), Whole(engine, "naive").eval()
    yield "PyTorch", lambda: eager(*inputs)
    compiled = torch.compile(eager, dynamic=False)
    yield "torch.compile", lambda: compiled(*inputs)
    exported = torch.export.export(written_out, inputs)
    package = torch._inductor.aoti_compile_and_package(exported, package_path=str(folder / "network.pt2"))
    ahead = torch._inductor.aoti_load_package(package)
    yield "AOTInductor", lambda: ahead(*inputs)

    onnx = str(folder / "network.onnx")
    try:
        torch.onnx.export(written_out, inputs, onnx, dynamo=True, verbose=False)
        import onnxruntime
        import openvino
    except ImportError as error:
        print(f"left out: {error}")
        return
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    feed = {port.name: value.numpy() for port, value in zip(session.get_inputs(), inputs, strict=False)}
    yield "ONNX Runtime", lambda: session.run(None, feed)
    core = openvino.Core()
    for precision in ("f32", "bf16"):
        request = core.compile_model(onnx, "CPU", {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": precision,
                                                   "PERFORMANCE_HINT": "LATENCY"}).create_infer_request()
        arrays = [value.numpy() for value in inputs][:len(request.model_inputs)]
        yield f"OpenVINO {precision}", lambda request=request, arrays=arrays: request.infer(arrays)


def measure(engine: Engine, count: int) -> dict[str, float]:
    """Median ms per frame of each arm, all timed in turn."""
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        ready = dict(arms(engine, frames(engine, count), Path(folder)))
        times = {name: [] for name in ready}
        for turn in range(WARM_UP + ROUNDS):
            for name, run in ready.items():
                begin = time.perf_counter()
                run()
                if turn >= WARM_UP:
                    times[name].append((time.perf_counter() - begin) * 1e3 / count)
    return {name: float(np.median(values)) for name, values in times.items()}


def version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--model", default="base")
    options.add_argument("--rope", default="none", help="a RoPE mode of the model; `none` is the one that can be exported")
    options.add_argument("--batch", type=int, nargs="*", default=[1, 16])
    options.add_argument("--out", type=Path)
    a = options.parse_args()
    torch.set_num_threads(1)
    engine = Engine(a.model, runtime="torch", rope_mode=a.rope, pad_batch=0, dropout_policy="energy")
    result = {"model": a.model, "variant": engine.variant, "threads": 1, "rounds": ROUNDS,
              "versions": {p: version(p) for p in ("torch", "onnxruntime", "openvino")}, "ms_per_frame": {}}
    for count in a.batch:
        result["ms_per_frame"][count] = measure(engine, count)
    print(json.dumps(result, indent=1))
    if a.out:
        write_file(a.out, (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
