# SPDX-License-Identifier: GPL-3.0-or-later
"""Page and picture of `compress`: curves of bytes and error, comparisons, accuracy."""

from __future__ import annotations

from pathlib import Path

from ...measure.page import command_block, markdown_table, measured_at, paragraph
from .rate_distortion import BYTES_RANGE, RATE_RANGE

TITLE = "Compression"
OURS = "latents + detail"
SIZES = ("8", "16", "34", "64", "128")


def report(result: dict, command: str = "") -> str:
    """The figures as Markdown: what was measured, a table for each condition, accuracy, the command."""
    (low, high), (fewest, largest) = BYTES_RANGE, RATE_RANGE
    out = [paragraph(
        f"Model `{result['model']}` ({result['tokens_kept']} tokens kept, {result['refine']} steps of refinement), groups of "
        f"{result['group']} frames, {result['n_scenes']} simulated scenes for each K. Bytes are as serialised, with headers "
        f"and checksum; a float32 spectrum has {result['float32_bytes']}. The error is the RMSE in dB over all bins from the "
        "clean spectrum: what the frame would read without the fluctuation of its noise. The PDUs of all codecs carry the "
        "label and the confidence that the model gave each frame, the same bytes for all. The classical codecs use the same "
        "groups, headers, time transform, shrinkage, quantiser and entropy coder (delta + zstd: groups and headers). They "
        f"learn from {result['training_frames']} training frames ({result['training_from']}). Brackets hold 95 % intervals, "
        "drawn over groups.") + "\n", paragraph(
        "*bytes at equal error* is ours over theirs (BD-rate, PCHIP in log bytes): below 1 ours needs fewer. It is empty (-) "
        f"if both reach no error in common between {fewest:g} and {largest:g} bytes. *difference* is ours minus theirs, dB of "
        f"RMSE at equal bytes, mean over {low:g} to {high:g} bytes: below 0 ours errs less. A codec that gains nothing from "
        "more bytes keeps its best.") + "\n", "![Bytes against error](compress.png)\n"]
    for name, condition in result["conditions"].items():
        out += [f"## Frames {name}\n",
                paragraph(f"As received, not encoded: {condition['uncompressed_rmse_db']:.2f} dB. Of the bytes "
                          f"{condition['class_bytes']:.2f} are label and confidence.") + "\n"]
        rows = []
        for codec in condition["points"]:
            at, versus = condition["rmse_at_bytes"][codec], condition["versus"].get(codec)
            against = ["", ""] if versus is None else [_ranged(versus["bd_rate"], versus["bd_rate_interval"]),
                                                       _ranged(versus["bd_rmse_db"], versus["bd_rmse_interval"])]
            rows.append([f"**{codec}**" if codec == OURS else codec, *(_number(at[b]) for b in SIZES), *against])
        out.append(markdown_table(["codec", *(f"{b} bytes" for b in SIZES), "bytes at equal error", "difference, dB"], rows))
    if "accuracy" in result:
        out += _accuracy(result["accuracy"])
    if command:
        out.append(command_block(command))
    out.append(measured_at(result) + "\n")
    return "\n".join(out)


def _accuracy(result: dict) -> list[str]:
    rows = [[name, "not encoded", _share(value), ""] for name, value in result["uncompressed"].items()]
    rows += [[codec, f"{r['bytes']:.1f}", _share(r["accuracy"]), _share(r["minus_uncompressed"], -1)]
             for codec, points in result["points"].items() for r in points]
    return ["## Classes after decoding\n", paragraph(
        f"Balanced accuracy in %, on {result['n_frames']} successive frames of {result['n_recordings']} recordings that "
        f"`{result['model']}` was not trained on. The model's PDUs carry the label that it gave each frame, within the bytes "
        "stated, so that nothing of it is lost. The PDUs of classical codecs carry no labels here. A small classifier gives "
        "the classes of their decoded spectra: the better of one learnt from training frames as they are and one learnt from "
        "decoded ones. With the model's labels in them they would give the model's classes. For comparison: what the model's "
        "class head gives from the latents "
        "alone.") + "\n", markdown_table(["what", "bytes", "accuracy", "lost by encoding, points"], rows)]


def draw(result: dict, path: Path) -> None:
    """One panel for each condition: bytes (log) against error."""
    from ...measure.plots import figure, finish

    fig, axes = figure(len(result["conditions"]), width=4.6, height=4.2)
    for axis, (name, condition) in zip(axes, result["conditions"].items(), strict=True):
        for number, (codec, points) in enumerate(condition["points"].items()):
            axis.plot([p["bytes"] for p in points], [p["rmse_db"] for p in points], "o-", color=f"C{number}", markersize=4,
                      linewidth=2.4 if codec == OURS else 1.2, label=codec)
        axis.axhline(condition["uncompressed_rmse_db"], color="0.5", linestyle=":", label="as received")
        axis.set_xscale("log")
        ticks = [4, 8, 16, 32, 64, 128]
        axis.set_xticks(ticks, [str(t) for t in ticks])
        axis.minorticks_off()
        axis.set_xlim(3, 180)
        axis.set_ylim(0, 1.6 * condition["uncompressed_rmse_db"])
        axis.set_title(f"frames {name}", fontsize=10, loc="left")
        axis.set_xlabel("bytes a spectrum")
    axes[0].set_ylabel("RMSE from the clean spectrum (dB)")
    axes[0].legend(fontsize=8)
    finish(fig, path)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _ranged(value: float | None, interval: list[float] | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" + (f" [{interval[0]:.2f}, {interval[1]:.2f}]" if interval else "")


def _share(value: dict, sign: int = 1) -> str:
    low, high = sorted((100 * sign * value["low"], 100 * sign * value["high"]))
    return f"{100 * sign * value['mean']:.1f} [{low:.1f}, {high:.1f}]"
