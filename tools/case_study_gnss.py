# SPDX-License-Identifier: GPL-3.0-or-later
"""The page docs/case_study_gnss.md: a simulated spoofer over a real GPS L1 recording, from flowgraph to message.

tools/case_study_gnss.py --recording GPS-L1.sigmf-meta --work FOLDER --docs docs

The recording must be half a second or longer. Its first part calibrates. In the rest the spoofer of ``simulate`` starts: a
second constellation, stronger by a given number of dB than an authentic one, which is assumed 20 dB below the noise.
"""

import argparse
import json
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import matplotlib
import numpy as np
from gnuradio.spectrumencoder import keys
from gnuradio.spectrumencoder.detector.detector import Detector
from gnuradio.spectrumencoder.detector.events import OPEN, Segment
from gnuradio.spectrumencoder.encoder.engine import Engine
from gnuradio.spectrumencoder.recordings import Recording, open_recording
from gnuradio.spectrumencoder.recordings.sigmf_writer import write_recording
from gnuradio.spectrumencoder.simulate.anomaly_draws import draw_anomaly
from gnuradio.spectrumencoder.simulate.anomaly_rendering import apply_anomaly
from gnuradio.spectrumencoder.simulate.signal import power_spectrum
from gnuradio.spectrumencoder.tokens.tokenize import tokenize

matplotlib.use("Agg")
from matplotlib import pyplot  # the backend comes first

PROGRAM = Path(sys.executable).parent / "spectrumencoder"
AVERAGE, N_CALIBRATION, ONSET = 2, 640, 112  # frames; the onset counts from the end of the calibration
LEVELS_DB, SEEDS, SHOWN_DB = (0, 3, 6, 10, 13, 16, 20), range(5), 20
EVENT_RATES = (1.0, 1000.0)  # false events an hour
SHOWN_FIELDS = (keys.SAMPLE_START, keys.SAMPLE_COUNT, keys.FREQ_CENTER_HZ, keys.BANDWIDTH_HZ, keys.POWER_DBFS, keys.SNR_DB,
                keys.ANOMALY_SCORE, keys.P_VALUE, keys.THREAT_LEVEL, keys.ANALYSIS_TYPE, keys.POSSIBLE_THREATS, keys.LABEL,
                keys.CONFIDENCE, keys.BAND)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recording", type=Path, required=True, help="the .sigmf-meta of a GPS L1 recording")
    parser.add_argument("--work", type=Path, required=True, help="folder for recordings, model and events")
    parser.add_argument("--docs", type=Path, required=True, help="folder for case_study_gnss.md and its picture")
    arguments = parser.parse_args()
    work = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    recording = open_recording(arguments.recording)
    iq, rate, freq = recording.read(0, recording.n_samples), recording.samp_rate, recording.frequency_hz
    hop = AVERAGE * 1024
    usual, rest = iq[:N_CALIBRATION * hop], iq[N_CALIBRATION * hop:]

    def spoofed(level_db: float, seed: int):
        plan = draw_anomaly(np.random.default_rng(seed), "spoof", power_spectrum(usual, 1024), rate, len(rest), level_db=level_db,
                            sample_start=ONSET * hop, sample_count=len(rest) - ONSET * hop)
        return apply_anomaly(rest, rate, plan, center_freq_hz=freq)

    write_recording(work / "genuine", usual, rate, "cf32_le", center_freq_hz=freq, description="First part, as recorded.")
    made, truth = spoofed(SHOWN_DB, 0)
    write_recording(work / "spoofed", made, rate, "cf32_le", center_freq_hz=freq, annotations=[t.as_annotation() for t in truth],
                    description=f"Recorded, with a simulated spoofer {SHOWN_DB} dB over the authentic signals.")
    boxes = ["--detector", "boxes"]
    commands = [["calibrate", "genuine.sigmf-meta", *boxes, "--model", "base", "--average", AVERAGE, "--out", "gps.safetensors"],
                ["run", "spoofed.sigmf-meta", *boxes, "--model", "gps.safetensors", "--average", AVERAGE,
                 "--events", "events.jsonl", "--plot", "spectrum.png", "--quiet"]]
    said = [subprocess.run([PROGRAM, *map(str, command)], cwd=work, check=True, capture_output=True, text=True).stdout
            for command in commands]
    events = {}
    for line in (work / "events.jsonl").read_text().splitlines():
        events[json.loads(line)[keys.EVENT_ID]] = json.loads(line)
    event = max(events.values(), key=lambda e: e[keys.ANOMALY_SCORE])

    engine = Engine(str(work / "gps.safetensors"), pad_batch=64)
    segment = Segment(freq, rate, "gnss", hop, AVERAGE)

    def judged(samples: np.ndarray, false_events_per_hour: float):
        frames = tokenize(samples, rate, average=AVERAGE, center_freq=freq, flush=False)
        encoded = engine.encode(frames.items, segment.band)
        detector = Detector.from_model(engine.file, false_events_per_hour=false_events_per_hour)
        result = detector.process(frames.psd, encoded.residual, encoded.features, np.arange(len(frames)) * hop, segment)
        opened = [e[keys.SAMPLE_START] // hop for e in result.events if e[keys.STATE] == OPEN]
        return frames, result, opened, detector

    rows, traces = [], {}
    for level in (None, *LEVELS_DB):
        found, flagged = {rate_: [] for rate_ in EVENT_RATES}, []
        for seed in SEEDS if level is not None else [0]:
            samples = rest if level is None else spoofed(level, seed)[0]
            for per_hour in EVENT_RATES:
                frames, result, opened, detector = judged(samples, per_hour)
                found[per_hour].append(bool([o for o in opened if o >= ONSET - 8]))
            flagged.append(result.flagged[ONSET:].mean())
            if seed == 0:
                traces[level] = frames, result
        rise = 0.0 if level is None else 10 * np.log10(1 + 10 ** ((level - 20) / 10))
        rows.append(["none" if level is None else f"{level} dB", "-" if level is None else f"{rise:.2f} dB",
                     f"{100 * np.mean(flagged):.0f} %", *(f"{sum(found[r])} of {len(found[r])}" for r in reversed(EVENT_RATES))])
    table = detector.tables[engine.table_key(segment.band, AVERAGE)]
    lines = {f"flagged (1 % of frames), {table.threshold(0.01):.1f}": table.threshold(0.01)}
    lines |= {f"event at {r:g} false ones an hour, {at:.1f}": at for r in reversed(EVENT_RATES)
              for at in [table.opening(0.01, r, segment.frame_s)]}
    draw(traces, lines, rate, freq, segment.frame_s, arguments.docs / "pictures" / "case_study_gnss.png")
    text = page(rows, commands, said[0].splitlines()[:4], event, truth[0], recording, len(events))
    (arguments.docs / "case_study_gnss.md").write_text(text)
    print(text)


def draw(traces: dict, lines: dict, rate: float, freq: float, frame_s: float, path: Path):
    """Mean spectra before and after the onset, and the score over time."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 4.4), layout="constrained")
    megahertz = (freq + (np.arange(1024) - 512) * rate / 1024) / 1e6
    power = lambda psd: 10 * np.log10(np.mean(10 ** (psd.astype(float) / 10), axis=0))  # noqa: E731
    frames, _ = traces[None]
    left.plot(megahertz, power(frames.psd), lw=0.8, color="black", label="as recorded")
    for number, level in enumerate((10, 16, 20)):
        left.plot(megahertz, power(traces[level][0].psd[ONSET:]), lw=0.8, color=f"C{number}",
                  label=f"spoofer {level} dB stronger")
        right.plot(np.arange(len(frames)) * frame_s * 1e3, traces[level][1].scores, lw=0.8, color=f"C{number}",
                   label=f"{level} dB stronger")
    right.plot(np.arange(len(frames)) * frame_s * 1e3, traces[None][1].scores, lw=0.8, color="black", label="as recorded")
    left.set(xlabel="frequency (MHz)", ylabel="mean PSD (dBFS a bin)", title="GPS L1, 4 MS/s")
    left.legend(fontsize=8)
    right.axvline(ONSET * frame_s * 1e3, color="grey", lw=0.8, ls="--")
    for style, (label, at) in zip(("-", "--", ":"), lines.items(), strict=True):
        right.axhline(at, color="firebrick", lw=0.8, ls=style, label=label)
    right.set(xlabel="time (ms); the spoofer comes on at the dashed line", ylabel="anomaly score", title="Score of each frame")
    right.set_ylim(0, 1.5 * right.get_ylim()[1])
    right.legend(fontsize=7, loc="upper left")
    figure.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(figure)


def page(rows: list, commands: list, said: list[str], event: dict, truth, recording: Recording, n_events: int) -> str:
    header = ["spoofer stronger by", "adds to the noise in its 2 MHz", "frames flagged", "event, 1000 false/h",
              "event, 1 false/h (default)"]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|", *("| " + " | ".join(row) + " |" for row in rows)]
    calibrated_s = N_CALIBRATION * AVERAGE * 1024 / recording.samp_rate
    put_in = (f"samples {truth.sample_start} to {truth.sample_start + truth.sample_count}, {truth.freq_center_hz / 1e6:.3f} MHz, "
              f"{truth.bandwidth_hz / 1e6:.3f} MHz wide")
    shown = {key: event[key] for key in SHOWN_FIELDS if key in event}
    shell = "\n".join("spectrumencoder " + shlex.join(map(str, command)) for command in commands)
    shell = shell.replace(" --events", " \\\n    --events")
    return f"""<!-- SPDX-License-Identifier: GPL-3.0-or-later -->
<!-- Written by tools/case_study_gnss.py: change it there. -->
# Case study: a spoofer on GPS L1

A spoofer sends copies of the satellites' signals, a little stronger, to draw a receiver away from its true position. The copies
lie under the noise, as the real ones do. The question here: what does a detector see that knows nothing of the code and looks at
averaged spectra alone?

**Real and simulated parts.** The recording is off the air (GPS L1, {recording.samp_rate / 1e6:g} MS/s,
{recording.duration_s:.2f} s, made by others). The spoofer is simulated: `simulate`'s `spoof`, a second constellation of C/A-like
codes with a delay and a drifting carrier, added to the recorded samples. The authentic signals cannot be measured under the
noise. They are taken as 20 dB below the noise in 2.046 MHz. If they are stronger, all levels here shift with them.

![Spectra and scores](pictures/case_study_gnss.png)

## From the flowgraph to the message

The first {N_CALIBRATION} frames of {AVERAGE} spectra ({calibrated_s:.2f} s) teach what is normal, the rest is
judged. The spoofer comes on after {ONSET} more frames. `run` builds the flowgraph of `spectrum_monitor`, as GNU Radio Companion
does.

```
{shell}
```

`calibrate` says:

```
{chr(10).join(textwrap.fill(line, 126, subsequent_indent="    ") for line in said)}
```

With the spoofer {SHOWN_DB} dB stronger than the authentic signals (its power then equals the noise in its band) `run` opens
{n_events} event{"s" * (n_events != 1)}. The strongest, as it ends, in part:

```json
{json.dumps(shown, indent=1)}
```

The truth is {put_in}.
The label is the classifier's class of the whole frame, with its confidence. It was trained on no spoofer, and is wrong here.

## How much stronger a spoofer must be to show

Each level with {len(SEEDS)} constellations, the same recorded samples:

{chr(10).join(lines)}

* A spoofer of matched power, or a few dB stronger, does not show in a spectrum: it adds a tenth of a dB. A receiver that
  correlates with the code, or several antennas, can find those. The detector is no substitute. It reports nothing if it sees
  nothing.
* A spoofer that overpowers by 13 dB or more raises the middle of the band by more than half a dB. Sums over 256 bins and 8 frames
  find that, though no single bin shows it.
* The default of one false event per hour requires a very rare score, which {recording.duration_s:.1f} s of recording can hardly
  support. The calibration has a few hundred scores, and the level of one frame in seven million is extrapolated from them. A
  longer recording would lower that level. None was at hand.

Made by `tools/case_study_gnss.py --recording GPS-L1.sigmf-meta --work FOLDER --docs docs`. The recording is
`{recording.name}` of the corpus.
"""


if __name__ == "__main__":
    main()
