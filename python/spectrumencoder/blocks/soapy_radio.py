# SPDX-License-Identifier: GPL-3.0-or-later
"""Hier block: any SoapySDR receiver through gr-soapy, with everything that is sent to it checked against its ranges first.

gr-soapy answers a command that the device refuses with an exception in its own thread, which then is dead: the flowgraph
stays up and no sample comes any more. So nothing unchecked reaches it.
"""

from __future__ import annotations

import re
import time

import pmt
from gnuradio import blocks, gr

from .. import keys
from ..tokens.tokenize import native_module
from .messages import MalformedMessage, metadata, to_pmt
from .radio_commands import ANTENNA, BANDWIDTH, FREQ, GAIN, RATE, soapy_forgets_rx_freq
from .safe_block import SafeBlock, handler

_CMD = pmt.intern(keys.CMD)
_SYSTEM, _DONE = pmt.intern("system"), pmt.intern("done")


class RadioError(ValueError):
    """The radio is not there, or cannot do what was asked; one line that says what it can do."""


class soapy_radio(gr.hier_block2):
    """One RX channel of any SoapySDR device, tuned and checked.

    Output 0: complex samples, full scale = 1.0, with the tags of gr-soapy (``rx_freq``, ``rx_rate``; ``rx_time`` if the
    device has a clock, which is set to UTC). Message input `cmd`: a dict of any of freq, rate, gain, antenna, bandwidth; a value
    outside the device's range is refused, logged and published. Message output: `status`. A driver that throws puts its
    thread to sleep; ``driver_failures`` of the native module counts them. Overflows are not printed; ``overflow_marks`` of the
    native module counts them, also those before the first sample, which no tag reports.

    Args:
        device: arguments of SoapySDR, such as "driver=rtlsdr,serial=1".
        freq, rate: Hz, samples per second.
        gain: overall, dB; None leaves the driver's own.
        agc: automatic gain on or off; None leaves the driver's own.
        antenna: by name; "" leaves the driver's own.
        bandwidth: Hz of the analogue filter; None leaves the driver's own.
        ppm: correction of the crystal; 0: none.
        settings: key -> value, of the device or of its channel.
        stream_args: key -> value, of the stream, such as {"remote:prot": "tcp"}; `spectrumencoder devices --probe` lists them.
            Without commas, by which SoapySDR separates them. A driver takes no notice of a key that it does not know.
        count: number of samples after which the stream ends; 0: never.

    Attributes: source (gr-soapy's block), samp_rate, center_freq (as the device states them), label, has_clock.

    Raises:
        RadioError: as above.
    """

    def __init__(self, device, freq, rate, gain=None, agc=None, antenna="", bandwidth=None, ppm=0.0, settings=None,
                 count=0, stream_args=None):
        gr.hier_block2.__init__(self, "soapy_radio", gr.io_signature(0, 0, 0), gr.io_signature(1, 1, gr.sizeof_gr_complex))
        self.label = str(device)
        native_module().hide_overflow_marks()
        self.source = _open(self.label, stream_args or {})
        limits = RadioLimits(self.source)
        command = {FREQ: freq, RATE: rate, GAIN: gain, ANTENNA: antenna or None, BANDWIDTH: bandwidth}
        for name, value in command.items():
            if value is not None:
                limits.check(name, value)
        self._configure(rate, freq, gain, agc, antenna, bandwidth, ppm, settings or {})
        if stream_args:
            self._try_stream(stream_args)
        self.samp_rate, self.center_freq = self.source.get_sample_rate(0), self.source.get_frequency(0)
        self.has_clock = self.source.has_hardware_time("")
        self._guard = command_guard(limits, lambda: self.source.get_sample_rate(0))
        self.blocks = [self._guard]
        self.message_port_register_hier_in(keys.CMD)
        self.message_port_register_hier_out(keys.STATUS)
        self._last = blocks.head(gr.sizeof_gr_complex, int(count)) if count else self.source
        if count:
            self.connect(self.source, self._last)
        self.connect(self._last, self)
        self.msg_connect(self, keys.CMD, self._guard, keys.CMD)
        self.msg_connect(self._guard, keys.CMD, self.source, keys.CMD)
        self.msg_connect(self._guard, keys.STATUS, self, keys.STATUS)

    @property
    def n_samples(self) -> int:
        """Samples that it has given so far."""
        return self._last.nitems_written(0)

    @property
    def gain(self) -> float:
        """Overall gain that the device states, dB."""
        return self.source.get_gain(0)

    @property
    def failure(self):
        return self._guard.failure

    def drain(self):
        self._guard.drain()

    def end(self):
        """Ends the guard, after which no command is taken; call it after the last sample.

        A block without streams does not end by itself, and the flowgraph waits for it.
        """
        self._guard.to_basic_block()._post(_SYSTEM, pmt.cons(_DONE, pmt.from_long(1)))

    def set_clock(self):
        """Sets the device's clock, if it has one, to UTC; call it right before the flowgraph starts."""
        if self.has_clock:
            self.source.set_hardware_time(time.time_ns(), "")

    def _configure(self, rate, freq, gain, agc, antenna, bandwidth, ppm, settings):
        source = self.source
        try:
            if antenna:
                source.set_antenna(0, antenna)
            source.set_sample_rate(0, float(rate))
            if bandwidth is not None:
                source.set_bandwidth(0, float(bandwidth))
            if ppm:
                if not source.has_frequency_correction(0):
                    raise RadioError(f"ppm {ppm:g}: {self.label} has no frequency correction; leave it out")
                source.set_frequency_correction(0, float(ppm))
            source.set_frequency(0, float(freq))
            if agc is not None:
                if agc and not source.has_gain_mode(0):
                    raise RadioError(f"agc on: {self.label} has no automatic gain; set a gain instead")
                if source.has_gain_mode(0):
                    source.set_gain_mode(0, bool(agc))
            if gain is not None:
                source.set_gain(0, float(gain))
            for key, value in settings.items():
                self._write_setting(key, str(value))
        except (RuntimeError, ValueError) as error:
            raise error if isinstance(error, RadioError) else RadioError(f"{self.label}: {_one_line(error)}") from error

    def _try_stream(self, stream_args: dict[str, str]):
        """Sets up the stream once: what the driver refuses at the start of a flowgraph leaves that waiting for ever."""
        try:
            self.source.start()
            self.source.stop()
        except (RuntimeError, ValueError) as error:
            given = ", ".join(f"{key}={value}" for key, value in stream_args.items())
            raise RadioError(f"{self.label}: the stream with {given} does not start: {_one_line(error)}") from error

    def _write_setting(self, key: str, value: str):
        of_device, of_channel = ([info.key for info in self.source.get_setting_info(*where)] for where in ((), (0,)))
        if key in of_device:
            self.source.write_setting(key, value)
        elif key in of_channel:
            self.source.write_setting(0, key, value)
        else:
            known = sorted({*of_device, *of_channel})
            raise RadioError(f"setting {key}: {self.label} has no such setting; it has {', '.join(known) or 'none'}")


class RadioLimits:
    """Abilities of a device, queried once.

    Args:
        source: a gr-soapy source.
    """

    def __init__(self, source):
        self._label = "this radio"
        self._ranges = {FREQ: _ranges(source.get_frequency_range(0)), RATE: _ranges(source.get_sample_rate_range(0)),
                        GAIN: _ranges([source.get_gain_range(0)]), BANDWIDTH: _ranges(source.get_bandwidth_range(0))}
        self._antennas = list(source.list_antennas(0))

    def check(self, name: str, value):
        """Raises RadioError when the device cannot take this value, or does not know the command."""
        if name == ANTENNA:
            if value not in self._antennas:
                raise RadioError(f"antenna {value}: the radio has {', '.join(self._antennas) or 'none to choose from'}")
            return
        if name not in self._ranges:
            raise RadioError(f"command {name}: the commands are {', '.join([*self._ranges, ANTENNA])}")
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise RadioError(f"{name} {value!r} is not a number")
        ranges = self._ranges[name]
        if ranges and not any(low <= value <= high for low, high in ranges):
            raise RadioError(f"{name} {value:g} is outside what the radio can do: "
                             + ", ".join(f"{low:g}" if low == high else f"{low:g}..{high:g}" for low, high in ranges[:8]))


class command_guard(SafeBlock, gr.basic_block):
    """Message input `cmd`, message output `cmd`: passes on what the device can do, refuses the rest."""

    def __init__(self, limits: RadioLimits, samp_rate):
        gr.basic_block.__init__(self, "command_guard", None, None)
        self.init_safe_block()
        self._limits, self._samp_rate = limits, samp_rate
        self.n_refused = 0
        self.message_port_register_out(_CMD)
        self.add_input_port(keys.CMD, self.handle_cmd)

    def _start(self):
        native_module().survive_driver_failures()  # before the radio's first sample

    @handler
    def handle_cmd(self, message):
        command = metadata(message)
        if not command:
            raise MalformedMessage("wants a command")
        try:
            for name, value in command.items():
                self._limits.check(name, value)
        except RadioError as error:
            self.n_refused += 1
            self.refuse(str(error))
            return
        if FREQ in command and RATE not in command and soapy_forgets_rx_freq():
            command[RATE] = self._samp_rate()
        self.message_port_pub(_CMD, to_pmt(command))


def _open(device: str, stream_args: dict[str, str]):
    for key, value in stream_args.items():
        if "," in f"{key}{value}" or "=" in key or not key.strip():
            raise RadioError(f"stream argument {key}={value}: a key is not empty, and neither has a comma; give each by itself")
    try:
        from gnuradio import soapy
    except ImportError as error:
        raise RadioError(f"gr-soapy is missing ({error}); GNU Radio 3.10 has it, `spectrumencoder doctor` says more") from error
    try:
        return soapy.source(device, "fc32", 1, "", ",".join(f"{key}={value}" for key, value in stream_args.items()), [""], [""])
    except (RuntimeError, ValueError) as error:
        text = _one_line(error)
        if "no match" in text:
            text = "no such radio was found; `spectrumencoder devices` lists those that are there"
        raise RadioError(f"{device}: {text}") from error


def _ranges(ranges) -> list[tuple[float, float]]:
    return [(r.minimum(), r.maximum()) for r in ranges]


def _one_line(error) -> str:
    text = re.sub(r"^(SoapySDR::\S+ )", "", " ".join(str(error).split()))
    return text if len(text) <= 300 else text[:297] + "..."
