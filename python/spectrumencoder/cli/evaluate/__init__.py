# SPDX-License-Identifier: GPL-3.0-or-later
"""``spectrumencoder evaluate ...``: one file per experiment; each prints a table and writes its JSON."""

from __future__ import annotations

import typer

from .ablate import ablate
from .anomaly import anomaly
from .classify import classify
from .compress import compress
from .field import field, field_labels
from .inference import precision, speculative
from .signals import signals, strongest
from .track import track
from .watch import watch

app = typer.Typer(no_args_is_help=True, help="Measure a model on recordings; each experiment prints a table and writes JSON.")
for _experiment in (classify, ablate, speculative, precision, compress, anomaly, field, field_labels, signals, strongest, track,
                    watch):
    app.command()(_experiment)
