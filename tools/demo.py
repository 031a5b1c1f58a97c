# SPDX-License-Identifier: GPL-3.0-or-later
"""`make demo`: learns a simulated band from a clean recording, runs the bundled one, and compares events with the truth.

Leaves demo.band, events.jsonl, demo_scene-events.sigmf-meta and spectrum.png in --out. Exits 1 if the anomaly
was not found within 2 bins and 2 frames of its true place.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

PROGRAM = Path(sys.executable).parent / "spectrumencoder"
FFT_SIZE, AVERAGE = 1024, 16
CLEAN_SECONDS, CLEAN_NOISE_SEED = 20.0, 1001
MAX_BINS = MAX_FRAMES = 2.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recording", type=Path, required=True, help="the bundled .sigmf-meta")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    arguments = parser.parse_args()
    out, begun = arguments.out, time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    truth = json.loads(arguments.recording.with_suffix(".truth.json").read_text())

    print("1/3 a clean recording of the same band: other traffic, other noise, no anomaly")
    spectrumencoder("dataset", "synth", "--out", out / "clean", "--seed", truth["seed"], "--noise-seed", CLEAN_NOISE_SEED,
                    "--anomaly", "none", "--seconds", CLEAN_SECONDS)
    print("2/3 learn the emitters on it")
    spectrumencoder("calibrate", out / "clean.sigmf-meta", "--model", "base", "--out", out / "demo.band")
    print(f"3/3 run {arguments.recording}")
    events = out / "events.jsonl"
    spectrumencoder("run", arguments.recording, "--band-file", out / "demo.band", "--events", events,
                    "--plot", out / "spectrum.png", f"--annotate={out / 'demo_scene-events.sigmf-meta'}")
    found, line = compare(truth, events.read_text().splitlines())
    print(f"{line} ({time.monotonic() - begun:.0f} s; see {events}, {out / 'spectrum.png'})")
    return 0 if found else 1


def spectrumencoder(*arguments):
    """Runs the program as a user would; ends this one with its status when it fails."""
    done = subprocess.run([PROGRAM, *map(str, arguments)], check=False)
    if done.returncode:
        sys.exit(done.returncode)


def compare(truth: dict, lines: list[str]) -> tuple[bool, str]:
    """True if one of the events is the injected anomaly, and a line that states it.

    Args:
        truth: the truth file's content. lines: the events, one JSON object each; the last line of an event counts.
    """
    (anomaly,) = truth["anomalies"]
    events = {event["event_id"]: event for event in map(json.loads, lines)}
    bin_hz, frame = truth["samp_rate"] / FFT_SIZE, FFT_SIZE * AVERAGE
    errors = [(abs(event["freq_center_hz"] - anomaly["freq_center_hz"]) / bin_hz,
               abs(event["sample_start"] - anomaly["sample_start"]) / frame,
               abs(_stop(event) - _stop(anomaly)) / frame) for event in events.values()]
    where = f"{anomaly['freq_center_hz'] / 1e6:.4f} MHz, {anomaly['sample_start'] / truth['samp_rate']:.3f} s"
    if not errors:
        return False, f"MISSED: no event at all; the anomaly is at {where}"
    bins, start, stop = min(errors, key=max)
    others = f", {len(events) - 1} other event{'s' * (len(events) != 2)}" if len(events) > 1 else ""
    figures = f"{bins:.1f} bins, start {start:.1f} and end {stop:.1f} frames off{others}"
    if bins <= MAX_BINS and start <= MAX_FRAMES and stop <= MAX_FRAMES:
        return True, f"FOUND the injected anomaly at {where}: {figures}"
    return False, f"MISSED the injected anomaly at {where}: the nearest event is {figures}"


def _stop(stretch: dict) -> int:
    return stretch["sample_start"] + stretch["sample_count"]


if __name__ == "__main__":
    sys.exit(main())
