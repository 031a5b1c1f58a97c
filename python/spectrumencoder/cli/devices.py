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
    rows = [{"device": address, "label": dict(device).get("label", "")}
            for device, address in zip(found, addresses([dict(device) for device in found]), strict=True)]
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


_IDENTITY = ("driver", "remote", "remote:driver", "serial", "addr", "uri", "device_id", "instance")  # keys of SoapySDR's modules
_NO_IDENTITY = ("label", "default_input", "default_output")


def addresses(devices: list[dict[str, str]]) -> list[str]:
    """SoapySDR's arguments that open each of these devices and no other.

    A key that only some modules have is taken in where it tells devices apart that are alike in the usual ones.
    """
    # "remote" without "driver=remote" opens this machine's own device of the driver: SoapyRemote 0.5.2 is not asked then
    keys = [[key for key in _IDENTITY if device.get(key)] for device in devices]
    keys = [[key for key in found if device.get("driver") in (None, "remote") or not key.startswith("remote")]
            for device, found in zip(devices, keys, strict=True)]
    for number, device in enumerate(devices):
        like = [other for other in devices if all(other.get(key) == device[key] for key in keys[number])]
        keys[number] += [key for key in sorted(device) if key not in (*keys[number], *_NO_IDENTITY) and "," not in device[key]
                         and not key.startswith("remote") and any(other.get(key) != device[key] for other in like)]
    return [",".join(f"{key}={device[key]}" for key in found) for device, found in zip(devices, keys, strict=True)]


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
                "settings": [info.key for info in radio.getSettingInfo()],
                "stream arguments": [f"{info.key}={info.value}" for info in radio.getStreamArgsInfo(rx, 0)]}
    except (RuntimeError, ValueError) as error:
        return {"cannot be opened": " ".join(str(error).split())}


def _range(value, scale: float) -> str:
    low, high = value.minimum() * scale, value.maximum() * scale
    return f"{low:g}" if low == high else f"{low:g}..{high:g}"
