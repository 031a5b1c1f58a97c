# SPDX-License-Identifier: GPL-3.0-or-later
"""The claim of a training folder: its configuration, recordings, and the source tree's commit when training started."""

from __future__ import annotations

import json
from pathlib import Path

from ..atomic_file import write_file
from ..measure.provenance import commit
from .config import ConfigError

RUN_FILE = "run.json"


def claim(folder: Path, name: str, what: dict) -> None:
    """Note in `folder/name` what is made there and from which commit. A folder claimed for something else must not be used.

    Raises:
        ConfigError: the folder belongs to something else.
    """
    path, what = folder / name, json.loads(json.dumps(what))
    if path.exists():
        before = json.loads(path.read_text())
        for key, value in what.items():
            if before.get(key) != value:
                raise ConfigError(f"{folder} holds shards or checkpoints of another {key.rstrip('s')}; give another folder")
    else:
        write_file(path, json.dumps({"commit": commit(), **what}, indent=1).encode())


def read_claim(folder: Path, name: str) -> dict | None:
    """The note that `claim` wrote to `folder/name`; None if there is none."""
    path = folder / name
    return json.loads(path.read_text()) if path.exists() else None


def started_at(out: Path) -> str:
    """The commit that training in `out` started from."""
    return json.loads((out / RUN_FILE).read_text())["commit"]
