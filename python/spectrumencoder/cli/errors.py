# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception that commands raise for the user to read."""

from ..session.errors import SessionError, SettingError


class CommandError(SessionError):
    """A command that cannot go on. One line: what is wrong, with the value, and what to do. Ends the program with ``status``."""

    def __init__(self, message: str, status: int = 1):
        super().__init__(message)
        self.status = status


class UsageError(CommandError, SettingError):
    """The request is invalid for any content of the files: exit status 2."""

    def __init__(self, message: str):
        super().__init__(message, status=2)
