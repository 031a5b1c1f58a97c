# SPDX-License-Identifier: GPL-3.0-or-later
"""``spectrumencoder band``: shows a band file, and changes what an operator decides: accept, ignore, unignore, name.

A run that keeps the same file takes the decisions over while it goes on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options
from .console import OUT, check_writable, write_json
from .errors import CommandError, UsageError

app = typer.Typer(help="Show a band file, and decide on its emitters: accept, ignore, name.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(metavar="FILE", help="Band file, of run --band-file or calibrate.")]
Number = Annotated[int, typer.Argument(metavar="ID", help="Number of the emitter, as `band show` lists it.")]
Range = Annotated[str, typer.Argument(metavar="LOW:HIGH|ID", parser=options.hz_ranges,
                                     help="Hz, such as 433.9M:434M; or an emitter's number.")]


@app.command()
def show(file: File,
         every: Annotated[bool, typer.Option("--all", help="All emitters, parts of others too, not 20 at most.")] = False,
         json_file: options.JsonFile = None):
    """List the emitters of a band file, the ignored ranges, and what was learned."""
    from ..emitters.band_file import load
    from ..emitters.listing import MAX_LINES, about, count, plain, rows_of, table
    check_writable(json_file)
    band = load(file)
    rows = rows_of(band.registry, every)
    if json_file is not None:
        write_json(json_file, about(band) | {"emitters": rows})
    row = about(band)
    learned = f"{plain(row['learned_s'])} s learned{'' if row['complete'] else ' (not finished)'}"
    OUT.print(f"{file}: {learned}, {count(len(rows), 'emitter')}, {count(len(row['tunings']), 'tuning')}, model {row['model']}",
              markup=False)
    for line in table(rows, None if every else MAX_LINES) if rows else []:
        OUT.print(line, markup=False)
    for low, high in row["ignored"]:
        OUT.print(f"ignored: {low / 1e6:.4f} to {high / 1e6:.4f} MHz", markup=False)


@app.command()
def accept(file: File, emitter: Number):
    """An emitter belongs to the band from now on: no further alert of it."""
    from ..emitters import commands
    _change(file, lambda registry: commands.accept(registry, emitter))
    OUT.print(f"emitter {emitter} belongs to {file}", markup=False)


@app.command()
def ignore(file: File, what: Range):
    """Nothing in a range of frequencies, or in that of an emitter, alerts from now on."""
    from ..emitters import commands
    from ..emitters.band_file import load
    ends, found = options.range_or_number(what), []
    if (said := options.forgotten_mega(what)) and not any(abs(t.freq_hz) < t.samp_rate for t in load(file).tunings):
        raise UsageError(said)  # of a recording that states no centre, such frequencies are right
    _change(file, lambda registry: found.append(commands.ignore(registry, *ends) if isinstance(ends, tuple)
                                                else commands.ignore_emitter(registry, ends)))
    OUT.print(f"{file}: {found[0][0] / 1e6:.4f} to {found[0][1] / 1e6:.4f} MHz are ignored", markup=False)


@app.command()
def unignore(file: File, what: Annotated[str, typer.Argument(metavar="LOW:HIGH", parser=options.hz_ranges,
                                                             help="Hz, such as 433.9M:434M.")]):
    """Ignored ranges that overlap this one alert again."""
    from ..emitters import commands
    ends, found = options.range_or_number(what), []
    if not isinstance(ends, tuple):
        raise UsageError(f"{what} is not LOW:HIGH in Hz, such as 433.9M:434M")
    _change(file, lambda registry: found.extend(commands.unignore(registry, *ends)))
    for low, high in found:
        OUT.print(f"{file}: {low / 1e6:.4f} to {high / 1e6:.4f} MHz are watched again", markup=False)


@app.command()
def name(file: File, emitter: Number, text: Annotated[str, typer.Argument(metavar="NAME", help='"" takes the name away.')]):
    """Give an emitter a name, which its alerts carry."""
    from ..emitters import commands
    _change(file, lambda registry: commands.name(registry, emitter, text))
    OUT.print(f"emitter {emitter} of {file} is " + (f"named {text}" if text else "without a name"), markup=False)


app.command("rename", help="Another word for name.")(name)


def _change(file: Path, command):
    from ..emitters.band_keeper import change
    try:
        change(file, command)
    except ValueError as error:
        raise CommandError(f"{file}: {error}") from error
