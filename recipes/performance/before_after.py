#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two builds of the program side by side: start-up, memory, a long recording, the chain by the clock. They take turns.

    before_after.py --before OLD/.venv/bin/spectrumencoder --after .venv/bin/spectrumencoder --out docs/results

The recordings are made here, of noise with a few carriers and bursts. Wall times and processor times are of whole processes,
peak memory is what the kernel reports. A figure is the median of its turns; a ratio, after / before, is of neighbours in time.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

RATE_HZ, CENTER_HZ = 2.4e6, 433.92e6
PYTHON_THREADS = ("anomaly_detector", "doma_tracker", "health", "run_probe", "main thread", "helper threads")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", required=True, help="the program of the old build")
    parser.add_argument("--after", required=True, help="the program of the new build")
    parser.add_argument("--model", default="base")
    parser.add_argument("--minutes", type=float, default=10.0, help="of the long recording")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pace", type=float, default=20e6, help="samples/s at which both builds run the chain by the clock")
    parser.add_argument("--pace-seconds", type=float, default=20.0)
    parser.add_argument("--only", default="short,long,jobs,paced", help="parts to run")
    parser.add_argument("--out", type=Path, required=True, help="folder for before_after.json and before_after.table.md")
    arguments = parser.parse_args()
    builds, parts = {"before": arguments.before, "after": arguments.after}, arguments.only.split(",")
    rows = Rows(arguments.out)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        short = write_recording(folder / "short", 0.05, seed=1)
        if "short" in parts:
            rows += compare("`run` on 0.05 s", {n: [p, "run", short] for n, p in builds.items()}, 4 * arguments.rounds + 1)
        if "long" in parts or "jobs" in parts:
            quiet = write_recording(folder / "calibration", 60.0, seed=2)
            model = folder / "band.safetensors"
            run([arguments.before, "calibrate", quiet, "--model", arguments.model, "--out", model, *boxes(arguments.before)])
            long = write_recording(folder / "long", 60.0 * arguments.minutes, seed=3)
        if "long" in parts:
            rows += compare(f"`run` on {arguments.minutes:g} min at 2.4 MS/s, `{arguments.model}`, calibrated",
                            {n: [p, "run", long, "--model", model, "--quiet", *boxes(p)] for n, p in builds.items()},
                            arguments.rounds)
            rows += compare(f"`run` on {arguments.minutes:g} min at 2.4 MS/s, `{arguments.model}`, general table",
                            {n: [p, "run", long, "--model", arguments.model, "--quiet", *boxes(p)] for n, p in builds.items()},
                            arguments.rounds)
        if "jobs" in parts:
            two = folder / "two"
            two.mkdir()
            for name in ("one", "other"):
                link(long, two / name)
            jobs = {f"--jobs {n}": [arguments.after, "run", two, "--model", model, "--quiet", "--jobs", n,
                                    *boxes(arguments.after)] for n in (1, 2)}
            rows += compare("`run` on two such recordings, `--jobs 2` after `--jobs 1`", jobs, arguments.rounds)
        if "paced" in parts:
            rows += paced(builds, arguments.model, arguments.pace, arguments.pace_seconds, arguments.rounds, folder)
    print(markdown(rows))
    return 0


def boxes(program: str) -> list[str]:
    """The words that ask a build for the detector boxes, which uses a calibrated model; none if it knows no other."""
    text = subprocess.run([program, "run", "--help"], check=True, capture_output=True, text=True).stdout
    return ["--detector", "boxes"] if "--detector" in text else []


class Rows(list):
    """Rows of the table; what there is, is on disk."""

    def __init__(self, folder: Path):
        super().__init__()
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def __iadd__(self, more):
        self.extend(more)
        (self.folder / "before_after.json").write_text(json.dumps(self, indent=1) + "\n")
        (self.folder / "before_after.table.md").write_text(markdown(self))
        return self


def compare(what: str, commands: dict[str, list], rounds: int) -> list[dict]:
    """Rows of wall seconds, processor seconds and peak MB of two commands that take turns."""
    before, after = commands
    runs = {name: [] for name in commands}
    for command in commands.values():
        run(command)  # warms caches
    for _ in range(rounds):
        for name, command in commands.items():
            runs[name].append(run(command))
    return [row(f"{what}: {figure}", [r[figure] for r in runs[before]], [r[figure] for r in runs[after]])
            for figure in ("wall s", "processor s", "peak MB")]


def paced(builds: dict, model: str, rate: float, seconds: float, rounds: int, folder: Path) -> list[dict]:
    """Rows of the chain by the clock, K = 16: processor time per frame, of all and of its parts."""
    figures = {name: [] for name in builds}
    for _ in range(rounds):
        for name, program in builds.items():
            file = folder / f"{name}.json"
            run([program, "bench", "pipeline", "--rate", rate, "--seconds", seconds, "--model", model, "--json", file])
            result = next(r for r in json.loads(file.read_text())["rows"] if r["average"] == 16)
            per_frame = 1e6 * result["seconds"] / result["frames"]
            figures[name].append({
                "skipped or lost": result["skipped"] + result["lost_samples"], "p99 ms": result["p99_ms"],
                "processor us per frame": 1e6 * result["cpu_s_per_s_of_signal"] * 16384 / rate,
                "detector us per frame": per_frame * result["threads"].get("anomaly_detector", 0.0),
                "detector and Python blocks, encoder apart, us per frame":
                    per_frame * sum(result["threads"].get(thread, 0.0) for thread in PYTHON_THREADS),
                "encoder block us per frame": per_frame * result["threads"].get("spectrum_encoder", 0.0)})
    what = f"`{model}` at {rate / 1e6:g} MS/s by the clock, K = 16"
    return [row(f"{what}: {figure}", [f[figure] for f in figures["before"]], [f[figure] for f in figures["after"]])
            for figure in figures["before"][0]]


def row(what: str, before: list[float], after: list[float]) -> dict:
    ratios = [a / b for a, b in zip(after, before, strict=True) if b]
    return {"what": what, "before": statistics.median(before), "after": statistics.median(after),
            "ratio": statistics.median(ratios) if ratios else None,
            "ratio_range": [min(ratios), max(ratios)] if ratios else None, "turns": len(before)}


def markdown(rows: list[dict]) -> str:
    lines = ["| what | before | after | after / before (range) |", "|---|---:|---:|---:|"]
    for r in rows:
        ratio = "" if r["ratio"] is None else f"{r['ratio']:.2f} ({r['ratio_range'][0]:.2f} to {r['ratio_range'][1]:.2f})"
        lines.append(f"| {r['what']} | {r['before']:.3g} | {r['after']:.3g} | {ratio} |")
    return "\n".join(lines) + "\n"


def run(command: list) -> dict:
    """Runs a command to its end: wall s, processor s (children included), peak MB (of the largest process)."""
    begin = time.monotonic()
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    error = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    wall_s = time.monotonic() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(map(str, command))} ended with {process.returncode}: {error.decode(errors='replace')[-400:]}")
    return {"wall s": wall_s, "processor s": used.ru_utime + used.ru_stime, "peak MB": used.ru_maxrss / 1024}


def write_recording(stem: Path, seconds: float, seed: int) -> Path:
    """Noise, three carriers, and bursts of three emitters at Poisson times, cu8; the same emitters for every seed."""
    rng, n, block = np.random.default_rng(seed), round(seconds * RATE_HZ), 1 << 20
    emitters = [(-0.31e6, 0.03, 2.0), (0.12e6, 0.08, 5.0), (0.52e6, 0.02, 1.0)]  # Hz, s of a burst, mean s between bursts
    bursts = [(hz, start, start + length) for hz, length, mean in emitters
              for start in np.cumsum(rng.exponential(mean, max(1, int(2 * seconds / mean)))) if start < seconds]
    with open(f"{stem}.sigmf-data", "wb") as file:
        for first in range(0, n, block):
            t = (first + np.arange(min(block, n - first))) / RATE_HZ
            iq = 8.0 * rng.standard_normal((len(t), 2), np.float32).view(np.complex64)[:, 0]
            for hz in (-0.9e6, 0.25e6, 0.8e6):
                iq += 1.5 * np.exp(2j * np.pi * np.mod(hz * t, 1.0))
            for hz, start, stop in bursts:
                on = slice(*np.searchsorted(t, (start, stop)))
                if on.start < on.stop:
                    iq[on] += 4.0 * np.exp(2j * np.pi * np.mod(hz * t[on], 1.0))
            samples = iq.view(np.float32) if iq.dtype == np.complex64 else iq.astype(np.complex64).view(np.float32)
            np.clip(np.round(samples + 127.5), 0, 255).astype(np.uint8).tofile(file)
    meta = {"global": {"core:datatype": "cu8", "core:sample_rate": RATE_HZ, "core:version": "1.2.0"},
            "captures": [{"core:sample_start": 0, "core:frequency": CENTER_HZ}], "annotations": []}
    Path(f"{stem}.sigmf-meta").write_text(json.dumps(meta))
    return Path(f"{stem}.sigmf-meta")


def link(meta: Path, stem: Path):
    """The same recording under another name."""
    Path(f"{stem}.sigmf-meta").write_text(meta.read_text())
    Path(f"{stem}.sigmf-data").symlink_to(meta.with_suffix(".sigmf-data"))


if __name__ == "__main__":
    sys.exit(main())
