# SPDX-License-Identifier: GPL-3.0-or-later
"""Files inside tar and zip archives. What lies in an archive as it is is read in place; the rest goes to a temporary file.

The temporary file has no name from the moment it is made: nothing of it is left, however the program ends.
"""

from __future__ import annotations

import io
import lzma
import shutil
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, NamedTuple

from .recording import RecordingError

MAX_TEXT_BYTES = 64 << 20  # of metadata, and of a tar header
_PIECE, _INPUT = 1 << 20, 1 << 16
_LZMA_BYTES = 128 << 20  # memory of the decoder; xz -9 takes 65 MiB
_ERRORS = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, RuntimeError,
           OverflowError, struct.error, NotImplementedError, RecursionError)


class Member(NamedTuple):
    """A file in an archive.

    Fields:
        name: with its folders.
        n_bytes: as the archive states it.
        start: the byte of the archive at which it lies as it is; None: it is compressed.
        text: its content if that was asked for.
        content: a temporary file with its content, if that was asked for and the archive is compressed as a whole.
    """

    name: str
    n_bytes: int
    start: int | None
    text: bytes | None = None
    content: BinaryIO | None = None


def is_archive(head: bytes) -> bool:
    """True if a file that begins with these bytes is tar, plain, gz or xz, or zip."""
    return head[257:262] == b"ustar" or head.startswith((b"\x1f\x8b", b"\xfd7zXZ\x00", b"PK\x03\x04"))


def head_inside(head: bytes) -> bytes:
    """The first bytes of a tar archive that begins with these, packed or not; of a zip archive its own."""
    try:
        if head.startswith(b"\x1f\x8b"):
            return zlib.decompressobj(31).decompress(head, len(head))
        if head.startswith(b"\xfd7zXZ\x00"):
            return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_LZMA_BYTES).decompress(head, len(head))
    except (zlib.error, lzma.LZMAError, EOFError):
        return b""
    return head


def members(path: Path, text_suffix: str, keep: Callable[[str], bool] = lambda name: False) -> list[Member]:
    """The files in an archive, with the content of those whose names end in text_suffix.

    Args:
        keep: of a tar archive that is compressed as a whole: whether the file of this name is wanted, too. The first one is
            unpacked on the way: it takes long to come there again.

    Raises:
        RecordingError: it is damaged, or no archive of these kinds; or there is no room to unpack.
    """
    with _told(path):
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive, path.open("rb") as file:
                return [Member(info.filename, info.file_size, _zip_start(info, file),
                               _text(path, info.filename, archive.open(info), info.file_size)
                               if info.filename.endswith(text_suffix) else None)
                        for info in archive.infolist() if not info.is_dir()]
        with _open_tar(path) as (archive, plain):
            found: list[Member] = []
            for info in archive:
                if not info.isfile() or info.issparse():
                    continue
                member = Member(info.name, info.size, info.offset_data if plain else None)
                source = archive.extractfile(info)
                if info.name.endswith(text_suffix):
                    member = member._replace(text=_text(path, info.name, source, info.size))
                elif not plain and source is not None and keep(info.name) and all(one.content is None for one in found):
                    _check_room(path, member)
                    member = member._replace(content=_copy(path, source, member))
                found.append(member)
            return found


def unpack(path: Path, member: Member) -> BinaryIO:
    """A temporary file with the content of a member. It is gone when it is closed.

    Raises:
        RecordingError: the archive is damaged, or there is no room.
    """
    _check_room(path, member)
    with _told(path):
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive, archive.open(member.name) as source:
                return _copy(path, source, member)
        with _open_tar(path) as (archive, _):
            for info in archive:
                if info.name == member.name:
                    source = archive.extractfile(info)
                    assert source is not None  # members() names files alone
                    return _copy(path, source, member)
    raise RecordingError(f"{path}: has no {member.name} any more")


def _check_room(path: Path, member: Member) -> None:
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if member.n_bytes > 0.9 * free:
        raise RecordingError(f"{path}: its samples take {member.n_bytes / 1e9:.3g} GB, {folder} has {free / 1e9:.3g} GB left; "
                             "set TMPDIR to a larger folder, or unpack it yourself")


def _copy(path: Path, source: IO[bytes], member: Member) -> BinaryIO:
    file: Any = tempfile.TemporaryFile(buffering=0)
    done = 0
    while piece := source.read(min(_PIECE, member.n_bytes - done)):
        file.write(piece)
        done += len(piece)
    if done < member.n_bytes:
        raise RecordingError(f"{path}: {member.name} ends after {done} of {member.n_bytes} bytes; the archive is truncated")
    return file


def _text(path: Path, name: str, source: IO[bytes] | None, n_bytes: int) -> bytes:
    if source is None or n_bytes > MAX_TEXT_BYTES:
        raise RecordingError(f"{path}: its metadata {name} are of {n_bytes} bytes, more than {MAX_TEXT_BYTES}")
    return source.read(MAX_TEXT_BYTES)


def _zip_start(info: zipfile.ZipInfo, file: BinaryIO) -> int | None:
    """The first byte of a member that is stored as it is: behind its local header (30 bytes, name, extra field)."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"compression {info.compress_type} of {info.filename} is not read")
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        return None
    file.seek(info.header_offset)
    *_, name_bytes, extra_bytes = struct.unpack("<4s5H3I2H", file.read(30))
    return info.header_offset + 30 + name_bytes + extra_bytes


@contextmanager
def _open_tar(path: Path) -> Iterator[tuple[tarfile.TarFile, bool]]:
    """A tar archive, and whether its bytes lie in the file as they are."""
    with path.open("rb") as file:
        head = file.read(6)
        file.seek(0)
        plain = not head.startswith((b"\x1f\x8b", b"\xfd7zXZ"))
        source: Any = _Limited(file) if plain else _Unpacked(file, head.startswith(b"\x1f\x8b"))
        with tarfile.open(fileobj=source, mode="r:") as archive:
            yield archive, plain


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Errors of the libraries in the words of a recording."""
    try:
        yield
    except _ERRORS as error:
        raise RecordingError(f"{path}: cannot be read as a SigMF archive ({' '.join(str(error).split())[:100]}); it is damaged, "
                             "or none") from error


class _Limited:
    """A file of which no more is read at once than a header has: tarfile believes each size that is stated."""

    def __init__(self, file: BinaryIO):
        self.seek, self.tell, self._read = file.seek, file.tell, file.read

    def read(self, n_bytes: int) -> bytes:
        if n_bytes > MAX_TEXT_BYTES:
            raise ValueError(f"a header of {n_bytes} bytes")
        return self._read(n_bytes)


class _Unpacked:
    """The content of a gz or xz file, read forwards."""

    def __init__(self, file: BinaryIO, gz: bool):
        self._file, self._gz, self._position, self._waiting = file, gz, 0, b""
        self._decoder: Any = self._new()

    def _new(self) -> Any:
        return zlib.decompressobj(31) if self._gz else lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_LZMA_BYTES)

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> int:
        if position < self._position:
            raise io.UnsupportedOperation("a step back in a compressed archive")
        while self._position < position and self.read(min(_PIECE, position - self._position)):
            pass
        return self._position

    def read(self, n_bytes: int) -> bytes:
        if n_bytes > MAX_TEXT_BYTES:
            raise ValueError(f"a header of {n_bytes} bytes")
        pieces, wanted = [], n_bytes
        while wanted and (piece := self._some(wanted)):
            pieces.append(piece)
            wanted -= len(piece)
        self._position += n_bytes - wanted
        return b"".join(pieces)

    def _some(self, n_bytes: int) -> bytes:
        """At least one byte, if there is one."""
        while True:
            if self._decoder.eof:  # another stream may follow, or zeros
                self._waiting = self._decoder.unused_data or self._file.read(_INPUT)
                if not self._waiting.strip(b"\0"):
                    return b""
                self._decoder = self._new()
            elif not self._waiting and (self._gz or self._decoder.needs_input):
                self._waiting = self._file.read(_INPUT)
                if not self._waiting:
                    return self._decoder.decompress(b"", n_bytes) if self._gz else b""
            piece = self._decoder.decompress(self._waiting, n_bytes)
            self._waiting = self._decoder.unconsumed_tail if self._gz else b""  # the other keeps its input itself
            if piece:
                return piece
