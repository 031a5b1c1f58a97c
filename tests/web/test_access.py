# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is let in, by the rules alone: names, origins, sessions, addresses."""

import pytest
from gnuradio.spectrumencoder.session.errors import SettingError
from gnuradio.spectrumencoder.web import access as rules
from gnuradio.spectrumencoder.web.access import Access, Refused
from gnuradio.spectrumencoder.web.address import Address

TOKEN = "correct-horse-battery"


@pytest.mark.parametrize("text, host, port, loopback", [
    ("127.0.0.1:8143", "127.0.0.1", 8143, True), (":9000", "127.0.0.1", 9000, True),
    ("localhost:1", "localhost", 1, True),
    ("[::1]:80", "::1", 80, True), ("0.0.0.0:80", "0.0.0.0", 80, False), ("[::]:80", "::", 80, False),
    ("radio.example", "radio.example", 8143, False), ("[2001:db8::1]", "2001:db8::1", 8143, False),
    ("127.8.9.1:5", "127.8.9.1", 5, True),
])
def test_addresses(text, host, port, loopback):
    address = Address.parse(text)
    assert (address.host, address.port, address.is_loopback) == (host, port, loopback)


@pytest.mark.parametrize("text", ["127.0.0.1:port", "127.0.0.1:70000", "a b:80", "http://x:80", "127.0.0.1:-1"])
def test_what_is_no_address_is_one_line(text):
    with pytest.raises(SettingError, match="is not HOST:PORT"):
        Address.parse(text)


def test_only_loopback_needs_no_token():
    assert Access(Address("127.0.0.1", 1)).token == ""
    assert len(Access(Address("0.0.0.0", 1)).token) >= 32
    assert Access(Address("127.0.0.1", 1), names=["radio.example"]).token  # a proxy brings others here
    assert Access(Address("0.0.0.0", 1)).token != Access(Address("0.0.0.0", 1)).token
    for short in ("secret", "fifteen-letters", "blanks are not allowed here", "ümläut-ümläut-ümläut"):
        with pytest.raises(ValueError, match="16 printable"):
            Access(Address("127.0.0.1", 1), short)


@pytest.mark.parametrize("host, fine", [("127.0.0.1:5", True), ("localhost:5", True), ("[::1]:5", True), ("LOCALHOST", True),
                                        ("evil.example:5", False), ("192.168.1.9:5", False), ("", False),
                                        ("127.0.0.1.evil.example", False), ("localhost.evil.example", False)])
def test_a_name_that_was_rebound_to_this_machine_is_refused(host, fine):
    access = Access(Address("127.0.0.1", 5))
    if fine:
        access.check_host({"host": host})
        return
    with pytest.raises(Refused) as refused:
        access.check_host({"host": host})
    assert refused.value.status == 421


def test_with_a_token_addresses_and_given_names_are_known():
    access = Access(Address("0.0.0.0", 5), TOKEN, ["Radio.example"])
    for host in ("192.168.1.9:5", "radio.example", "[2001:db8::2]:5", "localhost"):
        access.check_host({"host": host})
    with pytest.raises(Refused):
        access.check_host({"host": "evil.example"})


@pytest.mark.parametrize("origin, fine", [("http://127.0.0.1:5", True), ("https://127.0.0.1:5", True),
                                          (None, False), ("null", False),
                                          ("http://evil.example", False), ("http://127.0.0.1:6", False),
                                          ("http://127.0.0.1:5.evil.example", False), ("file://127.0.0.1:5", False)])
@pytest.mark.parametrize("method, websocket", [("POST", False), ("GET", True), ("DELETE", False)])
def test_changes_and_websockets_come_from_the_own_page(origin, fine, method, websocket):
    headers = {"host": "127.0.0.1:5"} | ({} if origin is None else {"origin": origin})
    access = Access(Address("127.0.0.1", 5))
    if fine:
        access.check_origin(method, headers, websocket)
    else:
        with pytest.raises(Refused, match="origin"):
            access.check_origin(method, headers, websocket)
    access.check_origin("GET", headers, False)  # what is read without a websocket is kept by the session


def test_a_program_with_the_token_needs_no_origin():
    access = Access(Address("0.0.0.0", 5), TOKEN)
    access.check_origin("POST", {"host": "x", "authorization": f"Bearer {TOKEN}"}, False)
    access.check_session({"authorization": f"bearer {TOKEN}"}, {})
    with pytest.raises(Refused):
        access.check_origin("POST", {"host": "x", "authorization": f"Bearer {TOKEN}x"}, False)


def test_sessions_end_and_cannot_be_made_up(monkeypatch):
    access, other = Access(Address("0.0.0.0", 5), TOKEN), Access(Address("0.0.0.0", 5), TOKEN + "2")
    cookie = access.new_session()
    assert access.is_session(cookie) and Access(Address("0.0.0.0", 5), TOKEN).is_session(cookie)  # it outlives a restart
    assert not other.is_session(cookie)
    until, _, signature = cookie.partition(".")
    for bad in ("", ".", cookie + "0", f"{int(until) + 1}.{signature}", f"{until}.", "ü.ü", "9" * 5000):
        assert not access.is_session(bad), bad
    now = rules.time.time()
    monkeypatch.setattr(rules.time, "time", lambda: now + rules.SESSION_S + 1)
    assert not access.is_session(cookie)


def test_without_a_token_no_text_is_the_token():
    access = Access(Address("127.0.0.1", 5))
    assert not access.is_token("") and not access.is_bearer({"authorization": "Bearer "})
    with pytest.raises(Refused, match="no token"):
        access.check_session({}, {})
