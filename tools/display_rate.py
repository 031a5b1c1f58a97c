# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames per second of the chain without a display, with it, and with it hidden: tools/display_rate.py --json FILE.

The bundled scene plays repeatedly as fast as the chain takes it (or paced, --paced). The runs take turns, so that other load on
the machine affects all of them alike. Each figure is the median over the turns, with minimum and maximum.
"""

import argparse
import gc
import json
import statistics
import time
from pathlib import Path

from gnuradio import blocks, gr, spectrumencoder
from gnuradio.spectrumencoder import keys
from PyQt5 import QtCore, QtWidgets

SCENE = Path(__file__).resolve().parent.parent / "examples" / "recordings" / "demo_scene.sigmf-meta"
ARMS = ("none", "shown", "hidden")


class chain(gr.top_block):
    """Source, monitor, and a display or null sinks."""

    def __init__(self, arm: str, model: str, paced: bool):
        gr.top_block.__init__(self, "display_rate")
        self.source = spectrumencoder.sigmf_source(str(SCENE), repeat=True, throttle=paced)
        self.monitor = spectrumencoder.spectrum_monitor(model, samp_rate=self.source.samp_rate)
        self.connect(self.source, self.monitor)
        self.display = None if arm == "none" else spectrumencoder.anomaly_display(model=model)
        sizes = [4 * self.monitor.fft_size] * 3 + [4]
        self.sinks = [blocks.null_sink(size) for size in sizes] if self.display is None else []
        for port in range(4):
            self.connect((self.monitor, port), self.sinks[port] if self.display is None else (self.display, port))
        if self.display is not None:
            self.msg_connect(self.monitor, keys.ANOMALIES, self.display, keys.EVENTS)
            self.msg_connect(self.monitor, keys.STATUS, self.display, keys.STATUS)
        if arm == "shown":
            self.display.widget.show()


def measure(application, arm: str, model: str, paced: bool, seconds: float) -> dict:
    """Runs one arm; its rates after a second of warming up."""
    gc.collect()  # the widgets of the run before
    top, figures = chain(arm, model, paced), {}

    def begin():
        figures.update(began=time.monotonic(), frames=top.monitor.encoder.n_frames, draws=_draws(top), cpu=time.process_time(),
                       drawing=time.thread_time())

    QtCore.QTimer.singleShot(1000, begin)
    QtCore.QTimer.singleShot(round(1000 * (1 + seconds)), application.quit)
    top.start()
    application.exec_()
    elapsed = time.monotonic() - figures["began"]
    frames, draws = top.monitor.encoder.n_frames - figures["frames"], _draws(top) - figures["draws"]
    cpu, drawing = time.process_time() - figures["cpu"], time.thread_time() - figures["drawing"]
    top.stop()
    top.wait()
    lost = 0 if top.display is None else top.display.counters()[keys.LOST_ROWS]
    return {"frames_per_s": frames / elapsed, "draws_per_s": draws / elapsed, "qt_thread_cores": drawing / elapsed,
            "cpu_ms_per_frame": 1e3 * (cpu - drawing) / max(1, frames), "lost_rows": lost}


def _draws(top) -> int:
    return 0 if top.display is None else top.display.counters()[keys.DRAWS]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="base")
    parser.add_argument("--paced", action="store_true", help="play at the scene's sample rate")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each run")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    application = QtWidgets.QApplication([])
    runs = {arm: [] for arm in ARMS}
    for _ in range(arguments.turns):
        for arm in ARMS:
            runs[arm].append(measure(application, arm, arguments.model, arguments.paced, arguments.seconds))
    result = {arm: {name: [statistics.median(values), min(values), max(values)]
                    for name in rows[0] for values in [[row[name] for row in rows]]} for arm, rows in runs.items()}
    arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    for arm, figures in result.items():
        print(arm, {name: [round(value, 2) for value in values] for name, values in figures.items()})


if __name__ == "__main__":
    main()
