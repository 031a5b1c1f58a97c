# SPDX-License-Identifier: GPL-3.0-or-later
"""``run --hub tcp://HOST:PORT``: the run is a sensor of a hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..console import NOTES
from ..errors import CommandError, UsageError

PANEL = "Hub"
SPOOL_MB = 200.0
OPTIONS = {
    "hub": (Annotated[str, typer.Option(metavar="tcp://HOST:PORT", help="Send compressed spectra, alerts and health to a hub "
                                        "(`spectrumencoder hub`), from a spool on disk: what a cut-off keeps back goes later.",
                                        show_default=False, rich_help_panel=PANEL)], ""),
    "sensor": (Annotated[str, typer.Option(metavar="ID", help="Id of this sensor at the hub; that of the key otherwise.",
                                           show_default=False, rich_help_panel=PANEL)], ""),
    "position": (Annotated[str, typer.Option(metavar="LAT,LON", help="Where this sensor is, in degrees north and east.",
                                             show_default=False, rich_help_panel=PANEL)], ""),
    "hub_key": (Annotated[Path | None, typer.Option(metavar="FILE", help="Keys of this sensor, from `hub keygen`; without them "
                                                    "the hub must be on this machine.", show_default=False,
                                                    rich_help_panel=PANEL)], None),
    "hub_signals": (Annotated[bool, typer.Option("--hub-signals", help="Send the list of all signals, too.",
                                                 rich_help_panel=PANEL)], False),
    "hub_spool": (Annotated[Path | None, typer.Option(metavar="FILE", help="Where messages wait for the hub; otherwise "
                                                      "hub-ID.spool in the user's state folder.", show_default=False,
                                                      rich_help_panel=PANEL)], None),
    "hub_spool_mb": (Annotated[float, typer.Option(min=0.01, help="Size of the spool, MB, from which on the oldest messages are "
                                                   "dropped.", rich_help_panel=PANEL)], SPOOL_MB),
}


def open_listener(hub: str, sensor: str, position: str, hub_key: Path | None, hub_signals: bool, hub_spool: Path | None,
                  hub_spool_mb: float):
    if not hub:
        given = {"sensor": sensor, "position": position, "hub-key": hub_key, "hub-signals": hub_signals, "hub-spool": hub_spool}
        for name in (name for name, value in given.items() if value):
            raise UsageError(f"--{name} is for --hub tcp://HOST:PORT; leave it out, or add that")
        return None
    if not sensor and hub_key is None:
        raise UsageError("--hub needs --sensor ID, or --hub-key FILE, which holds one")
    from ...hub.outlet import Outlet, parse_position
    from ...session.hub_listener import HubListener
    from ...spool import SpoolError
    try:
        outlet = Outlet(hub, sensor, hub_key or "", parse_position(position), hub_spool or "", hub_spool_mb)
        return HubListener(outlet, hub_signals, lambda line: NOTES.print(f"note: {line}", markup=False))
    except SpoolError as error:
        raise CommandError(str(error)) from error
    except ValueError as error:
        raise UsageError(str(error)) from error
