# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of ``run`` for what follows it from outside: one file of ``listeners/`` for each, which has

* ``OPTIONS``: {name of the parameter: (annotation of typer, default)}; the first one is false if no listener is asked for;
* ``open_listener(**values)``: a ``session.listening.Listener``, or None if its options were not given. It imports what it needs;
* ``ASKS``, if several options ask for it: their parameters.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .listeners import KINDS

if TYPE_CHECKING:
    from ..session.listening import Listener


def listener_options(after: str):
    """Decorator: gives a command that ends in ``**chain`` the options of all listeners behind its parameter ``after``."""
    def decorate(function: Callable) -> Callable:
        signature = inspect.signature(function, eval_str=True)
        parameters = list(signature.parameters.values())
        place = [parameter.name for parameter in parameters].index(after) + 1
        made = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
                for kind in KINDS for name, (annotation, default) in kind.OPTIONS.items()]
        function.__signature__ = signature.replace(parameters=[
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in (*parameters[:place], *made, *parameters[place:])])
        return function
    return decorate


def asked(chain: dict) -> list[tuple]:
    """Takes the values of the options out of ``chain``: (kind, its values), for ``open_listeners``."""
    return [(kind, {name: chain.pop(name) for name in kind.OPTIONS}) for kind in KINDS]


def given(asked_for: list[tuple]) -> dict:
    """{option that asks for a listener: whether it was given}, for checks before any is opened."""
    return {name: bool(values[name]) for kind, values in asked_for
            for name in getattr(kind, "ASKS", (next(iter(kind.OPTIONS)),))}


@contextmanager
def open_listeners(asked_for: list[tuple], say: Callable[[str], None]) -> Iterator[list[Listener]]:
    """Opens the listeners that are asked for, and closes them at the end. say: shows a person a line.

    Raises:
        UsageError, SettingError, SessionError: an option is invalid, or a listener cannot be opened; one line.
    """
    listeners: list[Listener] = []
    try:
        for kind, values in asked_for:
            listener = kind.open_listener(**values)
            if listener is not None:
                listener.say = say
                listeners.append(listener)
        yield listeners
    finally:
        for listener in reversed(listeners):
            listener.close()


def report(listeners: list[Listener], say: Callable[[str], None]) -> dict:
    """Says the listeners' lines for a person, and returns what they add to the file of ``--json``."""
    more: dict = {}
    for listener in listeners:
        for line in listener.lines():
            say(line)
        more |= listener.summary()
    return more
