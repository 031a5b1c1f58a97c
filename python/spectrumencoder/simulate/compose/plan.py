# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a field band: a TOML file with the keys of ``Plan``. Each table is a dataclass here, each key is checked.

Frequencies of emitters and anomalies are offsets from the centre, in Hz. Levels are dB over the noise in the signal's own band.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...recordings.sigmf_writer import DATATYPES
from ..anomalies import ANOMALY_KINDS
from ..waveforms import WAVEFORMS
from . import checks
from .checks import PlanError, checked, choice, count, flag, key, number, numbers, span, table, texts

FOLDER = Path(__file__).with_name("plans")
RECORDING = "recording"  # the kind of anomaly that is a burst of a recording
MAX_SECONDS = 30 * 86400.0
MAX_HZ = 1e9
_SECONDS = number(0, MAX_SECONDS)
_INTERVAL = number(1e-5, MAX_SECONDS)
_OFFSET = number(-MAX_HZ, MAX_HZ)


@dataclass(frozen=True)
class Life:
    """When something is on. Times are seconds from the beginning of the recording.

    Attributes:
        interval_s: mean time from one start to the next.
        at_s: the starts themselves, instead of an interval.
        timing: "random" has exponential gaps, "periodic" equal ones with a jitter of 2 %.
        from_s, until_s: begin and end of its life.
        daily: hours of the day (UTC) in which it is on, "HH:MM-HH:MM".
    """

    interval_s: float | None = key(_INTERVAL, None)
    at_s: tuple[float, ...] | None = key(numbers(0, MAX_SECONDS), None)
    timing: str = key(choice("random", "periodic"), "random")
    from_s: float = key(_SECONDS, 0.0)
    until_s: float = key(_SECONDS, MAX_SECONDS)
    daily: tuple[tuple[float, float], ...] = key(checks.hours, ())


@dataclass(frozen=True)
class GainSteps(Life):
    """An AGC's steps: the gain changes by step_db for hold_s. A step up may make the converter clip."""

    step_db: tuple[float, float] = key(span(-60, 60), (-6.0, -6.0))
    hold_s: tuple[float, float] = key(span(1e-4, MAX_SECONDS), (1.0, 1.0))


@dataclass(frozen=True)
class Losses(Life):
    """Lost samples that the driver fills with zeros."""

    length_s: tuple[float, float] = key(span(1e-6, MAX_SECONDS), (0.01, 0.01))


@dataclass(frozen=True)
class Impulses(Life):
    """Impulses of length_s, whose mean power lies level_db over the noise of the whole rate."""

    level_db: tuple[float, float] = key(span(-20, 100), (30.0, 40.0))
    length_s: tuple[float, float] = key(span(1e-7, 1e-3), (1e-6, 3e-6))


@dataclass(frozen=True)
class ReceiverPlan:
    """The receiver; its filter, image and DC line are those of ``receivers.Receiver``.

    Attributes:
        noise_dbfs: noise power over the whole rate.
        bits: of the converter; None: those of the data type.
        gain_drift_db, gain_drift_s: peak-to-peak slow change of the gain, and its period.
        lnb_drift_hz, lnb_drift_s: peak-to-peak slow change of the frequency of all that comes from the antenna, as behind a
            converter that warms and cools, and its period.
    """

    noise_dbfs: float = key(number(-120, 0), -38.0)
    passband: float = key(number(0.05, 1), 0.9)
    rolloff: float = key(number(0.01, 0.5), 0.08)
    stop_db: float = key(number(0, 120), 25.0)
    ripple_db: float = key(number(0, 10), 0.4)
    tilt_db: float = key(number(-20, 20), 0.5)
    iq_image_db: float | None = key(number(-120, 0), -40.0)
    dc_dbfs: float | None = key(number(-120, 0), -58.0)
    bits: int | None = key(count(2, 16), None)
    gain_drift_db: float = key(number(0, 20), 0.0)
    gain_drift_s: float = key(number(1, MAX_SECONDS), 900.0)
    lnb_drift_hz: float = key(number(0, 1e6), 0.0)
    lnb_drift_s: float = key(number(1, MAX_SECONDS), 900.0)
    gain_steps: GainSteps | None = key(lambda raw: table(GainSteps, raw, "receiver.gain_steps"), None)
    losses: Losses | None = key(lambda raw: table(Losses, raw, "receiver.losses"), None)
    impulses: Impulses | None = key(lambda raw: table(Impulses, raw, "receiver.impulses"), None)


@dataclass(frozen=True, kw_only=True)
class EmitterPlan(Life):
    """One device, or ``count`` devices of one kind.

    Attributes:
        id: its name in the truth; of several devices "ID-1", "ID-2", ...
        recordings: patterns of the names of its recordings, instead of a waveform.
        waveform, params: one of the simulator's waveforms, and those of its parameters that are not drawn.
        offset_hz: its frequency; of a list each burst takes one (a hop set).
        device_hz, burst_hz: standard deviation of the frequency by device and by burst.
        snr_db: mean power while on over the noise in its own band.
        device_db, burst_db: standard deviation of the level by device and by burst.
        duty: share of time on, instead of interval_s.
        continuous: on for its whole life.
        join_s: marked bursts with shorter gaps are one burst.
        length_s: length of a burst, for a waveform.
    """

    id: str = key(checks.text)
    recordings: tuple[str, ...] = key(texts, ())
    waveform: str | None = key(choice(*WAVEFORMS), None)
    params: dict = key(checks.anything, None)
    count: int = key(count(1, 1000), 1)
    offset_hz: tuple[float, ...] = key(numbers(-MAX_HZ, MAX_HZ), (0.0,))
    device_hz: float = key(number(0, MAX_HZ), 0.0)
    burst_hz: float = key(number(0, MAX_HZ), 0.0)
    snr_db: float = key(number(-40, 100), 15.0)
    device_db: float = key(number(0, 30), 0.0)
    burst_db: float = key(number(0, 30), 0.0)
    duty: float | None = key(number(1e-6, 0.95), None)
    continuous: bool = key(flag, False)
    join_s: float = key(number(0, 10), 0.05)
    length_s: tuple[float, float] = key(span(1e-4, 4), (0.5, 0.5))


@dataclass(frozen=True, kw_only=True)
class AnomalyPlan(Life):
    """Anomalies of one kind.

    Attributes:
        kind: one of ``anomalies.ANOMALY_KINDS``, or "recording": a burst of another device.
        inr_db: level as the kind defines it.
        length_s: how long each lasts (a "recording" lasts as long as its burst).
        offset_hz, width_hz: its place; None is a free one.
        recordings: patterns of names, of the kind "recording".
    """

    kind: str = key(choice(*ANOMALY_KINDS, RECORDING))
    inr_db: tuple[float, float] = key(span(-40, 100), (3.0, 20.0))
    length_s: tuple[float, float] = key(span(1e-3, 4), (0.02, 0.5))
    offset_hz: float | None = key(_OFFSET, None)
    width_hz: tuple[float, float] | None = key(span(1, MAX_HZ), None)
    recordings: tuple[str, ...] = key(texts, ())


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A band over a stretch of time.

    Attributes:
        about: one sentence for the recording's description.
        rate_hz, freq_hz: sample rate and centre.
        start: time of the first sample.
        name: of the plan's file.
    """

    about: str = key(checks.text)
    rate_hz: float = key(number(1e4, 1e8))
    freq_hz: float = key(number(0, 1e12))
    seconds: float = key(number(1e-3, MAX_SECONDS), 60.0)
    seed: int = key(count(0, 2**63 - 1), 0)
    start: datetime = key(checks.instant, datetime(2026, 1, 1, tzinfo=UTC))
    datatype: str = key(choice(*DATATYPES), "ci8")
    receiver: ReceiverPlan = key(lambda raw: table(ReceiverPlan, raw, "receiver"), ReceiverPlan())
    emitters: tuple[EmitterPlan, ...] = key(lambda raw: _tables(EmitterPlan, raw, "emitters"), ())
    anomalies: tuple[AnomalyPlan, ...] = key(lambda raw: _tables(AnomalyPlan, raw, "anomalies"), ())
    name: str = "plan"

    @property
    def n_samples(self) -> int:
        return max(1, round(self.seconds * self.rate_hz))


def shipped_plans() -> list[str]:
    """Names of the plans that ship."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def find_plan(name: str | Path) -> Path:
    """The file of a plan: a path, or the name of a shipped plan.

    Raises:
        PlanError: there is neither.
    """
    path, shipped = Path(name), FOLDER / f"{name}.toml"
    if path.is_file():
        return path
    if path.name == str(name) and shipped.is_file():
        return shipped
    raise PlanError(f"{name}: no such plan; name a TOML file or one that ships: {', '.join(shipped_plans())}")


def read_plan(name: str | Path) -> Plan:
    """The plan of a file, or of a shipped plan by name.

    Raises:
        PlanError: there is no such file, it is no TOML, or a key or value is not possible.
    """
    path = find_plan(name)
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PlanError(f"{path}: is not readable TOML ({' '.join(str(error).split())}); correct it") from error
    try:
        return plan_of(raw, path.stem)
    except PlanError as error:
        raise PlanError(f"{path}: {error}") from error


def plan_of(raw: dict[str, Any], name: str = "plan") -> Plan:
    """The plan of a parsed TOML file.

    Raises:
        PlanError: a key or value is not possible.
    """
    if "name" in raw:
        raise PlanError(f"name = {raw['name']!r}: there is no such key; the file's name is the plan's")
    known = set(Plan.__dataclass_fields__) - {"name"}
    if unknown := [k for k in raw if k not in known]:
        raise PlanError(f"{unknown[0]} = {raw[unknown[0]]!r}: there is no such key; possible are {', '.join(sorted(known))}")
    if missing := [k for k in ("about", "rate_hz", "freq_hz") if k not in raw]:
        raise PlanError(f"{missing[0]}: is missing; give it")
    checks = {k: Plan.__dataclass_fields__[k].metadata["check"] for k in raw}
    plan = Plan(name=name, **{k: checked(checks[k], value, k) for k, value in raw.items()})
    for index, emitter in enumerate(plan.emitters):
        _check_emitter(plan, emitter, f"emitters[{index}]")
    for index, anomaly in enumerate(plan.anomalies):
        _check_anomaly(plan, anomaly, f"anomalies[{index}]")
    for title in ("gain_steps", "losses", "impulses"):
        if (life := getattr(plan.receiver, title)) is not None:
            _check_life(life, f"receiver.{title}")
    ids = [emitter.id for emitter in plan.emitters]
    if twice := [i for i in ids if ids.count(i) > 1]:
        raise PlanError(f"emitters id = {twice[0]!r}: is given twice; each emitter needs its own")
    return plan


def _tables(cls: type, raw: Any, where: str) -> tuple:
    if not isinstance(raw, list):
        raise PlanError(f"{where} = {raw!r}: must be tables [[{where}]]")
    return tuple(table(cls, item, f"{where}[{index}]") for index, item in enumerate(raw))


def _check_life(life: Life, where: str, *more: str) -> None:
    given = [k for k in ("interval_s", "at_s", *more) if getattr(life, k) not in (None, False)]
    if len(given) != 1:
        raise PlanError(f"{where}: gives {' and '.join(given) or 'no time'}; give one of "
                        f"{', '.join(('interval_s', 'at_s', *more))}")
    if life.from_s >= life.until_s:
        raise PlanError(f"{where} until_s = {life.until_s:g}: must be later than from_s, {life.from_s:g}")


def _check_emitter(plan: Plan, emitter: EmitterPlan, where: str) -> None:
    _check_life(emitter, where, "duty", "continuous")
    if bool(emitter.recordings) == (emitter.waveform is not None):
        raise PlanError(f"{where} {emitter.id!r}: needs either recordings or a waveform; give one of them")
    if emitter.params is not None:
        _check_params(emitter, where)
    for offset in emitter.offset_hz:
        _check_offset(plan, offset, where)


def _check_params(emitter: EmitterPlan, where: str) -> None:
    import numpy as np

    known = WAVEFORMS[emitter.waveform].draw(np.random.default_rng(0)) if emitter.waveform else {}
    if not isinstance(emitter.params, dict) or not set(emitter.params) <= set(known):
        raise PlanError(f"{where} params = {emitter.params!r}: must be a table; {emitter.waveform or 'recordings'} "
                        f"{'takes ' + ', '.join(known) if known else 'take none'}")
    for name, value in emitter.params.items():
        if isinstance(value, str) != isinstance(known[name], str):
            raise PlanError(f"{where} params.{name} = {value!r}: must be such as {known[name]!r}")


def _check_anomaly(plan: Plan, anomaly: AnomalyPlan, where: str) -> None:
    _check_life(anomaly, where)
    if bool(anomaly.recordings) != (anomaly.kind == RECORDING):
        raise PlanError(f"{where} kind = {anomaly.kind!r}: {'needs' if anomaly.kind == RECORDING else 'takes no'} recordings")
    if anomaly.offset_hz is not None:
        _check_offset(plan, anomaly.offset_hz, where)


def _check_offset(plan: Plan, offset: float, where: str) -> None:
    half = plan.rate_hz / 2
    if not -half < offset < half:
        raise PlanError(f"{where} offset_hz = {offset:g}: must be from {-half:g} to {half:g}, half the rate")
