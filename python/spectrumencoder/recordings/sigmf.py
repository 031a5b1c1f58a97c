# SPDX-License-Identifier: GPL-3.0-or-later
"""Where SigMF's metadata and samples lie: NAME.sigmf-meta with its dataset, archives, collections.

An archive that holds one recording is one; ``archive.sigmf/NAME`` is a recording of an archive that holds several.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from .. import keys
from .archive import Member, head_inside, is_archive, members, unpack
from .raw import FileRecording
from .recording import Recording, RecordingError
from .sigmf_meta import DATA_SUFFIX, META_SUFFIX, Part, SigmfRecording

ARCHIVE_SUFFIXES = (".sigmf", ".sigmf.gz", ".sigmf.xz", ".sigmf.zip")
COLLECTION_SUFFIX = ".sigmf-collection"
SUFFIXES = (META_SUFFIX, *ARCHIVE_SUFFIXES)  # of which a folder is searched; a collection names what lies beside it
_EXTENSION = keys.SIGMF_PREFIX.rstrip(":")


def find_sigmf(path: Path) -> Path | None:
    """NAME.sigmf-meta of a path that is it, NAME.sigmf-data, or NAME if it exists; an archive or collection itself; else None.

    Samples whose metadata are missing are no SigMF: they are what is stated about them."""
    if path.suffix in (META_SUFFIX, DATA_SUFFIX):
        if _archive_of(path):
            return path
        meta_path = path.with_suffix(META_SUFFIX)
        return None if path.suffix == DATA_SUFFIX and path.is_file() and not meta_path.exists() else meta_path
    if path.is_dir():
        return None
    if path.name.endswith((*ARCHIVE_SUFFIXES, COLLECTION_SUFFIX)) or _archive_of(path):
        return path
    meta_path = path.with_name(path.name + META_SUFFIX)
    return meta_path if meta_path.is_file() else None


def is_sigmf(path: Path, head: bytes) -> bool:
    """True if the first bytes of a file are those of SigMF metadata, or of an archive with some."""
    if head.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"{") and b'"core:' in head:
        return True
    inside = head_inside(head)
    return is_archive(inside) and b".sigmf-" in inside


def sigmf_members(path: Path) -> list[Path]:
    """The recordings that a path of ``find_sigmf`` stands for: those of a collection or an archive; else the path alone.

    Raises:
        RecordingError: the collection or archive is damaged, or empty.
    """
    if path.name.endswith(COLLECTION_SUFFIX):
        return _collected(path)
    if path.is_file() and _is_archive_file(path):
        found = [Path(m.name).name.removesuffix(META_SUFFIX) for m in members(path, META_SUFFIX) if m.text is not None]
        if not found:
            raise RecordingError(f"{path}: holds no {META_SUFFIX} file; it is no SigMF archive")
        return [path] if len(found) == 1 else [path / name for name in found]
    return [path]


def open_sigmf(path: Path, *, channel: int | None = None,
               container: Callable[[Path], Recording | None] = lambda path: None) -> SigmfRecording:
    """Opens NAME.sigmf-meta, an archive, or a collection of one recording.

    Args:
        channel: of an interleaved file with several; None is the first.
        container: opens a file of another format that says itself where its samples are; None of any other file.

    Raises:
        RecordingError: missing, truncated or invalid.
    """
    if (archive := _archive_of(path)) is not None or (path.is_file() and _is_archive_file(path)):
        return _open_archived(archive or path, path.name if archive else "", channel)
    if path.name.endswith(COLLECTION_SUFFIX):
        several = _collected(path)
        if len(several) > 1:
            raise RecordingError(f"{path}: is a collection of {len(several)} recordings; name one, such as {several[0].name}")
        path = several[0]
    try:
        meta = _parsed(path.read_bytes(), path)
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    data_path, note = _dataset(meta, path)
    inner = None if data_path.suffix == DATA_SUFFIX or _states_bytes(meta) else container(data_path)
    if inner is None:
        recording = SigmfRecording(meta, path, Part(data_path, 0, data_path.stat().st_size), channel=channel)
    else:
        recording = _in_container(meta, path, inner, channel)
    recording.notes += [note] if note else []
    return recording


class About(NamedTuple):
    """What a search of a folder wants to know of NAME.sigmf-meta: its samples, and whether this module wrote it about them.

    Fields:
        samples: the file with the samples; None if it cannot be told.
        is_own_output: it is about samples of another name, and of this module: ``NAME-events.sigmf-meta``.
    """

    samples: Path | None
    is_own_output: bool


def about(meta_path: Path) -> About:
    """Reads metadata for a search. What is damaged has no samples."""
    try:
        meta = _parsed(meta_path.read_bytes(), meta_path)
    except (OSError, RecordingError):
        return About(None, False)
    head, own_data = meta.get("global"), meta_path.with_suffix(DATA_SUFFIX)
    own = isinstance(head, dict) and _EXTENSION in _extensions(head.get("core:extensions")) and (
        bool(head.get("core:metadata_only")) or head.get("core:dataset") not in (None, own_data.name) or own_data.is_symlink())
    try:
        return About(_dataset(meta, meta_path)[0], own)
    except RecordingError:
        return About(None, own)


def _extensions(value: Any) -> Iterator[str]:
    """Names of declared extensions: of a list of objects, of texts, or an object of versions as drafts of SigMF had it."""
    for item in value if isinstance(value, list | dict) else []:
        yield str(item.get("name") if isinstance(item, dict) else item)
        if isinstance(item, dict) and "name" not in item:
            yield from map(str, item)


def _parsed(content: bytes, path: Path) -> dict:
    try:
        meta = json.loads(content.decode(json.detect_encoding(content)))  # UTF-8, -16 or -32, with a byte order mark or without
    except (ValueError, RecursionError) as error:
        raise RecordingError(f"{path}: not valid JSON ({error}); damaged, or not SigMF metadata") from error
    if not isinstance(meta, dict):
        raise RecordingError(f"{path}: holds a JSON {type(meta).__name__}; SigMF metadata is an object")
    return meta


def _dataset(meta: dict, meta_path: Path) -> tuple[Path, str]:
    """The file with the samples, and a note. What ``core:dataset`` names goes before NAME.sigmf-data."""
    head = meta.get("global")
    named = head.get("core:dataset") if isinstance(head, dict) else None
    usual = meta_path.with_suffix(DATA_SUFFIX)
    data_path = meta_path.parent / str(named) if named else usual
    try:
        there, other = data_path.is_file(), data_path != usual and usual.is_file() and not usual.samefile(data_path)
    except (OSError, ValueError):  # no name of a file
        there = other = False
    if not there:
        only = " (core:metadata_only is set: these metadata come without samples)" if isinstance(head, dict) and head.get(
            "core:metadata_only") else ""
        raise RecordingError(f"{meta_path}: its samples are missing{only}; put {str(data_path.name)[:80]} beside it")
    return data_path, f"{usual.name} is not read: core:dataset names {data_path.name}" if other else ""


def _states_bytes(meta: dict) -> bool:
    """True if the metadata state which bytes of the dataset are no samples."""
    head, captures = meta.get("global"), meta.get("captures")
    return (isinstance(head, dict) and head.get("core:trailing_bytes") is not None) or (isinstance(captures, list) and any(
        isinstance(c, dict) and c.get("core:header_bytes") is not None for c in captures))


def _in_container(meta: dict, path: Path, inner: Recording, channel: int | None) -> SigmfRecording:
    """Metadata about a file of another format: its reader knows where the samples are, and of which type."""
    if not isinstance(inner, FileRecording):
        raise RecordingError(f"{path}: its dataset is {inner.format_name}, which SigMF metadata cannot be laid over; name "
                             "that itself")
    old = inner.samples
    recording = SigmfRecording(meta, path, old, channel=channel)
    if recording.datatype != (stated := str(meta["global"]["core:datatype"])):
        recording.notes.append(f"{old.path.name} is {inner.format_name} of {recording.datatype}; core:datatype says {stated}")
    recording.origins["datatype"] = f"{inner.format_name} in core:dataset"
    if not recording.samp_rate and inner.samp_rate:
        recording.samp_rate, recording.origins["samp_rate"] = inner.samp_rate, f"{inner.format_name} in core:dataset"
    return recording


def _collected(path: Path) -> list[Path]:
    """Metadata of the recordings of a collection."""
    try:
        listed = _parsed(path.read_bytes(), path).get("collection")
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from error
    streams = listed.get("core:streams") if isinstance(listed, dict) else None
    streams = streams if isinstance(streams, list) else []
    names = [item.get("name") if isinstance(item, dict) else item for item in streams]
    texts = [name for name in names if isinstance(name, str) and name]
    if not texts or len(texts) < len(names):
        raise RecordingError(f"{path}: core:streams names no recordings; it is no valid SigMF collection")
    return [path.with_name(PurePosixPath(name).name.removesuffix(META_SUFFIX) + META_SUFFIX) for name in texts]


def _archive_of(path: Path) -> Path | None:
    """The archive in which a path such as archive.sigmf/NAME names a recording."""
    return path.parent if path.parent.name.endswith(ARCHIVE_SUFFIXES) and path.parent.is_file() else None


def _is_archive_file(path: Path) -> bool:
    """By its content; a name of an archive is believed if the content is no metadata, and one of metadata without a look."""
    if path.name.endswith(META_SUFFIX):
        return False
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError:  # whoever reads it says why
        return False
    return is_archive(head) or (path.name.endswith(ARCHIVE_SUFFIXES) and not head.lstrip(codecs.BOM_UTF8).startswith(b"{"))


def _open_archived(path: Path, name: str, channel: int | None) -> SigmfRecording:
    """A recording in an archive. name: of its metadata, with or without suffix; "" if there is but one."""
    wanted = name.removesuffix(DATA_SUFFIX).removesuffix(META_SUFFIX)
    inside = members(path, META_SUFFIX, lambda other: Path(other).name == wanted + DATA_SUFFIX if name else
                     other.endswith(DATA_SUFFIX))
    metas = [member for member in inside if member.text is not None]
    chosen = [m for m in metas if not name or Path(m.name).name == wanted + META_SUFFIX]
    if len(chosen) != 1:
        names = ", ".join(Path(m.name).name.removesuffix(META_SUFFIX) for m in metas[:5])
        raise RecordingError(f"{path}: holds {len(metas)} recordings ({names}); name one, such as {path.name}/NAME" if metas else
                             f"{path}: holds no {META_SUFFIX} file; it is no SigMF archive")
    found = chosen[0]
    meta = _parsed(found.text or b"", path)
    data = _member_with_samples(path, meta, found, inside)
    stem = Path(found.name).name.removesuffix(META_SUFFIX)
    if data.start is not None:
        recording = SigmfRecording(meta, path, Part(path, data.start, data.n_bytes), channel=channel, name=stem)
    else:
        file = data.content or unpack(path, data)
        recording = SigmfRecording(meta, path, Part(Path(f"/proc/self/fd/{file.fileno()}"), 0, data.n_bytes), channel=channel,
                                   name=stem)
        recording.keeps.append(file)
        recording.data_path = None
        recording.notes.append(f"its samples, {data.n_bytes / 1e6:.3g} MB, are unpacked in a temporary file while it is open")
    recording.data_paths = [path]
    recording.format_name = "SigMF archive"
    return recording


def _member_with_samples(path: Path, meta: dict, found: Member, inside: list[Member]) -> Member:
    """The dataset of metadata in an archive: what core:dataset names, else NAME.sigmf-data, in the same folder."""
    folder, head = PurePosixPath(found.name).parent, meta.get("global")
    named = head.get("core:dataset") if isinstance(head, dict) else None
    usual = found.name.removesuffix(META_SUFFIX) + DATA_SUFFIX
    for wanted in ([str(folder / str(named))] if named else []) + [usual]:
        for member in inside:
            if member.name == wanted:
                return member
    raise RecordingError(f"{path}: holds {PurePosixPath(found.name).name}, but not its samples")
