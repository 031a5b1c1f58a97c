# SPDX-License-Identifier: GPL-3.0-or-later
"""Connects a block to ``settings.py``: its constructor, its setters, and ``control`` messages.

A block's constructor names the settings that it uses itself, and ends in ``**settings``. That collects the others
for the class that does the work (an Engine, a Detector)::

    @obeys(ENCODER)
    class spectrum_encoder(SafeBlock, gr.sync_block):
        def __init__(self, model=DEFAULTS.model, *, band=DEFAULTS.band, **engine):
            self.engine = open_engine(model, **engine)

        def _change(self, key, value):      # called by set_dropout_rate, set_backend, ...: one for each live setting
            getattr(self.engine, f"set_{key}")(value)

So a new setting of the engine changes no line of the block.
"""

from __future__ import annotations

import functools

from .. import keys
from ..settings import SETTINGS, Setting, named_by, of_monitor, of_stage
from .messages import MalformedMessage, metadata
from .safe_block import setter

COMMANDS = (keys.ACCEPT, keys.IGNORE, keys.UNIGNORE, keys.NAME, keys.LIST)
_TYPES = {float: (int, float), int: int, str: str, bool: bool, list: list}
_STAGE_OF_MONITOR = ("encoder", "detector", "tracker")  # attributes of spectrum_monitor, named as the stages


def changes(message, stage: str) -> dict:
    """The settings of a message that are a stage's own, {key: value}. The others may be those of the other stages, or commands.

    Args:
        message: PMT, a PDU or a dict.
        stage: such as ``settings.ENCODER``.

    Raises:
        MalformedMessage: no stage has the key, or a value is of the wrong type; then no part of the message counts.
    """
    values = {key: value for key, value in metadata(message).items() if key not in COMMANDS}
    for key, value in values.items():
        row = SETTINGS.get(key)
        if row is None or not row.by_message:
            known = ", ".join(row.key for row in SETTINGS.values() if row.by_message)
            raise MalformedMessage(f"unknown setting {key!r}; known are {known}")
        if isinstance(value, bool) != (row.kind is bool) or not isinstance(value, _TYPES[row.kind]):
            raise MalformedMessage(f"{key} is {value!r}, which is of the wrong type")
    return {key: value for key, value in values.items() if stage in SETTINGS[key].stages}


def commands(message) -> dict:
    """The commands of a message, {word: value}: what an operator decides on emitters (``keys.ACCEPT`` and the others).

    Raises:
        MalformedMessage: the message is no dict.
    """
    return {key: value for key, value in metadata(message).items() if key in COMMANDS}


def obeys(stage: str):
    """Class decorator for a block: it takes, checks and changes the settings of a stage.

    * The constructor's ``**settings`` are those of the stage that it does not name itself, with the defaults of the rows. A
      value out of range raises ValueError before the constructor begins.
    * The block gets a setter ``set_KEY`` for each live setting, unless it has one of its own: it calls ``_change(key, value)``.
    """
    def decorate(block):
        _complete_constructor(block, of_stage(stage), check=True)
        for row in of_stage(stage):
            if row.live and not hasattr(block, f"set_{row.key}"):
                _add(block, row, setter(_changing(row)))
        return block
    return decorate


def passes_on(monitor):
    """Class decorator for spectrum_monitor: takes the settings of all stages, and has their setters, which pass the value on."""
    _complete_constructor(monitor, of_monitor(), check=False)  # each stage checks its own
    for row in of_monitor():
        if row.live and not hasattr(monitor, f"set_{row.key}"):
            _add(monitor, row, _passing(row))
    return monitor


def own(stage: str, settings: dict) -> dict:
    """The subset of the settings that belongs to a stage."""
    return {key: value for key, value in settings.items() if stage in SETTINGS[key].stages}


def _complete_constructor(block, rows: list[Setting], check: bool):
    make = block.__init__
    signature = named_by(make, [row for row in rows if row.argument])

    @functools.wraps(make)
    def __init__(self, *args, **kwargs):
        given = signature.bind(self, *args, **kwargs)
        given.apply_defaults()
        make(**{key: SETTINGS[key].check(value) if check and key in SETTINGS else value
                for key, value in given.arguments.items()})

    __init__.__signature__ = signature
    block.__init__ = __init__


def _changing(row: Setting):
    def method(self, value):
        self._change(row.key, row.check(value))
    method.__name__ = f"set_{row.key}"  # a failure is reported by it
    return method


def _passing(row: Setting):
    stage = next(stage for stage in _STAGE_OF_MONITOR if stage in row.stages)

    def method(self, value):
        return getattr(getattr(self, stage), f"set_{row.key}")(value)
    method.__name__ = f"set_{row.key}"
    return method


def _add(block, row: Setting, method):
    method.__qualname__, method.__doc__ = f"{block.__qualname__}.{method.__name__}", row.help
    setattr(block, method.__name__, method)
