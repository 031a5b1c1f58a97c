# SPDX-License-Identifier: GPL-3.0-or-later
"""A sensor as a user states it: address, id, key file, position, spool; and the ``Sender`` of that."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .. import keys
from ..version import VERSION
from .message import check_id

SPOOL_MB = 200.0
POSITION_HELP = "degrees north and east, such as 47.37,8.54"


@dataclass(frozen=True)
class Outlet:
    """Where a sensor sends to, and as whom.

    Args:
        address: of the hub, such as tcp://hub.example:5570.
        sensor: id; "": that of the key.
        key: the sensor's key file; "": none, for a hub on this machine.
        position: (latitude, longitude) in degrees; None: not known.
        spool: file for what waits; "": ``default_spool``. spool_mb: its size.

    Raises:
        ValueError: a value is invalid, or contradicts another one.
    """

    address: str
    sensor: str = ""
    key: str | Path = ""
    position: tuple[float, float] | None = None
    spool: str | Path = ""
    spool_mb: float = SPOOL_MB

    def __post_init__(self):
        if not self.address:
            raise ValueError("a sensor needs the hub's address, such as tcp://hub.example:5570")
        if not self.sensor and not self.key:
            raise ValueError("a sensor needs an id: give one, or a key file, which holds it")
        if self.sensor:
            check_id(self.sensor)
        if self.position is not None and not (abs(self.position[0]) <= 90 and abs(self.position[1]) <= 180):
            raise ValueError(f"position {self.position[0]:g},{self.position[1]:g} is no place on earth; give {POSITION_HELP}")
        if not 0.01 <= self.spool_mb < math.inf:
            raise ValueError(f"a spool of {self.spool_mb:g} MB holds nothing; give 0.01 or more")

    def open(self, say: Callable[[str], None] = lambda line: None):
        """The ``Sender``, which is running.

        Raises:
            ValueError: a key file, or the address, cannot be used; SpoolError: the spool cannot.
        """
        from ..spool import Spool
        from .certificates import load_sensor
        from .sender import Sender
        sensor_keys = load_sensor(Path(self.key)) if self.key else None
        sensor = self.sensor or (sensor_keys.sensor if sensor_keys else "")
        about: dict = {keys.SENSOR: sensor, "program": VERSION}
        if self.position is not None:
            about |= {keys.LATITUDE: self.position[0], keys.LONGITUDE: self.position[1]}
        spool = Spool(self.spool or default_spool(sensor), round(self.spool_mb * 1e6))
        try:
            return Sender(self.address, sensor, spool, sensor_keys, about, say)
        except ValueError:
            spool.close()
            raise


def parse_position(text: str) -> tuple[float, float] | None:
    """(latitude, longitude) of LAT,LON; None of "".

    Raises:
        ValueError: it is none.
    """
    if not text:
        return None
    try:
        latitude, longitude = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"position {text!r} is not LAT,LON: give {POSITION_HELP}") from None
    return latitude, longitude


def default_spool(sensor: str) -> Path:
    """The spool if none is given: in the state folder of the service, else in that of the user.

    Raises:
        ValueError: there is none.
    """
    if os.environ.get("STATE_DIRECTORY"):  # of systemd
        return Path(os.environ["STATE_DIRECTORY"].split(":")[0]) / f"hub-{sensor}.spool"
    try:
        folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state")
    except RuntimeError as error:
        raise ValueError("this user has no home folder for the spool; give a file for it") from error
    return folder / "spectrumencoder" / f"hub-{sensor}.spool"
