# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of the project's SoapySDR module (the test radio), and how SoapySDR in this process finds it."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "SOAPY_SDR_PLUGIN_PATH"
MODULE = "libspectrumtestSupport.so"
_PLACES = (f"SoapySDR/modules*/{MODULE}", f"*/SoapySDR/modules*/{MODULE}")  # the second pattern matches a distribution's package
_SEARCHED = ("/usr/lib", "/usr/local/lib")  # SoapySDR searches these itself


def module_folder() -> Path | None:
    """The folder with the module, in ``lib`` of the package's install prefix; None if there is none."""
    for parent in Path(__file__).resolve().parents:
        if parent.name == "lib":
            found = _modules(parent)
            if found:
                return found[-1].parent
    return None


def add_module_folder():
    """Puts that folder on SoapySDR's search path of this process and its children.

    Does nothing if SoapySDR already finds a module of this name: a module found twice is an error.
    """
    folder = module_folder()
    if folder is None or any(_modules(Path(searched)) for searched in _SEARCHED):
        return
    if any(folder.parent.parent.glob("libSoapySDR.*")):  # conda: that SoapySDR searches its own prefix
        return
    folders = [f for f in os.environ.get(VARIABLE, "").split(":") if f]
    if str(folder) not in folders:
        os.environ[VARIABLE] = ":".join([*folders, str(folder)])


def _modules(lib: Path) -> list[Path]:
    return sorted(path for place in _PLACES for path in lib.glob(place))
