# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of an experiment on disk: what was measured already is not measured again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ..atomic_file import write_file
from .provenance import commit


class AblationError(Exception):
    """An ablation that cannot be run; one line."""


@dataclass(frozen=True)
class Context:
    """Folders and callbacks of an experiment.

    It finds recordings in `corpus` and frames in `pool`, keeps its rows in `work`, and reports (done, total, name) to
    `progress`. `commits` are those that the rows used so far were measured at.
    """

    work: Path
    corpus: list[Path]
    pool: Path | None = None
    model: str = ""
    progress: Callable[[int, int, str], None] = lambda done, total, name: None
    commits: set[str] = field(default_factory=set)

    def row(self, key: str, settings, measure: Callable[[], dict]) -> dict:
        """The row of that key: read if it was measured with the same settings, else measured and written.

        Raises:
            AblationError: there is one that was measured with other settings.
        """
        folder = self.work / "rows"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{re.sub('[^A-Za-z0-9.-]+', '_', key)}.json"
        settings = json.loads(json.dumps(settings))
        if path.is_file():
            kept = json.loads(path.read_text())
            if kept["settings"] != settings:
                raise AblationError(f"{path} was measured with other settings; remove it, or name another --work folder")
            self.commits.add(kept["measured_at"])
            return kept["row"]
        row = measure()
        self.commits.add(commit())
        write_file(path, (json.dumps({"settings": settings, "measured_at": commit(), "row": row}) + "\n").encode())
        return json.loads(json.dumps(row))
