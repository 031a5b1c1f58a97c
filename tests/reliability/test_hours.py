# SPDX-License-Identifier: GPL-3.0-or-later
"""Hours of a watch, played faster than they pass: memory stays flat, files rotate, latency does not drift.

SPECTRUMENCODER_SOAK_HOURS is their number, 2 if it is not set. The test radio plays them without a pace, as fast as the chain
takes them. All that a night's watch writes is written.
"""

import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

SCRIPT = os.path.join(os.path.dirname(sys.executable), "spectrumencoder")
HOURS = float(os.environ.get("SPECTRUMENCODER_SOAK_HOURS", "2"))
RATE, FREQ, AVERAGE = 62.5e3, 433.92e6, 32
FRAME = AVERAGE * 1024  # samples
EVENTS_MAX_MB, SNIPPETS_MAX_MB = 0.1, 5.0
KEPT_FILES = 10  # FILE and FILE.1 to FILE.9
GROWTH_MIB = 16


def scene(folder: Path, hours: float) -> Path:
    """Three sensors that belong, eight emitters that come back, and a stranger every few minutes."""
    draw = random.Random(8)
    emitters = [{"type": "tone", "freq_hz": 433.92e6 + offset, "power_dbfs": -45, "period_s": period, "on_s": 0.1}
                for offset, period in ((-3e3, 0.9), (11e3, 2.3), (20e3, 5.1))]
    emitters += [{"type": "tone", "freq_hz": 433.92e6 + 1.5e3 * number - 25e3, "power_dbfs": -50 + number,
                  "start_s": 200 + 50 * number, "period_s": 130 + 41 * number, "on_s": 4 + number} for number in range(8)]
    begin = 300.0
    while begin < 3600 * hours:
        last = draw.uniform(1, 90)
        emitters.append({"type": "tone", "freq_hz": 433.92e6 + draw.uniform(-13e3, 27e3), "power_dbfs": draw.uniform(-60, -40),
                         "start_s": begin, "stop_s": begin + last})
        begin += draw.uniform(60, 300)
    path = folder / "scene.json"
    path.write_text(json.dumps({"noise_dbfs_hz": -130, "emitters": emitters}))
    return path


def free_port() -> int:
    import socket
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def figures(port: int) -> dict[str, float]:
    """What --metrics says: frames, skipped_frames, p50 and p99 of the latency (s)."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as reply:
        text = reply.read().decode()
    found = dict(re.findall(r"^spectrumencoder_(\w+)_total{[^}]*} (\S+)$", text, re.MULTILINE))
    found |= {f"p{float(q) * 100:.0f}": value for q, value in re.findall(r'quantile="([\d.]+)"} (\S+)$', text, re.MULTILINE)}
    return {key: float(value) for key, value in found.items()}


def resident_mib_and_cpu_s(pid: int) -> tuple[float, float]:
    status = Path(f"/proc/{pid}/status").read_text()
    ticks = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024, sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def watch(process, port: int, out) -> list[dict]:
    """A row a second while the process lives: hour of signal, memory (MiB), processor time (s), latencies (s)."""
    rows = []
    while process.poll() is None:
        time.sleep(1.0)
        try:
            resident, cpu_s = resident_mib_and_cpu_s(process.pid)
            row = {"resident": resident, "cpu_s": cpu_s} | figures(port)
            row["hour"] = row["frames"] * FRAME / RATE / 3600
        except (OSError, IndexError, TypeError, KeyError):  # it has not begun, or has ended
            continue
        rows.append(row)
        print(json.dumps(row), file=out, flush=True)
    return rows


def of_hours(rows, low, high, key):
    return [row[key] for row in rows if low <= row["hour"] < high and key in row]


def cpu_s_of(rows, low, high) -> float:
    """Processor time that an hour of signal costs, s."""
    cpu, hour = of_hours(rows, low, high, "cpu_s"), of_hours(rows, low, high, "hour")
    return (cpu[-1] - cpu[0]) / (hour[-1] - hour[0])


def lines_of(path: Path) -> list[dict]:
    text = path.read_text()
    assert not text or text.endswith("\n"), path
    return [json.loads(line) for line in text.splitlines()]


def run_hours(folder: Path, hours: float) -> tuple[list[dict], dict]:
    """Runs them. Rows of ``watch``, and the summary of --json."""
    port = free_port()
    radio = f"soapy:driver=spectrumtest,pace=0,scene={scene(folder, hours)}"
    command = [SCRIPT, "run", radio, "--freq", str(FREQ), "--rate", str(RATE), "--average", str(AVERAGE), "--learn", "120",
               "--duration", str(round(3600 * hours)), "--silence", "120",  # a shared machine may stand still
               "--events", folder / "events.jsonl", "--events-max", str(EVENTS_MAX_MB), "--signals", folder / "signals.jsonl",
               "--tracks", folder / "tracks.jsonl", "--snippets", folder / "snippets", "--snippets-max", str(SNIPPETS_MAX_MB),
               "--band-file", folder / "my.band", "--metrics", f"127.0.0.1:{port}", "--zmq", f"ipc://{folder}/zmq", "--stats",
               "--json", folder / "summary.json"]
    with open(folder / "said.txt", "w") as said:
        process = subprocess.Popen(list(map(str, command)), stdout=said, stderr=said)
        killer = threading.Timer(3600 * hours / 4, process.kill)  # four times faster than it passes, or it is a failure
        killer.start()
        try:
            with open(folder / "rows.jsonl", "w") as out:
                rows = watch(process, port, out)
        finally:
            killer.cancel()
            process.send_signal(signal.SIGKILL)
    assert process.wait() == 0, (folder / "said.txt").read_text()[-2000:]
    return rows, json.loads((folder / "summary.json").read_text())


def check_files(folder: Path) -> None:
    """Whole lines in files that rotated, and no more IQ than asked for."""
    files = sorted(folder.glob("events.jsonl*"))
    assert 2 <= len(files) <= KEPT_FILES, files
    for path in files:
        assert lines_of(path) and path.stat().st_size <= 1e6 * EVENTS_MAX_MB
    assert lines_of(folder / "signals.jsonl") and lines_of(folder / "tracks.jsonl")
    data = list((folder / "snippets").glob("*.sigmf-data"))
    assert data and sum(path.stat().st_size for path in data) <= 1e6 * SNIPPETS_MAX_MB
    for path in data:
        meta = json.loads(path.with_suffix(".sigmf-meta").read_text())
        assert meta["global"]["core:sample_rate"] == RATE and path.stat().st_size % 8 == 0


@pytest.mark.soak
@pytest.mark.timeout(4 * 3600)
def test_hours_of_a_watch_are_flat(tmp_path):
    rows, summary = run_hours(tmp_path, HOURS)
    first = rows[0]["hour"] + 1 if HOURS > 1.5 else HOURS / 2
    settled = of_hours(rows, first, HOURS + 1, "resident")
    middle, last = (first, first + (HOURS - first) / 2), (HOURS - (HOURS - first) / 2, HOURS + 1)
    seen = {"hours": summary["recordings"][0]["seconds"] / 3600, "wall_s": summary["recordings"][0]["wall_s"],
            "events": summary["events"], "alerts": summary["alerts"], "skipped": rows[-1]["skipped_frames"],
            "resident_mib": [settled[0], min(settled), max(settled), settled[-1]],
            "p50_ms": [1e3 * statistics.median(of_hours(rows, *part, "p50")) for part in (middle, last)],
            "p99_ms": [1e3 * statistics.median(of_hours(rows, *part, "p99")) for part in (middle, last)],
            "cpu_s_per_hour": [cpu_s_of(rows, *part) for part in (middle, last)]}
    print(json.dumps(seen))
    check_files(tmp_path)
    assert seen["hours"] >= 0.999 * HOURS and summary["events"] > 5 * HOURS
    assert settled[-1] - settled[0] < GROWTH_MIB and max(settled) - settled[0] < GROWTH_MIB, seen
    assert seen["cpu_s_per_hour"][1] < 1.25 * seen["cpu_s_per_hour"][0], seen
    assert seen["p50_ms"][1] < 2 * seen["p50_ms"][0] + 100, seen  # a shared machine: they follow its load
