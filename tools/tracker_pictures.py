# SPDX-License-Identifier: GPL-3.0-or-later
"""The pictures of the tracker's page, from simulated targets: tools/tracker_pictures.py --out docs/pictures."""

import argparse
from pathlib import Path

import matplotlib
import numpy as np
from gnuradio.spectrumencoder import keys
from gnuradio.spectrumencoder.display.track_picture import draw_emissions, draw_map
from gnuradio.spectrumencoder.tracker.doma import DomaTracker

matplotlib.use("Agg")
from matplotlib import pyplot  # the backend comes first

SIGMA_M = 50.0
LIGHT_MPS = 299_792_458.0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    draw_positions(out / "doma_tracker.png")
    draw_spectrum(out / "doma_tracker_spectral.png")


def save(figure, path: Path):
    figure.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(figure)


def targets(seconds: float) -> dict[str, np.ndarray]:
    """Three aircraft abreast, and one that turns at 2 degrees a second after a minute."""
    places = {f"formation {k + 1}": np.array([180.0 * seconds, 1500.0 * k + 0.15 * max(seconds - 30, 0)**2]) for k in range(3)}
    turned = np.radians(2.0) * max(seconds - 60, 0)
    straight = min(seconds, 60.0) * 150.0
    radius = 150.0 / np.radians(2.0)
    places["turning"] = np.array([straight + radius * np.sin(turned), -6000.0 + radius * (1 - np.cos(turned))])
    return places


def draw_positions(path: Path):
    rng = np.random.default_rng(3)
    tracker, messages, reports = DomaTracker(position_error_m=SIGMA_M, horizons_s=(5.0, 10.0, 30.0)), [], []
    for second in range(100):
        for identity, place in targets(float(second)).items():
            heard = place + rng.normal(0, SIGMA_M, 2)
            reports.append(heard)
            tracker.report({keys.TIMESTAMP: 1.7e9 + second, keys.POSITION_M: heard.tolist(), keys.IDENTITY: identity})
        messages += tracker.messages()
    tracker.flush()
    messages += tracker.messages(everything=True)
    figure, axes = pyplot.subplots(figsize=(10, 5.2), layout="constrained")
    axes.plot(*(np.array(reports).T / 1e3), ".", ms=2, color="0.6", zorder=0)
    draw_map(axes, messages)
    axes.set_title("Positions with 50 m of noise: tracks, and where each is expected 5, 10 and 30 s ahead (90 %)")
    axes.legend(loc="upper left")
    save(figure, path)


def satellite_hz(seconds: float) -> float:
    along = 7600.0 * (seconds - 300.0)
    return 437.05e6 * (1 - along * 7600.0 / np.hypot(along, 600e3) / LIGHT_MPS)


def draw_spectrum(path: Path):
    """A satellite's pass, an oscillator that drifts and a hopper, as a classifier would report them, over a level picture."""
    rng, tracker, messages = np.random.default_rng(4), DomaTracker(horizons_s=(10.0, 30.0, 60.0), interval_s=2.0), []
    start_s, edges = 1.7e9, np.linspace(437.0e6, 437.1e6, 401)
    level = rng.gamma(4.0, 0.25, (1300, 400))
    for row, second in enumerate(0.4 * np.arange(1300)):
        emissions = [(satellite_hz(second), 2.5e3, 8.0), (437.018e6 + 9.0 * second, 1e3, 12.0)]
        if second > 200:
            emissions.append((437.078e6 + 2e3 * rng.integers(6), 1e3, 9.0))
        for frequency, width, power in emissions:
            level[row] += power * ((edges[:-1] < frequency + width / 2) & (edges[1:] > frequency - width / 2))
            tracker.report({keys.TIMESTAMP: start_s + second, keys.FREQ_CENTER_HZ: frequency + rng.normal(0, 0.1 * width),
                            keys.BANDWIDTH_HZ: width, keys.POWER_DBFS: -60.0 + power})
        messages += tracker.messages()
    figure, axes = pyplot.subplots(figsize=(10, 5.2), layout="constrained")
    axes.imshow(10 * np.log10(level), extent=(437.0, 437.1, 520, 0), aspect="auto", cmap="gray_r", vmin=-3, vmax=18)
    draw_emissions(axes, messages, start_s)
    axes.set(xlabel="frequency (MHz)", ylabel="time (s)", xlim=(437.0, 437.1), ylim=(585, 0),
             title="Emissions: tracks, their predictions up to 60 s ahead (dashed), and a hop set (dotted)")
    save(figure, path)


if __name__ == "__main__":
    main()
