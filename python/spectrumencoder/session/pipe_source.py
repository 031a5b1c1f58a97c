# SPDX-License-Identifier: GPL-3.0-or-later
"""pipe_source: what the command line reads a pipe with: raw samples as they come, to the end of the stream."""

from __future__ import annotations

import os
import select

import numpy as np
import pmt
from gnuradio import gr

from .. import keys
from ..blocks.safe_block import WORK_DONE, SafeBlock
from ..recordings import FORMATS
from ..recordings.formats import HEAD_BYTES
from ..recordings.sample_format import SampleFormat

_POLL_MS = 100  # a stop of the flowgraph waits so long
_CHUNK = 1 << 17  # samples
_ARCHIVES = ((0, b"\x1f\x8b\x08", "gzip"), (0, b"\xfd7zXZ\0", "xz"), (0, b"PK\x03\x04", "zip"),
             (257, b"ustar", "tar or SigMF archive"), (0, b"\x89HDF\r\n", "HDF5 or Digital RF"), (0, b"fLaC", "FLAC"),
             (0, b"RIFF", "RIFF"), (0, b"RF64", "RF64"),
             (0, b"BW64", "BW64"))


class pipe_source(SafeBlock, gr.sync_block):
    """Reads complex samples from a file descriptor to its end. It never waits long, so that a stop is obeyed.

    Args:
        descriptor: of a pipe, FIFO, socket, or anything that can be read; the block does not close it.
        format: of the samples. rate: samples per second. freq: Hz; None: not known.
        start: (whole seconds, fraction) of the first sample given since 1970; None: not known.
        skip: samples to leave out at the beginning. count: samples to give; 0: all.

    Attributes: refusal: what the stream is, if its first bytes are a file format's; it is not read then. n_samples: given so far.
    n_read: bytes.
    """

    def __init__(self, descriptor: int, format: SampleFormat, rate: float, freq: float | None,
                 start: tuple[int, float] | None, skip: int = 0, count: int = 0):
        gr.sync_block.__init__(self, "pipe_source", None, [np.complex64])
        self.init_safe_block()
        self.set_min_output_buffer(2 * _CHUNK)
        self._descriptor, self._format = descriptor, format
        self._tags = [(keys.RX_RATE, pmt.from_double(rate))]
        if freq is not None:
            self._tags.append((keys.RX_FREQ, pmt.from_double(freq)))
        if start is not None:
            self._tags.append((keys.RX_TIME, pmt.make_tuple(pmt.from_uint64(start[0]), pmt.from_double(start[1]))))
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._bytes = bytearray()  # read and not given yet
        self._checked = self._ended = False
        self.refusal, self.n_samples, self.n_read = "", 0, 0
        self._skip, self._count = skip, count

    def _work(self, input_items, output_items):
        out, size = output_items[0], self._format.sample_bytes
        if not self._ended and len(self._bytes) < size * len(out):
            self._read(size * len(out) - len(self._bytes))
        if not self._checked:
            if len(self._bytes) < HEAD_BYTES and not self._ended:
                return 0
            self._checked, self.refusal = True, container_of(bytes(self._bytes[:HEAD_BYTES]))
        if self.refusal:
            return WORK_DONE
        if self._skip:
            skipped = min(self._skip, len(self._bytes) // size)
            del self._bytes[:skipped * size]
            self._skip -= skipped
        count = min(len(out), len(self._bytes) // size, self._count - self.n_samples if self._count else len(out))
        if not count:
            return WORK_DONE if self._ended or (self._count and self.n_samples >= self._count) else 0
        if not self.n_samples:
            for key, value in self._tags:
                self.add_item_tag(0, 0, pmt.intern(key), value)
        self._format.decode_into(np.frombuffer(bytes(self._bytes[:count * size]), np.uint8), out[:count])
        del self._bytes[:count * size]
        self.n_samples += count
        return count

    def _read(self, n_bytes: int):
        """Appends what is there, up to n_bytes; waits a moment if there is nothing."""
        if not self._poll.poll(_POLL_MS):
            return
        try:
            piece = os.read(self._descriptor, n_bytes)
        except BlockingIOError:  # another reader was faster
            return
        self._ended = not piece
        self._bytes += piece
        self.n_read += len(piece)


def container_of(head: bytes) -> str:
    """The name of the file format whose file begins so; "" if samples may."""
    from pathlib import Path
    nowhere = Path("/nonexistent/-")  # formats that go by names and folders say no
    known = next((format_.name for format_ in FORMATS if format_.is_one(nowhere, head)), "")
    return known or next((name for at, magic, name in _ARCHIVES if head[at:at + len(magic)] == magic), "")
