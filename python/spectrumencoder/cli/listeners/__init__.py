# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of ``run`` for each kind of listener, a file a kind; see ``cli/listening.py``."""

from __future__ import annotations

from . import history, hub, push, web

KINDS = (web, history, push, hub)
