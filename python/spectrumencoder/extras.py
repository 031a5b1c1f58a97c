# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages that watching a band does not need: the extra of the requirements that brings each, and how to install it."""

from __future__ import annotations

EXTRAS = {  # as in the files requirements-EXTRA.txt: import name -> name to install
    "train": {"torch": "torch"},
    "digital_rf": {"digital_rf": "digital_rf"},
    "display": {"PyQt5": "PyQt5", "pyqtgraph": "pyqtgraph"},
    "web": {"starlette": "starlette", "uvicorn": "uvicorn", "websockets": "websockets"},
    "push": {"apprise": "apprise", "paho": "paho-mqtt"},
    "hub": {"zmq": "pyzmq"},
    "archive": {"pyarrow": "pyarrow"},
    "cluster": {"distributed": "distributed"},
    "experiments": {"filterpy": "filterpy", "pywt": "PyWavelets", "sgp4": "sgp4", "sklearn": "scikit-learn",
                    "stonesoup": "stonesoup", "zstandard": "zstandard"},
}


def how_to_get(module: str) -> str | None:
    """The cure for a missing module, e.g. "install it with `pip install torch` ..."; None if no extra brings it."""
    for extra, packages in EXTRAS.items():
        if module in packages:
            return f"install it with `pip install {packages[module]}` (extra {extra!r}, docs/install.md)"
    return None
