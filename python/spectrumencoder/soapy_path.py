# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the project's SoapySDR module (the test radio) lies, and how SoapySDR in this process finds it."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "SOAPY_SDR_PLUGIN_PATH"
_SEARCHED = ("/usr/lib", "/usr/local/lib")  # by SoapySDR itself; a module that it finds twice is an error


def module_folder() -> Path | None:
    """``<prefix>/lib/SoapySDR/modules*`` of the prefix that the package lies in; None where there is none."""
    for parent in Path(__file__).resolve().parents:
        found = sorted((parent / "SoapySDR").glob("modules*"))
        if found and parent.name == "lib":
            return found[-1]
    return None


def add_module_folder():
    """Puts that folder on SoapySDR's search path of this process, and of those that it starts."""
    folder = module_folder()
    if folder is None or str(folder.parent.parent) in _SEARCHED:
        return
    folders = [f for f in os.environ.get(VARIABLE, "").split(":") if f]
    if str(folder) not in folders:
        os.environ[VARIABLE] = ":".join([*folders, str(folder)])
