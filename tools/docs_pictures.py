# SPDX-License-Identifier: GPL-3.0-or-later
"""The pictures of the block pages, from the bundled scene: tools/docs_pictures.py --model CALIBRATED --out docs/pictures.

The calibrated model is demo/model.safetensors: `make demo`, then `spectrumencoder calibrate demo/clean.sigmf-meta
--detector boxes --pfa 0.005 --out demo/model.safetensors`.
"""

import argparse
from pathlib import Path

import matplotlib
import numpy as np
from gnuradio.spectrumencoder.detector.detector import Detector
from gnuradio.spectrumencoder.detector.events import Segment
from gnuradio.spectrumencoder.encoder.engine import Engine
from gnuradio.spectrumencoder.encoder.model_file import find_model, load
from gnuradio.spectrumencoder.recordings import open_recording
from gnuradio.spectrumencoder.tokens.tokenize import tokenize

matplotlib.use("Agg")
from matplotlib import pyplot  # the backend comes first

SCENE = Path(__file__).resolve().parent.parent / "examples" / "recordings" / "demo_scene.sigmf-meta"
SHOWN = 34  # frame in which the injected signal is on
FALSE_ALARM_RATE = 0.005


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo/model.safetensors", help="a model calibrated on the scene's band")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    recording = open_recording(SCENE)
    center = recording.captures[0].frequency_hz
    frames = tokenize(recording.read(0, recording.n_samples), recording.samp_rate, center_freq=center)
    model = load(find_model(arguments.model))
    encoded = Engine(model).encode(frames.items, "ism")
    draw_tokenizer(frames, arguments.out / "fft_tokenizer.png")
    draw_encoder(frames, encoded, arguments.out / "spectrum_encoder.png")
    draw_detector(frames, encoded, model, center, arguments.out / "anomaly_detector.png")


def save(figure, path: Path):
    figure.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(figure)


def draw_tokenizer(frames, path: Path):
    """One frame as the block gives it: levels over the floor, max-hold, spread."""
    tokens, side = frames.layout.split(frames.items)
    megahertz = frames.frequencies_hz() / 1e6
    places = megahertz[::frames.layout.stride]
    figure, (upper, lower) = pyplot.subplots(2, 1, figsize=(10, 5.2), sharex=True, height_ratios=(2, 1), layout="constrained")
    upper.plot(megahertz, tokens[SHOWN, :, :-2].reshape(-1), lw=0.8, label="mean of 16 spectra, per bin")
    upper.step(places, tokens[SHOWN, :, -2], where="post", lw=1.0, label="max-hold, per token")
    upper.axhline(0, color="black", lw=0.6, label=f"noise floor, {side[SHOWN, 0]:.1f} dBFS")
    upper.set(ylabel="dB over the floor", title="One frame: 128 tokens of 8 bins")
    upper.legend(loc="upper left")
    lower.step(places, tokens[SHOWN, :, -1], where="post", lw=0.9)
    lower.set(xlabel="frequency (MHz)", ylabel="spread\n(sigma / mean)")
    save(figure, path)


def draw_encoder(frames, encoded, path: Path):
    """Level, reconstruction and residual of one frame."""
    megahertz = frames.frequencies_hz() / 1e6
    figure, (upper, lower) = pyplot.subplots(2, 1, figsize=(10, 5.2), sharex=True, height_ratios=(2, 1), layout="constrained")
    upper.plot(megahertz, frames.psd[SHOWN], lw=0.8, label="psd")
    upper.plot(megahertz, encoded.reconstruction[SHOWN], lw=1.2, label="reconstruction, through 96 floats")
    upper.set(ylabel="dBFS per bin", title="What came and what was expected")
    upper.legend(loc="upper left")
    lower.plot(megahertz, encoded.residual[SHOWN], lw=0.7, color="tab:red")
    lower.set(xlabel="frequency (MHz)", ylabel="residual (sigma)")
    save(figure, path)


def draw_detector(frames, encoded, model, center: float, path: Path):
    """Score of each frame, threshold and events."""
    hop = frames.frame_hop
    segment = Segment(rx_freq=center, rx_rate=frames.samp_rate, band="ism", frame_hop=hop, frame_average=16)
    detector = Detector.from_model(model, false_alarm_rate=FALSE_ALARM_RATE)
    result = detector.process(frames.psd, encoded.residual, encoded.features, frames.frame_start, segment)
    events = [e.fields for e in (*result.emitted, *detector.flush()) if e.fields["state"] == "close"]
    seconds = frames.frame_start / frames.samp_rate
    figure, (upper, lower) = pyplot.subplots(2, 1, figsize=(10, 5.2), sharex=True, height_ratios=(2, 1), layout="constrained")
    upper.plot(seconds, result.scores, ".-", lw=0.8, label="score")
    table = next(t for k, t in detector.tables.items() if "/ism/" in k)
    upper.axhline(table.threshold(FALSE_ALARM_RATE), color="black", ls="--", lw=0.8,
                  label=f"threshold for a false-alarm rate of {100 * FALSE_ALARM_RATE:g} %")
    for number, event in enumerate(events):
        start, count = event["sample_start"], event["sample_count"]
        upper.axvspan(start / frames.samp_rate, (start + count) / frames.samp_rate, color="tab:orange", alpha=0.25,
                      label="event" if number == 0 else None)
    upper.set(ylabel="score", title="Frames of the bundled scene; one signal was injected")
    upper.legend(loc="upper left")
    lower.semilogy(seconds, np.maximum(result.p_values, 1e-5), ".", ms=4)
    lower.axhline(FALSE_ALARM_RATE, color="black", ls="--", lw=0.8)
    lower.set(xlabel="time (s)", ylabel="p-value")
    save(figure, path)


if __name__ == "__main__":
    main()
