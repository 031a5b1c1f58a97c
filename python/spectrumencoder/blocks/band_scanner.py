# SPDX-License-Identifier: GPL-3.0-or-later
"""Block: tunes a radio over ranges of frequencies, by ``live.sweep``; psd in, commands and stitched spectra out."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pmt
from gnuradio import gr

from .. import keys
from ..scan.scan_plan import ScanPlan, parse_ranges
from ..scan.sweep import LostRetune, Retune, Sweep, Sweeper
from .messages import MalformedMessage, metadata, pdu
from .radio_commands import RADIOS, SOAPY, retune
from .safe_block import SafeBlock, handler, setter
from .tags import frame_tags, known_freq

_CMD, _SWEEPS = pmt.intern(keys.CMD), pmt.intern(keys.SWEEPS)


class band_scanner(SafeBlock, gr.sync_block):
    """Visits the hops of a scan plan repeatedly, and joins their spectra to one per range and sweep.

    Input 0: psd (fft_size floats per frame, dBFS, of ``fft_tokenizer``; its settle_ms is left out after a retune).
    Message input `events`: those of ``anomaly_detector``, for `hold_ms`. Message outputs: `cmd`, to the port `cmd` of a gr-soapy
    source or `command` of a gr-uhd source; `sweeps`, a PDU at the end of each range of each sweep, with the spectrum
    in dBFS as vector; `status`.

    Args:
        ranges: Hz, "88e6:108e6,433e6:435e6". A range that one hop covers is watched without retunes, a row per dwell.
        samp_rate: Hz, if the stream carries no rx_rate tag. Another rate restarts the scan.
        center_freq: Hz, until the stream carries an rx_freq tag.
        fft_size: bins of a frame.
        dwell_ms: time at each hop, rounded up to whole frames.
        pause: stay where the radio is.
        usable, overlap, jitter: see ``scan.scan_plan.ScanPlan``.
        dc_bins: bins left out in the middle of each spectrum; 0: none.
        hold_ms: time that a hop is held after the last message of an event that is open there; 0: events do not hold.
        max_hold_ms: maximum hold at one hop.
        radio: "soapy" or "uhd": the format of a retune command.
        seed: seed of the jitter.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(self, ranges: str = "88e6:108e6", samp_rate: float = 2.4e6, center_freq: float = 0.0, fft_size: int = 1024,
                 dwell_ms: float = 100.0, pause: bool = False, usable: float = 0.8, overlap: float = 0.0, dc_bins: int = 0,
                 jitter: float = 0.0, hold_ms: float = 0.0, max_hold_ms: float = 10000.0, radio: str = SOAPY,
                 seed: int = 0) -> None:
        gr.sync_block.__init__(self, "band_scanner", [(np.float32, fft_size)], None)
        self.init_safe_block()
        self.set_tag_propagation_policy(gr.TPP_DONT)
        if radio not in RADIOS:
            raise ValueError(f"radio {radio!r} is not one of {', '.join(RADIOS)}")
        self._lock = threading.Lock()
        self._ranges, self._dwell_ms = parse_ranges(ranges), _between("dwell_ms", dwell_ms, 0.01, 3.6e6)
        self._hold_ms, self._max_hold_ms = (_between(name, value, 0.0, 3.6e6) for name, value in
                                            (("hold_ms", hold_ms), ("max_hold_ms", max_hold_ms)))
        self._dc_bins = int(_between("dc_bins", dc_bins, 0, fft_size // 2))
        self._plan_settings: dict[str, Any] = {"fft_size": int(fft_size), "usable": usable, "overlap": overlap, "jitter": jitter}
        self._rate, self._center, self._hop = float(samp_rate), float(center_freq), int(fft_size)
        self._radio, self._seed, self._paused = radio, int(seed), bool(pause)
        self._plan()  # raises now if a setting is out of range
        self._clear()
        self.message_port_register_out(_CMD)
        self.message_port_register_out(_SWEEPS)
        self.add_input_port(keys.EVENTS, self.handle_events)

    @property
    def sweeper(self) -> Sweeper | None:
        """The sweeper that is at work; None before the first frame, and when a setting has changed since."""
        return self._sweeper

    def counters(self):
        sweeper = self._sweeper
        return {keys.SWEEP: sweeper.n_sweeps, keys.HOPS: sweeper.n_hops} if sweeper else {}

    # Live changes, from any thread

    @setter
    def set_ranges(self, ranges):
        """Restarts the scan with these ranges."""
        parsed = parse_ranges(ranges)
        with self._lock:
            self._ranges, self._sweeper = parsed, None

    @setter
    def set_dwell_ms(self, dwell_ms):
        value = _between("dwell_ms", dwell_ms, 0.01, 3.6e6)
        with self._lock:
            self._dwell_ms = value
            if self._sweeper is not None:
                self._sweeper.dwell_frames = self._frames(value)

    @setter
    def set_pause(self, pause):
        """A paused scanner stays at its frequency until `pause` is reset."""
        with self._lock:
            self._paused = bool(pause)
            if self._sweeper is not None:
                self._sweeper.paused = self._paused

    # Frames

    def _clear(self):
        self._sweeper: Sweeper | None = None
        self._next_sample = 0
        self._time: tuple[float, int] | None = None  # POSIX seconds of a sample, of the stream's own clock

    def _start(self):
        with self._lock:
            self._clear()

    def _work(self, input_items, output_items):
        psd = input_items[0]
        changes = frame_tags(self, len(psd))
        with self._lock:
            cuts = sorted({0, len(psd), *changes})
            for first, stop in zip(cuts, cuts[1:], strict=False):
                self._take_tags(changes.get(first, {}))
                if self._sweeper is None:
                    self._begin()
                for action in self._sweeper.take(psd[first:stop], self._center, self._next_sample, self._hop):
                    self._do(action)
                self._next_sample += (stop - first) * self._hop
        return len(psd)

    def _take_tags(self, tags: dict):
        self._center = known_freq(tags.get(keys.RX_FREQ), self._center) or 0.0
        self._next_sample = tags.get(keys.FRAME_START, self._next_sample)
        if keys.RX_TIME in tags:
            self._time = (tags[keys.RX_TIME], self._next_sample)
        hop, rate = tags.get(keys.FRAME_HOP, self._hop), tags.get(keys.RX_RATE, self._rate)
        if (hop, rate) != (self._hop, self._rate):
            self._hop, self._rate, self._sweeper = hop, rate, None

    def _plan(self) -> ScanPlan:
        return ScanPlan(self._ranges, self._rate, **self._plan_settings)

    def _frames(self, ms: float) -> int:
        return int(np.ceil(ms * 1e-3 * self._rate / self._hop - 1e-9))

    def _begin(self):
        plan = self._plan()
        self._sweeper = Sweeper(plan, self._frames(self._dwell_ms), hold_frames=self._frames(self._hold_ms),
                                max_hold_frames=self._frames(self._max_hold_ms), dc_bins=self._dc_bins, seed=self._seed)
        self._sweeper.paused = self._paused
        self.publish_status("running", f"{plan.n_hops} hops in {len(plan.plans)} ranges")

    def _do(self, action: Retune | LostRetune | Sweep):
        if isinstance(action, Sweep):
            self.message_port_pub(_SWEEPS, pdu(self._describe(action), action.row))
            return
        self.message_port_pub(_CMD, retune(action.center_hz, self._rate, self._radio))
        if isinstance(action, LostRetune):
            text = (f"the radio was sent a retune to {action.center_hz:g} Hz and still reports {action.heard_hz:g} Hz: is `cmd` "
                    "connected to it, can it tune there, and does it send rx_freq tags?")
            self.logger.warn(text)
            self.publish_status("lost_retune", text)

    def _describe(self, sweep: Sweep) -> dict:
        end = sweep.sample_start + sweep.sample_count
        if self._time is None:
            posix_s, sample, source = time.time(), end, "host"
        else:
            (posix_s, sample), source = self._time, "tag"
        return {keys.SWEEP: sweep.number, keys.TIMESTAMP: posix_s + (sweep.sample_start - sample) / self._rate,
                keys.TIMESTAMP_END: posix_s + (end - sample) / self._rate, keys.TIME_SOURCE: source,
                keys.SAMPLE_START: sweep.sample_start, keys.SAMPLE_COUNT: sweep.sample_count,
                keys.FREQ_START_HZ: sweep.freq_start_hz, keys.BIN_WIDTH_HZ: sweep.bin_hz, keys.HOPS: sweep.hops,
                keys.HELD_HOPS: sweep.held_hops, keys.DWELL_SAMPLES: sweep.dwell_samples}

    @handler
    def handle_events(self, message):
        event = metadata(message)
        freq = event.get(keys.FREQ_CENTER_HZ)
        if not isinstance(freq, (int, float)) or isinstance(freq, bool):
            raise MalformedMessage(f"wants an event with {keys.FREQ_CENTER_HZ}, got the keys {', '.join(event)[:80]}")
        with self._lock:
            if self._sweeper is not None:
                self._sweeper.event(str(event.get(keys.STATE)), float(freq))


def _between(name: str, value, low: float, high: float):
    if not low <= value <= high:
        raise ValueError(f"{name} {value} is outside {low:g}..{high:g}")
    return value
