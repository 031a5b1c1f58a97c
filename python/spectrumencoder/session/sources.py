# SPDX-License-Identifier: GPL-3.0-or-later
"""Sources of a run's samples: a recording or a radio. Each makes its block and the chain's settings that depend on it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .errors import SessionError, SettingError

if TYPE_CHECKING:
    from ..recordings import Recording

SOAPY_PREFIX = "soapy:"
_MIN_BUFFER_FRAMES, _MAX_BUFFER_FRAMES = 64, 8192  # of radios
RECORDING_BUFFER_FRAMES = 512  # a block gets half of it per call
MAX_SECONDS, MAX_HZ, MIN_RATE_HZ = 366 * 86400.0, 1e12, 1.0  # beyond them a value is a slip
_RANGES = {"freq": (-MAX_HZ, MAX_HZ), "rate": (MIN_RATE_HZ, MAX_HZ), "offset": (-MAX_HZ, MAX_HZ), "bandwidth": (0.0, MAX_HZ),
           "duration": (0.0, MAX_SECONDS), "silence_s": (0.0, MAX_SECONDS), "reconnect_s": (0.0, MAX_SECONDS),
           "gain": (-1000.0, 1000.0), "ppm": (-1000.0, 1000.0)}
_UNITS = {"freq": "Hz", "rate": "samples per second", "offset": "Hz", "bandwidth": "Hz", "gain": "dB", "ppm": "ppm"}
_LATE = 1.1  # the clock may run ahead of the signal by this factor, and by
_LATE_S = 10.0
_END_S = 20.0
MAX_CHECKED_BYTES = 1 << 28  # of samples whose checksum a run verifies
_BUFFER_S = 1.5  # more than max_latency of spectrum_encoder


class RecordingSource:
    """A recording, played once as fast as the chain takes it. paced: not faster than it was recorded.

    Attributes: name, samp_rate, center_freq (Hz), freq_offset (Hz, what center_freq has more than the block's tags say), block,
    watched (blocks whose failures end the run), recording, notes (for the user), finite (it ends by itself), and the arguments
    `overload`, `time_source` and `pad_batch` of spectrum_monitor.
    """

    overload, time_source, pad_batch, finite = "wait", "tag", 16, True
    freq_offset, reconnects = 0.0, None

    def __init__(self, recording: Recording, paced: bool = False):
        from ..blocks.sigmf_source import sigmf_source
        self.recording, self.name = recording, recording.name
        self.samp_rate, self.center_freq = recording.samp_rate, recording.frequency_hz or 0.0
        self.total = recording.n_samples
        self.block = sigmf_source(recording, throttle=paced)
        self.watched = [self.block]

    def buffer_frames(self, frame_hop: float) -> int:
        """Room between the stages, in frames of `frame_hop` samples."""
        return RECORDING_BUFFER_FRAMES

    def check(self, fft_size: int) -> None:
        """Raises SessionError if the recording is shorter than one FFT."""
        if self.recording.n_samples < fft_size:
            raise SessionError(f"{self.name} holds {self.recording.n_samples} samples, fewer than one FFT of {fft_size}: "
                               "there is nothing to analyse; give a longer recording")

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of the recording."""
        captures = self.recording.captures
        silent = sum(capture.frequency_hz is None for capture in captures)
        if silent in (0, len(captures)):
            return (*self.recording.notes, *self._wrong_checksum)
        return (*self.recording.notes, *self._wrong_checksum, f"{silent} of {len(captures)} captures state no centre frequency: "
                "there frequencies count from it (freq_relative); --freq HZ states it")

    @cached_property
    def _wrong_checksum(self) -> tuple[str, ...]:
        """A line if the samples are not those of the stated checksum. Files of more than 256 MiB are not read again for it."""
        from ..recordings import RecordingError
        if self.recording.size_bytes <= MAX_CHECKED_BYTES:
            try:
                self.recording.verify()
            except RecordingError as error:
                return (str(error),)
        return ()

    @property
    def n_samples(self) -> int:
        """Samples played so far."""
        return self.block.nitems_written(0)

    def begin(self):
        """Called right before the flowgraph starts."""

    def ended(self) -> bool:
        """Asked ten times a second: whether the run is to stop in good order. A recording ends by itself."""
        return False

    @property
    def fault(self) -> str:
        """Why the source gave up; "" if it did not."""
        return ""


@dataclass(frozen=True)
class RadioOptions:
    """The options of a live run that concern the radio; Hz, dB, seconds. offset: what a converter before it adds to freq.
    reconnect_s: for how long a radio that is lost is opened again, s; 0: for ever; None: not at all.

    Raises:
        SettingError: one is beyond what any radio has, such as a duration of more than a year or a frequency beyond 1 THz.
    """

    device: str
    freq: float
    rate: float
    gain: float | None = None
    agc: bool | None = None
    antenna: str = ""
    bandwidth: float | None = None
    ppm: float = 0.0
    settings: tuple[str, ...] = ()
    stream_args: tuple[str, ...] = ()
    offset: float = 0.0
    duration: float | None = None
    silence_s: float = 5.0
    reconnect_s: float | None = None

    def __post_init__(self):
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise SettingError(f"--{name.removesuffix('_s')} {value:g} is outside {low:g}..{high:g} {_UNITS.get(name, 's')}")


class RadioSource:
    """A SoapySDR radio. Ends after ``duration`` seconds of samples, or if no sample arrives for ``silence_s``.

    It also gives up when the clock is a tenth of the duration and 10 s ahead of the samples: most of the signal is lost.

    The attributes are those of RecordingSource; ``recording`` is None.

    Raises:
        SettingError: a setting is not KEY=VALUE, or the radio cannot serve it. SessionError: the radio is missing.
    """

    overload, pad_batch = "skip", 4  # few frames wait at a time; smaller batches are answered sooner
    recording, finite = None, False
    reconnects: list[dict] | None = None

    def __init__(self, options: RadioOptions, clock: Callable[[], float] | None = None):
        import time

        from ..tokens.tokenize import native_module
        self._native = native_module()
        self._options, self._clock = options, clock or time.monotonic
        self.block = self._open()
        self.name = options.device
        self.samp_rate, self.freq_offset = self.block.samp_rate, options.offset
        self.center_freq = self.block.center_freq + options.offset
        self.time_source = "hardware" if self.block.has_clock else "tag"
        self.watched = self.block.blocks
        self.total = None if options.duration is None else round(options.duration * options.rate)
        self._seen, self._seen_at = 0, self._clock()
        self._began_at = self._seen_at
        self._fault = ""

    def _open(self) -> Any:
        return open_soapy(self._options)

    def buffer_frames(self, frame_hop: float) -> int:
        """Room for more than max_latency, in frames: frames are skipped before the radio has to wait.

        Samples that wait in the radio's own buffers get the tag of a later retune, and would be attributed to its frequency.
        """
        return live_buffer_frames(self.samp_rate, frame_hop)

    def check(self, fft_size: int) -> None:
        if self.total is not None and self.total < fft_size:
            raise SettingError(f"--duration {self._options.duration:g} s at {self.samp_rate:g} samples/s is shorter than one FFT "
                             f"of {fft_size} samples; give a longer one")

    @property
    def n_samples(self) -> int:
        return self.block.n_samples

    def begin(self):
        self.block.set_clock()
        self._failures_before, _ = self._native.driver_failures()
        self._overflows_before = self._native.overflow_marks()
        self._seen_at = self._began_at = self._clock()

    def ended(self) -> bool:
        now, count = self._clock(), self.n_samples
        failures, failure = self._native.driver_failures()
        if failures > self._failures_before:
            self._fault = driver_failure_text(count / self.samp_rate, failure)
            return True
        duration = self._options.duration
        late_s = math.inf if duration is None or self.total is None or count >= self.total else _LATE * duration + _LATE_S
        if now - self._began_at > late_s:
            self._fault = (f"only {count / self.samp_rate:.3g} s of signal{self._overflows} came in "
                           f"{now - self._began_at:.3g} s: the radio, or this machine, loses samples; see --stats, and give "
                           "a smaller --rate")
            return True
        if count > self._seen:
            self._seen, self._seen_at = count, now
            if self.total is not None and count >= self.total:
                self.block.end()
        elif self.total is not None and count >= self.total:
            return now - self._seen_at > _END_S  # the stream has ended, and the chain works off what it holds
        elif now - self._seen_at > self._options.silence_s:
            return self._lost(f"no samples for {self._options.silence_s:g} s, after {count / self.samp_rate:.3g} s of "
                              f"signal{self._overflows}; see whether the radio is still plugged in and whether another program "
                              "uses it (--silence SECONDS waits longer)")
        return False

    def _lost(self, why: str) -> bool:
        """The radio gives no samples any more: whether that ends the run."""
        self._fault = why
        return True

    @property
    def _overflows(self) -> str:
        """The overflows so far in words, also those before the first sample."""
        marks = self._native.overflow_marks() - self._overflows_before
        return f" and {marks} overflow{'s' if marks > 1 else ''}" if marks else ""

    @property
    def fault(self) -> str:
        return self._fault

    @property
    def notes(self) -> tuple[str, ...]:
        return ()


class ReopenedRadioSource(RadioSource):
    """A RadioSource whose radio is opened again when it is lost. The time without it counts for nothing.

    Attributes: reconnects: a row for each loss, see ``reopened_radio``.
    """

    def _open(self) -> Any:
        from ..blocks.soapy_radio import RadioError
        from .reopened_radio import reopened_radio
        try:
            return reopened_radio(self._options, self._options.reconnect_s or math.inf)
        except RadioError as error:
            raise SessionError(str(error)) from error

    def __init__(self, options: RadioOptions, clock: Callable[[], float] | None = None):
        super().__init__(options, clock)
        self.reconnects = self.block.gaps
        if not self.block.has_clock:
            self.time_source = "host"

    def ended(self) -> bool:
        if self.block.gave_up:
            self._fault = self.block.gave_up
            return True
        if self.block.away:
            away_s = self._clock() - self._seen_at
            self._seen_at, self._began_at = self._seen_at + away_s, self._began_at + away_s
            return False
        return super().ended()

    def _lost(self, why: str) -> bool:
        self.block.lose(why)
        return False

    @property
    def notes(self) -> tuple[str, ...]:
        block = self.block
        times = "once" if block.n_gaps == 1 else f"{block.n_gaps} times"
        return () if not block.n_gaps else (f"the radio was lost {times}: {block.gap_s:.3g} s without it, {block.n_tries} "
                                            f"{'try' if block.n_tries == 1 else 'tries'} to open it again",)


def radio_source(options: RadioOptions) -> RadioSource:
    """The source that the options ask for. Raises: as ``RadioSource``."""
    return RadioSource(options) if options.reconnect_s is None else ReopenedRadioSource(options)


def open_soapy(options: RadioOptions) -> Any:
    """The block soapy_radio with these options.

    Raises:
        SettingError, SessionError: as ``RadioSource``.
    """
    from ..blocks.soapy_radio import RadioError, soapy_radio
    try:
        return soapy_radio(
            options.device, freq=options.freq, rate=options.rate, gain=options.gain, agc=options.agc,
            antenna=options.antenna, bandwidth=options.bandwidth, ppm=options.ppm,
            settings=_pairs("setting", options.settings, "biastee=true"),
            stream_args=_pairs("stream-arg", options.stream_args, "remote:prot=tcp"),
            count=round((options.duration or 0.0) * options.rate))
    except RadioError as error:
        raise SessionError(str(error)) from error


def driver_failure_text(signal_s: float, thrown: str) -> str:
    """The line about a driver that threw, after this much signal."""
    return f"the radio's driver failed after {signal_s:.3g} s of signal: {thrown}"


def live_buffer_frames(samp_rate: float, frame_hop: float) -> int:
    """Number of frames of `frame_hop` samples in 1.5 s: the room between the stages of a live chain."""
    return min(_MAX_BUFFER_FRAMES, max(_MIN_BUFFER_FRAMES, math.ceil(_BUFFER_S * samp_rate / frame_hop)))


def _pairs(option: str, pairs: tuple[str, ...], example: str) -> dict[str, str]:
    result = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise SettingError(f"--{option} {pair} is not KEY=VALUE, such as --{option} {example}")
        result[key] = value
    return result
