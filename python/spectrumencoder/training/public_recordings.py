# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests of public recordings: the address of each, its contents, and the part of its file that becomes samples.

A manifest is a TOML file with one ``[[recordings]]`` table per recording. The top of the shipped one, ``public_recordings.toml``,
explains each field. The recordings themselves are never part of the package: `fetch` downloads them.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import get_type_hints

from ..recordings import RecordingError
from ..recordings.sample_format import SampleFormat

SHIPPED = Path(__file__).with_name("public_recordings.toml")
FORMAT = 1
_HEX = {"commit": 40, "sha256": 64, "sha512": 128}
_TOML_NAMES = {"class": "cls"}  # a reserved word of Python


class ManifestError(Exception):
    """A manifest cannot be used. The message is one line with the recording, the field and its proper value."""


@dataclass(frozen=True)
class PublicRecording:
    """One row. Repository, commit and path name the source file; it is accepted only with the hash `sha256`.

    `datatype`, `header_bytes`, `first_sample` and `n_samples` (0: to the end) refer to the source file. Float samples are written
    as ci16_le with max magnitude `peak_int16`, if that is given. `bursts`: (first sample, samples, method), counted from the
    first written sample. `sha512`: hash of the samples as written, "" if unknown.
    """

    name: str
    repository: str
    path: str
    commit: str
    sha256: str
    licence: str
    label: str
    cls: str
    family: str
    sample_rate_hz: float
    datatype: str
    size_bytes: int = 0
    licence_url: str = ""
    center_freq_hz: float | None = None
    center_freq_is_nominal: bool = False
    hardware: str = ""
    about: str = ""
    header_bytes: int = 0
    first_sample: int = 0
    n_samples: int = 0
    peak_int16: int = 0
    sha512: str = ""
    bursts_found: str = "burst"
    bursts: tuple[tuple[int, int, str], ...] = ()

    @property
    def written_datatype(self) -> str:
        """SigMF type of the written samples."""
        return "ci16_le" if self.peak_int16 else self.datatype

    @property
    def processing(self) -> str:
        """The processing from source file to samples, in words."""
        steps = []
        if self.header_bytes:
            steps.append(f"{self.header_bytes}-byte file header removed")
        if self.first_sample:
            steps.append(f"excerpt of {self.n_samples} samples starting at source sample {self.first_sample}")
        if self.peak_int16:
            steps.append(f"{self.datatype} converted to ci16_le, scaled to a largest value of {self.peak_int16}")
        return "; ".join(steps) or "none, bytes as stored"


def read_manifest(path: str | Path | None = None) -> list[PublicRecording]:
    """The recordings of a manifest; without a path, of the shipped one.

    Raises:
        ManifestError: the file is unreadable, not TOML or of another format, or a row has missing, unknown or invalid fields.
    """
    path = SHIPPED if path is None else Path(path)
    try:
        with path.open("rb") as file:
            content = tomllib.load(file)
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror}); name a manifest, or none for the shipped one") from error
    except ValueError as error:
        raise ManifestError(f"{path}: not TOML ({error}); see {SHIPPED.name} for the form") from error
    if content.get("format") != FORMAT:
        raise ManifestError(f"{path}: its format is {content.get('format')!r}, this version reads {FORMAT}; write "
                            f"format = {FORMAT}")
    tables = content.get("recordings")
    if not isinstance(tables, list) or not tables or not all(isinstance(t, dict) for t in tables):
        raise ManifestError(f"{path}: no recordings in it; give each a [[recordings]] table")
    rows = [_row(table, f"{path.name}: recording {table.get('name', number)!r}") for number, table in enumerate(tables, 1)]
    twice = [name for name, count in Counter(r.name for r in rows).items() if count > 1]
    if twice:
        raise ManifestError(f"{path.name}: two recordings are called {twice[0]!r}; names must differ")
    return rows


def _row(table: dict, where: str) -> PublicRecording:
    types = get_type_hints(PublicRecording)
    values = {_TOML_NAMES.get(key, key): value for key, value in table.items()}
    if unknown := sorted(set(values) - set(types)):
        raise ManifestError(f"{where}: {unknown[0]!r} is no field; the fields are in {SHIPPED.name}")
    needed = [f.name for f in fields(PublicRecording) if f.default is MISSING]
    if missing := [name for name in needed if name not in values]:
        raise ManifestError(f"{where}: {missing[0].replace('cls', 'class')} is missing; state it")
    for name, value in values.items():
        values[name] = _bursts(value, values, where) if name == "bursts" else _value(name, value, types[name], where)
    _check(values, where)
    return PublicRecording(**values)


def _value(name: str, value, kind, where: str):
    """The value in the field's type. A whole number is accepted for a float."""
    wanted = {str: str, int: int, bool: bool}.get(kind, float)
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not wanted:
        raise ManifestError(f"{where}: {name} is {value!r}; it must be of type {wanted.__name__}")
    if wanted in (int, float) and not 0 <= value < 2**53:
        raise ManifestError(f"{where}: {name} is {value!r}; it must not be negative, nor infinite")
    if name in _HEX and value and not re.fullmatch(f"[0-9a-f]{{{_HEX[name]}}}", value):
        raise ManifestError(f"{where}: {name} is {value!r}; it must be {_HEX[name]} digits of lower-case hex")
    return value


def _bursts(value, values: dict, where: str) -> tuple[tuple[int, int, str], ...]:
    rows = []
    for burst in value if isinstance(value, list) else [value]:
        kinds = [type(part) for part in burst] if isinstance(burst, list) else []
        if kinds not in ([int, int], [int, int, str]) or burst[0] < 0 or burst[1] <= 0:
            raise ManifestError(f"{where}: a burst is {burst!r}; it must be [first sample, samples], or with a text behind")
        rows.append((*burst, values.get("bursts_found", "burst"))[:3])
    return tuple(rows)


def _check(values: dict, where: str):
    """Check a whole row: names must not be paths, and numbers must fit the data type."""
    for name in ("name", "path", "repository"):
        parts = values[name].split("/")
        if any(part in ("", ".", "..") for part in parts) or "\\" in values[name] or (name == "name" and len(parts) > 1):
            raise ManifestError(f"{where}: {name} is {values[name]!r}; it must be a plain {name}, without .. in it")
    if not values["sample_rate_hz"]:
        raise ManifestError(f"{where}: sample_rate_hz is 0; state the rate in Hz")
    try:
        sample = SampleFormat(values["datatype"])
    except RecordingError as error:
        raise ManifestError(f"{where}: {error}") from error
    if values.get("peak_int16", 0) and (sample.name != "cf32_le" or values["peak_int16"] > 32767):
        raise ManifestError(f"{where}: peak_int16 is {values['peak_int16']} for {sample.name}; it is for cf32_le, at most 32767")
    size, taken = values.get("size_bytes", 0), values.get("first_sample", 0) + values.get("n_samples", 0)
    if size and values.get("header_bytes", 0) + taken * sample.sample_bytes > size:
        raise ManifestError(f"{where}: {taken} samples of {sample.name} do not fit its {size} bytes; correct n_samples")
