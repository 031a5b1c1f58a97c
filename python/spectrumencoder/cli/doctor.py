# SPDX-License-Identifier: GPL-3.0-or-later
"""``spectrumencoder doctor``: what is here, what is missing, and the cure for each."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Group
from rich.table import Table

from ..session.checks import attention_backends, examine
from .console import OUT
from .errors import CommandError


def doctor(verbose: Annotated[bool, typer.Option("--verbose", "-v", help="List the ways to compute the network, too: attention "
                                                   "backends and runtimes.")] = False):
    """Name what is missing on this machine, with the cure; exit status 1 when something needed is."""
    findings = examine()
    table = Table(box=None, show_header=False)
    for finding in findings:
        mark = "[green]ok[/]" if finding.found else "[red]missing[/]" if finding.needed else "[yellow]absent[/]"
        table.add_row(mark, finding.part, finding.found or finding.cure)
    OUT.print(table)
    if verbose:
        OUT.print(backend_table())
    missing = [finding.part for finding in findings if finding.needed and not finding.found]
    if missing:
        raise CommandError(f"{len(missing)} needed parts are missing ({', '.join(missing)}); the table says what to do")


def backend_table() -> Group:
    """One row per attention backend, for the device that compute=auto takes.

    A row names the weights, the runtimes that compute it (`runtime=auto` prefers the first) and its kind, or why it does not run.
    The lines below name PyTorch's kernel and its needs.
    """
    device, rows = attention_backends()
    table = Table("", "backend", "weights", "runtimes", "", title=f"attention backends on {device}", title_justify="left",
                  title_style="bold", box=None)
    for row in rows:
        mark = "[green]ok[/]" if row["available"] else "[yellow]absent[/]"
        table.add_row(mark, row["name"], row["family"], ", ".join(row["runtimes"]),
                      row["about"] if row["available"] else row["reason"])
    notes = {}
    for row in rows:
        if row["needs"] != "nothing":
            notes.setdefault((row["kernel"], row["needs"]), []).append(row["name"])
    lines = [f" {', '.join(names)} in torch: {f'{kernel}; ' if kernel else ''}need {needs}"
             for (kernel, needs), names in notes.items()]
    return Group(table, *lines, " the others need nothing")
