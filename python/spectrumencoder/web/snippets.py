# SPDX-License-Identifier: GPL-3.0-or-later
"""The samples around an alert, as ``snippet_recorder`` wrote them: a picture's rows, and a SigMF archive to download."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..recordings.sigmf_meta import DATA_SUFFIX, META_SUFFIX

MAX_ROWS, FFT_SIZE = 400, 1024
_STEP = 1 << 18  # bytes
_NAME = re.compile(r"event-\d{8}T\d{6}-(.+)" + re.escape(META_SUFFIX))


class Snippet(NamedTuple):
    """A recording around an alert: its two files."""

    meta: Path
    data: Path

    def archive(self) -> Iterator[bytes]:
        """A SigMF archive (a tar file with both files in a folder), in parts. The files stay open until its end."""
        name = self.meta.name.removesuffix(META_SUFFIX)
        with self.meta.open("rb") as meta, self.data.open("rb") as data:
            for path, file in ((self.meta, meta), (self.data, data)):
                about = tarfile.TarInfo(f"{name}/{path.name}")
                state = path.stat()
                about.size, about.mtime = file.seek(0, 2), int(state.st_mtime)
                file.seek(0)
                yield about.tobuf(tarfile.USTAR_FORMAT)
                left = about.size
                while left and (part := file.read(min(_STEP, left))):
                    left -= len(part)
                    yield part
                yield bytes(-about.size % tarfile.BLOCKSIZE)
        yield bytes(2 * tarfile.BLOCKSIZE)

    def picture(self) -> bytes:
        """Its spectra, as rows of ``rows``: MAX_ROWS at most. It takes some ten milliseconds.

        Raises:
            RecordingError: the files are damaged, or gone.
        """
        from ..display.history import Tuning
        from ..recordings import open_recording
        from ..session.listening import SpectrumRow
        from ..tokens.tokenize import tokenize
        from .rows import pack
        recording = open_recording(self.meta)
        capture = recording.captures[0]
        average = max(1, -(-recording.n_samples // (FFT_SIZE * MAX_ROWS)))
        frames = tokenize(recording.read(0, recording.n_samples), recording.samp_rate, fft_size=FFT_SIZE,
                          average=min(average, 64), center_freq=capture.frequency_hz or 0.0)
        tuning = Tuning(capture.frequency_hz or 0.0, recording.samp_rate, FFT_SIZE)
        begin, seconds = capture.posix_time or 0.0, frames.frame_hop / recording.samp_rate
        return b"".join(pack(SpectrumRow(begin + float(start) / recording.samp_rate, seconds, tuning, psd)).to_bytes(number)
                        for number, (start, psd) in enumerate(zip(frames.frame_start, frames.psd, strict=True)))


def identities(folder: Path) -> set[str]:
    """Ids of the events whose samples are in a folder, as file names have them."""
    try:
        return {match[1] for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))}
    except OSError:
        return set()


def find(folder: Path, event_id: str) -> Snippet | None:
    """The samples around an event; None: there are none (any more)."""
    safe = re.sub(r"[^\w.-]", "_", event_id)[:100]
    for path in folder.glob(f"event-*-{safe}{META_SUFFIX}"):
        match = _NAME.fullmatch(path.name)
        data = path.with_name(path.name.removesuffix(META_SUFFIX) + DATA_SUFFIX)
        if match and match[1] == safe and data.is_file():
            return Snippet(path, data)
    return None
