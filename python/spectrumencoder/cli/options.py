# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that ``run`` and ``calibrate`` share: those of the source and the radio, and one for each row of ``settings.py``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from ..settings import Setting, of_command
from .errors import UsageError

LIVE, SCAN = "Radio", "Scan"  # panels of --help

Rate = Annotated[float | None, typer.Option("--rate", "--samp-rate", help="Raw IQ and radios: sample rate in Hz.",
                                            show_default=False)]
Format = Annotated[str | None, typer.Option("--format", "--datatype", show_default=False,
                                            help="Raw IQ: data type, such as cf32_le, ci16_le, cu8, rtl, hackrf or sc16.")]
Freq = Annotated[float | None, typer.Option("--freq", "--center-freq", help="Raw IQ and radios: centre frequency in Hz.",
                                            show_default=False)]
Gain = Annotated[float | None, typer.Option(help="Gain in dB.", show_default=False, rich_help_panel=LIVE)]
Agc = Annotated[str, typer.Option(metavar="on|off", help="Automatic gain.", show_default=False, rich_help_panel=LIVE)]
Antenna = Annotated[str, typer.Option(help="By name.", show_default=False, rich_help_panel=LIVE)]
Bandwidth = Annotated[float | None, typer.Option(help="Of the filter, Hz.", show_default=False, rich_help_panel=LIVE)]
Ppm = Annotated[float, typer.Option(help="Correction of the crystal.", rich_help_panel=LIVE)]
DeviceSettings = Annotated[list[str], typer.Option("--setting", metavar="KEY=VALUE", help="Of the device; may be given again.",
                                                   show_default=False, rich_help_panel=LIVE)]
Silence = Annotated[float, typer.Option(min=0.1, help="Seconds without a sample after which it fails.", rich_help_panel=LIVE)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
JsonFile = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the summary here.")]


def settings_options(command: str, *, after: str, help: dict[str, str] | None = None, panels: dict[str, str] | None = None):
    """Decorator: gives a command that ends in ``**settings`` an option for each setting that has one there.

    Args:
        command: ``settings.RUN`` or ``settings.CALIBRATE``.
        after: parameter of the command behind which ``--help`` shows them.
        help: texts that take the place of the rows', by key.
        panels: of ``--help``, by key.
    """
    def decorate(function: Callable) -> Callable:
        signature = inspect.signature(function, eval_str=True)
        *named, _settings = signature.parameters.values()
        place = [parameter.name for parameter in named].index(after) + 1
        made = [_parameter(row, (help or {}).get(row.key, row.help), (panels or {}).get(row.key)) for row in of_command(command)]
        function.__signature__ = signature.replace(parameters=[
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in (*named[:place], *made, *named[place:])])
        return function
    return decorate


def option_names(row: Setting) -> list[str]:
    """The short name, and the block's own: ``--pfa``, ``--false-alarm-rate``."""
    return list(dict.fromkeys((f"--{row.cli}", f"--{row.key.replace('_', '-')}")))


def _parameter(row: Setting, help_text: str, panel: str | None) -> inspect.Parameter:
    words = any(isinstance(value, str) for value in row.also)  # "auto" for a number: the command reads the text
    numbers = row.kind in (float, int) and not words

    def check(value):
        try:
            if value in row.also:  # such as 0, by which a block does without: here the option is left out
                raise ValueError(f"{value} is outside {row.range}")
            return row.check(value)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error

    option = typer.Option(
        *option_names(row), show_default=row.option_default != "", rich_help_panel=panel, callback=check if numbers else None,
        metavar=f"K|{'|'.join(row.also)}" if words else None,
        help=f"{help_text} {row.range}" if numbers and row.range else help_text)
    default = str(row.option_default) if words else row.option_default
    return inspect.Parameter(row.key, inspect.Parameter.KEYWORD_ONLY, default=default,
                             annotation=Annotated[str if words else row.kind, option])


def was_given(context: typer.Context, key: str) -> bool:
    """True if the command line named the option of a setting."""
    source = context.get_parameter_source(key)
    return source is not None and source.name == "COMMANDLINE"


def average_option(text: str) -> int | str:
    """The value of --average: a whole number, or "auto".

    Raises:
        UsageError: it is neither.
    """
    from ..tokens.average import parse_average
    try:
        return parse_average(text)
    except ValueError as error:
        raise UsageError(f"--{error}") from error
