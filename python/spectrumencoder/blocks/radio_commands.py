# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands to a radio as dicts: those of gr-soapy's port `cmd` and of gr-uhd's port `command`."""

from __future__ import annotations

from gnuradio import gr

from .messages import to_pmt

FREQ, RATE, GAIN, ANTENNA, BANDWIDTH = "freq", "rate", "gain", "antenna", "bandwidth"
SOAPY, UHD = "soapy", "uhd"
RADIOS = (SOAPY, UHD)


def soapy_forgets_rx_freq() -> bool:
    """True if gr-soapy sends no rx_freq tag after a command with the frequency alone: before GNU Radio 3.10.6.

    A command that also holds the rate, even an unchanged one, gets both tags. Some radios recalibrate when their rate is set,
    so only those versions send it.
    """
    return _version(gr.version()) < (3, 10, 6)


def _version(text: str) -> tuple[int, ...]:
    """(3, 10, 5) of "3.10.5.1" or "v3.10.5-12-gabc"."""
    numbers = []
    for part in text.lstrip("v").replace("-", ".").split(".")[:3]:
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)


def retune(freq_hz: float, rate: float, radio: str = SOAPY):
    """The command PMT that tunes to freq_hz, after which the stream carries an rx_freq tag. rate: the present one."""
    command = {FREQ: float(freq_hz)}
    if radio == UHD:
        command["tag"] = "now"
    elif soapy_forgets_rx_freq():
        command[RATE] = float(rate)
    return to_pmt(command)
