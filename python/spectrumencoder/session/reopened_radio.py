# SPDX-License-Identifier: GPL-3.0-or-later
"""reopened_radio: a radio that is opened again when it is lost, while the flowgraph goes on."""

from __future__ import annotations

import threading
import time

import numpy as np
import pmt
from gnuradio import gr

from .. import keys
from ..blocks.messages import metadata
from ..blocks.safe_block import WORK_DONE, SafeBlock, handler
from ..blocks.soapy_radio import RadioError
from ..emitters.listing import plain, utc
from .radio_process import START, Failed, Piece, RadioProcess
from .sources import RadioOptions

RECONNECT_STATE = "reconnect"  # of a status: the radio is lost, each try, the radio is back
FIRST_WAIT_S, MAX_WAIT_S = 1.0, 30.0  # between two tries; each wait is twice the one before
MAX_GAPS, MAX_TRIES = 1000, 20  # that are kept for the summary
_POLL_S = 0.1
_CMD = pmt.intern(keys.CMD)


class reopened_radio(SafeBlock, gr.sync_block):
    """One RX channel of a SoapySDR radio, which runs in a process of its own.

    Output 0: complex samples with the tags of ``soapy_radio``. A radio without a clock gets ``rx_time`` tags by the computer's
    clock, so that times are right after a gap. Message input `cmd`: as of ``soapy_radio``; the radio is opened again at the
    frequency commanded last. Message output: `status`: that of the radio, and a line (`reconnect`) for each loss, try and return.

    Args:
        options: of the radio. within_s: how long it is tried to open it again; inf: for ever.
        clock: monotonic, s.

    Attributes: samp_rate, center_freq, has_clock: of the first opening. gaps: a row for each loss, the first ``MAX_GAPS`` of
    them: timestamp (POSIX seconds) and sample_start of the last sample before, why, tries, errors of the last tries, gap_s (None:
    it did not come back). n_gaps, n_tries, gap_s: in all. gave_up: why it is lost for good, else "".

    Raises:
        RadioError: the radio cannot be opened in the first place.
    """

    def __init__(self, options: RadioOptions, within_s: float, clock=time.monotonic):
        gr.sync_block.__init__(self, "reopened_radio", None, [np.complex64])
        self.init_safe_block()
        self._options, self._within_s, self._clock = options, within_s, clock
        self._count = round((options.duration or 0.0) * options.rate)
        self._freq = options.freq
        self._link: RadioProcess | None = RadioProcess(options, options.freq)
        self.samp_rate, self.center_freq, self.has_clock = self._link.opened
        self._rest, self._tags = np.zeros(0, np.complex64), []  # received, and not given yet
        self._given = 0
        self._expected: tuple[float, int] | None = None  # POSIX seconds of a sample
        self._lock, self._closing = threading.RLock(), threading.Event()
        self._thread: threading.Thread | None = None
        self._lost_at = self._heard_at = clock()
        self.gaps: list[dict] = []
        self.n_gaps = self.n_tries = 0
        self.gap_s, self.gave_up = 0.0, ""
        self.add_input_port(keys.CMD, self.handle_cmd)

    @property
    def blocks(self) -> list:
        """Those whose failures end the run."""
        return [self]

    @property
    def n_samples(self) -> int:
        """Samples that it has given so far."""
        return self._given

    @property
    def away(self) -> bool:
        """Whether it is lost at present."""
        return self._link is None

    def set_clock(self):
        """The process sets the clock itself."""

    def end(self):
        """It ends by itself."""

    def close(self) -> None:
        """Ends the process of the radio."""
        self._closing.set()
        with self._lock:
            link, self._link = self._link, None
        if link is not None:
            link.close()

    def lose(self, why: str) -> None:
        """The radio gives no more samples: it is opened again from here on. why: one line."""
        with self._lock:
            link, self._link = self._link, None
            if link is None or self._closing.is_set():
                return
            self._lost_at = self._clock()
            self.n_gaps += 1
            gap = {keys.TIMESTAMP: time.time() - (self._lost_at - self._heard_at), keys.SAMPLE_START: self._given, "why": why,
                   "tries": 0, "errors": [], "gap_s": None}
            if self.n_gaps <= MAX_GAPS:
                self.gaps.append(gap)
        link.close()
        self._say(f"{utc(time.time())}  radio lost: {why}")
        self._thread = threading.Thread(target=self._reopen, args=(gap,), daemon=True)
        self._thread.start()

    @handler
    def handle_cmd(self, message):
        command = metadata(message)
        freq = command.get("freq")
        if isinstance(freq, (int, float)) and not isinstance(freq, bool):
            self._freq = float(freq)
        link = self._link
        try:
            if link is not None:
                link.send(pmt.serialize_str(message))
        except OSError:
            pass  # the next call of work sees that it is gone

    def _start(self):
        link = self._link
        try:
            if link is not None:
                link.send(START)
        except OSError:
            self.lose(link.ended)

    def _stop(self):
        self.close()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=1.0)

    def _work(self, input_items, output_items):
        out = output_items[0]
        if self._count and self._given >= self._count:
            return WORK_DONE
        if not len(self._rest) and not self._receive():
            return 0
        n = min(len(out), len(self._rest), self._count - self._given if self._count else len(out))
        out[:n] = self._rest[:n]
        for at, key, value in self._tags:
            if at < n:
                self.add_item_tag(0, self._given + at, pmt.intern(key), value)
        self._tags = [(at - n, key, value) for at, key, value in self._tags if at >= n]
        self._rest = self._rest[n:]
        self._given += n
        return n

    def _receive(self) -> bool:
        """Waits a moment for the next samples; whether there are any."""
        link = self._link
        if link is None:
            self._closing.wait(_POLL_S)
            return False
        try:
            if not link.ready(_POLL_S):
                return False
            what = link.receive()
        except (EOFError, OSError):
            self.lose(link.ended)
            return False
        if isinstance(what, Failed):
            self.lose(what.why)
        elif isinstance(what, bytes):
            self.message_port_pub(pmt.intern(keys.STATUS), pmt.deserialize_str(what))
        elif isinstance(what, Piece):
            self._take(what)
        return len(self._rest) > 0

    def _take(self, piece: Piece):
        self._heard_at = self._clock()
        self._rest = np.frombuffer(piece.samples, np.complex64)
        self._tags = [(at, key, pmt.deserialize_str(value)) for at, key, value in piece.tags]
        if self.has_clock:
            return
        for at in sorted({at for at, _, _ in self._tags}):
            posix_s = piece.end_s - (len(self._rest) - at) / self.samp_rate
            if self._expected is not None:  # samples are missing here: time goes forward, however late they were read before
                then_s, sample = self._expected
                posix_s = max(posix_s, then_s + (self._given + at - sample + 2) / self.samp_rate)
            self._expected = posix_s, self._given + at
            whole = int(posix_s)
            self._tags.append((at, keys.RX_TIME, pmt.make_tuple(pmt.from_uint64(whole), pmt.from_double(posix_s - whole))))

    def _reopen(self, gap: dict):
        wait_s = FIRST_WAIT_S
        while not self._closing.wait(min(wait_s, max(self._left_s(), 0.0))):
            if self._left_s() <= 0.0 and gap["tries"]:
                self.gave_up = (f"{gap['why']}; it did not come back within {self._within_s:g} s ({gap['tries']} tries; the "
                                f"last: {gap['errors'][-1]})")
                return
            gap["tries"] += 1
            self.n_tries += 1
            wait_s = min(2.0 * wait_s, MAX_WAIT_S)
            try:
                self._take_up(RadioProcess(self._options, self._freq), gap)
                return
            except RadioError as error:
                gap["errors"] = [*gap["errors"], str(error)][-MAX_TRIES:]
                self._say(f"{utc(time.time())}  try {gap['tries']} to open the radio again: {error}")

    def _take_up(self, link: RadioProcess, gap: dict):
        """Goes on with a radio that is open again. Raises RadioError: it is another one, or gone already."""
        with self._lock:
            try:
                if link.opened.samp_rate != self.samp_rate:
                    raise RadioError(f"it gives {link.opened.samp_rate:g} samples per second, not {self.samp_rate:g}")
                link.send(START)
            except (RadioError, OSError) as error:
                link.close()
                raise error if isinstance(error, RadioError) else RadioError(link.ended) from error
            if self._closing.is_set():
                link.close()
                return
            gap["gap_s"] = self._clock() - self._heard_at
            self.gap_s += gap["gap_s"]
            self._link = link  # what came before the loss and was not given yet is given first
        self._say(f"{utc(time.time())}  radio back after {plain(gap['gap_s'])} s, at try {gap['tries']}")

    def _left_s(self) -> float:
        """Time that is left for tries, s."""
        return self._within_s - (self._clock() - self._lost_at)

    def _say(self, text: str):
        self.logger.warn(text)
        self.publish_status(RECONNECT_STATE, text)
