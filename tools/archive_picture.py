#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws docs/pictures/archive_report.png: the page of a report over simulated recordings, in Debian's Chromium."""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = ROOT / ".venv" / "bin" / "spectrumencoder"
SCENES = (("scene_7", 7, "scont", "14"), ("scene_8", 8, "hopper", "20"), ("scene_9", 9, "none", "0"),
          ("scene_10", 10, "chirp", "20"))


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        recordings, report = Path(folder) / "868_MHz", Path(folder) / "report"
        recordings.mkdir()
        for name, seed, anomaly, inr in SCENES:
            subprocess.run([PROGRAM, "dataset", "synth", "--out", recordings / name, "--seed", str(seed), "--anomaly",
                            anomaly, *(("--inr", inr) if anomaly != "none" else ())], check=True, stdout=subprocess.DEVNULL)
        (recordings / "scene_11.sigmf-meta").write_text('{"global": {')
        subprocess.run([PROGRAM, "run", recordings.name, "--report", report, "--quiet"], cwd=folder)
        picture = ROOT / "docs" / "pictures" / "archive_report.png"
        return subprocess.run(["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                               "--window-size=1150,960", f"--screenshot={picture}", f"file://{report}/index.html"],
                              stderr=subprocess.DEVNULL).returncode


if __name__ == "__main__":
    sys.exit(main())
