# SPDX-License-Identifier: GPL-3.0-or-later
"""One part in its own process: settings in, results on disk as soon as there are any.

`python -m PACKAGE.bench.gpu.part NAME SETTINGS.json RESULT.json` runs the part NAME.
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from ...atomic_file import write_file

PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class PartSettings:
    """What a part is run with.

    Attributes:
        device: cpu or cuda[:n].
        small: sizes for a test on a CPU.
        limit_s: the process is killed after this time.
        ends_at: wall clock in s (time.time) at which it is killed.
        recipe: file of the training's configuration.
        shards: folder of prepared shards; "" if there are none.
        seed: of weights and frames.
    """

    device: str
    small: bool
    limit_s: float
    ends_at: float
    recipe: str = ""
    shards: str = ""
    seed: int = 0

    def has_time(self, share: float = 1.0) -> bool:
        """Whether less than `share` of the limit, and less than all but 3 s, is used. A part asks before each piece of work."""
        left = self.ends_at - time.time()
        return left > 3.0 and left > (1.0 - share) * self.limit_s


Note = Callable[[str, object], None]  # key, value: into the part's result, and to the disk


def write_json(path: Path, value: object) -> None:
    """Write a file whole, or not at all. NaN and infinity are refused, as JSON has neither."""
    write_file(path, (json.dumps(value, indent=1, allow_nan=False) + "\n").encode())


def main(arguments: list[str]) -> None:
    """Run a part; arguments: its name, the file of its settings, the file of its results."""
    name, settings, result = arguments
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, 9)  # it ends with the process that started it
    values: dict[str, object] = {}

    def note(key: str, value: object) -> None:
        values[key] = value
        write_json(Path(result), values)

    import_module(f".{name}", __package__).run(PartSettings(**json.loads(Path(settings).read_text())), note)


if __name__ == "__main__":
    main(sys.argv[1:])
