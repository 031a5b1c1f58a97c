# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts the instructions of a kernel with valgrind and fails if they exceed a ceiling.

Unlike time, a count is meaningful on a busy machine. ctest runs this (lib/CMakeLists.txt has the ceilings).

The program prints the instruction set that it chose and its number of units (windows, frames). The count is per unit.
Valgrind 3.19 has no AVX-512, so the AVX2 kernel or the generic one is counted.

To change a ceiling: run `ctest --test-dir build -R instructions -V`, set it to 1.1 times the printed count, and
explain in the commit why the kernel got slower.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
import tempfile

SKIP = 77  # CMake's SKIP_RETURN_CODE


def instructions(profile, without):
    """Self cost of all objects in a callgrind profile, less those whose path holds one of `without`."""
    total, wanted, inclusive = 0, True, False
    for line in profile:
        if line.startswith("ob="):
            wanted = not any(library in line for library in without)
        elif line.startswith("calls="):
            inclusive = True  # the next line is the cost of the called function, counted in its place
        elif re.match(r"[0-9+*-]", line):
            if wanted and not inclusive:
                total += int(line.split()[1])
            inclusive = False
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--within", required=True, help="function whose calls are counted; * stands for anything")
    parser.add_argument("--without", action="append", default=[], help="library that is not counted, such as libfftw3f")
    parser.add_argument("--argument", action="append", default=[], help="of the program")
    parser.add_argument("--ceiling", action="append", required=True, help="SET=COUNT, such as avx2=1000")
    options = parser.parse_args()
    if platform.machine() not in ("x86_64", "AMD64"):
        print(f"skipped: the ceilings are of x86-64, this is {platform.machine()}")
        return SKIP

    with tempfile.TemporaryDirectory() as folder:  # also as home: FFTW's plans of a slowed down processor are not to be kept
        profile = os.path.join(folder, "profile")
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={profile}", f"--toggle-collect={options.within}",
                   "--compress-strings=no", "--compress-pos=no", options.program, *options.argument]
        try:
            done = subprocess.run(command, env=os.environ | {"HOME": folder}, capture_output=True, text=True)
        except FileNotFoundError:
            print("valgrind is not installed: run tools/install_system_packages", file=sys.stderr)
            return 1
        if done.returncode:
            print(done.stderr, file=sys.stderr)
            return 1
        with open(profile) as lines:
            total = instructions(lines, options.without)

    chosen, units = done.stdout.split()[-2:]
    ceilings = dict(pair.split("=") for pair in options.ceiling)
    count, ceiling = total / int(units), int(ceilings[chosen])
    print(f"{chosen}: {count:.0f} instructions, ceiling {ceiling}")
    if count == 0:
        print(f"nothing was counted: is the function {options.within} still there?", file=sys.stderr)
    return 0 if 0 < count <= ceiling else 1


if __name__ == "__main__":
    sys.exit(main())
