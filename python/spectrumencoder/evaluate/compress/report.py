# SPDX-License-Identifier: GPL-3.0-or-later
"""The page and the picture of `compress`: curves of bytes and error, comparisons, accuracy."""

from __future__ import annotations

from pathlib import Path

from .rate_distortion import BYTES_RANGE, RATE_RANGE

OURS = "latents + detail"
SIZES = ("8", "16", "34", "64", "128")


def report(result: dict, command: str = "") -> str:
    """Markdown: what was measured, a table for each condition, accuracy, the command."""
    (low, high), (least, most) = BYTES_RANGE, RATE_RANGE
    out = ["<!-- SPDX-License-Identifier: GPL-3.0-or-later -->", "# Compression", "",
           f"Model `{result['model']}` ({result['tokens_kept']} tokens kept, {result['refine']} steps of refinement), groups of "
           f"{result['group']} frames, {result['n_scenes']} simulated scenes for each K, bytes as serialised with headers and "
           f"checksum; a float32 spectrum has {result['float32_bytes']}. Error: RMSE in dB, over all bins, from the clean "
           "spectrum: what the frame would read without the fluctuation of its noise. The PDUs of all codecs carry the label "
           "and the confidence that the model gave each frame, the same bytes for all. The classical codecs use the same groups, "
           "headers, time transform, shrinkage, quantiser and entropy coder (delta + zstd: groups and headers); what they learn, "
           f"they learn from {result['training_frames']} training frames ({result['training_from']}). In brackets 95 % "
           "intervals, drawn over groups.", "",
           "*bytes at equal error*: ours over theirs (BD-rate, PCHIP in log bytes), below 1 ours needs fewer; - where both reach "
           f"no error in common between {least:g} and {most:g} bytes. *difference*: ours minus theirs, dB of RMSE at equal "
           f"bytes, mean over {low:g} to {high:g} bytes (a codec that has nothing to add with more bytes keeps its best), "
           "below 0 ours errs less.", "", "![Bytes against error](compress.png)", ""]
    for name, condition in result["conditions"].items():
        out += [f"## Frames {name}", "", f"As received, not encoded: {condition['uncompressed_rmse_db']:.2f} dB. Of the bytes "
                f"{condition['class_bytes']:.2f} are label and confidence.", "",
                "| codec | " + " | ".join(f"{b} bytes" for b in SIZES) + " | bytes at equal error | difference, dB |",
                "|---|" + "---|" * (len(SIZES) + 2)]
        for codec in condition["points"]:
            at = condition["rmse_at_bytes"][codec]
            versus = condition["versus"].get(codec)
            cells = [_number(at[b]) for b in SIZES]
            cells += ["", ""] if versus is None else [_ranged(versus["bd_rate"], versus["bd_rate_interval"]),
                                                      _ranged(versus["bd_rmse_db"], versus["bd_rmse_interval"])]
            out.append(f"| {'**' + codec + '**' if codec == OURS else codec} | " + " | ".join(cells) + " |")
        out.append("")
    if "accuracy" in result:
        out += _accuracy(result["accuracy"])
    out += [f"Measured at {result['commit'][:12] or 'an unknown commit'}, weights {result['weights_sha256'][:12]}, "
            f"seed {result['seed']}.", ""]
    return "\n".join(out + ([f"`{command}`", ""] if command else []))


def _accuracy(result: dict) -> list[str]:
    out = ["## Classes after decoding", "",
           f"Balanced accuracy in %, on {result['n_frames']} successive frames of {result['n_recordings']} recordings that "
           f"`{result['model']}` was not trained on. The model's PDUs carry the label that it gave each frame, in the bytes "
           "stated, so that nothing of it is lost. The PDUs of classical codecs carry no labels here: classes are told from "
           "their decoded spectra by a small classifier, the better of one learnt from training frames as they are and one from "
           "decoded ones. With the model's labels in them they would tell the model's classes. For comparison, what the model's "
           "class head tells from the latents alone.", "",
           "| what | bytes | accuracy | lost by encoding, points |", "|---|---|---|---|"]
    out += [f"| {name} | not encoded | {_share(value)} | |" for name, value in result["uncompressed"].items()]
    for codec, rows in result["points"].items():
        out += [f"| {codec} | {r['bytes']:.1f} | {_share(r['accuracy'])} | {_share(r['minus_uncompressed'], -1)} |" for r in rows]
    return [*out, ""]


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
