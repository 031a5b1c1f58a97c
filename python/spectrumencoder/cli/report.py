# SPDX-License-Identifier: GPL-3.0-or-later
"""``spectrumencoder report``: what a history says of a stretch of time, as a page for a colleague."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from . import options
from .console import NOTES, OUT, check_writable, write_bytes, write_json
from .errors import CommandError, UsageError

PICTURES = ("occupancy", "alerts", "levels")


def report(
    site: Annotated[Path, typer.Argument(metavar="SITE.db", help="A history, of run --history.")],
    since: Annotated[str, typer.Option(metavar="TIME", help="Begin: so long before the end, such as 24h, 7d or 4w; or a time in "
                                       "UTC, such as 2026-01-31 or 2026-01-31T18:00; all: with the history.")] = "24h",
    until: Annotated[str, typer.Option(metavar="TIME", help="End, likewise; counted from now.")] = "now",
    out: Annotated[Path | None, typer.Option(metavar="FILE.html|.md", help="Write the report here: HTML the pictures within, "
                                             "or Markdown with the pictures beside. Else: Markdown to standard output, without.",
                                             show_default=False)] = None,
    json_file: options.JsonFile = None,
    quiet: options.Quiet = False,
):
    """Report what a site heard: alerts, what is new and gone, occupancy, levels, health, and when nobody listened."""
    if out is not None and out.suffix not in (".html", ".md"):
        raise UsageError(f"--out {out} ends neither in .html nor in .md; name a file that does")
    from ..history import HistoryError, Reader
    from ..history.report import make_report
    from ..history.report_words import write_report
    check_writable(out, json_file)
    now_s = time.time()
    try:
        with Reader(site) as reader:
            since_s, until_s = _ends(reader, since, until, now_s)
            content = make_report(reader, since_s, until_s, now_s)
    except HistoryError as error:
        raise CommandError(str(error)) from error
    if json_file is not None:
        write_json(json_file, content.as_dict())
    if out is None:
        from ..history.document import to_markdown
        if json_file is None:
            OUT.print(to_markdown(write_report(content)), markup=False)
        return
    written = _write(out, content)
    if not quiet:
        NOTES.print(f"note: wrote {', '.join(map(str, written))}", markup=False)


def _write(out: Path, content) -> list[Path]:
    """Writes the document, and its pictures beside a Markdown file; returns what was written."""
    from ..display import history_pictures
    from ..history.document import Picture, to_html, to_markdown
    from ..history.report_words import write_report
    document = write_report(content, {name: getattr(history_pictures, f"{name}_picture") for name in PICTURES})
    if out.suffix == ".html":
        write_bytes(out, to_html(document).encode())
        return [out]

    def beside(picture: Picture) -> Path:
        return out.with_name(f"{out.stem}_{picture.name}.png")

    for picture in document.pictures():
        write_bytes(beside(picture), picture.png)
    write_bytes(out, to_markdown(document, lambda picture: beside(picture).name).encode())
    return [out, *map(beside, document.pictures())]


def _ends(reader, since: str, until: str, now_s: float) -> tuple[float, float]:
    """Begin and end of the report, POSIX s.

    Raises:
        UsageError: one is no time, or they are in the wrong order.
    """
    from ..history.times import parse_time
    try:
        if since == "all":
            low, high = reader.span() or (now_s, now_s)
            since_s, until_s = low, high if until == "now" else parse_time(until, now_s)
        else:
            until_s = parse_time(until, now_s)
            since_s = parse_time(since, until_s)
    except ValueError as error:
        raise UsageError(f"--since or --until: {error}") from error
    if not since_s < until_s:
        raise UsageError(f"--since {since} is not before --until {until}; give an earlier one")
    return since_s, until_s
