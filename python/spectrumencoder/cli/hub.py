# SPDX-License-Identifier: GPL-3.0-or-later
"""``spectrumencoder hub``: receives what many sensors send (``run --hub``), keeps it, and shows it on one page."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from .console import NOTES, OUT, check_writable, write_json
from .errors import CommandError, UsageError

DEFAULT = "tcp://127.0.0.1:5570"
app = typer.Typer(invoke_without_command=True, help="Receive spectra, alerts and health of many sensors (run --hub), keep them, "
                  "and show them on one page. hub keygen makes keys.")
Keys = Annotated[Path | None, typer.Option(metavar="DIR", show_default=False, help=(
    "Folder of `hub keygen`: the hub's keys, and the sensors that it knows. Without it the hub listens on this machine only."))]


@app.callback()
def hub(
    context: typer.Context,
    listen: Annotated[str, typer.Option(metavar="tcp://HOST:PORT", help="Where sensors reach the hub.")] = DEFAULT,
    keys: Keys = None,
    db: Annotated[Path, typer.Option(metavar="FILE.db", help="What the hub keeps: all that sensors send.")] = Path("hub.db"),
    max_mb: Annotated[float, typer.Option(min=0.0, help="Size of that file, MB, from which on its oldest spectra, signals and "
                                          "health are deleted. 0: no limit.")] = 10000.0,
    history: Annotated[Path | None, typer.Option(metavar="DIR", show_default=False, help=(
        "Keep a history of each sensor here, DIR/ID.db, as `run --history` does; `report` reads it. All spectra are decoded "
        "for it."))] = None,
    web: Annotated[str, typer.Option(metavar="HOST:PORT", show_default=False, help=(
        "Serve one page of all sensors, such as at 127.0.0.1:8143. Another address than loopback asks for a token."))] = "",
    web_token: Annotated[str, typer.Option(metavar="TOKEN", show_default=False, envvar="SPECTRUMENCODER_WEB_TOKEN", help=(
        "The page's token, 16 characters or more, instead of a new one at each start."))] = "",
    web_name: Annotated[list[str], typer.Option(metavar="NAME", show_default=False, help=(
        "A further host name by which browsers reach the page; repeatable."))] = [],  # noqa: B006
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", show_default=False, help=(
        "Write counters here at the end."))] = None,
    duration: Annotated[float | None, typer.Option(min=0.1, help="Seconds; else until Ctrl-C.", show_default=False)] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
):
    """Receive, keep and show what sensors send."""
    if context.invoked_subcommand is not None:
        return
    if not web and web_name:
        raise UsageError("--web-name is for --web HOST:PORT; leave it out, or add that")
    check_writable(db, json_file)
    from ..hub.certificates import KeyFileError
    from ..hub.server import Hub
    from ..hub.store import StoreError
    from ..stop_signals import STOP

    def say(line: str):
        if not quiet:
            NOTES.print(line, markup=False)
    try:
        server = Hub(listen, db, keys, max_bytes=round(max_mb * 1e6), history=history, web=web, web_token=web_token,
                     web_names=web_name, say=say)
    except (StoreError, KeyFileError) as error:
        raise CommandError(str(error)) from error
    except ValueError as error:
        raise UsageError(str(error)) from error
    with STOP.deferred() as stop:
        try:
            end_s = float("inf") if duration is None else time.monotonic() + duration
            while not stop.came and time.monotonic() < end_s and not server.failure:
                time.sleep(0.05)
        finally:
            server.close()
    if json_file is not None:
        write_json(json_file, server.summary())
    for line in server.lines():
        if not quiet:
            OUT.print(line, markup=False)
    if server.failure:
        raise CommandError(f"the hub has ended: {server.failure}")


@app.command()
def keygen(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the hub's keys; made if it is missing.")],
    sensor: Annotated[list[str], typer.Option(metavar="ID", show_default=False, help=(
        "Make keys of this sensor, and put it on the hub's list; repeatable."))] = [],  # noqa: B006
):
    """Make the keys of the hub and of sensors. DIR/ID.key belongs on the sensor: move it there by a safe way, such as scp."""
    from ..hub import certificates
    try:
        certificates.make_hub(folder)
        OUT.print(f"the hub's keys are in {folder}", markup=False)
        for name in sensor:
            OUT.print(f"{certificates.make_sensor(folder, name)} belongs on the sensor {name}: run ... --hub-key {name}.key",
                      markup=False)
    except certificates.KeyFileError as error:
        raise CommandError(str(error)) from error
    except ValueError as error:
        raise UsageError(str(error)) from error


@app.command()
def send(
    address: Annotated[str, typer.Argument(metavar="tcp://HOST:PORT", help="The hub.")] = DEFAULT,
    sensor: Annotated[str, typer.Option(metavar="ID", show_default=False, help="As whom; that of the key otherwise.")] = "",
    position: Annotated[str, typer.Option(metavar="LAT,LON", show_default=False, help="Where bearings are taken.")] = "",
    key: Annotated[Path | None, typer.Option("--hub-key", metavar="FILE", show_default=False, help="Keys of the sender.")] = None,
    spool: Annotated[Path | None, typer.Option("--hub-spool", metavar="FILE", show_default=False, help="Where it waits.")] = None,
    wait: Annotated[float, typer.Option(min=0.0, help="Seconds to wait for the hub at the end.")] = 10.0,
):
    """Send reports of positions, bearings and times of arrival to the hub's tracker: JSON lines from standard input."""
    from ..hub.message import REPORT, MessageError, json_bytes, read_json
    from ..hub.outlet import Outlet, parse_position
    from ..spool import SpoolError
    try:
        outlet = Outlet(address, sensor, key or "", parse_position(position), spool or "")
        sender = outlet.open(lambda line: NOTES.print(f"note: {line}", markup=False))
    except SpoolError as error:
        raise CommandError(str(error)) from error
    except ValueError as error:
        raise UsageError(str(error)) from error
    n_sent = n_bad = 0
    try:
        for number, line in enumerate(sys.stdin, 1):
            if not line.strip():
                continue
            try:
                sender.send(REPORT, json_bytes(read_json(line.encode())))
                n_sent += 1
            except MessageError as error:
                n_bad += 1
                NOTES.print(f"note: line {number} is left out: {error}", markup=False)
        sender.flush(wait)
    finally:
        sender.close(0.0)
    OUT.print(json.dumps({"sent": n_sent, "left_out": n_bad, "waiting": sender.n_waiting}), markup=False)
    if sender.n_waiting:
        raise CommandError(f"{sender.n_waiting} messages wait in {sender.spool_path}: {sender.state}")
