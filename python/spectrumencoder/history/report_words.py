# SPDX-License-Identifier: GPL-3.0-or-later
"""A report in words: sections, sentences and tables that one would send to a colleague."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import keys
from ..version import VERSION
from .document import Document, Items, Picture, Section, Table, Text
from .reader import BAND
from .report import BURST, GONE, NEW, RECEIVER, WHOLE_BAND, Report
from .times import length, short_stamp, stamp

MAX_ROWS = 40  # of a table
MAX_NAMED = 5  # in a sentence
MAX_GAPS = 20
_COUNTED = ((keys.DROPPED_FRAMES, "dropped"), (keys.SKIPPED_FRAMES, "not judged, since the machine was too slow"),
            (keys.CLIPPED_FRAMES, "clipped"))
Drawing = Callable[[Report], bytes]


def write_report(report: Report, pictures: dict[str, Drawing] | None = None) -> Document:
    """The document of a report.

    Args:
        pictures: what draws `occupancy`, `alerts` and `levels`; without it the document has none.
    """
    sections = [Section("In short", [Items(_in_short(report))]), _alerts(report), _occupancy(report), _emitters(report),
                _health(report), _explained(report)]
    for section, name, caption in (
            (sections[1], "alerts", "When alerts were on, by kind. Hatched: the monitor did not run."),
            (sections[2], "occupancy", _caption(report)),
            (sections[3], "levels", "Levels of emitters while they were on: median, and range from lowest to highest minute.")):
        if pictures:
            try:
                section.parts.insert(0, Picture(name, pictures[name](report), caption))
            except ValueError:  # there is nothing to draw
                pass
    return Document(f"Radio band report: {report.site.removesuffix('.db')}", _subtitle(report), sections,
                    f"Made {stamp(report.made_s)} UTC by gr-spectrumencoder {VERSION} from {report.site}. All times are UTC.")


def _subtitle(report: Report) -> str:
    ends = [(one.low_hz, one.high_hz) for one in report.maps]
    band = ", ".join(f"{low / 1e6:.6g} to {high / 1e6:.6g} MHz" for low, high in ends[:3]) + (" and more" if ends[3:] else "")
    sources = sorted({run[keys.SOURCE] for run in report.runs})
    named = ", ".join(sources[:3]) + (f" and {len(sources) - 3} more" if sources[3:] else "")
    ends_at = f"{short_stamp(report.until_s, year=True)} UTC ({length(report.until_s - report.since_s)})"
    return " · ".join([f"{short_stamp(report.since_s)} to {ends_at}", *([band] if band else []),
                       *([f"source {named}"] if named else [])])


def _in_short(report: Report) -> list[str]:
    whole = report.until_s - report.since_s
    lines = [f"The monitor ran {length(report.watched_s)} of {length(whole)} ({_percent(report.watched_s / whole)})."]
    if report.gaps:
        begin, end = max(report.gaps, key=lambda gap: gap[1] - gap[0])
        lines[0] += (f" It did not run {_times(len(report.gaps))}" + (", for at most " if report.gaps[1:] else ", for ")
                     + f"{length(end - begin)} from {short_stamp(begin)}; what happened then is not known.")
    kinds = report.kinds()
    noticed = kinds.pop(RECEIVER, 0)
    said = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    lines.append((f"{_count(sum(kinds.values()), 'alert')}: {said}." if kinds else "No alerts.")
                 + (f" {_count(noticed, 'notice')} about the receiver." if noticed else ""))
    lines += _named(report, NEW, "New on the band", keys.TIMESTAMP, "since")
    lines += _named(report, GONE, "Gone", keys.LAST_HEARD, "last heard")
    statuses = Counter(row["status"] for row in report.emitters).most_common()
    lines.append(f"{_count(len(report.emitters), 'emitter')} heard"
                 + (f": {', '.join(f'{count} {status}' for status, count in statuses)}." if statuses else "."))
    if report.busiest:
        busy = report.busiest[0]
        shares = np.concatenate([one.total for one in report.maps])
        lines.append(f"Busiest: {_range(busy, report)}, occupied {_percent(busy[keys.OCCUPANCY])} of the time. "
                     f"On average {_percent(float(np.nanmean(shares)))} of the channels were occupied.")
    return lines


def _named(report: Report, kind: str, head: str, key: str, word: str) -> list[str]:
    rows = report.of_kind(kind)
    if not rows:
        return []
    named = [f"{_place(row[keys.FREQ_CENTER_HZ], report)} ({_who(row)}, {word} {short_stamp(row[key])})"
             for row in rows[:MAX_NAMED] if row.get(keys.FREQ_CENTER_HZ) is not None]
    return [f"{head}: {'; '.join(named)}" + (f"; and {len(rows) - MAX_NAMED} more" if rows[MAX_NAMED:] else "") + "."]


def _who(row: dict[str, Any]) -> str:
    return row.get(keys.EMITTER_NAME) or row.get(keys.LABEL) or "unknown signal"


def _alerts(report: Report) -> Section:
    if not report.alerts:
        return Section("Alerts", [Text("There were no alerts in this time.")])
    rows = [_alert_row(row, report) for row in report.alerts if row.get(keys.ALERT) != BURST]
    head = "time", "alert", "frequency", "width", "level", "lasted", "emitter", "what"
    parts: list = [Table(head, rows[:MAX_ROWS], (2, 3, 4))]
    if rows[MAX_ROWS:]:
        parts.append(Text(f"{len(rows) - MAX_ROWS} more alerts are not shown here; --json has all of them."))
    return Section("Alerts", parts)


def _alert_row(row: dict[str, Any], report: Report) -> list[str]:
    whole = row.get(keys.ALERT) in WHOLE_BAND
    return [short_stamp(row[keys.TIMESTAMP]), row.get(keys.ALERT) or "anomaly",
            "whole band" if whole else _place(row.get(keys.FREQ_CENTER_HZ), report),
            "" if whole else _width(row.get(keys.BANDWIDTH_HZ)), _number(row.get(keys.SNR_DB), "{:.0f} dB"),
            _lasted(row, report), str(row.get(keys.EMITTER_ID) or ""), _class(row)]


def _lasted(row: dict[str, Any], report: Report) -> str:
    if row.get(keys.ALERT) in (GONE, "changed", "moved", RECEIVER):
        return ""
    end = row.get(keys.TIMESTAMP_END)
    return "goes on" if end is None else length(end - row[keys.TIMESTAMP])


def _class(row: dict[str, Any]) -> str:
    return ", ".join(part for part in (row.get(keys.EMITTER_NAME), row.get(keys.LABEL)) if part)


def _occupancy(report: Report) -> Section:
    section = Section("Occupancy")
    if not report.maps:
        section.parts.append(Text("No spectra came in this time."))
        return section
    names = {row[keys.EMITTER_ID]: row for row in report.emitters}
    rows = [[_range(row, report), _percent(row[keys.OCCUPANCY]), f"{row[keys.MAX_DB]:.0f} dB",
             "" if row["busiest_hour_utc"] is None else f"{row['busiest_hour_utc']:02d} h",
             ", ".join(f"{number} ({_who(names[number])})" for number in row[keys.EMITTERS][:3])] for row in report.busiest]
    if rows:
        section.parts += [Text("The busiest channels. Those side by side that are as busy as each other are one row."),
                          Table(("channels", "occupied", "max level", "busiest hour", "emitters there"), rows, (0, 1, 2, 3))]
    else:
        section.parts.append(Text("No channel was occupied for 0.01 % of the time or more."))
    return section


def _caption(report: Report) -> str:
    step = report.maps[0] if report.maps else None
    if step is None:
        return ""
    return (f"Share of the time in which each channel of {_width(step.channel_hz)} was above the noise floor, in steps of "
            f"{length(step.step_s)}. Hatched: the monitor did not run.")


def _emitters(report: Report) -> Section:
    if not report.emitters:
        return Section("Emitters", [Text("No emitter was heard in this time.")])
    ordered = sorted(report.emitters, key=lambda row: (row["status"] not in ("new", "gone"), -row["duty"]))[:MAX_ROWS]
    rows = [[str(row[keys.EMITTER_ID]), _place(row[keys.FREQ_CENTER_HZ], report), _width(row.get(keys.BANDWIDTH_HZ)),
             row["status"], _percent(row["duty"]), _number(row["level_db"], "{:.0f} dB"), f"{row.get(keys.BURSTS) or 0}",
             short_stamp(row.get(keys.FIRST_HEARD) or 0.0), short_stamp(row.get(keys.LAST_HEARD) or 0.0), _class(row)]
            for row in sorted(ordered, key=lambda row: row[keys.FREQ_CENTER_HZ])]
    head = "no.", "frequency", "width", "status", "on", "level", "bursts", "first heard", "last heard", "what"
    parts: list = [Table(head, rows, (0, 1, 2, 4, 5, 6))]
    if len(report.emitters) > MAX_ROWS:
        parts.append(Text(f"{len(report.emitters) - MAX_ROWS} more emitters are not shown here; --json has all of them."))
    if len({row[BAND] for row in report.emitters}) > 1:
        parts.append(Text("Each run without --band-file numbers its emitters anew: one emitter may be listed once for each run."))
    return Section("Emitters", parts)


def _health(report: Report) -> Section:
    runs = [[short_stamp(max(run[keys.TIMESTAMP], report.since_s)), short_stamp(min(run[keys.TIMESTAMP_END], report.until_s)),
             length(min(run[keys.TIMESTAMP_END], report.until_s) - max(run[keys.TIMESTAMP], report.since_s)), run[keys.SOURCE],
             _tuning(run), run.get(keys.MODEL) or "", _ending(run, report)] for run in report.runs]
    parts: list = [Items(_figures(report))]
    if runs:
        parts += [Text("Runs in this time:"),
                  Table(("from", "to", "length", "source", "tuned to", "model", "ended"), runs[-MAX_ROWS:], (2,))]
    if report.gaps:
        longest = sorted(sorted(report.gaps, key=lambda gap: gap[0] - gap[1])[:MAX_GAPS])
        parts += [Text("Time without a monitor, of which nothing is known:"),
                  Table(("from", "to", "length"),
                        [[short_stamp(begin), short_stamp(end), length(end - begin)] for begin, end in longest], (2,))]
        if report.gaps[MAX_GAPS:]:
            parts.append(Text(f"{len(report.gaps) - MAX_GAPS} shorter ones are not shown here."))
    return Section("Health", parts)


def _figures(report: Report) -> list[str]:
    totals, lines = report.totals(), []
    frames = totals[keys.FRAMES]
    lost = [f"{_spaced(totals[key])} {words} ({_percent(totals[key] / max(1, frames))})"
            for key, words in _COUNTED if totals[key]]
    lines.append(f"{_spaced(frames)} frames" + (f": {', '.join(lost)}" if lost else ", none of which was lost or clipped")
                 + (f"; the radio reported {_count(totals[keys.OVERFLOWS], 'overflow')}." if totals[keys.OVERFLOWS] else "."))
    if totals["floor_median_dbfs"] is not None:
        lines.append(f"Noise floor: {totals['floor_median_dbfs']:.1f} dBFS per bin; from {totals['floor_low_dbfs']:.1f} to "
                     f"{totals['floor_high_dbfs']:.1f}.")
    if totals["latency_p99_median_ms"] is not None:
        lines.append(f"Latency from antenna to verdict: 99 % of the frames within {totals['latency_p99_median_ms']:.0f} ms "
                     f"in the usual minute, {totals['latency_p99_max_ms']:.0f} ms in the slowest.")
    return lines


def _ending(run: dict[str, Any], report: Report) -> str:
    if run.get(keys.WHY):
        return run[keys.WHY]
    return "goes on" if run is report.runs[-1] and run[keys.TIMESTAMP_END] >= report.made_s - 300.0 else \
        "cut off: power, a kill, or a crash"


def _tuning(run: dict[str, Any]) -> str:
    freq, rate = run.get(keys.FREQ_CENTER_HZ), run.get("samp_rate")
    return ", ".join([*([f"{freq / 1e6:.6g} MHz"] if freq else []), *([f"{rate / 1e6:.6g} MS/s"] if rate else [])])


def _explained(report: Report) -> Section:
    width = _width(report.maps[0].channel_hz) if report.maps else "25 kHz"
    return Section("How to read this", [Items([
        f"Occupied: the strongest bin of a channel ({width} wide) is at least 6 dB above the noise floor of the whole band. A "
        "carrier that never stops is occupied 100 % of the time.",
        "Levels are in dB over that floor, per bin. They compare within a site, not between receivers.",
        "New, gone, louder, changed, moved: an emitter differs from what the monitor has learned to be usual. The class under "
        "“what” is a hint of the model.",
        "Times without a monitor are shown as such. Nothing is concluded from them, neither quiet nor gone."])])


def _place(hz: float | None, report: Report) -> str:
    if hz is None:
        return ""
    return f"{hz / 1e3:+.1f} kHz" if report.relative else f"{hz / 1e6:.4f} MHz"


def _range(row: dict[str, Any], report: Report) -> str:
    """The channels of a row: one by its centre, several by their ends."""
    center, width = row[keys.FREQ_CENTER_HZ], row[keys.BANDWIDTH_HZ]
    if width < 1.5 * row[keys.CHANNEL_HZ]:
        return _place(center, report)
    return f"{_place(center - width / 2, report).removesuffix(' MHz')} to {_place(center + width / 2, report)}"


def _width(hz: float | None) -> str:
    if not hz:
        return ""
    return f"{hz / 1e6:.3g} MHz" if hz >= 999.5e3 else f"{hz / 1e3:.3g} kHz"


def _number(value: float | None, form: str) -> str:
    return "" if value is None or not math.isfinite(value) else form.format(value)


def _percent(share: float) -> str:
    """ "12 %", "3.4 %", "0.034 %": two digits, and never 100 % or 0 % of what is less or more."""
    percent = 100.0 * share
    if 99.5 <= percent < 100.0 - 1e-9:
        return f"{min(percent, 99.9):.1f} %"
    if 0 < percent < 0.001:
        return "< 0.001 %"
    digits = 0 if percent >= 9.95 or percent == 0 else 1 - math.floor(math.log10(percent))
    return f"{percent:.{min(digits, 3)}f} %"


def _spaced(count: int) -> str:
    return f"{count:,}".replace(",", "\u202f")


def _count(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")
