# SPDX-License-Identifier: GPL-3.0-or-later
"""After pip: is this a Python in which GNU Radio and PyTorch live together? Exits 1 with one line when it is not."""

import importlib.metadata
import sys


def problems() -> list[str]:
    found = []
    numpy_version = importlib.metadata.version("numpy")
    if int(numpy_version.split(".")[0]) >= 2:
        found.append(f"numpy {numpy_version} is installed, but Debian 12's GNU Radio is built for numpy 1: "
                     "run `.venv/bin/pip install 'numpy<2' -c constraints.txt`")
        return found
    for name, cure in (("gnuradio.gr", "run `apt-get install gnuradio gnuradio-dev` and make .venv from /usr/bin/python3"),
                       ("torch", "run `.venv/bin/pip install -r requirements.txt -c constraints.txt`")):
        try:
            __import__(name)
        except ImportError as error:
            found.append(f"{name} cannot be imported ({error}): {cure}")
    return found


if __name__ == "__main__":
    for line in problems():
        print(line, file=sys.stderr)
    sys.exit(bool(problems()))
