# SPDX-License-Identifier: GPL-3.0-or-later
"""Page and picture of ``field``: what is found against how often it is false, for every detector."""

from __future__ import annotations

from pathlib import Path

from ...measure.page import bullet, markdown_table, paragraph, with_origin
from .figures import BUDGETS, INR_CLASSES, within_budget
from .matching import CAUSES

TITLE = "Field bands"
_SHOWN_AT = 10.0   # false alerts an hour within which a rival's point is shown
_GOAL_KIND = 0.8   # share of a kind below which it is named as a loss


def report(result: dict, command: str = "", picture: str = "") -> str:
    """The figures as Markdown: tables by budget, by kind and INR, by plan, of all points; losses; command."""
    longest, *shorter = result["by_learning"]
    out = [paragraph(
        f"Bands of the plans {', '.join(result['plans'])}, composed of recordings; seeds "
        f"{', '.join(map(str, result['seeds']))}. Each is learned for {longest} s. Then come {_seconds(result, 0)} s in which "
        f"nothing is wrong and {_seconds(result, 1)} s with anomalies. Alerts of the quiet part are false. An alert finds "
        "an anomaly if it begins while the anomaly lasts (2 frames of tolerance) and overlaps it in frequency (tolerance: 16 "
        "bins, or half its width). Anomalies of 3 to 20 dB and 20 ms to 0.5 s count. Exceedances of a detector without events "
        "are joined: places side by side, gaps up to 4 frames. Brackets hold exact 95 % intervals (Clopper-Pearson, Poisson); "
        "*upper* is the one-sided 95 % limit.") + "\n"]
    out += _part(result, longest, result["by_learning"][longest]["pooled"], "All plans")
    for learn_s in shorter:
        out += _part(result, learn_s, result["by_learning"][learn_s]["pooled"], f"After {learn_s} s of learning", brief=True)
    out += _plans(result, longest)
    out += _losses(result, longest)
    out += _all_points(result["by_learning"][longest]["pooled"], longest)
    if len(result["row_commits"]) > 1:
        out.append("Rows were measured at " + ", ".join(commit[:12] for commit in result["row_commits"]) + ".\n")
    return with_origin("\n".join(out), result, command, picture, "Found anomalies against false alerts an hour")


def chosen(result: dict, name: str, points: dict[str, dict]) -> str | None:
    """The point of a detector that the tables show: its default, else the best within 10 false alerts an hour, else the one
    with the fewest."""
    default = result["defaults"][name]
    if default is not None and f"{default:g}" in points:
        return f"{default:g}"
    rated = {p: f for p, f in points.items() if f["false_per_hour"]}
    return within_budget(points, _SHOWN_AT) or min(rated, key=lambda p: rated[p]["false_per_hour"]["mean"], default=None)


def _seconds(result: dict, part: int) -> str:
    """Seconds of the quiet (0) or the anomalous (1) part of the plans."""
    settings = result["settings"]
    usual = (settings["quiet_s"], settings["anomalous_s"])
    lengths = sorted({settings.get("per_plan", {}).get(plan, usual)[part] for plan in result["plans"]})
    return f"{lengths[0]:g}" if len(lengths) == 1 else f"{lengths[0]:g} to {lengths[-1]:g}"


def _part(result: dict, learn_s: str, pooled: dict, title: str, brief: bool = False) -> list[str]:
    hours = max((f["false_per_hour"]["hours"] for row in pooled.values() for f in row["points"].values() if f["false_per_hour"]),
                default=0.0)
    out = [f"## {title}\n", paragraph(f"{hours:.3g} h in which nothing is wrong, after {learn_s} s of learning each. The largest "
                                      "share that a detector finds at one of its points within a budget of false alerts:") + "\n",
           markdown_table(["detector", *(f"{budget:g} an hour" for budget in BUDGETS)], [
               [_name(result, name, row), *(_best(row["points"], budget) for budget in BUDGETS)]
               for name, row in pooled.items()])]
    points = {name: chosen(result, name, row["points"]) for name, row in pooled.items()}
    at = {name: (pooled[name], pooled[name]["points"][point]) for name, point in points.items() if point}
    out.append(paragraph("Each at one point: its default if it has one, else the best within 10 false alerts an hour, else "
                         "its strictest. *Or seen again*: reported as a further burst of a new emitter, whose alert found an "
                         "earlier anomaly at that place; anomalies share the free places. All other tables count both.") + "\n")
    out.append(markdown_table(["detector", "point", "by a new alert", "or seen again", "above 10 dB", "false an hour", "upper",
                               "of unheard emitters"], [
        [_name(result, name, row), f"{points[name]} {row['unit']}".strip(), _share(f["found"]), _share(f["found_or_again"]),
         _share(f["above_10_db"]), _rate(f["false_per_hour"]), _number(f["false_per_hour"], "upper"),
         f["causes"].get(CAUSES[0], 0)] for name, (row, f) in at.items()]))
    kinds = sorted({kind for _, f in at.values() for kind in f["by_kind"]})
    if kinds:
        out.append(markdown_table(["detector", *kinds], [
            [_name(result, name, row), *(_share(f["by_kind"].get(kind)) for kind in kinds)] for name, (row, f) in at.items()]))
    if brief:
        return out
    out.append(markdown_table(["detector", *(f"{low:g} to {high:g} dB" for low, high in INR_CLASSES)], [
        [_name(result, name, row), *(_share(f["by_inr"][f"{low:g}-{high:g}"]) for low, high in INR_CLASSES)]
        for name, (row, f) in at.items()]))
    out.append(paragraph("Delay from the onset to the end of the frame that opened the alert; error of the box's edges; what the "
                         "false alerts saw; alerts among the anomalies that find none.") + "\n")
    out.append(markdown_table(["detector", "delay, ms", "90 %", "edges, bins", "90 %", *CAUSES, "no anomaly, an hour"], [
        [_name(result, name, row), *(_number(f[key], part) for key in ("delay_ms", "edge_bins") for part in ("median", "p90")),
         *(f["causes"].get(cause, 0) for cause in CAUSES), _rate(f["unmatched_per_hour"])]
        for name, (row, f) in at.items()]))
    return out


def _plans(result: dict, learn_s: str) -> list[str]:
    per_plan = result["by_learning"][learn_s]["per_plan"]
    names = list(result["by_learning"][learn_s]["pooled"])
    pooled = result["by_learning"][learn_s]["pooled"]
    points = {name: chosen(result, name, pooled[name]["points"]) for name in names}
    found, false = [], []
    for plan, summary in per_plan.items():
        at = {name: summary[name]["points"].get(points[name] or "") for name in names}
        found.append([plan, *(_share(f and f["found_or_again"]) for f in at.values())])
        false.append([plan, *(_rate(f and f["false_per_hour"]) for f in at.values())])
    return ["## By plan\n", paragraph("Found at the points of the second table:") + "\n", markdown_table(["plan", *names], found),
            "False alerts an hour:\n", markdown_table(["plan", *names], false)]


def _losses(result: dict, learn_s: str) -> list[str]:
    """Where the subject is behind a rival, or below what is asked of it."""
    pooled, subject = result["by_learning"][learn_s]["pooled"], result["subject"]
    mine, items = pooled[subject]["points"], []
    for budget in BUDGETS:
        own = within_budget(mine, budget)
        have = mine[own]["found_or_again"]["mean"] if own else 0.0
        ahead = [f"{name} {row['points'][p]['found_or_again']['mean']:.2f}" for name, row in pooled.items() if name != subject
                 for p in [within_budget(row["points"], budget)] if p and row["points"][p]["found_or_again"]["mean"] > have]
        if ahead:
            items.append(f"at {budget:g} false alerts an hour {subject} finds {have:.2f}: behind {', '.join(ahead)}")
    point = chosen(result, subject, mine)
    if point:
        at = mine[point]
        items += [f"at its point {subject} finds {row['mean']:.2f} of the kind {kind}, less than {_GOAL_KIND:g}"
                  for kind, row in at["by_kind"].items() if row and row["mean"] < _GOAL_KIND]
        if at["false_per_hour"] and at["false_per_hour"]["mean"] > 1:
            items.append(f"at its point {subject} has {_rate(at['false_per_hour'])} false alerts an hour, more than 1")
    items += [f"after {seconds} s {name} refused: {text}" for seconds, part in result["by_learning"].items()
              for name, row in part["pooled"].items() for text in row["refused"]]
    items += [f"left out: {text}" for text in result["left_out"]]
    return ["## Losses\n", "\n".join(map(bullet, items)) + "\n" if items else "None in these figures.\n"]


def _all_points(pooled: dict, learn_s: str) -> list[str]:
    rows = [[row["title"], f"{point} {row['unit']}".strip(), _share(f["found_or_again"]), _rate(f["false_per_hour"]),
             _number(f["false_per_hour"], "upper")] for row in pooled.values() for point, f in row["points"].items()]
    return [f"## All operating points, {learn_s} s\n",
            markdown_table(["detector", "point", "found", "false an hour", "upper"], rows)]


def draw(result: dict, path: Path) -> None:
    """Found share against false alerts an hour: all plans after each time to learn, then each plan."""
    from matplotlib.figure import Figure

    from ...measure.plots import finish

    longest = next(iter(result["by_learning"]))
    panels = [(f"all plans, {learn_s} s learned", part["pooled"]) for learn_s, part in result["by_learning"].items()]
    per_plan = result["by_learning"][longest]["per_plan"]
    panels += [(f"{plan}, {longest} s", summary) for plan, summary in per_plan.items() if len(per_plan) > 1]
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    fig = Figure(figsize=(3.6 * columns, 3.1 * rows + 0.5), layout="constrained")
    axes = list(fig.subplots(rows, columns, squeeze=False, sharey=True).flat)
    for axis, (title, summary) in zip(axes, panels, strict=False):
        _panel(axis, title, summary, result)
    for axis in axes[len(panels):]:
        axis.set_axis_off()
    handles, labels = fig.axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, fontsize=8, ncols=min(len(labels), columns + 1), loc="outside upper left", frameon=False)
    fig.supxlabel("false alerts an hour (none: drawn at half of one in all)", fontsize=9)
    fig.supylabel("share of anomalies found", fontsize=9)
    finish(fig, path)


def _panel(axis, title: str, summary: dict, result: dict) -> None:
    least = min((f["false_per_hour"]["hours"] ** -1 / 2 for row in summary.values() for f in row["points"].values()
                 if f["false_per_hour"]), default=1.0)
    for number, (name, row) in enumerate(summary.items()):
        dots = sorted((max(f["false_per_hour"]["mean"], least), f["found_or_again"]["mean"]) for f in row["points"].values()
                      if f["false_per_hour"] and f["found_or_again"])
        ours = name == result["subject"]
        axis.plot([x for x, _ in dots], [y for _, y in dots], "o-" if ours else ".-", color=f"C{number}", label=row["title"],
                  linewidth=2 if ours else 1, markersize=6 if ours else 4, zorder=3 if ours else 2)
    axis.set_xscale("log")
    axis.set_ylim(-0.03, 1.03)
    axis.axvline(1.0, color="0.6", linewidth=0.8, linestyle=":")
    axis.set_title(title, fontsize=9, loc="left")
    axis.grid(alpha=0.3)
    axis.tick_params(labelsize=8)


def _name(result: dict, name: str, row: dict) -> str:
    return f"**{row['title']}**" if name == result["subject"] else row["title"]


def _best(points: dict[str, dict], budget: float) -> str:
    point = within_budget(points, budget)
    return "-" if point is None else _share(points[point]["found_or_again"])


def _share(value: dict | None) -> str:
    return "-" if value is None else f"{value['mean']:.2f} [{value['low']:.2f}, {value['high']:.2f}]"


def _rate(value: dict | None) -> str:
    return "-" if value is None else f"{_short(value['mean'])} [{_short(value['low'])}, {_short(value['high'])}]"


def _number(value: dict | None, key: str) -> str:
    return "-" if value is None else _short(value[key])


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
