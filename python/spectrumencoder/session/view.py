# SPDX-License-Identifier: GPL-3.0-or-later
"""``spectrumencoder view``: a run with ``anomaly_display`` in a window of its own."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from .. import keys
from ..stop_signals import STOP
from .errors import SessionError
from .flowgraph import Flowgraph, RunSettings, run_source
from .outcome import Outcome
from .progress import Progress, no_progress

if TYPE_CHECKING:
    from .pipe import Source

HISTORY_S = 10.0
_POLL_S = 0.1


def view(source: Source, settings: RunSettings, display: DisplayPart, *,
         watch: Callable[[Flowgraph], None] = lambda flowgraph: None, parts: Iterable[Callable[[Flowgraph], list]] = (),
         progress: Progress = no_progress) -> Outcome:
    """Runs a source, and shows it in a window. Closing it, Ctrl-C or SIGTERM ends the run in good order.

    The window of a source that ends by itself stays, until it is closed or a signal comes. Call ``quiet_logs`` before the source
    is made.

    Args:
        display: the window. watch, parts, progress: see ``run_source``.

    Raises:
        SettingError, SessionError: see ``run_source``.
    """
    outcome = run_source(source, settings, append=True, watch=watch, parts=[*parts, display], progress=progress)
    if source.finite and not outcome.interrupted and not outcome.hung:
        progress(f"{source.name} has ended; close the window", 1, 1)
        display.stay()
    return outcome


class DisplayPart:
    """Connects an ``anomaly_display`` to a flowgraph, and lets Qt work while that runs.

    Args:
        history_s: seconds that the waterfall shows; None: 10, or the length of a shorter recording.
        tunes: whether the window has controls of a radio; not while another part tunes it.

    Raises:
        SessionError: there is no screen, or PyQt5 or pyqtgraph is missing.
    """

    needs = frozenset({keys.SIGNALS})

    def __init__(self, history_s: float | None = None, tunes: bool = True):
        self._application = _application()
        self._history_s, self._tunes = history_s, tunes
        self.display = None

    def __call__(self, flowgraph: Flowgraph) -> list:
        from ..blocks.anomaly_display import anomaly_display
        source, top, monitor = flowgraph.source, flowgraph.top, flowgraph.monitor
        length_s = HISTORY_S if source.recording is None else min(HISTORY_S, source.recording.duration_s)
        radio = source.recording is None and not source.finite
        self.display = display = anomaly_display(
            monitor.fft_size, source.samp_rate, source.center_freq, history_s=self._history_s or length_s, model=flowgraph.models,
            radio="soapy" if radio and self._tunes else "", freq_offset=source.freq_offset)
        for port in range(4):
            top.connect((monitor, port), (display, port))
        for port, taken in ((keys.ANOMALIES, keys.EVENTS), (keys.SIGNALS, keys.SIGNALS), (keys.TRACKS, keys.TRACKS),
                            (keys.STATUS, keys.STATUS)):
            top.msg_connect(monitor, port, display, taken)
        top.msg_connect(display, keys.CONTROL, monitor, keys.CONTROL)
        if radio:
            top.msg_connect(source.block, keys.STATUS, display, keys.STATUS)
            if self._tunes:
                top.msg_connect(display, keys.CMD, source.block, keys.CMD)
                display.widget.controls.show_gain(source.block.gain)
        display.widget.setWindowTitle(f"{source.name} - spectrumencoder")
        display.widget.show()

        def wait(ended: threading.Event, seconds: float) -> bool:
            self._work(seconds)
            flowgraph.stopping = not display.widget.isVisible()
            return ended.is_set()

        flowgraph.wait = wait
        return [display]

    def stay(self) -> None:
        """Keeps the window until it is closed, or Ctrl-C or SIGTERM comes."""
        if self.display is None:
            return
        with STOP.deferred() as stop:
            while self.display.widget.isVisible() and not stop.came:
                self._work(_POLL_S)

    def _work(self, seconds: float) -> None:
        """Lets Qt work for some time."""
        from PyQt5 import QtCore
        loop = QtCore.QEventLoop()
        QtCore.QTimer.singleShot(round(1000 * seconds), loop.quit)
        loop.exec_()


def _application():
    """The application of Qt, one in a process. Raises SessionError: see ``DisplayPart``."""
    try:
        from PyQt5 import QtWidgets

        from ..display import widget  # noqa: F401 (pyqtgraph: it takes the Qt that it finds loaded)
    except ImportError as error:
        raise SessionError(f"the display needs PyQt5 and pyqtgraph ({error}); run `apt install python3-pyqt5 python3-pyqtgraph`, "
                           "or draw a picture by `run --plot`") from error
    if QtWidgets.QApplication.instance() is None and not _has_screen():
        raise SessionError(f"there is no screen (DISPLAY is {os.environ.get('DISPLAY', 'not set')!r}); draw a picture by "
                           "`run --plot`, or log in by `ssh -X`")
    return QtWidgets.QApplication.instance() or QtWidgets.QApplication(["spectrumencoder"])


def _has_screen() -> bool:
    """Whether Qt will find a screen. Without one it would abort the process."""
    platform = os.environ.get("QT_QPA_PLATFORM", "").partition(":")[0]
    if platform not in ("", "xcb") or os.environ.get("WAYLAND_DISPLAY"):
        return True
    try:
        xcb = ctypes.CDLL("libxcb.so.1")
    except OSError:
        return bool(os.environ.get("DISPLAY"))
    xcb.xcb_connect.restype = ctypes.c_void_p
    connection = ctypes.c_void_p(xcb.xcb_connect(None, None))
    there = xcb.xcb_connection_has_error(connection) == 0
    xcb.xcb_disconnect(connection)
    return there
