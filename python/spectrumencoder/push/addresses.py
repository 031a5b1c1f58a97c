# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses of targets, and their secrets: read from the environment or a file, never shown."""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import unquote, urlsplit

PASSWORD_VARIABLE = "SPECTRUMENCODER_MQTT_PASSWORD"
PORTS = {"mqtt": 1883, "mqtts": 8883}
SHOWN = "***"
MIN_SECRET = 3  # letters from which on a part of an address is blanked out


@dataclass(frozen=True)
class Broker:
    """An MQTT broker, and the prefix of the topics there. It holds no password."""

    host: str
    port: int
    tls: bool
    user: str | None
    prefix: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}/{self.prefix}"

    @property
    def is_open(self) -> bool:
        """Whether a password would go over a network in the clear."""
        return not self.tls and self.host not in ("localhost", "127.0.0.1", "::1")


def site() -> str:
    """The name of this machine, as a topic or an id may have it."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname().split(".")[0]) or "monitor"


def broker(url: str) -> Broker:
    """The broker of ``mqtt[s]://[user@]HOST[:PORT][/PREFIX]``; without a prefix it is ``spectrumencoder/NAME-OF-THE-MACHINE``.

    Raises:
        ValueError: one line, without what may be secret.
    """
    form = "write mqtt[s]://[user@]HOST[:PORT][/PREFIX]"
    try:
        parts = urlsplit(url.strip())
        host, port, user, password = parts.hostname, parts.port, parts.username, parts.password
    except ValueError as error:
        raise ValueError(f"the address of the broker cannot be read ({error}); {form}") from error
    if parts.scheme not in PORTS:
        begins = f"begins with {parts.scheme + '://'!r}" if parts.scheme else "does not begin with mqtt:// or mqtts://"
        raise ValueError(f"the address of the broker {begins}; {form}")
    if password is not None:
        raise ValueError("the address of the broker holds a password, which every user of this machine could read; leave it out, "
                         f"and put it into {PASSWORD_VARIABLE} or a file of its own (--mqtt-password-file, password_file)")
    if not host:
        raise ValueError(f"the address of the broker names no host; {form}")
    prefix = unquote(parts.path).strip("/") or f"spectrumencoder/{site()}"
    if any(mark in url for mark in "#?") or re.search(r"[#+\0]|//|^\$", prefix) or len(prefix.encode()) > 200:
        raise ValueError(f"the prefix {prefix!r} cannot begin a topic: no #, +, ?, // and no $ at its begin, 200 letters at most")
    return Broker(host, port or PORTS[parts.scheme], parts.scheme == "mqtts", unquote(user) if user else None, prefix)


def secret(text: str) -> str:
    """The value that ``env:NAME`` or ``file:PATH`` (its first line) stands for; any other text as it is.

    Raises:
        ValueError: the variable is not set, or the file cannot be read or is empty.
    """
    kind, colon, name = text.partition(":")
    if not colon or kind not in ("env", "file") or name.startswith("//"):
        return text
    if kind == "env":
        if not os.environ.get(name, "").strip():
            raise ValueError(f"the variable {name} is not set, which env:{name} names")
        return os.environ[name].strip()
    return first_line(Path(name))


def first_line(path: Path) -> str:
    """The first line of a file that holds a secret.

    Raises:
        ValueError: it cannot be read, or is empty.
    """
    try:
        line = path.expanduser().read_text(encoding="utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not line:
        raise ValueError(f"the first line of {path} is empty; write the secret there")
    return line


def password(file: Path | None) -> str | None:
    """The broker's password, from a file or from the variable SPECTRUMENCODER_MQTT_PASSWORD; None if neither is given.

    Raises:
        ValueError: the file cannot be read, or is empty.
    """
    return first_line(file) if file is not None else os.environ.get(PASSWORD_VARIABLE) or None


def label(url: str) -> str:
    """A name for a target of apprise that says nothing secret, the same each time: "ntfy 4f3a9c"."""
    scheme = re.match(r"[A-Za-z][A-Za-z0-9.+-]*(?=:)", url)
    return f"{scheme[0].lower() if scheme else 'target'} {sha256(url.encode()).hexdigest()[:6]}"


def blanked(text: str, *secrets: str | None) -> str:
    """A text without the secrets in it, nor their parts: of an address all but its scheme."""
    pieces = set()
    for one in filter(None, secrets):
        pieces |= {one, unquote(one)}
        if "://" in one:
            rest = one.partition("://")[2]
            pieces |= {part for whole in (rest, unquote(rest)) for part in re.split(r"[/?&=@:+]", whole)}
    for piece in sorted((piece for piece in pieces if len(piece) >= MIN_SECRET), key=len, reverse=True):
        text = text.replace(piece, SHOWN)
    return text
