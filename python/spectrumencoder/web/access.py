# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is let in. Plain rules on headers, so that they can be tested without a server.

* Host: a name under which this server is known. A page of another name that resolves to this machine (DNS rebinding) is refused.
* Origin: requests that change something, and websockets, come from a page of this very server.
* Session: a cookie (HttpOnly, SameSite=Strict) that a login by token gives, or the token itself as ``Authorization: Bearer``.
  Without a token, which is for loopback alone, the page gives the cookie to whoever opens it: a request that changes something
  has to come from a browser that has opened the page.

The cookie is its time of expiry and an HMAC of that, by a key that the token gives. No session is kept on the server; another
token ends them all.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import time
from collections.abc import Iterable, Mapping

from .address import Address, is_loopback

SESSION_S = 7 * 86400.0
MIN_TOKEN = 16  # characters
_UNSAFE = ("POST", "PUT", "DELETE", "PATCH")


class Refused(Exception):
    """A request is refused. status: of HTTP. Its text is for the log, not for the one who asked."""

    def __init__(self, status: int, reason: str):
        super().__init__(reason)
        self.status = status


class Access:
    """The rules of one server.

    Args:
        address: where it listens. token: "" makes one if others than this machine can reach the server.
        names: further names by which browsers may know it, such as that of a reverse proxy; they ask for a token, too.

    Attributes: token ("": none is needed).

    Raises:
        ValueError: the token is too short, or holds characters that no header takes.
    """

    def __init__(self, address: Address, token: str = "", names: Iterable[str] = ()):
        self._names = {name.lower().rstrip(".") for name in names}
        if token and (len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable() or " " in token):
            raise ValueError(f"a token has {MIN_TOKEN} printable characters or more, and no blanks; leave it out, one is made")
        if not token and not (address.is_loopback and not self._names):
            token = secrets.token_urlsafe(24)
        self.token, self._address = token, address
        self._key = hashlib.sha256(b"spectrumencoder session" + (token.encode() or secrets.token_bytes(32))).digest()
        self.port = address.port

    @property
    def cookie_name(self) -> str:
        """Cookies do not tell ports apart, so the name does."""
        return f"spectrumencoder_{self.port}"

    def check_host(self, headers: Mapping[str, str]) -> None:
        """Raises Refused if the server is not known by the name that was asked for."""
        host = _host_of(headers.get("host", ""))
        if host in self._names or host == self._address.host.lower() or (is_loopback(host) and self._address.is_loopback):
            return
        # With a token an address cannot be rebound to by a name: the cookie belongs to the name that logged in.
        if self.token and (_is_ip(host) or is_loopback(host) or _is_local_name(host)):
            return
        raise Refused(421, f"it is not known as {host[:80]!r}")

    def check_origin(self, method: str, headers: Mapping[str, str], websocket: bool) -> None:
        """Raises Refused if a websocket, or a request that changes something, does not come from this server's own page."""
        if not websocket and method not in _UNSAFE:
            return
        origin = headers.get("origin")
        if origin is None:
            if self.token and self.is_bearer(headers):
                return  # a program, which no page can make send that header here
            raise Refused(403, "no origin")
        scheme, _, place = origin.partition("://")
        if scheme not in ("http", "https") or place.lower() != headers.get("host", "").lower():
            raise Refused(403, f"from the origin {origin[:80]!r}")

    def check_session(self, headers: Mapping[str, str], cookies: Mapping[str, str]) -> None:
        """Raises Refused without a session."""
        if self.is_bearer(headers) or self.is_session(cookies.get(self.cookie_name, "")):
            return
        given = "authorization" in headers or self.cookie_name in cookies
        raise Refused(401, "a wrong token or session" if given else "no token")

    def is_token(self, text: str) -> bool:
        """Whether this is the token; in constant time. There is none without a token."""
        return bool(self.token) & hmac.compare_digest(_digest(text), _digest(self.token))

    def is_bearer(self, headers: Mapping[str, str]) -> bool:
        """Whether a request carries the token."""
        scheme, _, text = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self.is_token(text.strip())

    def new_session(self) -> str:
        """Value of a new cookie."""
        until = f"{int(time.time() + SESSION_S)}"
        return f"{until}.{self._sign(until)}"

    def is_session(self, cookie: str) -> bool:
        """Whether this server gave this cookie, not too long ago."""
        until, _, signature = cookie.partition(".")
        genuine = hmac.compare_digest(signature.encode("utf-8", "replace"), self._sign(until).encode())
        return genuine and until.isdigit() and int(until) > time.time()

    def _sign(self, text: str) -> str:
        return hmac.new(self._key, text.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def _digest(text: str) -> bytes:
    """Of equal length, whatever the text's."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _host_of(header: str) -> str:
    """The host of a Host header, without port and brackets."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].lower().rstrip(".")


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_local_name(host: str) -> bool:
    import socket
    own = socket.gethostname().lower()
    return host in (own, own.partition(".")[0], own.partition(".")[0] + ".local")
