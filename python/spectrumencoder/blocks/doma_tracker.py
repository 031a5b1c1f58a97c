# SPDX-License-Identifier: GPL-3.0-or-later
"""Block: detections and position fixes in, tracks that predict out, by ``tracker.doma``."""

from __future__ import annotations

import json
import socket
import threading
import time
from pathlib import Path

import pmt
from gnuradio import gr

from .. import keys
from ..atomic_file import write_file
from ..lines_file import LinesFile, close
from ..settings import DEFAULTS, TRACKER
from ..tracker import describe
from ..tracker.doma import DomaTracker
from ..tracker.fixes import Refused
from ..tracker.geo import Origin
from ..tracker.settings import SpatialSettings
from . import control, messages
from .safe_block import SafeBlock, handler

_TRACKS, _CONTROL = pmt.intern(keys.TRACKS), pmt.intern(keys.CONTROL)
# Of gr-adsb for every aircraft, and alerts that an emitter is gone: neither useful nor an error
_ORDINARY = ("repeat", "no_position", "no emission")
_TICK_S = 0.1  # after which reports stop waiting for others of their moment
_GEOJSON_S = 1.0  # between two writings of the file


@control.obeys(TRACKER)
class doma_tracker(SafeBlock, gr.basic_block):
    """Tracks the reports on `detections`: emissions in frequency, and positions.

    Message inputs: `detections`, PDUs or dicts: anomaly events, classified signals, position fixes, gr-adsb's decoded PDUs,
    bearings and times of arrival of several receivers; docs/doma_tracker.md lists the fields. Anything else is refused: counted
    by reason, logged, in `status`. `control`, a dict of live settings; those of other stages are ignored.
    Message outputs: `tracks`, a dict per track when it opens, at most once an interval while it is updated, and when it closes;
    `control`, for ``spectrum_encoder``: the bands in which signals are expected next; `status`.

    Args:
        origin: (latitude, longitude) or (latitude, longitude, altitude in m) of local 0, 0, 0 m; () takes the first position.
        position_error_m, altitude_error_m: standard deviations, per axis, of a fix that carries none.
        weak_snr_db: a fix with a lower snr continues a track but starts none.
        interval: s of the reports' time between two messages of a track.
        group_radius_m: targets within it that move alike form a group, which carries silent members along; 0: no groups.
        file: path of a JSON lines file of the tracks' messages; "": none.
        geojson: path of a GeoJSON file of the present tracks, rewritten at most once a second; "": none.
        cot_address: "host:port" that receives each position message as Cursor on Target by UDP; "": none.
        live: the live settings of the tracker. gate: probability that a track's own report falls into its gate. process_noise:
            factor on the noise of all motion models. horizon: s, one or several rising, that each message predicts ahead.

    Raises:
        ValueError: an argument is out of range, or a file's folder does not exist.
    """

    def __init__(self, origin=(), position_error_m=DEFAULTS.position_error_m, altitude_error_m=DEFAULTS.altitude_error_m,
                 weak_snr_db=DEFAULTS.weak_snr_db, interval=DEFAULTS.interval, group_radius_m=DEFAULTS.group_radius_m, *,
                 file="", geojson="", cot_address="", **live):
        gr.basic_block.__init__(self, "doma_tracker", None, None)
        self.init_safe_block()
        self._arguments = {"origin": Origin(*map(float, origin)) if origin else None, "position_error_m": position_error_m,
                           "altitude_error_m": altitude_error_m, "weak_snr_db": weak_snr_db, "interval_s": interval,
                           "spatial": SpatialSettings(group_radius_m=group_radius_m)}
        self._live = live
        self._lock = threading.RLock()
        self.tracker = self._new_tracker()
        self._outputs = _Outputs(file, geojson, cot_address)
        self._ticker: threading.Thread | None = None
        self._stopping = threading.Event()
        self._held_new = False  # whether reports have arrived since the last tick
        self.n_tracks = 0
        self.message_port_register_out(_TRACKS)
        self.message_port_register_out(_CONTROL)
        self.add_input_port(keys.DETECTIONS, self.handle_detections)
        self.add_input_port(keys.CONTROL, self.handle_control)

    def counters(self):
        with self._lock:
            return {keys.REPORTS: self.tracker.n_reports, keys.REFUSED_REPORTS: dict(self.tracker.refused),
                    keys.TRACKS: self.n_tracks, keys.TRACK_ANOMALIES: self.tracker.n_anomalies}

    # Live changes, from any thread; the setters are made from the rows, see ``control``

    @handler
    def handle_control(self, message):
        for key, value in control.changes(message, TRACKER).items():
            getattr(self, f"set_{key}")(value)

    def _change(self, key: str, value):
        with self._lock:
            _set(self.tracker, key, value)
            self._live[key] = value
        self.publish_status("running", f"{key} is {value}")

    # Messages

    def _new_tracker(self) -> DomaTracker:
        tracker = DomaTracker(**self._arguments)
        for name, value in self._live.items():
            _set(tracker, name, value)
        return tracker

    def keep_lines(self, append: bool, max_mb: float = 0.0):
        """Opens the file of tracks as ``event_log`` does its own: after what it holds, with files of at most that size."""
        self._outputs.append, self._outputs.max_bytes = bool(append), round(max_mb * 1e6)

    def _start(self):
        with self._lock:
            self.tracker = self._new_tracker()
            self.n_tracks = 0
            self._outputs.open()
        self._stopping.clear()
        self._ticker = threading.Thread(target=self._tick, daemon=True)
        self._ticker.start()
        self.publish_status("running")

    def _stop(self):
        self._stopping.set()
        ticker, self._ticker = self._ticker, None
        if ticker is not None and ticker is not threading.current_thread():
            ticker.join(timeout=2.0)
        with self._lock:
            self.tracker.flush()
            self._publish(everything=True)
            self._outputs.close()
        self.publish_status("stopped")

    @handler
    def handle_detections(self, message):
        fields = messages.metadata(message)
        try:
            with self._lock:
                self.tracker.report(fields)
                self._held_new = True
                self._publish()
        except Refused as refused:
            if refused.reason not in _ORDINARY:
                raise messages.MalformedMessage(f"{refused.reason}: {refused}") from refused

    def _tick(self):
        """Reports that wait for others of their moment are not held up when no more come."""
        while not self._stopping.wait(_TICK_S):
            try:
                with self._lock:
                    waited, self._held_new = not self._held_new, False
                    if waited and self.tracker.holds:
                        self.tracker.flush()
                        self._publish()
            except Exception as error:  # noqa: BLE001 (no exception may end the thread unseen)
                self.fail("tick", error)
                return

    def _publish(self, everything=False):
        sent = self.tracker.messages(everything)
        for fields in sent:
            self.n_tracks += fields[keys.STATE] == describe.OPEN
            self._outputs.write(fields)
            self.message_port_pub(_TRACKS, messages.to_pmt(fields))
        if sent:
            self._outputs.write_geojson()
        control = self.tracker.control()
        if control is not None:
            self.message_port_pub(_CONTROL, messages.to_pmt(control))


class _Outputs:
    """Files and the UDP destination."""

    def __init__(self, file, geojson, cot_address):
        self._path, self._geojson_path = (_in_folder(name, path) for name, path in (("file", file), ("geojson", geojson)))
        self._destination = _address(cot_address) if cot_address else None
        self._file = self._socket = None
        self._features: dict[str, dict] = {}
        self._written_s = float("-inf")
        self.append, self.max_bytes = False, 0

    def open(self):
        if self._path is not None and self._file is None:
            self._file = LinesFile(self._path, append=self.append, max_bytes=self.max_bytes)
        if self._destination is not None and self._socket is None:
            self._socket = socket.socket(self._destination[0], socket.SOCK_DGRAM)
        self._features.clear()

    def write(self, fields: dict):
        if self._file is None and self._path is not None:
            self._file = LinesFile(self._path, max_bytes=self.max_bytes)  # messages that come after a stop go on in the same file
        if self._file is not None:
            self._file.write(describe.json_line(fields))
        if self._geojson_path is not None and (feature := describe.feature(fields)) is not None:
            if fields[keys.STATE] == describe.CLOSE:
                self._features.pop(fields[keys.TRACK_ID], None)
            else:
                self._features[fields[keys.TRACK_ID]] = feature
        if self._socket is not None and (event := describe.cursor_on_target(fields)) is not None:
            self._socket.sendto(event, self._destination[1])

    def write_geojson(self, now_s: float | None = None):
        """Writes the file, unless it was written a moment ago."""
        if self._geojson_path is None:
            return
        now_s = time.monotonic() if now_s is None else now_s
        if now_s - self._written_s >= _GEOJSON_S:
            self._written_s = now_s
            collection = {"type": "FeatureCollection", "features": list(self._features.values())}
            write_file(self._geojson_path, json.dumps(collection, allow_nan=False).encode())

    def close(self):
        self.write_geojson(now_s=float("inf"))
        self._written_s = float("-inf")
        file, self._file = self._file, None
        close(file)
        socket_, self._socket = self._socket, None
        if socket_ is not None:
            socket_.close()


def _set(tracker: DomaTracker, key: str, value):
    if key == "horizon":
        tracker.set_horizons(_horizons(value))
    else:
        getattr(tracker, f"set_{key}")(value)


def _horizons(horizon) -> tuple[float, ...]:
    try:
        return (float(horizon),) if isinstance(horizon, (int, float)) else tuple(float(h) for h in horizon)
    except TypeError as error:
        raise ValueError(f"horizon {horizon!r:.60} is not a number of seconds, or a list of them") from error


def _in_folder(name: str, path) -> Path | None:
    if not path:
        return None
    path = Path(path)
    if not path.parent.is_dir():
        raise ValueError(f"{name} {path}: the folder {path.parent} does not exist; make it first")
    return path


def _address(text: str):
    """(family, address) of "host:port"."""
    host, _, port = str(text).rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"cot_address {text!r} is not host:port")
    try:
        family, _, _, _, address = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)[0]
    except (OSError, OverflowError) as error:
        raise ValueError(f"cot_address {text!r}: {error}") from error
    return family, address
