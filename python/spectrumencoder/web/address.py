# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the server listens: HOST:PORT in words, and a socket."""

from __future__ import annotations

import ipaddress
import socket
from typing import NamedTuple

from ..session.errors import SettingError

DEFAULT = "127.0.0.1:8143"


class Address(NamedTuple):
    """Host as the user wrote it, without brackets; port 0 is a free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Reads HOST:PORT, HOST or :PORT.

        Raises:
            SettingError: the text is none of these.
        """
        host, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
        if not colon and not host:
            host, port = text, ""
        default_host, _, default_port = DEFAULT.rpartition(":")
        port = port or default_port
        host = host.strip("[]") or default_host
        if not port.isascii() or not port.isdigit() or int(port) > 65535 or any(c.isspace() or c == "/" for c in host):
            raise SettingError(f"--web {text} is not HOST:PORT, such as {DEFAULT}")
        return cls(host, int(port))

    @property
    def is_loopback(self) -> bool:
        """Whether no other machine reaches it."""
        return is_loopback(self.host)

    def open(self) -> socket.socket:
        """A socket that listens here, and nowhere else.

        Raises:
            SettingError: the host is unknown, the port is taken, or may not be used.
        """
        try:
            family, kind, number, _, where = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM,
                                                               flags=socket.AI_PASSIVE)[0]
            listening = socket.socket(family, kind, number)
            try:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listening.bind(where)
                listening.listen(64)
            except BaseException:
                listening.close()
                raise
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise SettingError(f"--web {url_host(self.host)}:{self.port} cannot be opened ({reason}); choose another address or "
                               "port") from error
        return listening


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def url_host(host: str) -> str:
    """A host as a URL has it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host
