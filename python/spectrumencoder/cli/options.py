# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that ``run`` and ``calibrate`` share: those of the source and the radio, and one for each row of ``settings.py``."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Annotated, get_args

import typer

from ..session.sources import MAX_HZ, MAX_SECONDS, MIN_RATE_HZ
from ..settings import DETECTOR, SETTINGS, Setting, of_command
from .errors import UsageError

# Panels of --help, in their order; what has none comes first: the few options that one needs. Listeners bring panels of their own
PANELS = LIVE, RECORDINGS, RESULTS, DETECTION, NETWORK, SCAN = "Radio", "Recordings", "Results", "Detector", "Network", "Scan"
_FIRST = ("learn_s", "band_file")  # settings that need no panel

_PREFIXES = {"k": "e3", "M": "e6", "G": "e9"}
MIN_USUAL_RATE, MIN_USUAL_FREQ_HZ = 1e3, 1e4  # smaller ones are asked about: a unit may have been forgotten


def hz(text: str | float) -> float:
    """A number of Hz, or of samples per second, with k, M or G right after it if wanted: "433.92M" is 433920000.0.

    Raises:
        typer.BadParameter: it is none.
    """
    number = str(text)
    try:
        value = float(number[:-1] + _PREFIXES[number[-1]] if number[-1:] in _PREFIXES else number)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise typer.BadParameter(f"{number!r} is not a number of Hz; write it like 2400000, 2.4e6, 2400k or 2.4M (k, M or G)")
    if abs(value) > MAX_HZ:
        raise typer.BadParameter(f"{number} is outside {-MAX_HZ:g}..{MAX_HZ:g} Hz")
    return value


def rate_hz(text: str | float) -> float:
    """As ``hz``, of a sample rate.

    Raises:
        typer.BadParameter: it is none, or no rate that a recording or radio has.
    """
    value = hz(text)
    if 0 < value < MIN_RATE_HZ:
        raise typer.BadParameter(f"{text} is outside {MIN_RATE_HZ:g}..{MAX_HZ:g} samples per second")
    return value


def hz_ranges(text: str) -> str:
    """LOW:HIGH,... with each end as ``hz`` takes it, in plain numbers; the scan refuses what is none."""
    def plain(end: str) -> str:
        try:
            return repr(hz(end.strip()))
        except typer.BadParameter:
            return end
    return ",".join(":".join(map(plain, part.split(":"))) for part in text.split(","))


def scan_ranges(text: str) -> str:
    """As ``hz_ranges``, of a scan. Raises typer.BadParameter: M may have been forgotten."""
    said = forgotten_mega(text)
    if said:
        raise typer.BadParameter(said)
    return hz_ranges(text)


def forgotten_mega(text: str) -> str:
    """A line if ranges LOW:HIGH,... end so low that they may have been meant in MHz; else "". One with a unit is meant so."""
    ranges = [hz_ranges(part).split(":") for part in text.split(",") if not any(letter.isalpha() for letter in part)]
    try:
        low = [(float(first), float(last)) for first, last in ranges if 0.0 < float(first) < float(last) < MIN_USUAL_FREQ_HZ]
    except ValueError:
        return ""  # another line refuses it
    meant = ",".join(f"{first:.10g}M:{last:.10g}M" for first, last in low)
    return f"{text} is {low[0][0]:.10g} to {low[0][1]:.10g} Hz; did you mean {meant}?" if low else ""


def forgotten_unit(rate: float | None, freq: float | None = None) -> list[str]:
    """A line for each value so small that k, M or G may have been forgotten."""
    lines = []
    if rate is not None and 0 < rate < MIN_USUAL_RATE:
        lines.append(f"--rate {rate:g} is {rate:g} samples per second; did you mean {rate:g}{'M' if rate < 100 else 'k'}?")
    if freq is not None and 0 < freq < MIN_USUAL_FREQ_HZ:
        lines.append(f"--freq {freq:g} is {freq:g} Hz; did you mean {freq:g}{'G' if freq < 10 else 'M'}?")
    return lines


Rate = Annotated[float | None, typer.Option("--rate", "--samp-rate", help="Sample rate in Hz, such as 2.4M; of radios, and of "
                                            "recordings that do not state it.", parser=rate_hz, metavar="HZ", show_default=False)]
Format = Annotated[str | None, typer.Option("--format", "--datatype", show_default=False,
                                            help="Raw IQ: data type, such as cf32_le, ci16_le, cu8, rtl, hackrf or sc16.")]
Freq = Annotated[float | None, typer.Option("--freq", "--center-freq", help="Centre frequency in Hz, such as 433.92M; of radios, "
                                            "and of recordings that do not state it.", parser=hz, metavar="HZ",
                                            show_default=False)]
Start = Annotated[str | None, typer.Option("--start", metavar="TIME", help="Recordings: time of the first sample, such as "
                                           "2026-01-31T12:00:00.5Z.", show_default=False,
                                           rich_help_panel=RECORDINGS)]
Channel = Annotated[int | None, typer.Option("--channel", min=0, help="Recordings: the channel to read, counted from 0.",
                                             show_default=False, rich_help_panel=RECORDINGS)]
Offset = Annotated[float, typer.Option("--offset", help="Hz to add to the frequency of a recording or radio, such as 9.75G of "
                                       "an LNB.", parser=hz, metavar="HZ", show_default=False,
                                       rich_help_panel=RECORDINGS)]
Skip = Annotated[float, typer.Option("--skip", min=0.0, metavar="SECONDS", help="Recordings: signal to leave out at the "
                                     "beginning.", show_default=False, rich_help_panel=RECORDINGS)]
Seconds = Annotated[float | None, typer.Option("--seconds", min=0.0, metavar="SECONDS", help="Recordings: signal to read, from "
                                               "there on; else to the end.", show_default=False, rich_help_panel=RECORDINGS)]
Gain = Annotated[float | None, typer.Option(help="Gain in dB.", show_default=False, rich_help_panel=LIVE)]
Agc = Annotated[str, typer.Option(metavar="on|off", help="Automatic gain.", show_default=False, rich_help_panel=LIVE)]
Antenna = Annotated[str, typer.Option(help="By name.", show_default=False, rich_help_panel=LIVE)]
Bandwidth = Annotated[float | None, typer.Option(help="Of the filter, Hz.", parser=hz, metavar="HZ", show_default=False,
                                                 rich_help_panel=LIVE)]
Scan = Annotated[str, typer.Option(metavar="LOW:HIGH[,...]", help="Scan these ranges, Hz, such as 88M:108M.", parser=scan_ranges,
                                   show_default=False, rich_help_panel=SCAN)]
Ppm = Annotated[float, typer.Option(help="Correction of the crystal.", rich_help_panel=LIVE)]
DeviceSettings = Annotated[list[str], typer.Option("--setting", metavar="KEY=VALUE", help="Of the device; may be given again.",
                                                   show_default=False, rich_help_panel=LIVE)]
StreamArgs = Annotated[list[str], typer.Option("--stream-arg", metavar="KEY=VALUE", help="Of the stream, such as "
                                               "remote:prot=tcp; may be given again.", show_default=False, rich_help_panel=LIVE)]
Silence = Annotated[float, typer.Option(min=0.1, help="Seconds without a sample after which it fails.", rich_help_panel=LIVE)]
Reconnect = Annotated[str | None, typer.Option("--reconnect", metavar="[=SECONDS]", help="Open a lost radio again, for so long; "
                                               "without SECONDS for ever.", show_default=False, rich_help_panel=LIVE)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
JsonFile = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the summary here.")]


def stated(rate: float | None, format: str | None, freq: float | None, start: str | None, channel: int | None,
           offset: float, skip: float, seconds: float | None) -> dict:
    """What the command line states about a recording, as the arguments of ``open_recording``."""
    return {"rate": rate, "datatype": format, "freq": freq, "start": start, "channel": channel, "offset_hz": offset,
            "skip_s": skip, "seconds": seconds}


def reconnect_seconds(text: str | None) -> float | None:
    """The value of --reconnect, s: 0 if it stands alone; None: it was not given.

    Raises:
        UsageError: it is no time.
    """
    try:
        seconds = None if text is None else float(text or 0.0)
    except ValueError:
        seconds = math.nan
    if text and not (seconds is not None and 0.0 < seconds <= MAX_SECONDS):
        raise UsageError(f"--reconnect={text} is no number of seconds up to {MAX_SECONDS:g}; write it like --reconnect=600, or "
                         "--reconnect alone to try for ever")
    return seconds


def settings_options(command: str, *, after: str, help: dict[str, str] | None = None, panels: dict[str, str] | None = None):
    """Decorator: gives a command that ends in ``**settings`` an option for each setting that has one there.

    Args:
        command: ``settings.RUN`` or ``settings.CALIBRATE``.
        after: parameter of the command behind which ``--help`` shows them.
        help: texts that take the place of the rows', by key.
        panels: of ``--help``, by key of a setting, or by name of a parameter of the command.
    """
    def decorate(function: Callable) -> Callable:
        signature = inspect.signature(function, eval_str=True)
        *named, _settings = signature.parameters.values()
        place = [parameter.name for parameter in named].index(after) + 1
        made = [_parameter(row, (help or {}).get(row.key, row.help), (panels or {}).get(row.key, _panel(row)))
                for row in of_command(command)]
        named = [_moved(parameter, (panels or {}).get(parameter.name)) for parameter in named]
        function.__signature__ = signature.replace(parameters=sorted((
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in (*named[:place], *made, *named[place:])),
            key=_place))
        return function
    return decorate


def _panel(row: Setting) -> str | None:
    """The panel of a setting."""
    if row.key in _FIRST:
        return None
    return RESULTS if row.key.startswith("encoded_") else DETECTION if row.stages[0] == DETECTOR else NETWORK


def _moved(parameter: inspect.Parameter, panel: str | None) -> inspect.Parameter:
    """A parameter of a command in a panel; as it is if that is None."""
    if panel is None:
        return parameter
    kind, option = get_args(parameter.annotation)
    option = copy(option)  # other commands have the same one
    option.rich_help_panel = panel
    return parameter.replace(annotation=Annotated[kind, option])


def _place(parameter: inspect.Parameter) -> int:
    """Where the help shows it: by its panel."""
    panel = next((getattr(option, "rich_help_panel", None) for option in get_args(parameter.annotation)[1:]), None)
    return PANELS.index(panel) + 1 if panel in PANELS else 0


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


def range_or_number(text: str) -> tuple[float, float] | int:
    """LOW:HIGH of ``hz_ranges`` as two numbers of Hz; a whole number without a colon as it is.

    Raises:
        UsageError: it is neither.
    """
    low, colon, high = text.partition(":")
    try:
        if colon:
            return float(low), float(high)
        if float(text).is_integer():
            return int(float(text))
        raise ValueError("a fraction")
    except ValueError:
        raise UsageError(f"{text} is neither LOW:HIGH in Hz, such as 433.9M:434M, nor the number of an emitter") from None


def only_of_detector(context: typer.Context, detector: str):
    """Raises UsageError if the command line named a setting that is of the other detector."""
    for row in SETTINGS.values():
        if row.cli and row.only not in ("", detector) and was_given(context, row.key):
            raise UsageError(f"--{row.cli} is for --detector {row.only}; leave it out, or add that")


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
