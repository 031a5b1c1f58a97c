# SPDX-License-Identifier: GPL-3.0-or-later
"""``run --mqtt``, ``--notify`` and ``--push-rules``: events to a broker, a phone, a mailbox (``push/``)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import CommandError, UsageError

if TYPE_CHECKING:
    from ...push.rules_file import Target
    from ...session.listening import Listener

PANEL = "Messages"
Mqtt = Annotated[str, typer.Option(metavar="mqtt[s]://[USER@]HOST[:PORT][/PREFIX]", show_default=False, rich_help_panel=PANEL,
                                   help="Publish events as JSON on this MQTT broker, and describe the monitor to Home Assistant. "
                                   "The password is in SPECTRUMENCODER_MQTT_PASSWORD, or in a file.")]
PasswordFile = Annotated[Path | None, typer.Option(metavar="FILE", show_default=False, rich_help_panel=PANEL,
                                                   help="File whose first line is the password of --mqtt.")]
Notify = Annotated[list[str], typer.Option(metavar="URL", show_default=False, rich_help_panel=PANEL,
                                           help="Send alerts to this address of apprise: ntfy, e-mail, Telegram, webhooks, ...; "
                                           "env:NAME or file:PATH if it is secret. Repeatable.")]
RulesFile = Annotated[Path | None, typer.Option(metavar="FILE.toml", show_default=False, rich_help_panel=PANEL,
                                                help="Rules: what is sent, and when; and more targets.")]
SpoolFile = Annotated[Path | None, typer.Option(metavar="FILE", show_default=False, rich_help_panel=PANEL,
                                                help="File in which events wait while the network is away; else push.spool in "
                                                "the state folder of the user.")]
SpoolMax = Annotated[float, typer.Option(min=0.1, max=1e6, rich_help_panel=PANEL, help="What waits there at most, MB; beyond "
                                         "that the oldest are dropped.")]

ASKS = ("mqtt", "notify", "push_rules")
OPTIONS = {"mqtt": (Mqtt, ""), "mqtt_password_file": (PasswordFile, None), "notify": (Notify, []),
           "push_rules": (RulesFile, None), "push_spool": (SpoolFile, None), "push_spool_max": (SpoolMax, 64.0)}


def open_listener(mqtt: str, mqtt_password_file: Path | None, notify: list[str], push_rules: Path | None, push_spool: Path | None,
                  push_spool_max: float) -> Listener | None:
    """The listener of these options; None if none of them names a target.

    Raises:
        UsageError: an address or a rule is invalid. CommandError: the spool cannot be opened.
    """
    if not (mqtt or notify or push_rules or mqtt_password_file):
        return None
    targets = read_targets(mqtt, mqtt_password_file, notify, push_rules)
    from ...push.pusher import Pusher, default_spool
    from ...session.push_listener import PushListener
    from ...spool import SpoolError
    try:
        return PushListener(Pusher(targets, push_spool or default_spool(), int(1e6 * push_spool_max)))
    except SpoolError as error:
        raise CommandError(f"{error} (--push-spool FILE)") from error
    except ValueError as error:
        raise UsageError(str(error)) from error


def read_targets(mqtt: str, mqtt_password_file: Path | None, notify: list[str], push_rules: Path | None) -> list[Target]:
    """The targets of these options.

    Raises:
        UsageError: an address or a rule is invalid.
    """
    from ...push.rules_file import RulesError, targets
    try:
        return targets(mqtt, notify, push_rules, mqtt_password_file)
    except RulesError as error:
        raise UsageError(str(error)) from error
