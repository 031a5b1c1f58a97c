# SPDX-License-Identifier: GPL-3.0-or-later
"""encoded_file: writes the bytes of `encoded` PDUs one after the other, for the command line (format: ``encoder.pdu``)."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from gnuradio import gr

from .. import keys
from ..atomic_file import close_synced
from ..blocks import messages
from ..blocks.safe_block import SafeBlock, handler
from ..lines_file import CannotWrite


class encoded_file(SafeBlock, gr.basic_block):
    """Sink of the message input `encoded`: appends each PDU's bytes to a file, which is emptied at the first start.

    Args:
        file: path.

    Attributes: n_pdus, n_bytes, n_frames: written so far.
    """

    def __init__(self, file: str):
        gr.basic_block.__init__(self, "encoded_file", None, None)
        self.init_safe_block()
        self._path, self._file, self._mode = Path(file), None, "wb"
        self.n_pdus = self.n_bytes = self.n_frames = 0
        self.add_input_port(keys.ENCODED, self.handle_encoded)

    def counters(self):
        return {keys.FRAMES: self.n_frames, keys.ENCODED_PDUS: self.n_pdus, keys.ENCODED_BYTES: self.n_bytes}

    def _start(self):
        self._open()

    def _open(self):
        if self._file is None:
            self._file = self._path.open(self._mode, buffering=0)
            self._mode = "ab"  # PDUs after a stop are appended to the same file

    def _write(self, data: bytes):
        """Appends a PDU. One that finds the disk full leaves nothing of itself."""
        assert self._file is not None
        before = self._file.tell()
        try:
            if self._file.write(data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._file.truncate(before)
            raise CannotWrite(f"cannot write {self._path}: {error.strerror}; make room, or name a file in another "
                              "folder") from error

    def _stop(self):
        file, self._file = self._file, None
        close_synced(file)

    @handler
    def handle_encoded(self, message):
        data, n_frames = messages.pdu_bytes(message), messages.whole(messages.metadata(message), keys.FRAMES)
        self._open()
        self._write(data)
        self.n_pdus += 1
        self.n_bytes += len(data)
        self.n_frames += n_frames
