# SPDX-License-Identifier: GPL-3.0-or-later
"""The TOML file of ``--push-rules``: rules for all targets, and targets with rules of their own."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import addresses
from .addresses import Broker
from .rules import RULES, Rules

DISCOVERY = "homeassistant"
_TEXTS = ("name", "url", "password_file", "ca_file", "discovery")
_OF_MQTT = ("password_file", "ca_file", "discovery")


class RulesError(ValueError):
    """What a person gave is invalid: one line with file, key and value, without secrets."""


@dataclass(frozen=True)
class Target:
    """One place that gets events.

    Attributes:
        name: for people, and of its queue in the spool; it holds no secret.
        rules: what it gets, and when.
        url: of apprise, secret; "" for a broker.
        broker: an MQTT broker; None for apprise.
        password: of the broker. ca_file: certificates that its own is checked with; None: the system's.
        discovery: prefix of Home Assistant's discovery; "": none.
    """

    name: str
    rules: Rules
    url: str = ""
    broker: Broker | None = None
    password: str | None = None
    ca_file: Path | None = None
    discovery: str = DISCOVERY

    def __repr__(self) -> str:  # the url and the password stay out of logs
        return f"Target({self.name!r})"


def targets(mqtt: str = "", notify: Iterable[str] = (), rules_file: Path | None = None,
            password_file: Path | None = None) -> list[Target]:
    """All targets of the options and of the file.

    Args:
        mqtt, notify: addresses; of ``notify`` also ``env:NAME`` and ``file:PATH``, which hold one.
        rules_file: the TOML file. password_file: holds the password of ``mqtt``.

    Raises:
        RulesError: an address, the file, or a value in it is invalid; or no target is left.
    """
    content = _read(rules_file) if rules_file is not None else {}
    where = f"{rules_file}: "
    general = _rules(content.get("rules", {}), f"{where}[rules]", Rules(), people=None)
    found = []
    if mqtt:
        found.append(_stated("--mqtt", lambda: _of_broker(mqtt, "", general, password_file)))
    elif password_file is not None:
        raise RulesError(f"--mqtt-password-file {password_file} is for --mqtt, which is not given")
    for url in notify:
        found.append(_stated("--notify", lambda url=url: _of_apprise(addresses.secret(url), "", general)))
    for number, row in enumerate(content.get("target", ()), 1):
        found.append(_target(row, f"{where}[[target]] {number}", general, Path(rules_file or ".").parent))
    if not found:
        raise RulesError(f"{rules_file} holds no [[target]], and neither --mqtt nor --notify is given; nothing could be sent")
    names = [target.name for target in found]
    if len(set(names)) < len(names):
        raise RulesError(f"two targets are {next(name for name in names if names.count(name) > 1)}; give each a name of its own, "
                         "or leave one out")
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RulesError(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RulesError(f"{path} is no TOML file: {error}") from error
    for key in content:
        if key not in ("rules", "target"):
            raise RulesError(f"{path}: {key} is unknown; it may hold [rules] and [[target]]")
    if not isinstance(content.get("rules", {}), dict):
        raise RulesError(f"{path}: rules is no table; write [rules]")
    rows = content.get("target", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise RulesError(f"{path}: target is no list of tables; write [[target]]")
    return content


def _rules(row: Mapping[str, Any], where: str, base: Rules, people: bool | None) -> Rules:
    """The rules of a table on top of those of `base`. people: whether the target is for people; None: for any."""
    changes = {}
    for key, value in row.items():
        if key not in RULES:
            raise RulesError(f"{where}: {key} is unknown; rules are {', '.join(RULES)}")
        if people is False and RULES[key].metadata["people"]:
            raise RulesError(f"{where}: {key} is for people, and a broker gets every event at once; leave it out")
        try:
            changes[key] = RULES[key].metadata["parse"](value)
        except ValueError as error:
            raise RulesError(f"{where}: {key} = {value!r} {error}") from error
    return replace(base, **changes)


def _target(row: Mapping[str, Any], where: str, general: Rules, folder: Path) -> Target:
    texts = {key: row.get(key, "") for key in _TEXTS}
    for key, value in texts.items():
        if not isinstance(value, str):
            raise RulesError(f"{where}: {key} is no text in quotes")
    if row.get("name"):
        where += f" ({row['name']})"
    if not texts["url"]:
        raise RulesError(f'{where}: it has no url; write url = "mqtt://HOST", an address of apprise, "env:NAME" or "file:PATH"')
    url = _stated(f"{where}: url", lambda: addresses.secret(texts["url"]))
    is_mqtt = url.partition(":")[0] in addresses.PORTS
    given = [key for key in _OF_MQTT if key in row]
    if given and not is_mqtt:
        raise RulesError(f"{where}: {given[0]} is for mqtt:// and mqtts://; leave it out")
    rules = _rules({key: value for key, value in row.items() if key not in _TEXTS}, where, general, not is_mqtt)
    if not is_mqtt:
        return _stated(f"{where}: url", lambda: _of_apprise(url, texts["name"], rules))
    file, ca = (folder / Path(texts[key]).expanduser() if texts[key] else None for key in ("password_file", "ca_file"))
    if ca is not None and not ca.is_file():
        raise RulesError(f"{where}: ca_file = {texts['ca_file']!r} is no file")
    target = _stated(where, lambda: _of_broker(url, texts["name"], rules, file))
    discovery = texts["discovery"].strip("/") if "discovery" in row else DISCOVERY
    if any(mark in discovery for mark in "#+"):
        raise RulesError(f"{where}: discovery = {texts['discovery']!r} cannot begin a topic: no # and no +")
    return replace(target, ca_file=ca, discovery=discovery)


def _of_broker(url: str, name: str, rules: Rules, password_file: Path | None) -> Target:
    broker = addresses.broker(url)
    return Target(name or str(broker), rules, broker=broker, password=addresses.password(password_file))


def _of_apprise(url: str, name: str, rules: Rules) -> Target:
    from .services import plugin
    if url.partition(":")[0] in addresses.PORTS:
        raise ValueError("is for services of apprise; a broker is given by --mqtt, or as a [[target]] of the file of rules")
    plugin(url)
    return Target(name or addresses.label(url), rules.of_people(), url=url)


def _stated(where: str, read):
    try:
        return read()
    except RulesError:
        raise
    except ValueError as error:
        raise RulesError(f"{where}: {error}") from error
