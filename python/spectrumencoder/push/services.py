# SPDX-License-Identifier: GPL-3.0-or-later
"""The services of apprise: from an address to what sends there, and what apprise says meanwhile."""

from __future__ import annotations

import logging
import threading

import apprise


def plugin(url: str) -> apprise.NotifyBase:
    """The service of an address of apprise.

    Raises:
        ValueError: apprise does not know such an address; the line does not show it.
    """
    with Heard():
        found = apprise.Apprise.instantiate(url, suppress_exceptions=True)
    if found is None or not hasattr(found, "notify"):
        scheme = url.partition(":")[0] if "://" in url else ""
        raise ValueError(f"apprise knows no address of this form{f' ({scheme}://...)' if scheme.isalnum() else ''}; see "
                         "https://github.com/caronc/apprise/wiki for those that it knows")
    return found


class Heard(logging.Handler):
    """Takes the warnings of apprise on this thread, which else would go to standard error with what may be secret in them.

    Attributes: last: the last one.
    """

    def __init__(self):
        super().__init__(logging.WARNING)
        self._thread, self.last = threading.get_ident(), ""

    def emit(self, record: logging.LogRecord):
        if record.thread == self._thread:
            self.last = " ".join(record.getMessage().split())

    def __enter__(self) -> Heard:
        logger = logging.getLogger("apprise")
        logger.propagate = False
        logger.addHandler(self)
        return self

    def __exit__(self, *error):
        logging.getLogger("apprise").removeHandler(self)
