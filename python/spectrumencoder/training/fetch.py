# SPDX-License-Identifier: GPL-3.0-or-later
"""Downloads public recordings of a manifest and writes them as SigMF, labelled for training.

At any moment the disk holds either a whole recording, with samples that match the manifest's hash, or a ``.part`` file in the
folder ``.fetch``. The next call continues from that file (HTTP ``Range``). A source file is accepted only with the manifest's
sha256.
"""

from __future__ import annotations

import hashlib
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urlsplit

import numpy as np

from ..recordings import RecordingError
from ..recordings.sample_format import SampleFormat
from ..recordings.sigmf import META_SUFFIX, open_sigmf
from ..recordings.sigmf_writer import write_encoded
from .public_recordings import PublicRecording

GITHUB = "https://raw.githubusercontent.com"
PARTS = ".fetch"
CHUNK_BYTES = 1 << 16
MAX_BYTES = 1 << 33  # max size of a source file if neither manifest nor server states it
MIN_BYTES_PER_TIMEOUT = 1024  # a slower connection counts as dead
MAX_PAUSE_S = 10.0


class FetchError(Exception):
    """A recording could not be fetched. The message is one line with its name and what to do."""


class UnreachableError(FetchError):
    """No server answered at the address in any try."""


class _Interrupted(Exception):
    """A transfer ended early and can be continued. `received`: bytes received; `reached`: True if a server answered."""

    def __init__(self, message: str, received: int = 0, *, reached: bool = True):
        super().__init__(message)
        self.received, self.reached = received, reached


def url_of(row: PublicRecording, base_url: str = GITHUB) -> str:
    """URL of the source file: BASE/REPOSITORY/COMMIT/PATH."""
    return f"{base_url.rstrip('/')}/{quote(row.repository)}/{row.commit}/{quote(row.path)}"


def is_present(row: PublicRecording, folder: Path) -> bool:
    """True if the folder holds the recording and the hash of its samples matches the manifest."""
    meta_path = folder / (row.name + META_SUFFIX)
    if not meta_path.is_file():
        return False
    try:
        recording = open_sigmf(meta_path)
        if not recording.verify():
            return False
    except RecordingError:  # damaged or cut off: fetched again
        return False
    head = recording.meta["global"]
    return head["core:sha512"] == row.sha512 if row.sha512 else row.sha256 in str(head.get("core:description"))


def fetch(row: PublicRecording, folder: str | Path, *, base_url: str = GITHUB, tries: int = 4, timeout_s: float = 30.0,
          progress: Callable[[int], None] | None = None) -> int:
    """Fetch a recording into a folder, unless it is there already.

    Args:
        row: row of the manifest.
        folder: existing folder.
        base_url: address to use in place of GitHub's (a mirror).
        tries: max number of transfers, each continuing from the end of the last one.
        timeout_s: a silence of this length ends a transfer.
        progress: called with the number of bytes of the source file present so far.

    Returns:
        Number of bytes downloaded; -1 if the recording was there already.

    Raises:
        UnreachableError: no server answers.
        FetchError: the server lacks the file or has another one, every transfer ends early, or the samples cannot be written.
    """
    folder = Path(folder)
    if urlsplit(base_url).scheme not in ("http", "https"):
        raise FetchError(f"base address {base_url!r} must begin with http:// or https://")
    if is_present(row, folder):
        return -1
    part = folder / PARTS / f"{row.sha256}.part"
    try:
        part.parent.mkdir(exist_ok=True)
        downloaded = _download(row, url_of(row, base_url), part, tries, timeout_s, progress or (lambda _: None))
        _convert(row, part, folder)
        part.unlink()
    except OSError as error:
        raise FetchError(f"{row.name}: {error.filename or part} cannot be written ({error.strerror}); "
                         "make room, or name another folder") from error
    finally:
        if part.parent.is_dir() and not any(part.parent.iterdir()):
            part.parent.rmdir()
    return downloaded


def _download(row: PublicRecording, url: str, part: Path, tries: int, timeout_s: float, progress) -> int:
    """Fill `part` until it matches the row; returns the number of bytes received over the network."""
    downloaded, trouble = 0, _Interrupted("nothing was tried", reached=False)
    for attempt in range(max(tries, 1)):
        if attempt:
            time.sleep(min(0.25 * 2.0 ** attempt, MAX_PAUSE_S, timeout_s))
        before = part.stat().st_size if part.is_file() else 0
        if before and before == (row.size_bytes or before) and _sha256(part) == row.sha256:
            return downloaded
        if row.size_bytes and before >= row.size_bytes:  # the right length, but another file
            before = 0
        try:
            downloaded += _receive(row, url, part, before, timeout_s, progress)
        except _Interrupted as error:
            trouble = error
            downloaded += error.received
            continue
        found = _sha256(part)
        if found == row.sha256:
            return downloaded
        part.unlink()
        if not before:
            raise FetchError(f"{row.name}: the file at {url} has sha256 {found[:12]}..., the manifest states "
                             f"{row.sha256[:12]}...; it is another file or was damaged on the way: try again, or "
                             "correct the manifest")
        trouble = _Interrupted("the bytes of an earlier call belong to another file")
    kind = FetchError if trouble.reached else UnreachableError
    raise kind(f"{row.name}: {url}: {trouble}; {tries} tries; call again to continue the transfer")


def _receive(row: PublicRecording, url: str, part: Path, start: int, timeout_s: float, progress) -> int:
    """Do one transfer, from byte `start` on if the server can. Raises _Interrupted; `part` keeps the bytes received."""
    request = urllib.request.Request(url, headers={"User-Agent": "gr-spectrumencoder"} | (
        {"Range": f"bytes={start}-"} if start else {}))
    try:
        answer = urllib.request.urlopen(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # nothing from there on: the present bytes belong to another file
            part.unlink(missing_ok=True)
            raise _Interrupted("the server has less than was here") from error
        if error.code in (408, 429) or error.code >= 500:
            raise _Interrupted(f"the server says HTTP {error.code}") from error
        raise FetchError(f"{row.name}: {url}: HTTP {error.code} {error.reason}; the file is not there (any more): "
                         "leave the recording out, or correct its row in the manifest") from error
    except (OSError, http.client.HTTPException) as error:  # OSError: URLError, timeout, refused
        raise _Interrupted(f"no answer ({getattr(error, 'reason', None) or error})", reached=False) from error
    with answer:
        if start and not (answer.status == 206 and str(answer.headers["Content-Range"]).startswith(f"bytes {start}-")):
            start = 0  # the server sends all of it again
        length = answer.headers["Content-Length"] or ""
        size = start + int(length) if length.isdigit() else row.size_bytes
        if row.size_bytes and size != row.size_bytes:
            raise FetchError(f"{row.name}: the file at {url} has {size} bytes, the manifest states {row.size_bytes}; "
                             "it is another file: correct the manifest")
        return _store(row, answer, part, start, size, timeout_s, progress)


def _store(row: PublicRecording, answer, part: Path, start: int, size: int, timeout_s: float, progress) -> int:
    """Append the received bytes to `part`, up to `size` bytes in all (0: unknown)."""
    total, window_start, window_total = start, time.monotonic(), start
    with part.open("r+b" if start else "wb") as file:
        file.truncate(start)
        file.seek(start)
        while True:
            try:
                chunk = answer.read1(CHUNK_BYTES)
            except (OSError, http.client.HTTPException) as error:
                raise _Interrupted(f"the transfer broke off at {total} of {size or '?'} bytes ({error})",
                                   total - start) from error
            if not chunk:
                break
            total += len(chunk)
            if total > (size or MAX_BYTES):
                raise FetchError(f"{row.name}: more than {size or MAX_BYTES} bytes came; the source is not what the "
                                 "manifest means: correct its row")
            file.write(chunk)
            progress(total)
            if time.monotonic() - window_start > timeout_s:
                if total - window_total < MIN_BYTES_PER_TIMEOUT:
                    raise _Interrupted(f"the transfer stands still at {total} of {size or '?'} bytes", total - start)
                window_start, window_total = time.monotonic(), total
    if size and total < size:
        raise _Interrupted(f"the transfer broke off at {total} of {size} bytes", total - start)
    return total - start


def _convert(row: PublicRecording, source: Path, folder: Path) -> Path:
    """Convert the source file to NAME.sigmf-data and NAME.sigmf-meta. The metadata is written last.

    Raises:
        FetchError: the file holds fewer samples than the row takes, or the samples' hash does not match the row.
    """
    sample = SampleFormat(row.datatype)
    wanted = row.n_samples * sample.sample_bytes if row.n_samples else -1
    with source.open("rb") as file:
        file.seek(row.header_bytes + row.first_sample * sample.sample_bytes)
        data = file.read(wanted)
    data = data[:len(data) // sample.sample_bytes * sample.sample_bytes]
    if not data or len(data) < wanted:
        raise FetchError(f"{row.name}: its file holds {len(data) // sample.sample_bytes} samples from the first one on, the "
                         f"manifest takes {row.n_samples or 'some'}; correct its row")
    if row.peak_int16:
        data = _to_int16(np.frombuffer(data, sample.component), row.peak_int16, row.name)
    found = hashlib.sha512(data).hexdigest()
    if row.sha512 and found != row.sha512:
        raise FetchError(f"{row.name}: its samples come out with sha512 {found[:12]}..., the manifest states "
                         f"{row.sha512[:12]}...; correct its row")
    n_samples = len(data) // SampleFormat(row.written_datatype).sample_bytes
    return write_encoded(folder / row.name, data, row.sample_rate_hz, row.written_datatype, description=_description(row),
                         center_freq_hz=row.center_freq_hz, annotations=_annotations(row, n_samples), extra=_credits(row))


def _to_int16(values: np.ndarray, peak: int, name: str) -> bytes:
    """Interleaved float32 I and Q -> int16 with max magnitude `peak`, rounded to the nearest even."""
    largest = np.abs(values).max()
    if not 0 < largest < np.inf:  # NaN fails both
        raise FetchError(f"{name}: its float samples have the largest value {largest}; they cannot be scaled: "
                         "correct its datatype")
    return np.rint(values * np.float32(peak / float(largest))).astype("<i2").tobytes()


def _annotations(row: PublicRecording, n_samples: int) -> list[dict]:
    """Annotations for `corpus.open_source`: first the whole file with its class, then the bursts."""
    whole = {"core:sample_start": 0, "core:sample_count": n_samples, "core:label": row.label,
             "core:comment": f"whole file; family={row.family}; class={row.cls}"}
    return [whole, *({"core:sample_start": start, "core:sample_count": count, "core:label": row.label, "core:comment": how}
                     for start, count, how in row.bursts)]


def _description(row: PublicRecording) -> str:
    nominal = " NOTE: core:frequency is NOMINAL (typical band), the true centre frequency is not documented."
    return (f"{row.label} recorded by others. Source: https://github.com/{row.repository} file {row.path} commit {row.commit} "
            f"(sha256 of source file {row.sha256}). Licence of source repository: {row.licence}. "
            f"{row.about + '. ' if row.about else ''}Processing: {row.processing}."
            f"{nominal if row.center_freq_is_nominal else ''}")


def _credits(row: PublicRecording) -> dict:
    facts = {"core:author": f"github.com/{row.repository} contributors", "core:hw": row.hardware, "core:license": row.licence_url,
             "core:recorder": "unknown (third-party recording), by way of gr-spectrumencoder dataset fetch"}
    return {key: value for key, value in facts.items() if value}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
