# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages of an archive's report: static HTML with pictures beside it, without scripts and without anything from elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path

from ..atomic_file import write_file
from .archive_row import FAILED, FINISHED, WAITING
from .dropped import count
from .outcome import NOT_OF_EMITTERS

ROWS = 500  # of a page
ORDERS = {  # name of the first page, its words, key of its order
    "index.html": ("by name", None),
    "by_alerts.html": ("by alerts", lambda row: (-(row.get("alerts") or 0), -(row.get("strongest_snr_db") or 0.0))),
    "by_strength.html": ("by the strongest", lambda row: -(row["strongest_snr_db"] if row.get("strongest_snr_db") is not None
                                                           else -1e9)),
    "failed.html": ("what failed", lambda row: (row["status"] == FINISHED, not row.get("error")))}

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --bad: #b3261e; --hot: #b45f00; }
@media (prefers-color-scheme: dark) { :root { --bad: #ff8a80; --hot: #ffb454; } }
body { font: 15px/1.4 system-ui, sans-serif; margin: 1.5rem; }
h1 { font-size: 1.4rem; margin: 0 0 .3rem; }
p { margin: .3rem 0; max-width: 75rem; }
nav a, nav b { margin-right: 1rem; }
table { border-collapse: collapse; margin: 1rem 0; width: 100%; }
th, td { border-bottom: 1px solid var(--line); padding: .4rem .6rem; text-align: left; vertical-align: top; }
th { position: sticky; top: 0; background: Canvas; white-space: nowrap; }
tr:nth-child(even) { background: var(--soft); }
img { width: 240px; height: 135px; display: block; }
td { box-sizing: border-box; }
td.picture { width: 240px; }
td.name { min-width: 15rem; overflow-wrap: anywhere; }
td.notes { min-width: 6rem; overflow-wrap: anywhere; }
td.number { font-variant-numeric: tabular-nums; }
summary { cursor: pointer; }
.small { font-size: .85em; opacity: .8; }
.hot { color: var(--hot); font-weight: 600; }
.bad { color: var(--bad); }
@media (max-width: 50rem) {
  body { margin: .6rem; }
  thead { display: none; }
  tr, td { display: block; border: 0; padding: .2rem .4rem; }
  tr { border-bottom: 1px solid var(--line); padding: .6rem 0; }
  td[data-is]::before { content: attr(data-is) " "; opacity: .7; font-size: .85em; }
  td:empty { display: none; }
  td.picture, img { width: 100%; height: auto; }
}
"""
_HEADS = ("waterfall", "recording", "alerts", "strongest", "signals", "notes")


def write_pages(folder: Path, source: str, rows: Sequence[dict]) -> None:
    """Writes the pages: the recordings in several orders, ``ROWS`` to a page; of other orders than the first only one page.

    Args:
        folder: of the report. source: what was run. rows: of ``archive_row``, with `picture` (path within the folder, or None).

    Raises:
        OSError: a page cannot be written.
    """
    summary = _summary(source, rows)
    for name, (_, order) in ORDERS.items():
        shown = list(rows) if order is None else sorted(rows, key=order)[:ROWS]
        if name == "failed.html":
            shown = [row for row in shown if row["status"] != FINISHED or row.get("error")]
        pages = [shown[first:first + ROWS] for first in range(0, len(shown), ROWS)] or [[]]
        names = [name, *(f"{Path(name).stem}_{number}.html" for number in range(2, len(pages) + 1))]
        for page, own in zip(pages, names, strict=True):
            links = " ".join(_link(other, words, other == name) for other, (words, _) in ORDERS.items())
            if len(names) > 1:
                links += " pages: " + " ".join(_link(other, str(number), other == own) for number, other in enumerate(names, 1))
            write_file(folder / own, _page(source, summary, links, page).encode())


def _link(target: str, words: str, here: bool) -> str:
    return f"<b>{escape(words)}</b>" if here else f'<a href="{target}">{escape(words)}</a>'


def _page(source: str, summary: str, links: str, rows: Sequence[dict]) -> str:
    heads = "".join(f"<th>{head}</th>" for head in _HEADS)
    body = "\n".join(map(_row, rows)) or f'<tr><td colspan="{len(_HEADS)}">none</td></tr>'
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src 'self' file:; style-src 'unsafe-inline'">
<title>Archive: {escape(source)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>Archive: {escape(source)}</h1>
{summary}
<nav>{links}</nav>
<table>
<thead><tr>{heads}</tr></thead>
<tbody>
{body}
</tbody>
</table>
</body>
</html>
"""


def _summary(source: str, rows: Sequence[dict]) -> str:
    finished = [row for row in rows if row["status"] == FINISHED]
    kinds, labels = Counter(), Counter()
    for row in finished:
        kinds.update({kind: number for kind, number in row["alerts_by_kind"].items() if kind not in NOT_OF_EMITTERS})
        labels.update(row.get("signals_by_label") or {})
    seconds = sum(row["duration_s"] or 0.0 for row in finished)
    with_alerts = sum(bool(row["alerts"]) for row in finished)
    lines = [f"{len(finished)} of {count(len(rows), 'recording')} finished, {_duration(seconds)} of signal; "
             f"{count(sum(row['alerts'] for row in finished), 'alert')} in {with_alerts} of them"
             + (f" ({_counts(kinds)})." if kinds else ".")]
    if labels:
        lines.append(f"Signals heard: {_counts(labels)}.")
    failed, waiting = (sum(row["status"] == status for row in rows) for status in (FAILED, WAITING))
    faults = sum(bool(row.get("error")) for row in finished)
    if failed or faults:
        lines.append(f'<span class="bad">{failed + faults} failed: <a href="failed.html">what failed</a>.</span>')
    if waiting:
        lines.append(f'<span class="bad">{waiting} not run yet: the same command goes on.</span>')
    lines.append('All messages of the events are in <a href="events.jsonl">events.jsonl</a> and <a href="events.parquet">'
                 'events.parquet</a>, this table in <a href="recordings.parquet">recordings.parquet</a>.')
    return "\n".join(f"<p>{line}</p>" for line in lines)


def _row(row: dict) -> str:
    name, picture = escape(row["recording"]), row.get("picture")
    shown = f'<a href="{escape(picture)}"><img src="{escape(picture)}" alt="waterfall of {name}" loading="lazy"></a>' \
        if picture else ""
    alerts = strongest = signals = ""
    if row["status"] == FINISHED:
        alerts = f'<span class="hot">{row["alerts"]}</span>' if row["alerts"] else "0"
        alerts += _small(_counts(Counter(row["alerts_by_kind"])))
        alerts += _small("" if row["emitters"] is None else f"{count(row['emitters'], 'emitter')} known")
        strongest, signals = _strongest(row), escape(_counts(Counter(row["signals_by_label"])))
    cells = (("picture", shown), ("name", name + _facts(row)), ("number", alerts), ("number", strongest), ("", signals),
             ("notes", _notes(row)))
    return "<tr>" + "".join(f'<td class="{kind}"{_named(kind, head)}>{text}</td>' for head, (kind, text) in zip(
        _HEADS, cells, strict=True)) + "</tr>"


def _named(kind: str, head: str) -> str:
    """The head of a column, for a screen that is too narrow for columns."""
    return "" if kind in ("picture", "name") else f' data-is="{head}"'


def _facts(row: dict) -> str:
    if row["duration_s"] is None:
        return ""
    lines = [f"{_duration(row['duration_s'])} at {row['rate_hz'] / 1e6:.6g} MS/s, {_megahertz(row['freq_center_hz'])}"]
    if row["start"]:
        lines.append(f"from {row['start'][:19]}Z")
    if row.get("frames") is not None:
        lines.append(count(row["frames"], "frame") + (f" ({row['dropped_frames']} dropped)" if row["dropped_frames"] else ""))
    return "".join(map(_small, lines))


def _notes(row: dict) -> str:
    if row["status"] == WAITING:
        return "not run yet"
    error = f'<span class="bad">{escape(row["error"])}</span>' if row.get("error") else ""
    notes = row.get("notes") or []
    listed = "".join(f"<p>{escape(note)}</p>" for note in notes)
    return error + (f'<details class="small"><summary>{count(len(notes), "note")}</summary>{listed}</details>' if notes else "")


def _small(text: str | None) -> str:
    return f'<br><span class="small">{escape(text)}</span>' if text else ""


def _counts(counts: Counter) -> str:
    """The most frequent first; the same number by name."""
    return ", ".join(f"{number} {name}" for name, number in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def _strongest(row: dict) -> str:
    if row["strongest_snr_db"] is None:
        return ""
    words = " ".join(filter(None, (row["strongest_alert"], row["strongest_label"])))
    return f"{row['strongest_snr_db']:.1f} dB SNR<br>{_megahertz(row['strongest_freq_hz'], 4)}" + _small(words)


def _megahertz(value_hz: float | None, digits: int = 3) -> str:
    return "frequency not stated" if value_hz is None else f"{value_hz / 1e6:.{digits}f}\N{NO-BREAK SPACE}MHz"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
