# SPDX-License-Identifier: GPL-3.0-or-later
"""``spectrumencoder models``: lists the model files and the contract of each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from .console import OUT, check_writable, write_json
from .errors import CommandError


def models(
    names: Annotated[list[str] | None, typer.Argument(help="Names or .safetensors files; all that are found otherwise.",
                                                      show_default=False)] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the rows here, in full.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show variants, backends and tables, too.")] = False,
):
    """List models: the signals that they name, bands, resolution, size."""
    from ..encoder.ensemble import members
    from ..encoder.model_file import find_model, found_models, load, model_folders
    check_writable(json_file)
    if names:
        paths = [find_model(part) for name in names for part in members(name) or (name,)]
    else:
        paths = found_models()
    if not paths:
        folders = ", ".join(map(str, model_folders()))
        raise CommandError(f"no model file in {folders}; train one (spectrumencoder train) or set SPECTRUMENCODER_MODELS")
    rows = [describe(load(path), path) for path in paths]
    if json_file is not None:
        write_json(json_file, rows)
    for row in rows:
        _print(row, verbose)


def describe(model, path: Path) -> dict:
    """Contract of a ModelFile as plain values.

    Args:
        model: an encoder.model_file.ModelFile.
    """
    from ..encoder.attention import BACKENDS
    contract, encoder = model.contract, model.contract["encoder"]
    variant = model.variants[0]
    ropes = {}  # RoPE modes of each family of weights
    for row in contract["variants"]:
        ropes.setdefault(row["attention"], []).append(row["rope"])
    return {
        "name": model.name,
        "file": str(path),
        "parameters": int(sum(tensor.size for tensor in model.weights(variant).values())),
        "frame": {key: encoder[key] for key in ("fft_size", "stride", "window") if key in encoder},
        "average": list(contract["average"]),
        "variants": model.variants,
        "backends": {name: ropes[b.family] for name, b in BACKENDS.items() if b.family in ropes},
        "policies": list(contract["policies"]),
        "labels": list(contract["labels"]),
        "token_classes": model.has_token_classes,
        "bands": list(contract["bands"]),
        "calibrated": {key: _table_size(table) for key, table in sorted(model.tables.items())},
        "steps": contract["steps"],
        "metrics": contract.get("metrics", {}),
    }


def _table_size(table: dict) -> int:
    """Number of scores of normal frames in a conformal table."""
    return int(table["scores"].size)


def _print(row: dict, verbose: bool):
    table = Table(title=row["name"], title_justify="left", box=None, show_header=False, title_style="bold")
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    frame, averages = row["frame"], row["average"]
    table.add_row("signals", ", ".join(row["labels"]))
    table.add_row("names", "yes: a label for each signal in the band" if row["token_classes"]
                  else "no: a label for the whole band alone")
    table.add_row("bands", ", ".join(row["bands"]))
    table.add_row("resolution", f"1/{frame['fft_size']} of the rate; {averages[0]} to {averages[-1]} spectra averaged")
    table.add_row("learned", _learned(row["calibrated"]))
    table.add_row("size", f"{row['parameters']:,} numbers")
    table.add_row("file", row["file"])
    if verbose:
        _add_details(table, row)
    OUT.print(table)


def _add_details(table: Table, row: dict):
    """Rows for those who train models, in the names that options and files have."""
    table.add_row("frame", ", ".join(f"{key} {value}" for key, value in row["frame"].items()))
    table.add_row("training", f"{row['steps']:,} steps; the size is that of the variant {row['variants'][0]}")
    table.add_row("variants", ", ".join(row["variants"]))
    table.add_row("backends", "; ".join(f"{name} ({', '.join(modes)})" for name, modes in row["backends"].items()))
    table.add_row("dropout policies", ", ".join(row["policies"]))
    table.add_row("calibrated", "\n".join(_calibrated(row["calibrated"])) or "nothing")
    for name, value in row["metrics"].items():
        table.add_row(name, ", ".join(f"{key} {figure}" for key, figure in value.items()).replace("_", " ")
                      if isinstance(value, dict) else str(value))


def _learned(sizes: dict[str, int]) -> str:
    """What --detector boxes knows of bands; the other detector learns while it runs."""
    from ..tokens.band_plan import UNKNOWN
    bands = sorted({key.split("/")[1] for key in sizes} - {UNKNOWN})
    known = [f"the band{'s' * (len(bands) > 1)} {', '.join(bands)}"] if bands else []
    known += ["bands in general"] if any(key.split("/")[1] == UNKNOWN for key in sizes) else []
    return f"{' and '.join(known)}, for --detector boxes" if known else "no band; the default detector learns while it runs"


def _calibrated(sizes: dict[str, int]) -> list[str]:
    """The tables as lines, one for each variant, band, policy and type: kept tokens k, averages K, scores n."""
    groups: dict[tuple, list] = {}
    for key, size in sizes.items():
        variant, band, kept, average, policy, dtype = key.split("/")
        groups.setdefault((variant, band, policy, dtype), []).append((int(kept), int(average), size))
    lines = []
    for names, rows in groups.items():
        kept, averages, n = (sorted(set(column)) for column in zip(*rows, strict=True))
        lines.append(f"{'/'.join(names)}: k {', '.join(map(str, kept))}; K {', '.join(map(str, averages))}; "
                     f"n {n[0]}" + (f"..{n[-1]}" if n[1:] else ""))
    return lines
