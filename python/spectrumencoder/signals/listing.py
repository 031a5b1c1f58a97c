# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory of a band for people and programs: lines of a table, CSV, Markdown. Rows are those of ``SignalWatch.table``."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from .. import keys
from ..emitters.listing import frequency, width

Row = Mapping[str, Any]


class _Column(NamedTuple):
    """A column for people. left: its texts begin at the left."""

    name: str
    text: Callable[[Row], str]
    left: bool = False


_COLUMNS = (
    _Column("frequency", frequency), _Column("width", lambda row: width(row[keys.BANDWIDTH_HZ])),
    _Column("level", lambda row: f"{row[keys.POWER_DBFS]:.1f} dBFS"), _Column("SNR", lambda row: f"{row[keys.SNR_DB]:.0f} dB"),
    _Column("class", lambda row: str(row[keys.LABEL]), left=True),
    _Column("confidence", lambda row: f"{100 * row[keys.CONFIDENCE]:.0f} %"),
    _Column("bursts", lambda row: str(row[keys.BURSTS])),
    _Column("duty cycle", lambda row: _percent(row[keys.DUTY_CYCLE])),
    _Column("first heard (UTC)", lambda row: time_of(row[keys.FIRST_HEARD])),
    _Column("last heard (UTC)", lambda row: time_of(row[keys.LAST_HEARD])))
CSV_FIELDS = (keys.SIGNAL_ID, keys.FREQ_CENTER_HZ, keys.BANDWIDTH_HZ, keys.FREQ_RELATIVE, keys.POWER_DBFS, keys.SNR_DB,
              keys.LABEL, keys.CONFIDENCE, keys.BURSTS, keys.DUTY_CYCLE, keys.FIRST_HEARD, keys.LAST_HEARD)


def table(rows: Sequence[Row]) -> list[str]:
    """Rows as lines, a head first."""
    texts = [[column.name for column in _COLUMNS], *([column.text(row) for column in _COLUMNS] for row in rows)]
    widths = [max(len(line[n]) for line in texts) for n in range(len(_COLUMNS))]
    return ["  ".join(text.ljust(size) if column.left else text.rjust(size)
                      for text, size, column in zip(line, widths, _COLUMNS, strict=True)).rstrip() for line in texts]


def markdown(rows: Sequence[Row], title: str, picture: str = "") -> str:
    """Rows as a table of Markdown under a title. picture: path of one, to be shown above it."""
    shown = [f"![Spectrum of the band with its signals, and when each was on]({picture})", ""] if picture else []
    lines = [f"# {title}", "", *shown]
    lines += ["| " + " | ".join(column.name for column in _COLUMNS) + " |",
              "|" + "|".join("---" if column.left else "--:" for column in _COLUMNS) + "|"]
    lines += ["| " + " | ".join(column.text(row).replace("|", "\\|") for column in _COLUMNS) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def csv_text(rows: Sequence[Row]) -> str:
    """Rows as CSV with a head of keys: units are in the names, times are ISO 8601 in UTC."""
    named = any(keys.RECORDING in row for row in rows)
    fields = [keys.RECORDING, *CSV_FIELDS] if named else list(CSV_FIELDS)
    out = io.StringIO()
    writer = csv.DictWriter(out, fields, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        times = {key: f"{time_of(row[key])}Z" for key in (keys.FIRST_HEARD, keys.LAST_HEARD)}
        writer.writerow({keys.FREQ_RELATIVE: False} | dict(row) | times)
    return out.getvalue()


def time_of(posix_s: float) -> str:
    """A time to the millisecond: "2026-01-31T12:00:00.250"."""
    return f"{datetime.fromtimestamp(round(posix_s, 3), UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3]


def _percent(share: float) -> str:
    """A share with two digits at least: "100 %", "7.0 %", "0.40 %"."""
    percent = 100.0 * share
    return f"{percent:.0f} %" if percent >= 9.95 else f"{percent:.1f} %" if percent >= 0.995 else f"{percent:.2f} %"
