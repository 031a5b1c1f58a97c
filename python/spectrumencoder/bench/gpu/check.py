# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the parts, each in a process under its own time limit, and keeps one JSON and one log up to date.

A part that hangs, fails or is killed costs its own results after its last note, and nothing else. The JSON is written after each
part, so it holds what is known if the whole run is cut off.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

import torch

from ...measure.machine import head
from . import goals
from .device import facts
from .part import PartSettings, write_json

LIMITS_S = {"parity": 55.0, "attention": 20.0, "speed": 60.0, "streaming": 40.0, "training": 115.0, "memory": 15.0,
            "compiled": 45.0}
TOTAL_S = 350.0
SMALL_FACTOR = 10.0  # limits of a small run: the host of a test may be busy
DONE, FAILED, TIMED_OUT, NOT_RUN = "done", "failed", "timed out", "not run"
_MIN_S = 5.0  # a part with less time than this is not started


def check(out: Path, *, recipe: Path, device: str = "auto", small: bool = False, parts: Iterable[str] = tuple(LIMITS_S),
          total_s: float = TOTAL_S, shards: Path | None = None, say: Callable[[str], object] = lambda text: None) -> dict:
    """Run the parts.

    Args:
        out: folder for the JSON (gpu_DEVICE.json), the log (gpu_DEVICE.log) and the parts' own files.
        recipe: the training's configuration, recipes/train/base.toml.
        device: auto | cpu | cuda[:n]; auto takes CUDA if PyTorch sees a device.
        small: sizes for a test on a CPU.
        total_s: seconds for all parts.
        shards: folder of prepared training shards, or None.
        say: called with a line about each part.

    Returns:
        head; `device`: its facts; `parts`: name -> state, seconds, limit_s, reason and result; `goals`.

    Raises:
        ValueError: there is no such part, device or recipe.
    """
    unknown = set(parts) - set(LIMITS_S)
    if unknown:
        raise ValueError(f"parts {', '.join(sorted(unknown))} do not exist; there are {', '.join(LIMITS_S)}")
    if not recipe.is_file():
        raise ValueError(f"there is no recipe {recipe}; give recipes/train/base.toml")
    device = _device(device)
    result = head("gpu", {"device": device, "small": small, "total_s": total_s, "shards": shards is not None})
    result |= {"device": facts(torch.device(device)), "parts": {name: {"state": NOT_RUN} for name in parts}}
    out.mkdir(parents=True, exist_ok=True)
    stem = "gpu_" + re.sub(r"\W+", "_", result["device"]["name"]).strip("_")
    log = (out / f"{stem}.log").resolve()
    log.write_text("")
    ends_at = time.time() + total_s
    for name in parts:
        left_s = ends_at - time.time()
        row = {"state": NOT_RUN, "reason": f"{left_s:.0f} s of {total_s:g} s were left"}
        if left_s >= _MIN_S:
            limit_s = min(LIMITS_S[name] * (SMALL_FACTOR if small else 1.0), left_s)
            row = _run(name, out, log, device, small, limit_s, recipe, shards)
        result["parts"][name] = row
        result["goals"] = goals.judge(result["parts"], on_gpu=device != "cpu")
        write_json(out / f"{stem}.json", result)
        say(f"{name}: {row['state']}" + (f" after {row['seconds']:.1f} s" if "seconds" in row else "")
            + (f" ({row['reason']})" if row.get("reason") else ""))
    return result


def _device(name: str) -> str:
    """cpu, cuda or cuda:n.

    Raises:
        ValueError: PyTorch has no such device.
    """
    from ...encoder.pytorch import choose_device
    return choose_device(name)


def _run(name: str, out: Path, log: Path, device: str, small: bool, limit_s: float, recipe: Path,
         shards: Path | None) -> dict:
    """Run one part in a process group of its own, and kill the group when the limit is over."""
    settings = PartSettings(device, small, limit_s, time.time() + limit_s, str(recipe.resolve()),
                            str(shards.resolve()) if shards else "")
    settings_file, result_file = (out / f"part_{name}{end}.json" for end in ("_settings", ""))
    write_json(settings_file, asdict(settings))
    result_file.unlink(missing_ok=True)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "PYTHONUNBUFFERED": "1"}
    began = time.monotonic()
    with open(log, "a") as file:
        print(f"== {name}", file=file, flush=True)
        process = subprocess.Popen([sys.executable, "-m", f"{__package__}.part", name, str(settings_file), str(result_file)],
                                   stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environment, start_new_session=True)
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(process)
    row = {"state": DONE if code == 0 else TIMED_OUT if code is None else FAILED, "seconds": round(time.monotonic() - began, 2),
           "limit_s": round(limit_s, 1)}
    if code is None:
        row["reason"] = f"over its limit of {limit_s:.0f} s; what it noted before is there"
    elif code:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        row["reason"] = f"it ended with {code}: {lines[-1][:300]}"
    row["result"] = json.loads(result_file.read_text()) if result_file.exists() else {}
    for file in (settings_file, result_file):
        file.unlink(missing_ok=True)
    return row


def _end(process: subprocess.Popen) -> None:
    """Kill what is left of the process group: the part, and compilers that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
