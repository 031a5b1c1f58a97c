# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture of anomaly_display, from the bundled scene: tools/display_pictures.py --model CALIBRATED --out docs/pictures.

The calibrated model is demo/model.safetensors: `make demo`, then `spectrumencoder calibrate demo/clean.sigmf-meta
--detector boxes --pfa 0.005 --out demo/model.safetensors`. Needs no screen: QT_QPA_PLATFORM=offscreen.
"""

import argparse
import time
from pathlib import Path

from gnuradio import gr, spectrumencoder
from gnuradio.spectrumencoder import keys
from PyQt5 import QtWidgets

SCENE = Path(__file__).resolve().parent.parent / "examples" / "recordings" / "demo_scene.sigmf-meta"
SIZE = (1360, 900)
SHOWN_S = 1.0  # of the scene, which plays repeatedly


class shown_chain(gr.top_block):
    """The scene in a loop through the chain, with a display whose controls work."""

    def __init__(self, model: str, radio: str = "", **settings):
        gr.top_block.__init__(self, "shown_chain")
        self.source = spectrumencoder.sigmf_source(str(SCENE), repeat=True, throttle=True)
        self.monitor = spectrumencoder.spectrum_monitor(model, samp_rate=self.source.samp_rate, **settings)
        self.display = spectrumencoder.anomaly_display(history_s=SHOWN_S, model=model, radio=radio)
        self.connect(self.source, self.monitor)
        for port in range(4):
            self.connect((self.monitor, port), (self.display, port))
        self.msg_connect(self.monitor, keys.ANOMALIES, self.display, keys.EVENTS)
        self.msg_connect(self.monitor, keys.STATUS, self.display, keys.STATUS)
        self.msg_connect(self.display, keys.CONTROL, self.monitor, keys.CONTROL)
        self.blocks = [self.source, *self.monitor.blocks, self.display]


def run_until(application, condition, seconds: float):
    """Lets Qt work until the condition holds. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s in vain")
        application.processEvents()
        time.sleep(0.002)


def picture(application, top: shown_chain, path: Path, n_events: int):
    """Runs the chain until the waterfall is full and the table has enough events; saves the display's picture."""
    widget = top.display.widget
    widget.resize(*SIZE)
    widget.show()
    top.start()
    try:
        run_until(application, lambda: not widget.history.empty and widget.history.end_s > SHOWN_S
                  and widget.events.n_events >= n_events, 60.0)
        widget.grab().save(str(path))
    finally:
        top.stop()
        top.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo/model.safetensors", help="a model calibrated on the scene's band")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    application = QtWidgets.QApplication([])
    top = shown_chain(arguments.model, detector="boxes", false_alarm_rate=0.005)
    picture(application, top, arguments.out / "anomaly_display.png", n_events=4)


if __name__ == "__main__":
    main()
