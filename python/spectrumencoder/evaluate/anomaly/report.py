# SPDX-License-Identifier: GPL-3.0-or-later
"""Page and picture of `anomaly`: detection at a given false-alarm rate, ours beside the best baseline and the bound."""

from __future__ import annotations

from pathlib import Path

from ...measure.page import QUICK, bullet, command_block, markdown_table, measured_at, paragraph
from .figures import MAIN, OURS, RATES

TITLE = "Injected anomalies"
_COLUMNS = 5  # panels in a row
_AT = f"{MAIN:g}"


def report(result: dict, command: str = "", picture: str = "") -> str:
    """The figures as Markdown: what was measured, tables of detectors and of kinds for scenes and for recordings, the command."""
    settings = result["settings"]
    out = [QUICK + "\n"] if result["quick"] else []
    out.append(paragraph(
        f"Model `{result['model']}`, dropout {settings['dropout_rate']:g}. Windows of {settings['window_frames']} frames are "
        f"judged by their largest frame score. The INR is uniform from {settings['inr_db'][0]:g} to {settings['inr_db'][1]:g} "
        "dB: power over noise and signals in the anomaly's own bins. Every detector learns from the same frames and judges "
        "the same windows. Thresholds are conformal. At 1 % in a scene they come from clean windows kept for that. Else they "
        "come from the clean windows of all other scenes or recordings, each on its own scale. Brackets hold 95 % intervals, "
        "drawn over scenes or recordings with the thresholds kept. *bound* is a detector that knows place, level and clean "
        "spectrum (assumptions: `evaluate/anomaly/bound.py`).") + "\n")
    if picture:
        out.append(f"![Detection against INR]({picture})\n")
    out += _part(f"Simulated scenes, K = {settings['average']['simulated']}", result)
    if result["recorded"]:
        out += _part(f"Recordings, K = {settings['average']['recorded']}", result["recorded"])
    if command:
        out.append(command_block(command))
    out.append(measured_at(result) + "\n")
    return "\n".join(out)


def _part(title: str, part: dict) -> list[str]:
    on, events = part["measured_on"], part["false_events_per_hour"]
    by = ", ".join(f"{name}: {count}" for name, count in on["calibrated_by"].items())
    out = [f"## {title}\n", paragraph(
        f"{on['anomalies']} windows with an anomaly and {on['clean_windows']} clean ones in {on['units']} "
        f"{title.partition(',')[0].split()[-1].lower()}. The model was trained on {on['trained_on']} of these. "
        f"{on['kept_windows']} more windows were kept for thresholds. Calibrated by {by}.") + "\n"]
    rows = {f"**{OURS}**": part} | part["baselines"]
    detectors = [[name, *(_ranged(row["pd_at_far"][f"{r:g}"]) for r in RATES), _ranged(row["single_frame_pd"][_AT])]
                 for name, row in rows.items()]
    bound = [*(part["bound"]["pd_at_far"][f"{r:g}"] for r in RATES), part["bound"]["single_frame_pd"][_AT]]
    out.append(markdown_table(["detector", *(f"Pd at {100 * r:g} %" for r in RATES), f"one frame, Pd at {100 * MAIN:g} %"],
                              [*detectors, ["bound", *map(_ranged, bound)]]))
    out.append(markdown_table(["detector", "AUC", "F1 at 5 % prevalence", f"realised FAR at {100 * MAIN:g} %"], [
        [name, _ranged(row["auc"]), _ranged(row["f1_at_5pct"]), _ranged(row["realised_far"][_AT], 100, " %")]
        for name, row in rows.items()]))
    ours, others = [], []
    for kind, row in part["per_type"].items():
        best = row["best_baseline"] or {"name": "-", "pd": None, "pd_difference": None, "advantage_db": None}
        ours.append([kind, _ranged(row["pd"]), _ranged(row["single_frame_pd"]), _ranged(row["auc"]),
                     _number(row["inr_at_half_db"]), _number(row["bound"], 3), _number(row["bound_inr_at_half_db"])])
        others.append([kind, best["name"], _ranged(best["pd"]), _ranged(best["pd_difference"]), _number(best["advantage_db"])])
    out.append(markdown_table(["anomaly", "Pd at 1 %", "one frame", "AUC", "half found at, dB", "bound: Pd", "half at, dB"],
                              ours))
    out.append(markdown_table(["anomaly", "best baseline", "its Pd", "ours minus it, paired", "better by, dB"], others))
    reasons = {v["reason"] for v in [*part["pd_at_far"].values(), *part["realised_far"].values()] if v.get("reason")}
    out.append("\n".join([
        *(bullet(f"without a figure: {reason}") for reason in sorted(reasons)),
        bullet(f"false events at the defaults: {_ranged(events, 1, ' an hour', 1)} ({events['events']} in {events['hours']:.3g} "
               f"h); an event opens in {_ranged(part['event_pd'])} of the windows with an anomaly"),
        bullet(f"frames flagged at the nominal 1 %: {_ranged(part['realised_far_per_frame'], 100, ' %')}"),
        bullet(f"of the anomalies found: first flagged frame {_ranged(part['delay_frames'], digits=2)} frames after the onset; "
               f"overlap of the strongest event's bins with the anomaly's (IoU) {_ranged(part['localisation_iou'])}")]) + "\n")
    return out


def draw(result: dict, path: Path) -> None:
    """A panel for each kind and, below, the same for recordings: detection against INR."""
    from matplotlib.figure import Figure

    from ...measure.plots import finish

    parts = [("simulated", result)] + ([("recorded", result["recorded"])] if result["recorded"] else [])
    kinds = list(result["per_type"])
    columns = min(_COLUMNS, len(kinds))
    rows = -(-len(kinds) // columns)
    fig = Figure(figsize=(2.9 * columns, 2.6 * rows * len(parts)), layout="constrained")
    axes = fig.subplots(rows * len(parts), columns, squeeze=False, sharex=True, sharey=True)
    for axis in axes.flat:
        axis.set_axis_off()
    for block, (name, part) in enumerate(parts):
        for number, (kind, row) in enumerate(part["per_type"].items()):
            axis = axes[block * rows + number // columns, number % columns]
            axis.set_axis_on()
            _panel(axis, row)
            axis.set_title(f"{kind}, {name}", fontsize=9, loc="left")
            axis.set_title((row["best_baseline"] or {"name": ""})["name"], fontsize=7, loc="right", color="C1")
    axes[0, 0].legend(fontsize=7)
    fig.supxlabel("INR (dB)")
    fig.supylabel("probability of detection at 1 % false alarms per window")
    finish(fig, path)


def _panel(axis, row: dict) -> None:
    middle = [sum(map(float, key.split("-"))) / 2 for key in row["per_inr"]]
    cells = list(row["per_inr"].values())
    if row["best_baseline"]:
        name = row["best_baseline"]["name"]
        ours = [c["pd"] for c in cells]
        reach = [[v["mean"] - v["low"] for v in ours], [v["high"] - v["mean"] for v in ours]]
        axis.errorbar(middle, [v["mean"] for v in ours], reach, fmt="o-", color="C0", markersize=3, label=OURS)
        axis.plot(middle, [c["baselines"][name] for c in cells], "s--", color="C1", markersize=3, label="best baseline")
    axis.plot(middle, [c["bound"] for c in cells], ":", color="0.4", label="bound")
    axis.set_xlim(0, 20)
    axis.set_ylim(-0.03, 1.03)
    axis.grid(alpha=0.3)


def _ranged(value: dict | None, scale: float = 1, unit: str = "", digits: int = 3) -> str:
    if value is None or value.get("mean") is None:
        return "-"
    mean, low, high = (f"{scale * value[key]:.{digits if scale == 1 else 2}f}" for key in ("mean", "low", "high"))
    return f"{mean}{unit} [{low}, {high}]"


def _number(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
