# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws the first sweep of a file of `run --sweeps`, for docs/pictures: draw_sweep.py SWEEPS.jsonl OUT.png"""

import json
import sys

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from gnuradio.spectrumencoder.scan.scan_plan import ScanPlan


def main(sweeps: str, out: str):
    with open(sweeps, encoding="utf-8") as file:
        sweep = json.loads(file.readline())
    row, width = np.array(sweep["power_dbfs"]), sweep["bin_width_hz"]
    mhz = (sweep["freq_start_hz"] + np.arange(len(row)) * width) / 1e6
    plan = ScanPlan([(sweep["freq_start_hz"], sweep["freq_start_hz"] + (len(row) - 1) * width)], 1024 * width, 1024).plans[0]
    figure, axes = plt.subplots(figsize=(9, 3), layout="constrained")
    for left, right in zip(plan.centers, plan.centers[1:], strict=False):
        axes.axvline(plan.frequency_hz((left + right) / 2) / 1e6, color="0.85", linewidth=1)
    axes.plot(mhz, row, linewidth=0.6)
    axes.set(xlabel="frequency (MHz)", ylabel="power (dBFS per bin)", xlim=(mhz[0], mhz[-1]))
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    main(*sys.argv[1:3])
