# SPDX-License-Identifier: GPL-3.0-or-later
"""The report over an archive: events as JSON lines and as a Parquet table, a table of the recordings, a page with pictures.

Each file is written whole or not at all, and row by row, so that its size is not bounded by the memory. The same results give the
same bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import pyarrow as pa
import pyarrow.parquet as parquet

from .. import keys
from ..atomic_file import write_file
from .archive_page import write_pages
from .archive_row import other_row

if TYPE_CHECKING:
    from .archive import Archive

EVENTS, EVENTS_TABLE, RECORDINGS_TABLE = "events.jsonl", "events.parquet", "recordings.parquet"
_ROWS = 50_000  # that are held at a time

_COUNTS = pa.map_(pa.string(), pa.int64())
EVENT_TYPES = {key: pa.float64() for key in keys.EVENT_FIELDS if key != keys.LATENCY_MS} | {
    keys.RECORDING: pa.string(),
    **dict.fromkeys((keys.EVENT_ID, keys.STATE, keys.TIME_SOURCE, keys.THREAT_LEVEL, keys.ANALYSIS_TYPE, keys.LABEL, keys.BAND,
                     keys.MODEL, keys.ALERT, keys.EMITTER_NAME), pa.string()),
    **dict.fromkeys((keys.SAMPLE_START, keys.SAMPLE_COUNT, keys.EMITTER_ID, keys.BURSTS), pa.int64()),
    **dict.fromkeys((keys.IS_ANOMALY, keys.FREQ_RELATIVE), pa.bool_()), keys.POSSIBLE_THREATS: pa.list_(pa.string())}
RECORDING_TYPES = {
    "recording": pa.string(), "status": pa.string(), "start": pa.string(), "duration_s": pa.float64(), "rate_hz": pa.float64(),
    "freq_center_hz": pa.float64(), "frames": pa.int64(), "dropped_frames": pa.int64(), "events": pa.int64(),
    "alerts": pa.int64(), "alerts_by_kind": _COUNTS, "receiver": _COUNTS, "emitters": pa.int64(), "signals": pa.int64(),
    "signals_by_label": _COUNTS, "strongest_snr_db": pa.float64(), "strongest_freq_hz": pa.float64(),
    "strongest_label": pa.string(), "strongest_alert": pa.string(), "notes": pa.list_(pa.string()), "error": pa.string(),
    "picture": pa.string()}


def write_report(archive: Archive) -> None:
    """Writes all files of the report into the archive's folder.

    Raises:
        OSError: one cannot be written; the older one is then still there.
    """
    folder = archive.folder
    write_file(folder / EVENTS, lambda file: _write_lines(archive, file))
    write_file(folder / EVENTS_TABLE, lambda file: _write_table(map(json.loads, _event_lines(archive)), EVENT_TYPES, file))
    write_file(folder / RECORDINGS_TABLE, lambda file: _write_table(_rows(archive), RECORDING_TYPES, file))
    write_pages(folder, _title(archive.source), list(_rows(archive)))


def _title(source: str) -> str:
    """What was run, by its name: that of the folder for "." and the like."""
    path = Path(source)
    return source if path.name not in ("", "..") else path.resolve().name or source


def _rows(archive: Archive) -> Iterator[dict]:
    """The row of each recording, in their order, with the path of its picture within the folder."""
    for item in archive.items:
        entry = archive.entry(item)
        picture = archive.picture_of(item)
        shown = picture.relative_to(archive.folder).as_posix() if archive.is_finished(item) and picture.is_file() else None
        yield {**(entry.get("row") or other_row(item, entry.get("error"))), "picture": shown}


def _event_lines(archive: Archive) -> Iterator[str]:
    for item in archive.items:
        if archive.is_finished(item):
            with archive.events_of(item).open(encoding="utf-8") as lines:
                yield from lines


def _write_lines(archive: Archive, file: BinaryIO) -> None:
    for line in _event_lines(archive):
        file.write(line.encode())


def _write_table(rows: Iterator[dict], types: dict[str, pa.DataType], file: BinaryIO) -> None:
    schema = pa.schema(list(types.items()))
    with parquet.ParquetWriter(file, schema) as writer:
        waiting: list[dict] = []
        for row in rows:
            waiting.append(_known(row, types))
            if len(waiting) == _ROWS:
                writer.write_table(pa.Table.from_pylist(waiting, schema=schema))
                waiting = []
        writer.write_table(pa.Table.from_pylist(waiting, schema=schema))


def _known(row: dict, types: dict[str, pa.DataType]) -> dict:
    """The columns of a row; what is whole where a column has fractions becomes a float."""
    return {key: float(value) if isinstance(value, int) and types[key] == pa.float64() else value
            for key, value in row.items() if key in types}
