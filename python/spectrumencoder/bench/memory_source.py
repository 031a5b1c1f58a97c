# SPDX-License-Identifier: GPL-3.0-or-later
"""Sources that play samples in memory over and over: as fast as they are taken, or by the clock with late samples lost."""

from __future__ import annotations

import time

import numpy as np
import pmt
from gnuradio import gr

from .. import keys
from ..blocks.safe_block import WORK_DONE, SafeBlock

_DEVICE_BUFFER_S = 0.1  # of samples that a radio's driver keeps for a late reader
_BUFFER_SAMPLES = 1 << 17
_MIN_CALL_S = 1e-3  # of samples in a call: as long as a radio's transfers last


class memory_source(SafeBlock, gr.sync_block):
    """`count` samples of `iq` (n,) complex64, repeated, as fast as they are taken.

    GNU Radio's own vector_source and head take longer over a sample than fft_tokenizer does; this copies it once.

    Args:
        min_output_buffer: room for samples behind it.
    """

    def __init__(self, iq: np.ndarray, count: int, min_output_buffer: int = _BUFFER_SAMPLES):
        gr.sync_block.__init__(self, "memory_source", None, [np.complex64])
        self.init_safe_block()
        self._iq, self._count = np.ascontiguousarray(iq, np.complex64), int(count)
        self.set_min_output_buffer(min_output_buffer)
        self.n_samples = 0  # played so far

    def _start(self):
        self.n_samples = 0

    def _work(self, input_items, output_items):
        count = min(len(output_items[0]), self._count - self.n_samples)
        if count == 0:
            return WORK_DONE
        _copy(self._iq, self.n_samples, output_items[0][:count])
        self.n_samples += count
        return count


class paced_source(SafeBlock, gr.sync_block):
    """`iq` (n,) complex64, repeated, at `samp_rate` by the computer's clock for `seconds`.

    Samples that are not taken within 0.1 s are lost, as when a radio's driver has no more room. `n_lost` counts them. The next
    sample is tagged anew with rx_rate and rx_freq, as gr-soapy does after an overflow.
    """

    def __init__(self, iq: np.ndarray, samp_rate: float, center_freq: float, seconds: float):
        gr.sync_block.__init__(self, "paced_source", None, [np.complex64])
        self.init_safe_block()
        self._iq, self._rate, self._freq = np.ascontiguousarray(iq, np.complex64), float(samp_rate), float(center_freq)
        self._total = round(seconds * samp_rate)
        self.set_min_output_buffer(int(samp_rate * _DEVICE_BUFFER_S / 4))
        self._restart()

    def _restart(self):
        self._began = None
        self.n_lost = self.n_overflows = 0
        self._position = 0  # of the next sample in time: those given and those lost

    def _start(self):
        self._restart()

    @property
    def n_samples(self) -> int:
        """Samples of the signal so far, the lost ones too."""
        return self._position

    def _work(self, input_items, output_items):
        out, now = output_items[0], time.monotonic()
        if self._began is None:
            self._began = now
            self._tag()
        if self._position >= self._total:
            return WORK_DONE
        due = int((now - self._began) * self._rate) - self._position
        if due > _DEVICE_BUFFER_S * self._rate:  # the oldest are gone
            lost = due - int(_DEVICE_BUFFER_S * self._rate / 2)
            self._position, due = self._position + lost, due - lost
            self.n_lost, self.n_overflows = self.n_lost + lost, self.n_overflows + 1
            self._tag()
        enough = min(len(out), max(1, int(_MIN_CALL_S * self._rate)))
        if due < enough:
            time.sleep((enough - due) / self._rate)
            due = enough
        count = min(len(out), due)
        _copy(self._iq, self._position, out[:count])
        self._position += count
        return count

    def _tag(self):
        for key, value in ((keys.RX_RATE, self._rate), (keys.RX_FREQ, self._freq)):
            self.add_item_tag(0, self.nitems_written(0), pmt.intern(key), pmt.from_double(value))


def _copy(iq: np.ndarray, position: int, out: np.ndarray):
    """Samples from `position` on of `iq`, repeated."""
    done = 0
    while done < len(out):
        begin = (position + done) % len(iq)
        more = min(len(out) - done, len(iq) - begin)
        out[done:done + more] = iq[begin:begin + more]
        done += more
