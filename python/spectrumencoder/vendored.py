# SPDX-License-Identifier: GPL-3.0-or-later
"""Python packages that a distribution lacks and that our package for it brings along (tools/vendor_packages)."""

from __future__ import annotations

import sys
from pathlib import Path


def add_vendored(first: bool = False):
    """Puts ``<prefix>/lib/gr-spectrumencoder/vendor`` on the module path, if the package was installed with one.

    Args:
        first: before all others, for our own program: the distribution may have a package in too old a version. A program of
            others that imports us keeps its packages: the folder then comes last.
    """
    for parent in Path(__file__).resolve().parents:
        folder = parent / "gr-spectrumencoder" / "vendor"
        if parent.name == "lib" and folder.is_dir():
            if str(folder) in sys.path:
                sys.path.remove(str(folder))
            sys.path.insert(0 if first else len(sys.path), str(folder))
            return
