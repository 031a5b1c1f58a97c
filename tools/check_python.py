# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks after pip that GNU Radio works with the installed packages. Exits 1 with a line for each problem.

--torch also checks for a sufficiently new PyTorch.
"""

import importlib
import subprocess
import sys

PROGRAM = "import numpy; print(numpy.__version__)"
CURES = {"gnuradio.gr": "run `apt-get install gnuradio gnuradio-dev` and make .venv from /usr/bin/python3 (`make setup`)",
         "torch": "run `make setup-test`"}
OLDEST_TORCH = (2, 6)


def problems(with_torch: bool) -> list[str]:
    """One line for each problem; empty if there is none."""
    import numpy
    system = subprocess.run(["/usr/bin/python3", "-c", PROGRAM], capture_output=True, text=True, check=False).stdout.strip()
    if system and _major(system) != _major(numpy.__version__):
        return [f"numpy {numpy.__version__} is installed, but this system's GNU Radio is built for numpy {_major(system)}: "
                f"run `.venv/bin/pip install 'numpy~={_major(system)}.0' -c constraints-numpy{_major(system)}.txt`"]
    found = []
    for name in ("gnuradio.gr", "torch") if with_torch else ("gnuradio.gr",):
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            found.append(f"{name} cannot be imported ({error}): {CURES[name]}")
            continue
        if name == "torch" and tuple(map(int, module.__version__.split(".")[:2])) < OLDEST_TORCH:
            found.append(f"torch {module.__version__} is too old: run `apt-get remove python3-torch`, then `make setup-test`")
    return found


def _major(version: str) -> int:
    return int(version.split(".")[0])


if __name__ == "__main__":
    lines = problems("--torch" in sys.argv[1:])
    for line in lines:
        print(line, file=sys.stderr)
    sys.exit(bool(lines))
