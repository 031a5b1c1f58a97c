# SPDX-License-Identifier: GPL-3.0-or-later
"""``run --web``: a page in the browser that shows and steers the run."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ...session.listening import Listener

_PANEL, _TOKEN = "Browser", "SPECTRUMENCODER_WEB_TOKEN"
_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[\w.-]*):\d{1,5}")
OPTIONS = {
    "web": (Annotated[str, typer.Option(metavar="[HOST:PORT]", show_default=False, rich_help_panel=_PANEL, help=(
        "Serve a page that shows and steers the run; alone: to this machine's own browser, on port 8143. Another address than "
        "loopback asks for a token, which is printed."))], ""),
    "web_token": (Annotated[str, typer.Option(metavar="TOKEN", show_default=False, rich_help_panel=_PANEL, envvar=_TOKEN, help=(
        "The page's token, 16 characters or more, instead of a new one at each start."))], ""),
    "web_name": (Annotated[list[str], typer.Option(metavar="NAME", show_default=False, rich_help_panel=_PANEL, help=(
        "A further host name by which browsers reach the page, such as a reverse proxy's; repeatable."))], []),
}


def completed(arguments: list[str]) -> list[str]:
    """The command line with the value of --web in its place: the default address if none follows."""
    done: list[str] = []
    for argument in arguments:
        if done and done[-1] == "--web":
            done[-1] = f"--web={argument}" if _ADDRESS.fullmatch(argument) else f"--web={_default()}"
            if _ADDRESS.fullmatch(argument):
                continue
        done.append(argument)
    return [*done[:-1], f"--web={_default()}"] if done and done[-1] == "--web" else done


def _default() -> str:
    from ...web.address import DEFAULT
    return DEFAULT


def open_listener(web: str, web_token: str, web_name: list[str]) -> Listener | None:
    """The page of a run; None: none is asked for."""
    from ..console import NOTES
    from ..errors import UsageError
    if not web:
        if web_name or web_token != os.environ.get(_TOKEN, ""):
            raise UsageError("--web-token and --web-name are for --web; leave them out, or add that")
        return None
    from ...web.listener import WebListener
    return WebListener(web, web_token, web_name, lambda line: NOTES.print(line, markup=False))
