# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of ``signals``."""

from __future__ import annotations

from ...measure.page import markdown_table, paragraph, with_interval, with_origin
from .scenes import FRAMES, MAX_EMITTERS, SNR_DB

TITLE = "Signals"
_FIGURES = {"ap_frequency": "AP, frequency", "ap_time_frequency": "AP, time and frequency", "recall_goal": "recall, from 6 dB",
            "map_frequency": "mean AP of classes, frequency", "map_time_frequency": "the same, time and frequency",
            "accuracy": "class accuracy", "balanced_accuracy": "balanced", "unknown_auroc": "AUROC, unknown",
            "calibration_error": "calibration error"}
_OF_PLACES = ("ap_frequency", "ap_time_frequency", "recall_goal")


def report(result: dict, command: str = "", picture: str = "") -> str:
    """The figures as Markdown."""
    scenes, systems = result["scenes"], result["systems"]
    rates = sorted({scene["rate_hz"] for scene in scenes})
    covered, boxes = sum(s["covered"] for s in scenes), sum(s["boxes"] for s in scenes)
    out = [paragraph(
        f"{len(scenes)} scenes of {FRAMES} frames (1024 bins, 16 spectra) at {rates[0] / 1e6:g} to {rates[-1] / 1e6:g} MS/s, "
        f"of folds {', '.join(result['folds'])}. Each has 1 to {MAX_EMITTERS} emitters of recordings that the fold's model has "
        f"not seen, {SNR_DB[0]:g} to {SNR_DB[1]:g} dB over the noise in their own band, and a receiver of its own. {boxes} boxes "
        f"are true; {covered} of them lie under stronger ones and do not count. GNSS and noise have no boxes. "
        + (f"Labels left out of training: {', '.join(result['left_out'])}. " if result["left_out"] else "")
        + "A box is right from an intersection over union of 0.5 on. In frequency, stretches of 8 frames count; in time and "
        "frequency, whole bursts. Brackets hold 95 % intervals by bootstrap over scenes. In per cent.") + "\n",
        markdown_table(["system", *_FIGURES.values()], [
            [name, *(_interval(row[key]) if _has_classes(row) or key in _OF_PLACES else "-" for key in _FIGURES)]
            for name, row in systems.items()])]
    if result["paired"]:
        first = next(iter(systems))
        out += [f"Differences of *{first}*, on the same scenes, in points:\n", markdown_table(
            ["to", *(_FIGURES[key] for key in next(iter(result["paired"].values())))],
            [[name, *(_interval(value, sign=True) for value in row.values())] for name, row in result["paired"].items()])]
    for name, row in systems.items():
        out += _details(name, row)
    return with_origin("\n".join(out), result, command, picture, TITLE)


def _details(name: str, row: dict) -> list[str]:
    """Recall by level, width and class, and what limits the classes."""
    out = [f"## {name[0].upper()}{name[1:]}\n", f"{row['found']} boxes for {row['true']}. Recall by SNR, of boxes of at least 4 "
           "bins, and by width, from 6 dB on:\n"]
    out.append(_steps("SNR, dB", row["recall_by_snr"]))
    out.append(_steps("bins", row["recall_by_width"]))
    labels = list(row["recall_per_class"])
    out.append(markdown_table(["", *labels], [
        ["recall of boxes", *(_percent(row["recall_per_class"][c]) for c in labels)],
        *([["AP, frequency", *(_percent(row["ap_per_class"][c]) for c in labels)],
           ["class right", *(_percent(row["class_recall"].get(c)) for c in labels)]] if _has_classes(row) else [])]))
    if _has_classes(row):
        out += ["Class accuracy by SNR:\n", _steps("SNR, dB", row["accuracy_by_snr"])]
        out += ["Confusions:\n", markdown_table(["true", "found", "boxes"], row["confusions"])] if row["confusions"] else []
        out += ["Recordings that are worst:\n", markdown_table(["recording", "class", "right", "of"], row["worst_sources"])] \
            if row["worst_sources"] else []
    if _has_classes(row) and row["unknown_called_unknown"] is not None:
        out.append(f"Unknown signals called so: {_percent(row['unknown_called_unknown'])} %.\n")
    return out


def _has_classes(row: dict) -> bool:
    """Whether a system tells classes."""
    return bool(row["pairs_of_known"]) and row["accuracy"]["mean"] > 0.0


def _steps(title: str, steps: list[dict]) -> str:
    return markdown_table([title, *(f"{s['low']:g} to {s['high']:g}" for s in steps)], [
        ["share", *(_percent(s["share"]) for s in steps)], ["boxes", *(str(s["count"]) for s in steps)]])


def _interval(value: dict | None, sign: bool = False) -> str:
    return "-" if value is None else with_interval(value, sign)


def _percent(value: float | None) -> str:
    return "-" if value is None or value != value else f"{100 * value:.1f}"
