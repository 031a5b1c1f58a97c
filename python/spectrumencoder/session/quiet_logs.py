# SPDX-License-Identifier: GPL-3.0-or-later
"""GNU Radio's log in a program whose standard output holds results. GNU Radio reads this once, at the first line that it logs."""

from __future__ import annotations

import os


def quiet_logs() -> None:
    """GNU Radio's log goes to stderr, and only when debugging: a failure is reported once, as one line."""
    debug = os.environ.get("SPECTRUMENCODER_DEBUG", "") not in ("", "0")
    os.environ.setdefault("GR_CONF_LOG_LOG_FILE", "stderr")
    if debug and os.environ.get("GR_CONF_LOG_LOG_LEVEL") == "off":  # a program that started this one had it so
        del os.environ["GR_CONF_LOG_LOG_LEVEL"]
    os.environ.setdefault("GR_CONF_LOG_LOG_LEVEL", "info" if debug else "off")
