# SPDX-License-Identifier: GPL-3.0-or-later
"""``spectrumencoder devices``: the radios that SoapySDR finds, and what each can do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import OUT, write_json
from .errors import CommandError


def devices(
    filter: Annotated[str, typer.Argument(metavar="[DEVICE]", help="Only these, such as driver=rtlsdr.")] = "",
    probe: Annotated[bool, typer.Option("--probe", help="Open each and show its ranges; one in use by another program fails.")]
        = False,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write what was found here.")] = None,
):
    """List the radios that are there, as `run soapy:DEVICE` takes them."""
    soapy = _soapy()
    found = soapy.Device.enumerate(filter.removeprefix("soapy:"))
    rows = [{"device": _address(dict(device)), "label": dict(device).get("label", "")} for device in found]
    for row, device in zip(rows, found, strict=True):
        if probe:
            row |= _probe(soapy, device)
        OUT.print(f"soapy:{row['device']}  {row['label']}", markup=False)
        for name, value in row.items():
            if name not in ("device", "label"):
                OUT.print(f"    {name}: {value if isinstance(value, str) else ', '.join(map(str, value))}", markup=False)
    if json_file is not None:
        write_json(json_file, {"devices": rows})
    if not rows:
        what = f" for {filter}" if filter else ""
        raise CommandError(f"no radio was found{what}; see whether it is plugged in and whether its SoapySDR module is installed "
                           "(apt install soapysdr-module-all); driver=spectrumtest needs no hardware")


def _soapy():
    try:
        import SoapySDR
    except ImportError as error:
        raise CommandError(f"SoapySDR's Python module is missing ({error}); apt install python3-soapysdr") from error
    SoapySDR.setLogLevel(SoapySDR.SOAPY_SDR_FATAL)  # modules complain of services that nobody asked for
    return SoapySDR


def _address(device: dict) -> str:
    """The arguments that identify this radio."""
    names = [name for name in ("driver", "serial", "remote", "remote:driver") if device.get(name)]
    return ",".join(f"{name}={device[name]}" for name in names)


def _probe(soapy, device) -> dict:
    """`device` is as `enumerate` gave it: Debian 13's SoapySDR takes a dict for no arguments at all."""
    rx = soapy.SOAPY_SDR_RX
    try:
        radio = soapy.Device(device)
        return {"frequency (MHz)": [_range(r, 1e-6) for r in radio.getFrequencyRange(rx, 0)],
                "rate (MS/s)": [_range(r, 1e-6) for r in radio.getSampleRateRange(rx, 0)],
                "gain (dB)": _range(radio.getGainRange(rx, 0), 1.0),
                "automatic gain": "yes" if radio.hasGainMode(rx, 0) else "no",
                "antennas": list(radio.listAntennas(rx, 0)),
                "hardware time": "yes" if radio.hasHardwareTime() else "no",
                "settings": [info.key for info in radio.getSettingInfo()]}
    except (RuntimeError, ValueError) as error:
        return {"cannot be opened": " ".join(str(error).split())}


def _range(value, scale: float) -> str:
    low, high = value.minimum() * scale, value.maximum() * scale
    return f"{low:g}" if low == high else f"{low:g}..{high:g}"
