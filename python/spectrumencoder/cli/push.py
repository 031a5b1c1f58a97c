# SPDX-License-Identifier: GPL-3.0-or-later
"""``spectrumencoder push``: tries whether messages arrive."""

from __future__ import annotations

import typer

from .console import OUT
from .errors import CommandError, UsageError
from .listeners.push import Mqtt, Notify, PasswordFile, RulesFile, read_targets

app = typer.Typer(help="Try whether messages arrive where run --mqtt, --notify and --push-rules send them.", no_args_is_help=True)


@app.callback()
def _group():
    pass


@app.command()
def test(mqtt: Mqtt = "", mqtt_password_file: PasswordFile = None, notify: Notify = [],  # noqa: B006
         push_rules: RulesFile = None):
    """Send one test message to each target now, whatever its rules say, and report what happened."""
    if not (mqtt or notify or push_rules):
        raise UsageError("name a target: --mqtt, --notify or --push-rules, as for run")
    from ..push.pusher import send_test
    targets = read_targets(mqtt, mqtt_password_file, notify, push_rules)
    failed = 0
    for target in targets:
        why = send_test(target)
        failed += bool(why)
        OUT.print(f"{target.name}: {f'failed: {why}' if why else 'arrived'}", markup=False)
    if failed:
        raise CommandError(f"{failed} of {len(targets)} targets did not take the message; the lines above say why")
