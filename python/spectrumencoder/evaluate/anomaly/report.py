# SPDX-License-Identifier: GPL-3.0-or-later
"""The page and the picture of `anomaly`: detection at a given false-alarm rate, ours beside the best baseline and the bound."""

from __future__ import annotations

from pathlib import Path

from .figures import MAIN, OURS, RATES

_COLUMNS = 5  # panels in a row
_AT = f"{MAIN:g}"


def report(result: dict, command: str = "", picture: str = "") -> str:
    """Markdown: what was measured, a table of detectors and one of kinds for scenes and for recordings, the command."""
    settings = result["settings"]
    out = ["<!-- SPDX-License-Identifier: GPL-3.0-or-later -->", "# Injected anomalies", "",
           f"Model `{result['model']}`, dropout {settings['dropout_rate']:g}. Windows of {settings['window_frames']} frames, "
           f"judged by their largest frame score; INR uniform from {settings['inr_db'][0]:g} to {settings['inr_db'][1]:g} dB: "
           "power over noise and signals in the anomaly's own bins. Every detector learns from the same frames and judges the "
           "same windows. Thresholds are conformal: at 1 % in a scene among clean windows kept for that, else among the clean "
           "windows of all other scenes or recordings, each on a scale of its own. In brackets 95 % "
           "intervals, drawn over scenes or recordings, thresholds kept. *bound*: a detector that knows place, level and clean "
           "spectrum (assumptions: `evaluate/anomaly/bound.py`).", ""]
    if result["quick"]:
        out += ["**A trial on few windows; its figures say nothing.**", ""]
    if picture:
        out += [f"![Detection against INR]({picture})", ""]
    out += _part(f"Simulated scenes, K = {settings['average']['simulated']}", result)
    if result["recorded"]:
        out += _part(f"Recordings, K = {settings['average']['recorded']}", result["recorded"])
    out += [f"Measured at {result['commit'][:12] or 'an unknown commit'}, weights {result['weights_sha256'][:12]}, "
            f"seed {result['seed']}.", ""]
    return "\n".join(out + ([f"`{command}`", ""] if command else []))


def _part(title: str, part: dict) -> list[str]:
    on, events = part["measured_on"], part["false_events_per_hour"]
    by = ", ".join(f"{name}: {count}" for name, count in on["calibrated_by"].items())
    out = [f"## {title}", "",
           f"{on['anomalies']} windows with an anomaly and {on['clean_windows']} clean ones in {on['units']}, of which the model "
           f"was trained on {on['trained_on']}; {on['kept_windows']} more kept for thresholds; calibrated by {by}.", "",
           "| detector | Pd at 1 % | Pd at 0.1 % | one frame, Pd at 1 % | AUC | F1 at 5 % prevalence | realised FAR at 1 % |",
           "|---|---|---|---|---|---|---|"]
    rows = {f"**{OURS}**": part} | part["baselines"]
    for name, row in rows.items():
        cells = [row["pd_at_far"][f"{r:g}"] for r in RATES] + [row["single_frame_pd"][_AT], row["auc"], row["f1_at_5pct"],
                                                                row["realised_far"][_AT]]
        out.append(f"| {name} | " + " | ".join([*map(_ranged, cells[:-1]), _ranged(cells[-1], 100, " %")]) + " |")
    bound = [*(part["bound"]["pd_at_far"][f"{r:g}"] for r in RATES), part["bound"]["single_frame_pd"][_AT]]
    out.append("| bound | " + " | ".join(map(_ranged, bound)) + " | | | |")
    out += ["", "| anomaly | Pd at 1 % | one frame | AUC | best baseline | its Pd | difference, paired | half found at, dB | "
            "better by, dB | bound: Pd | half at, dB |", "|---|" + "---|" * 10]
    for kind, row in part["per_type"].items():
        best = row["best_baseline"] or {"name": "-", "pd": None, "pd_difference": None, "advantage_db": None}
        cells = [_ranged(row["pd"]), _ranged(row["single_frame_pd"]), _ranged(row["auc"]), best["name"], _ranged(best["pd"]),
                 _ranged(best["pd_difference"]), _number(row["inr_at_half_db"]), _number(best["advantage_db"]),
                 _number(row["bound"], 3), _number(row["bound_inr_at_half_db"])]
        out.append(f"| {kind} | " + " | ".join(cells) + " |")
    reasons = {v["reason"] for v in [*part["pd_at_far"].values(), *part["realised_far"].values()] if v.get("reason")}
    out += ["", *[f"- without a figure: {reason}" for reason in sorted(reasons)],
            f"- false events at the defaults: {_ranged(events, 1, ' an hour', 1)} ({events['events']} in "
            f"{events['hours']:.3g} h); an event opens in {_ranged(part['event_pd'])} of the windows with an anomaly",
            f"- frames flagged at the nominal 1 %: {_ranged(part['realised_far_per_frame'], 100, ' %')}",
            f"- of those found: first flagged frame {_ranged(part['delay_frames'], digits=2)} frames after the onset; "
            f"overlap of the strongest event's bins with the anomaly's (IoU) {_ranged(part['localisation_iou'])}", ""]
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
