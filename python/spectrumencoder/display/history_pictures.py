# SPDX-License-Identifier: GPL-3.0-or-later
"""The pictures of a report: occupancy over time and frequency, when alerts were on, levels of emitters. PNG, times in UTC.

Time without a monitor is hatched in each of them: it is unknown, not quiet.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import keys

if TYPE_CHECKING:
    from ..history.report import Report

MAX_MAPS = 6  # ranges drawn, the busiest
MAX_LEVELS = 8  # emitters drawn
MIN_LEVELS_S = 300.0  # of a report with levels over time: they are known by the minute
LOWEST_SHARE = 1e-4  # of the colour scale
KINDS = ("new", "gone", "louder", "moved", "changed", "raised floor", "anomaly", "receiver")  # the order of the lines
KIND_COLORS = {"new": "#d1495b", "gone": "#5c6f82", "louder": "#e58a2e", "moved": "#8e5ea2", "changed": "#2a9d8f",
               "raised floor": "#9c6b30", "receiver": "#9aa5b1"}
OTHER_COLOR, LINE_COLOR, BAND_COLOR, INK = "#3b5bdb", "#1f5f8b", "#a9c6dc", "#2b2f36"
_WIDTH, _DPI = 12.5, 110


def occupancy_picture(report: Report) -> bytes:
    """Share of the time in which each channel was above the floor: over time, and beside it over all of the time.

    Raises:
        ValueError: the report has no occupancy.
    """
    from matplotlib.colors import LogNorm
    if not report.maps:
        raise ValueError("no occupancy in this time")
    maps = sorted(sorted(report.maps, key=lambda one: -np.nansum(one.occupancy))[:MAX_MAPS], key=lambda one: -one.low_hz)
    heights = [max(0.25, one.high_hz - one.low_hz) for one in maps]
    heights = [max(height, 0.12 * max(heights)) for height in heights]
    figure, canvas = _figure(4.6 + 0.7 * (len(maps) - 1))
    grid = figure.subplots(len(maps), 2, sharex="col", height_ratios=heights, width_ratios=(6, 1), squeeze=False)
    norm, image = LogNorm(LOWEST_SHARE, 1.0), None
    for one, (axes, beside) in zip(maps, grid, strict=True):
        _time_axis(axes, report)
        edges_s = one.begin_s + one.step_s * np.arange(len(one.occupancy) + 1)
        edges_hz = one.low_hz + one.channel_hz * np.arange(len(one.total) + 1)
        image = axes.pcolormesh(_dates(edges_s), edges_hz / 1e6, _shown(one.occupancy).T, norm=norm, cmap=_colors())
        axes.set_xlim(*_dates([report.since_s, report.until_s]))
        axes.set_ylim(edges_hz[0] / 1e6, edges_hz[-1] / 1e6)
        axes.ticklabel_format(axis="y", useOffset=False, style="plain")
        beside.set_xscale("log")
        busy = np.nan_to_num(one.total) > 0
        beside.barh(one.centers_hz[busy] / 1e6, one.total[busy], height=one.channel_hz / 1e6, color=LINE_COLOR, linewidth=0)
        beside.set_xlim(LOWEST_SHARE, 1.0)
        beside.set_ylim(axes.get_ylim())
        beside.set_yticklabels([])
        beside.grid(axis="x", alpha=0.25)
        beside.set_xticks((1e-4, 1e-3, 1e-2, 1e-1, 1.0), ("", "0.1 %", "", "10 %", ""))
    figure.supylabel("offset from the centre (MHz)" if report.relative else "frequency (MHz)", fontsize=10, color=INK)
    grid[-1, 1].set_xlabel("whole time")
    bar = figure.colorbar(image, ax=grid[:, 1].tolist(), pad=0.03, fraction=0.25, aspect=35)
    bar.set_ticks((1e-4, 1e-3, 1e-2, 1e-1, 1.0), labels=("≤ 0.01 %", "0.1 %", "1 %", "10 %", "100 %"))
    bar.set_label("share of the time above the floor", color=INK)
    return _png(figure, canvas)


def alerts_picture(report: Report) -> bytes:
    """When alerts were on, a line for each kind, and when the monitor ran.

    Raises:
        ValueError: the report has no alerts.
    """
    counts = report.kinds()
    if not counts:
        raise ValueError("no alerts in this time")
    kinds = [kind for kind in KINDS if kind in counts] + sorted(set(counts) - set(KINDS))
    figure, canvas = _figure(1.3 + 0.42 * (len(kinds) + 1))
    axes = figure.subplots()
    _time_axis(axes, report)
    axes.set_xlim(*_dates([report.since_s, report.until_s]))
    axes.set_ylim(len(kinds) + 0.6, -0.7)
    axes.set_yticks(range(len(kinds) + 1), ["monitor ran", *(f"{kind} ({counts[kind]})" for kind in kinds)])
    for begin, end in _watched(report):
        axes.barh(0, _span(begin, end), left=_dates([begin])[0], height=0.3, color="#7aa095", linewidth=0)
    whole_s = report.until_s - report.since_s
    smallest_s = 0.0022 * whole_s
    labels: dict[int, list[tuple[float, float, str]]] = {}  # line -> begin, end, text of its bars
    for alert in report.alerts:
        kind = alert.get(keys.ALERT) or "anomaly"
        begin = max(alert[keys.TIMESTAMP], report.since_s)
        end = alert.get(keys.TIMESTAMP_END, report.until_s if kind != "gone" else begin)
        row, color = kinds.index(kind) + 1, KIND_COLORS.get(kind, OTHER_COLOR)
        long_s = max(min(end, report.until_s) - begin, smallest_s)
        axes.barh(row, _span(begin, begin + long_s), left=_dates([begin])[0], height=0.5, color=color, linewidth=0, alpha=0.9)
        labels.setdefault(row, []).append((begin, begin + long_s, _alert_text(alert)))
    for row, bars in labels.items():
        _label_bars(axes, row, bars, report.since_s, whole_s)
    axes.tick_params(axis="y", length=0)
    return _png(figure, canvas)


def levels_picture(report: Report) -> bytes:
    """Levels of emitters over time: those with alerts first, then those that were on for longest.

    Raises:
        ValueError: the report has no levels, or is of too few minutes.
    """
    rows = _chosen(report)
    if not rows or report.until_s - report.since_s < MIN_LEVELS_S:
        raise ValueError("no levels in this time")
    figure, canvas = _figure(0.9 + 1.05 * len(rows))
    grid = figure.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0]
    step_s = max(60.0, (report.until_s - report.since_s) / 600.0)
    for axes, row in zip(grid, rows, strict=True):
        levels = report.levels[row["band_file"], row[keys.EMITTER_ID]]
        _time_axis(axes, report)
        times, low, middle, high = _thinned(levels.minutes_s, levels.mean_db, step_s)
        times = np.clip(times, report.since_s, report.until_s)  # of a run shorter than a minute
        axes.fill_between(_dates(times), low, high, color=BAND_COLOR, linewidth=0, alpha=0.7, step=None)
        lone = np.diff(times, prepend=-np.inf, append=np.inf)
        axes.plot(_dates(times), middle, color=LINE_COLOR, linewidth=1.1)
        single = (lone[:-1] > 3 * step_s) & (lone[1:] > 3 * step_s) & np.isfinite(middle)
        axes.plot(_dates(times[single]), middle[single], ".", color=LINE_COLOR, markersize=3 if len(times) > 60 else 8)
        axes.set_xlim(*_dates([report.since_s, report.until_s]))
        top = max(20.0, 1.1 * float(np.nanmax(high)))
        axes.set_ylim(0.0, top)
        axes.grid(axis="y", alpha=0.25)
        axes.set_title(_emitter_text(row, report), loc="left", fontsize=9, pad=3, color=INK)
        for alert in report.alerts:
            if alert.get(keys.EMITTER_ID) == row[keys.EMITTER_ID] and alert["band_file"] == row["band_file"]:
                kind = alert.get(keys.ALERT) or "anomaly"
                at = _dates([max(alert[keys.TIMESTAMP], report.since_s)])[0]
                color = KIND_COLORS.get(kind, OTHER_COLOR)
                axes.axvline(at, color=color, linewidth=1.2)
                late = alert[keys.TIMESTAMP] > report.since_s + 0.9 * (report.until_s - report.since_s)
                axes.annotate(kind, (at, 0.0), (-3 if late else 3, 2), textcoords="offset points", va="bottom", fontsize=8,
                              color=color, ha="right" if late else "left")
    figure.supylabel("dB over the floor", fontsize=10, color=INK)
    return _png(figure, canvas)


def _figure(height: float):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, layout="constrained")
    return figure, FigureCanvasAgg(figure)


def _png(figure, canvas) -> bytes:
    content = io.BytesIO()
    canvas.print_png(content, metadata={"Software": "gr-spectrumencoder"})
    return content.getvalue()


def _time_axis(axes, report: Report) -> None:
    """Time to the right, gaps hatched."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    locator = AutoDateLocator(minticks=4, maxticks=12, tz=UTC)
    axes.xaxis_date(UTC)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(
        locator, tz=UTC, formats=["%Y", "%b %Y", "%a %d", "%H:%M", "%H:%M", "%S.%f"],
        zero_formats=["", "%Y", "%b", "%a %d", "%H:%M", "%H:%M"],
        offset_formats=["", "%Y", "%b %Y", "%d %b %Y", "%d %b %Y", "%d %b %Y %H:%M"]))
    for begin, end in report.gaps:
        axes.axvspan(*_dates([begin, end]), facecolor="#e7e9ec", edgecolor="#b4bac2", hatch="////", linewidth=0, zorder=3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=9, colors=INK)


def _dates(times_s: Iterable[float]) -> list[datetime]:
    return [datetime.fromtimestamp(float(time_s), UTC) for time_s in times_s]


def _span(begin_s: float, end_s: float):
    begin, end = _dates([begin_s, end_s])
    return end - begin


def _watched(report: Report) -> list[tuple[float, float]]:
    """What is no gap."""
    ends = [report.since_s, *(time_s for gap in report.gaps for time_s in gap), report.until_s]
    return [(begin, end) for begin, end in zip(ends[::2], ends[1::2], strict=True) if end > begin]


def _colors():
    from matplotlib import colormaps
    colors = colormaps["YlGnBu"].copy()
    colors.set_bad((0.0, 0.0, 0.0, 0.0))
    colors.set_under("#fffff4")
    return colors


def _shown(occupancy: np.ndarray) -> np.ndarray:
    """Cells as the colour scale takes them: what was heard and never occupied has the lowest colour, not none."""
    return np.ma.masked_invalid(np.where(occupancy <= 0.0, 0.5 * LOWEST_SHARE, occupancy))


def _label_bars(axes, row: int, bars: list[tuple[float, float, str]], since_s: float, whole_s: float) -> None:
    """Writes the texts of the bars of a line behind them, or before them, wherever there is room."""
    free_from = since_s
    for n, (begin, end, text) in enumerate(bars):
        width_s = 0.0062 * whole_s * len(text)
        next_s = bars[n + 1][0] if n + 1 < len(bars) else since_s + whole_s
        behind, before = end + width_s < next_s, begin - width_s > free_from
        if text and (behind or before):
            axes.annotate(text, (_dates([end if behind else begin])[0], row), (4 if behind else -4, 0), va="center",
                          textcoords="offset points", fontsize=8, color=INK, ha="left" if behind else "right")
        free_from = max(free_from, end + (width_s if behind else 0.0))


def _alert_text(alert: dict[str, Any]) -> str:
    if alert.get(keys.ALERT) in ("raised floor", "receiver"):
        return ""
    freq = alert.get(keys.FREQ_CENTER_HZ)
    place = "" if freq is None else f"{freq / 1e3:+.1f} kHz" if alert.get(keys.FREQ_RELATIVE) else f"{freq / 1e6:.3f}"
    return f"{place} {alert.get(keys.EMITTER_NAME) or ''}".strip()


def _emitter_text(row: dict[str, Any], report: Report) -> str:
    place = f"{row[keys.FREQ_CENTER_HZ] / 1e6:.4f} MHz"
    words = [part for part in (row.get(keys.EMITTER_NAME), row.get(keys.LABEL), row["status"]) if part]
    return f"{row[keys.EMITTER_ID]}   {place}   {', '.join(words)}"


def _chosen(report: Report) -> list[dict[str, Any]]:
    """Emitters worth a line, in the order of their frequency."""
    alerted = {(alert["band_file"], alert.get(keys.EMITTER_ID)) for alert in report.alerts}
    known = [row for row in report.emitters if (row["band_file"], row[keys.EMITTER_ID]) in report.levels]
    known.sort(key=lambda row: ((row["band_file"], row[keys.EMITTER_ID]) not in alerted, -row["duty"]))
    return sorted(known[:MAX_LEVELS], key=lambda row: row[keys.FREQ_CENTER_HZ])


def _thinned(times_s: np.ndarray, values: np.ndarray, step_s: float):
    """Lowest, median and highest value in steps of time; NaN in steps without any, so that lines break there."""
    steps = np.floor(times_s / step_s).astype(np.int64)
    starts = np.flatnonzero(np.diff(steps, prepend=steps[0] - 1))
    pieces = np.split(values, starts[1:])
    found = np.array([(piece.min(), np.median(piece), piece.max()) for piece in pieces])
    numbers = steps[starts]
    breaks = np.flatnonzero(np.diff(numbers) > 3)  # quiet for longer than three steps
    times = np.insert((numbers + 0.5) * step_s, breaks + 1, (numbers[breaks] + 1.5) * step_s)
    return times, *(np.insert(found[:, n], breaks + 1, np.nan) for n in range(3))
