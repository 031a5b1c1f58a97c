# SPDX-License-Identifier: GPL-3.0-or-later
"""``spectrumencoder decode``: decodes a file of ``run --encoded`` to spectra. Damaged parts are reported and skipped."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated

import typer

from .console import NOTES, OUT, check_writable, progress_bar, write_bytes, write_json
from .errors import CommandError, UsageError


def decode(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What run --encoded, or an encoded port, has written.")],
    model: Annotated[str, typer.Option(help="The model that encoded: name of a shipped one, or a .safetensors file.")] = "base",
    npz: Annotated[Path | None, typer.Option(metavar="FILE.npz", help="Write spectra, frequencies and times as NumPy "
                                             "arrays.")] = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", metavar="FILE.csv", help="Write one line per spectrum: time, centre, "
                                                  "rate, class and its confidence, then the bins in dBFS.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the summary here.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
):
    """Decode compressed spectra. Exit status 1 when something of the file was lost; the rest is written all the same."""
    if not file.is_file():
        raise UsageError(f"no file {file}; name one that run --encoded has written")
    if file.stat().st_size == 0:
        raise CommandError(f"{file} is empty: no spectra have been encoded into it")
    check_writable(npz, csv_file, json_file)
    import numpy as np

    from ..encoder.model_file import find_model, load
    from ..encoder.quantise import Codec
    from .decoded import join, summary, table
    codec = Codec(load(find_model(model)))
    groups, lost = decode_file(file.read_bytes(), codec, quiet)
    spectra = join(groups, codec)
    result = summary(file, spectra, groups, lost, codec)
    if npz is not None:
        content = io.BytesIO()
        np.savez(content, **spectra)
        write_bytes(npz, content.getvalue())
    if csv_file is not None:
        write_bytes(csv_file, table(spectra).encode())
    if json_file is not None:
        write_json(json_file, result)
    if not quiet:
        _print(result)
    if lost:
        raise CommandError(f"{file}: {len(lost)} piece{'s' * (len(lost) != 1)} of it could not be decoded; the first, at byte "
                           f"{lost[0]['offset']}: {lost[0]['error']}")


def decode_file(content: bytes, codec, quiet: bool = True) -> tuple[list, list[dict]]:
    """The decoded groups of a file of PDUs, and what was lost: {offset, error} each."""
    from ..encoder.pdu import CodecError, iterate
    groups, lost = [], []
    with progress_bar(quiet=quiet) as bar:
        task = bar.add_task("decoding", total=len(content))
        for offset, unit in iterate(content):
            bar.update(task, completed=offset)
            try:
                if isinstance(unit, CodecError):
                    raise unit
                groups.append(codec.decode(unit))
            except CodecError as error:
                lost.append({"offset": offset, "error": str(error)})
    return groups, lost


def _print(result: dict):
    each = f", {result['bytes_per_spectrum']:.1f} bytes a spectrum ({result['compression']:g} times fewer than float32)" \
        if result["frames"] else ""
    gaps = f", {result['gaps']} gap{'s' * (result['gaps'] != 1)}" if result["gaps"] else ""
    OUT.print(f"{result['file']}: {result['frames']} spectra in {result['pdus']} PDUs, {result['bytes']} bytes{each}{gaps}",
              markup=False)
    for piece in result["lost"]:
        NOTES.print(f"lost at byte {piece['offset']}: {piece['error']}", markup=False)
