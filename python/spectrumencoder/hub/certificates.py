# SPDX-License-Identifier: GPL-3.0-or-later
"""Key files of sensors and hub (CURVE, RFC 26/ZAP), and the list of sensors that the hub knows.

A folder of keys holds `hub.key` and, for each sensor, `sensors/ID.pub`: the name of the file is the sensor's id, and binds the
key to it. A sensor has one file, ID.key: its own keys and the hub's public one. Files with a secret are of mode 600; one that
others can read is refused. Keys are in ZeroMQ's Z85 form, 40 characters.
"""

from __future__ import annotations

import json
import os
import re
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .message import check_id

HUB_KEY, SENSORS = "hub.key", "sensors"
_FORMAT = "spectrumencoder key"
_Z85 = re.compile(r"[0-9A-Za-z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
_RELOAD_S = 2.0  # after which the list is read again: a sensor is added or removed by a file


class KeyFileError(ValueError):
    """A key file cannot be read, written or used; one line."""


@dataclass(frozen=True)
class SensorKeys:
    """What a sensor needs: its id, its keys, and the hub's public key."""

    sensor: str
    public: bytes
    secret: bytes
    hub: bytes


@dataclass(frozen=True)
class HubKeys:
    """The hub's own keys."""

    public: bytes
    secret: bytes


def make_hub(folder: Path) -> HubKeys:
    """Makes the hub's keys in a folder, unless they are there; returns them.

    Raises:
        KeyFileError: it cannot be written, or what is there cannot be used.
    """
    if not (folder / HUB_KEY).exists():
        public, secret = _pair()
        try:
            is_new = not folder.exists()
            (folder / SENSORS).mkdir(parents=True, exist_ok=True)
            if is_new:
                folder.chmod(0o700)
        except OSError as error:
            raise KeyFileError(f"cannot make {folder / SENSORS}: {error.strerror}; name another folder") from error
        _write(folder / HUB_KEY, {"of": "hub", "public": public, "secret": secret}, 0o600)
    return load_hub(folder)


def make_sensor(folder: Path, sensor: str) -> Path:
    """Makes the keys of a sensor, and puts it on the hub's list. Returns the file that belongs on the sensor: FOLDER/ID.key.

    Raises:
        KeyFileError: the sensor has keys already, or a file cannot be written. ValueError: the id is none.
    """
    check_id(sensor)
    hub = make_hub(folder)
    listed, own = folder / SENSORS / f"{sensor}.pub", folder / f"{sensor}.key"
    for path in (listed, own):
        if path.exists():
            raise KeyFileError(f"{path} exists: the sensor {sensor} has keys; delete {listed} and {own} to give it new ones")
    public, secret = _pair()
    _write(own, {"of": "sensor", "sensor": sensor, "public": public, "secret": secret, "hub": hub.public.decode()}, 0o600)
    _write(listed, {"of": "sensor", "sensor": sensor, "public": public}, 0o644)
    return own


def load_hub(folder: Path) -> HubKeys:
    """The hub's keys of a folder.

    Raises:
        KeyFileError: there are none, or others can read them.
    """
    fields = _read(folder / HUB_KEY, "hub", ("public", "secret"), "make it with `spectrumencoder hub keygen`", secret=True)
    return HubKeys(fields["public"].encode(), fields["secret"].encode())


def load_sensor(path: Path) -> SensorKeys:
    """The keys of a sensor.

    Raises:
        KeyFileError: the file is missing, no key file of a sensor, or others can read it.
    """
    cure = "copy it from the hub, where `spectrumencoder hub keygen --sensor ID` makes it"
    fields = _read(path, "sensor", ("public", "secret", "hub"), cure, secret=True)
    try:
        return SensorKeys(check_id(str(fields.get("sensor"))), *(fields[name].encode() for name in ("public", "secret", "hub")))
    except ValueError as error:
        raise KeyFileError(f"{path}: {error}") from error


class AllowList:
    """The sensors whose keys a hub accepts: files of a folder, read again every two seconds. For any thread.

    Raises:
        KeyFileError: the folder is missing, or a file of it is no public key.
    """

    def __init__(self, folder: Path):
        self._folder, self._lock, self._read_s = folder / SENSORS, threading.Lock(), 0.0
        self._sensors = self._load()

    def sensor(self, public: bytes | str) -> str | None:
        """The id that a public key is bound to; None if it is not on the list."""
        with self._lock:
            if time.monotonic() - self._read_s > _RELOAD_S:
                self._sensors = self._load(strict=False)
            return self._sensors.get(public.decode("ascii", "replace") if isinstance(public, bytes) else public)

    def __len__(self):
        return len(self._sensors)

    def _load(self, strict: bool = True) -> dict[str, str]:
        """The list. Not strict: what cannot be read is left out, such as a file that is being written."""
        self._read_s = time.monotonic()
        if not strict:
            return dict(self._pairs(strict=False))
        if not self._folder.is_dir():
            raise KeyFileError(f"there is no folder {self._folder}; make it with `spectrumencoder hub keygen`")
        sensors: dict[str, str] = {}
        for public, name in self._pairs():
            if public in sensors:
                raise KeyFileError(f"the sensors {sensors[public]} and {name} have one key; each needs its own")
            sensors[public] = name
        return sensors

    def _pairs(self, strict: bool = True) -> Iterator[tuple[str, str]]:
        for path in sorted(self._folder.glob("*.pub")):
            try:
                public = _read(path, "sensor", ("public",), "delete it")["public"]
                yield public, check_id(path.stem)
            except ValueError as error:
                if strict:
                    raise error if isinstance(error, KeyFileError) else KeyFileError(f"{path}: {error}") from error


def _pair() -> tuple[str, str]:
    import zmq
    public, secret = zmq.curve_keypair()
    return public.decode(), secret.decode()


def _write(path: Path, fields: dict, mode: int) -> None:
    """Makes a file that did not exist; nobody else can read it at any moment if the mode says so."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
            os.fchmod(file.fileno(), mode)
            file.write(json.dumps({"format": _FORMAT, "version": 1} | fields, indent=1) + "\n")
    except OSError as error:
        raise KeyFileError(f"cannot write {path}: {error.strerror}; name another folder") from error


def _read(path: Path, of: str, names: tuple[str, ...], cure: str, secret: bool = False) -> dict:
    try:
        with path.open() as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            fields = json.loads(file.read(1 << 16))
    except OSError as error:
        raise KeyFileError(f"cannot read the key file {path}: {error.strerror}; {cure}") from error
    except ValueError as error:
        raise KeyFileError(f"{path} is no key file; {cure}") from error
    if secret and mode & 0o077:
        raise KeyFileError(f"others can read the secret in {path} (mode {mode:o}); run `chmod 600 {path}`")
    if not isinstance(fields, dict) or fields.get("format") != _FORMAT or fields.get("of") != of or not all(
            isinstance(fields.get(name), str) and _Z85.fullmatch(fields[name]) for name in names):
        raise KeyFileError(f"{path} is no key file of a {of}; {cure}")
    return fields
