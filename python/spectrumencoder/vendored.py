# SPDX-License-Identifier: GPL-3.0-or-later
"""Python packages that a distribution lacks and that our package for it brings along (tools/vendor_packages)."""

from __future__ import annotations

import sys
from pathlib import Path


def add_vendored():
    """Puts ``<prefix>/lib/gr-spectrumencoder/vendor`` at the end of the module path, if the package was installed with one: what
    is installed otherwise comes first."""
    for parent in Path(__file__).resolve().parents:
        folder = parent / "gr-spectrumencoder" / "vendor"
        if parent.name == "lib" and folder.is_dir():
            if str(folder) not in sys.path:
                sys.path.append(str(folder))
            return
