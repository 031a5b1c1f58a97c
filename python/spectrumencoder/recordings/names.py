# SPDX-License-Identifier: GPL-3.0-or-later
"""What the name of a file says about the samples in it: rate, frequency, time and data type, as recorders write them.

| program | name |
|---|---|
| gqrx | `gqrx_20230501_123015_433920000_2400000_fc.raw` (UTC, Hz, Hz) |
| SigDigger | `sigdigger_20220308_165547Z_2560000_433500000_float32_iq.raw` (rate, then frequency) |
| SatDump | `2023-08-05_18-02-45-534_16000000SPS_2284000000Hz.cs16`; older ones end in .s8, .s16, .f32 |
| osmocom_fft | `name-f4.339200e+08-s2.400000e+06-t20230501123015.cfile` (its time is that of some zone, and is not taken) |
| rtl_433 | `g001_433.92M_250k.cu8`, also with `433920000Hz`, `433.92MHz`, `250ksps` |
| SDR#, HDSDR, SDRuno | `SDRSharp_20160607_155817Z_315030000Hz_IQ.wav`, `HDSDR_20180101_120000Z_7100kHz_RF.wav` (Z: UTC) |
| SDR++, SDRconnect, SDR Console | a frequency in Hz, and a local time, which is not taken |
| KiwiSDR's recorder | `20230501T123015Z_7100000_site_iq.wav` |

A number is believed if its unit, or the whole form of the name, says what it is. A frequency with a unit could be a bandwidth
(`lte_10MHz.cf32`), so it is believed beside a rate or a date alone. Two different numbers of one kind cancel each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from .recording import RecordingArgumentError, parse_time
from .sample_format import parse_datatype


class Named(NamedTuple):
    """What a name says; None where it says nothing, or nothing certain.

    Fields:
        datatype: SigMF name.
        rate, freq: Hz.
        start: time of the first sample, (whole seconds, fraction) since 1970 UTC.
    """

    datatype: str | None = None
    rate: float | None = None
    freq: float | None = None
    start: tuple[int, float] | None = None


_WORDS = {  # words and suffixes that mean one data type alone. sc16, rtl, cfile and the like are synonyms of sample_format
    "c8": "ci8", "c16": "ci16_le",  # PortaPack
    "ci16": "ci16_le", "ci32": "ci32_le", "cu16": "cu16_le", "cf64": "cf64_le", "cf32": "cf32_le"}
_SATDUMP_SUFFIXES = {"s8": "ci8", "s16": "ci16_le", "f32": "cf32_le"}  # real numbers elsewhere
_DATE = r"(?P<date>\d{8})[_T]?(?P<clock>\d{6})"
_FORMS = (  # whole names, without the suffix
    re.compile(rf"(?:.*[_ -])?gqrx_{_DATE}_(?P<freq>\d{{1,12}})_(?P<rate>\d{{1,10}})_(?P<type>fc)(?:[_ (-].*)?"),
    re.compile(rf".*?(?:_{_DATE}Z)?_(?P<rate>\d{{1,10}})_(?P<freq>\d{{1,12}})_(?P<type>float32)_iq"),
    re.compile(r"(?P<date>\d{4}-\d\d-\d\d)_(?P<clock>\d\d-\d\d-\d\d)(?:-(?P<milli>\d{3})|-\d+\.(?P<micro>\d+))?"
               r"_(?P<rate>\d{1,10})SPS_(?P<freq>\d{1,12})Hz(?P<satdump>)"),
    re.compile(rf"{_DATE}Z_(?P<freq>\d{{1,12}})_.*iq"),
    re.compile(r".*-f(?P<freq>\d+\.?\d*(?:e[+-]?\d\d?)?)-s(?P<rate>\d+\.?\d*(?:e[+-]?\d\d?)?)-t\d{14}"))
_TYPES = {"fc": "cf32_le", "float32": "cf32_le"}
_EDGE, _END = r"(?<![0-9A-Za-z.])", r"(?![0-9A-Za-z])"
_NUMBER = r"(\d{1,12}(?:\.\d{1,9})?)"
_HERTZ = re.compile(rf"{_EDGE}{_NUMBER}([kMG]?)hz{_END}", re.IGNORECASE)
_SAMPLES = re.compile(rf"{_EDGE}{_NUMBER}([kMG]?)sps{_END}", re.IGNORECASE)
_MEGA, _KILO = re.compile(rf"{_EDGE}{_NUMBER}(M){_END}"), re.compile(rf"{_EDGE}{_NUMBER}([kK]){_END}")
_UTC = re.compile(rf"(?<![0-9]){_DATE}Z{_END}")
_ANY_DATE = re.compile(r"(?<!\d)(\d{8}[_T]\d{6}|\d\d-[A-Z][a-z]{2}-\d{4}|\d\d-\d\d-\d\d_\d\d-\d\d-\d{4})(?!\d)")
_TYPE_WORD = re.compile(r"c[fisu]\d+|[fs]c\d+|complex\d+")  # not "rtl" and "hackrf", which name the radio there
_AUDIO = re.compile(r"_AF$")
_SCALE = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}
_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9_-]*$")  # ".92M_2400k" is none


_OPEN_SUFFIXES = {".raw", ".iq", ".bin", ".dat", ".data", ".s8", ".s16", ".f32"}  # of raw IQ, and of other things


def states_type(path: Path) -> bool:
    """True if a file's suffix is one of raw IQ, so that a search of a folder may take its name at its word."""
    return path.suffix.lower() in _OPEN_SUFFIXES or _datatype(path.suffix[1:]) is not None


def parse_name(path: Path) -> Named:
    """What the name of a file says."""
    suffix = match[0] if (match := _SUFFIX.search(path.name)) else ""
    stem = path.name.removesuffix(suffix)
    datatype = _datatype(suffix[1:])
    for form in _FORMS:
        if (match := form.fullmatch(stem)) is not None:
            return _of_form(match.groupdict(), datatype, suffix)
    if _AUDIO.search(stem):  # of a radio's loudspeaker, whatever its name says of the frequency
        return Named(datatype)
    freqs, rates = _values(_HERTZ, stem), _values(_SAMPLES, stem)
    if not freqs and not rates and _MEGA.search(stem) and _KILO.search(stem):  # only together: each alone could be a width
        freqs, rates = _values(_MEGA, stem), _values(_KILO, stem)
    rate = _only(rates)
    freq = _only(freqs) if rate is not None or _ANY_DATE.search(stem) else None
    match = _UTC.search(stem)
    words = (word for word in re.split(r"[^0-9A-Za-z]", stem) if _TYPE_WORD.fullmatch(word.lower()))
    return Named(datatype or _only(filter(None, map(_datatype, words))), rate, freq,
                 None if match is None else _time(match["date"], match["clock"]))


def _of_form(found: dict[str, str | None], datatype: str | None, suffix: str) -> Named:
    """What a name of a known form says. A number of 0 is one that the program did not know."""
    if "satdump" in found:
        datatype = datatype or _SATDUMP_SUFFIXES.get(suffix[1:].lower())
    fraction = float(f"0.{found.get('milli') or found.get('micro') or 0}")
    start = _time(found["date"], found["clock"] or "", fraction) if found.get("date") else None
    return Named(_TYPES.get(found.get("type") or "", datatype), float(found.get("rate") or 0) or None,
                 float(found.get("freq") or 0) or None, start)


def _datatype(word: str) -> str | None:
    """The data type that a word means, if it means one."""
    word = word.lower()
    if word in _WORDS:
        return _WORDS[word]
    try:
        return parse_datatype(word) if len(word) > 2 and not word.startswith("r") or word in ("rtl", "rtlsdr") else None
    except RecordingArgumentError:
        return None


def _values(pattern: re.Pattern, text: str) -> set[float]:
    """Hz."""
    return {float(number) * _SCALE[unit.lower()] for number, unit in pattern.findall(text)}


def _only(values: Iterable) -> float | str | None:
    """The one value, if there is one, and it is not zero."""
    different = set(values)
    return different.pop() or None if len(different) == 1 else None


def _time(date: str | None, clock: str, fraction: float = 0.0) -> tuple[int, float] | None:
    day, seconds = (re.sub(r"\D", "", part or "") for part in (date, clock))
    try:
        whole, _ = parse_time(f"{day[:4]}-{day[4:6]}-{day[6:]}T{seconds[:2]}:{seconds[2:4]}:{seconds[4:]}Z")
    except ValueError:
        return None
    return (whole, fraction) if whole >= 0 else None
