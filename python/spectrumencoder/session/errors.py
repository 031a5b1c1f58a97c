# SPDX-License-Identifier: GPL-3.0-or-later
"""The errors of a run. Each is one line: what is wrong, with the value, and what to do."""


class SessionError(Exception):
    """A run that cannot go on: no such radio, a recording that is too short, a block that failed."""

    def __init__(self, message: str):
        super().__init__(" ".join(str(message).split()))


class SettingError(SessionError):
    """A setting that is invalid, or that the model or the machine cannot serve."""


class HungError(SessionError):
    """A block's thread hangs. Leave the process with ``os._exit``: a normal exit would wait for that thread forever."""
