# SPDX-License-Identifier: GPL-3.0-or-later
"""Attention backends by number of tokens: time of one frame and memory of the transformer blocks, and numerical error.

The network is that of the configuration with random weights (neither time nor memory depends on them) and a spectrum of 8 bins
per token; all tokens are kept. Time is taken around the blocks, since the rest is the same for all. The backends take turns
within each round, in random order, so that whatever else the machine does hits all alike: trust ratios rather than times.
Memory is the peak of PyTorch's CPU allocator during the blocks, over what it held when they began.
The error is that of the attention alone, fp32 against the oracle of the backend's family in fp64, on what the blocks of that same
network and spectrum give it. How well a family tells classes is another question: that of `recipes/ablate/attention.toml`.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from ...encoder.attention import BACKENDS, DEFAULT_OF_FAMILY, describe_backends
from ...encoder.encoder import SpectrumEncoder
from ...encoder.random_network import STRIDE, attention_calls, random_network
from ...measure.page import markdown_table, paragraph
from ...measure.rows import AblationError, Context

REFERENCE = "naive"  # ratios are to it
MAX_ROUNDS = 400
ORACLES = {b.family: b.attend for b in BACKENDS.values() if b.oracle}


def run(config: dict, context: Context) -> dict:
    """Measures every backend that runs here at every number of tokens.

    Args:
        config: tokens (list), seconds (per number of tokens), memory_limit_mb (a backend whose score matrix would need more is
            left out there, and said to be), threads, encoder (as in training configurations).
    """
    torch.set_num_threads(config["threads"])
    rows = []
    for number, n_tokens in enumerate(config["tokens"]):
        context.progress(number, len(config["tokens"]), f"{n_tokens} tokens")
        settings = {"encoder": config["encoder"], "seconds": config["seconds"], "threads": config["threads"],
                    "backends": _available(), "memory_limit_mb": config["memory_limit_mb"], "error": "of fp64"}
        rows.append({"tokens": n_tokens} | context.row(f"{n_tokens} tokens", settings, lambda n=n_tokens: measure(n, config)))
    return {"rows": rows, "unavailable": {b["name"]: b["reason"] for b in describe_backends("cpu") if not b["available"]},
            "processor": _processor(), "torch": torch.__version__, "threads": config["threads"]}


def measure(n_tokens: int, config: dict) -> dict:
    """Rounds, and for each backend ms per frame (median, quartiles), median ratio to `naive` within a round, peak MB, error."""
    networks = {name: random_network(name, n_tokens, config["encoder"]) for name in _available()
                if not name.endswith("naive") or _scores_mb(n_tokens, config["encoder"]) < config["memory_limit_mb"]}
    if not networks:
        raise AblationError(f"memory_limit_mb {config['memory_limit_mb']} leaves no backend at {n_tokens} tokens; raise it")
    rng = np.random.default_rng(n_tokens)
    inputs = (torch.from_numpy(rng.normal(10, 5, (1, n_tokens, STRIDE + 2)).astype(np.float32)),
              torch.tensor([[-90.0, 16.0, 2e3]]), torch.zeros(1, dtype=torch.int64), n_tokens)
    memory = {name: _peak_mb(network, name, inputs) for name, network in networks.items()}  # warms them up, too
    error = attention_errors(networks, inputs, config["memory_limit_mb"])
    seconds: dict[str, list[float]] = {name: [] for name in networks}
    began, rounds = time.monotonic(), 0
    while rounds < 5 or (time.monotonic() - began < config["seconds"] and rounds < MAX_ROUNDS):
        rounds += 1
        for name in rng.permutation(list(networks)):
            seconds[name].append(_time(networks[name], name, inputs))
    times = {name: np.array(values) * 1e3 for name, values in seconds.items()}
    reference = times.get(REFERENCE)
    return {"rounds": rounds, "backends": {name: {
        "ms": round(float(np.median(t)), 4), "ms_quartiles": [round(float(q), 4) for q in np.quantile(t, (0.25, 0.75))],
        "of_naive": None if reference is None else round(float(np.median(t / reference)), 4),
        "peak_mb": round(memory[name], 4), "error": error[name]} for name, t in times.items()}}


@torch.inference_mode()
def attention_errors(networks: dict[str, SpectrumEncoder], inputs, memory_limit_mb: float) -> dict[str, float | None]:
    """The largest error of each backend over the blocks, relative to the root mean square of that block's exact output.

    Args:
        networks: by backend; those of a family hold the same weights.
        inputs: what they are called with.
        memory_limit_mb: of one fp64 score matrix of one head (the oracle takes head by head); above it the errors are None.
    """
    errors: dict[str, float | None] = dict.fromkeys(networks)
    for family, oracle in ORACLES.items():
        names = [name for name in networks if BACKENDS[name].family == family]
        if not names or inputs[-1]**2 * 8e-6 >= memory_limit_mb:
            continue
        for call in attention_calls(networks[names[0]], DEFAULT_OF_FAMILY[family], inputs):
            exact = _by_head(family, oracle, [_to_fp64(x) for x in call])
            rms = exact.square().mean().sqrt()
            for name in names:
                worst = float((BACKENDS[name].attend(*call) - exact).abs().max() / rms)
                errors[name] = float(f"{max(worst, errors[name] or 0.0):.3g}")
    return errors


def report(result: dict) -> str:
    """Three tables, of time, of memory and of errors."""
    names = sorted({name for row in result["rows"] for name in row["backends"]}, key=list(BACKENDS).index)

    def cell(row, name, form):
        return form(row["backends"][name]) if name in row["backends"] else "-"

    times = [[row["tokens"], *(cell(row, n, lambda b: (f"{b['ms']:.0f}" if b["ms"] >= 100 else f"{b['ms']:.3g}") + (
        f" ({b['of_naive']:.2f})" if b["of_naive"] is not None else "")) for n in names)] for row in result["rows"]]
    memory = [[row["tokens"], *(cell(row, n, lambda b: f"{b['peak_mb']:.2f}") for n in names)] for row in result["rows"]]
    errors = [[row["tokens"], *(cell(row, n, lambda b: "-" if b["error"] is None else f"{b['error']:.1e}") for n in names)]
              for row in result["rows"]]
    rounds = [row["rounds"] for row in result["rows"]]
    absent = [paragraph(f"`{name}` was not measured: {why}.") + "\n" for name, why in result["unavailable"].items()]
    return "\n".join([paragraph(
        "Milliseconds of processor time that a frame takes in the transformer blocks, median; in brackets the median ratio to "
        f"`naive` within a round. {min(rounds)} to {max(rounds)} rounds, backends in turn; {result['threads']} thread of "
        f"{result['processor']}, PyTorch {result['torch']}, fp32, one frame at a time. The machine was not quiet: trust the "
        "ratios rather than the times.") + "\n", markdown_table(["tokens", *names], times),
        "Peak memory held in the blocks, MB, over what was held when they began.\n", markdown_table(["tokens", *names], memory),
        paragraph("Accuracy as numbers: the largest error of the attention's output in fp32, of the worst block, over the root "
                  "mean square of the exact output. The oracle of the backend's own family in fp64, on the same inputs, is "
                  "exact. Weights are random; those of a trained model may be kinder or harsher. Accuracy as classes depends on "
                  "the family, not on the backend: `recipes/ablate/attention.toml`.") + "\n",
        markdown_table(["tokens", *names], errors), *absent])


def draw(result: dict, path: Path) -> None:
    """Time, memory and error against the number of tokens, on logarithmic axes."""
    from ...measure.plots import figure, finish

    fig, axes = figure(3)
    names = sorted({name for row in result["rows"] for name in row["backends"]}, key=list(BACKENDS).index)
    for axis, key, label in ((axes[0], "ms", "ms of processor time per frame"), (axes[1], "peak_mb", "peak memory, MB"),
                             (axes[2], "error", "largest error of the attention / rms")):
        for name in names:
            points = [(r["tokens"], r["backends"][name][key]) for r in result["rows"]
                      if name in r["backends"] and r["backends"][name][key] is not None]
            if not points:
                continue
            axis.loglog(*zip(*points, strict=True), marker="o", markersize=3, label=name,
                        linestyle="--" if name.endswith("naive") else "-")
        axis.set_xticks([r["tokens"] for r in result["rows"]], [str(r["tokens"]) for r in result["rows"]])
        axis.minorticks_off()
        axis.set_xlabel("tokens")
        axis.set_ylabel(label)
    axes[0].legend(fontsize=8)
    finish(fig, path)


def _available() -> list[str]:
    return [b["name"] for b in describe_backends("cpu") if b["available"]]


def _to_fp64(x):
    if not torch.is_tensor(x) or not (x.is_floating_point() or x.is_complex()):
        return x
    return x.to(torch.complex128 if x.is_complex() else torch.float64)


def _by_head(family: str, oracle, call) -> torch.Tensor:
    """The oracle's output (B, H, T, D), one head at a time, so that one matrix (T, T) is held for one head only."""
    q, *rest = call
    heads = []
    for h in range(q.shape[1]):
        if family == "latent":
            c, up, *others = rest
            own = c, up[:, h:h + 1]
        else:
            k, v, *others = rest
            shared = h * k.shape[1] // q.shape[1]  # grouped: a key head serves several
            own = k[:, shared:shared + 1], v[:, shared:shared + 1]
        if family == "mhla":
            slot, mix, *others = others
            own = *own, slot, mix[h:h + 1]
        heads.append(oracle(q[:, h:h + 1], *own, *others))
    return torch.cat(heads, dim=1)


def _scores_mb(n_tokens: int, encoder: dict) -> float:
    """Size of one score matrix (H, T, T) in fp32: an oracle holds several of them."""
    return encoder["heads"] * n_tokens**2 * 4e-6


def _time(network: SpectrumEncoder, backend: str, inputs) -> float:
    """Seconds of processor time spent in the blocks during one forward pass: what others run beside it is not counted."""
    marks = []
    hooks = [network.blocks[0].register_forward_pre_hook(lambda *_: marks.append(time.process_time())),
             network.blocks[-1].register_forward_hook(lambda *_: marks.append(time.process_time()))]
    try:
        with torch.inference_mode():
            network(*inputs, backend=backend)
    finally:
        for hook in hooks:
            hook.remove()
    return marks[1] - marks[0]


def _peak_mb(network: SpectrumEncoder, backend: str, inputs) -> float:
    """Peak memory of the CPU allocator during the blocks, over that at their begin, MB, from the profiler's trace."""
    marks = []
    hooks = [network.blocks[0].register_forward_pre_hook(lambda *_: marks.append(torch.zeros(3, 7))),  # seen in the trace
             network.blocks[-1].register_forward_hook(lambda *_: marks.append(torch.zeros(3, 7)))]
    try:
        with torch.inference_mode():
            network(*inputs, backend=backend)  # what is allocated once is not counted
            marks.clear()
            with torch.profiler.profile(profile_memory=True, activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
                network(*inputs, backend=backend)
    finally:
        for hook in hooks:
            hook.remove()
    with tempfile.TemporaryDirectory() as folder:
        profile.export_chrome_trace(f"{folder}/trace.json")
        events = [e for e in json.loads(Path(f"{folder}/trace.json").read_text())["traceEvents"] if e.get("name") == "[memory]"]
    events.sort(key=lambda e: e["ts"])
    edges = [n for n, e in enumerate(events) if e["args"]["Bytes"] == 3 * 7 * 4]
    held = [e["args"]["Total Allocated"] for e in events[edges[0]:edges[-1] + 1]]
    return (max(held) - held[0]) / 1e6


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "an unknown processor"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "an unknown processor")
