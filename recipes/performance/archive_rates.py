#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rates of an archive: one process on one core, then two on two, over the same recordings. docs/archives.md has the figures.

    recipes/performance/archive_rates.py --program .venv/bin/spectrumencoder --folder /tmp/archive_rates
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from before_after import RATE_HZ, write_recording


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default=".venv/bin/spectrumencoder")
    parser.add_argument("--folder", type=Path, required=True, help="for the recordings and reports; it is made")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each recording")
    parser.add_argument("--recordings", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    recordings = chosen.folder / "in"
    recordings.mkdir(parents=True, exist_ok=True)
    first = write_recording(recordings / "r0", chosen.seconds, seed=1)
    for number in range(1, chosen.recordings):
        for suffix in (".sigmf-data", ".sigmf-meta"):
            shutil.copy(first.with_suffix(suffix), recordings / f"r{number}{suffix}")
    rows = [run(chosen, jobs) for _ in range(chosen.rounds) for jobs in (1, 2)]
    for row in rows:
        print(json.dumps(row))
    wall, processor = ({jobs: statistics.median(row[key] for row in rows if row["jobs"] == jobs) for jobs in (1, 2)}
                       for key in ("wall s", "processor s"))
    samples = chosen.recordings * chosen.seconds * RATE_HZ
    print(json.dumps({"samples": samples, "median wall s": wall, "median processor s": processor,
                      "scaling of the wall": wall[1] / wall[2],
                      "processor time of 2 jobs over 1": processor[2] / processor[1],
                      "MS/s for a second of processor": samples / processor[1] / 1e6, "load": os.getloadavg()}))


def run(chosen, jobs: int) -> dict:
    """Runs all recordings afresh, `jobs` at a time, on that many cores; wall and processor time, s."""
    out = chosen.folder / f"out{jobs}"
    shutil.rmtree(out, ignore_errors=True)
    command = ["taskset", "-c", ",".join(map(str, range(jobs))), chosen.program, "run", str(chosen.folder / "in"), "--learn", "5",
               "--report", str(out), "--jobs", str(jobs), "--quiet"]
    began = time.monotonic()
    process = subprocess.Popen(command)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    return {"jobs": jobs, "wall s": round(time.monotonic() - began, 2), "processor s": round(used.ru_utime + used.ru_stime, 2),
            "load": os.getloadavg()[0]}


if __name__ == "__main__":
    main()
