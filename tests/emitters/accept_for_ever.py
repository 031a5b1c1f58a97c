# SPDX-License-Identifier: GPL-3.0-or-later
"""Child of test_band_file: for each "go" on stdin it forks a writer that accepts emitter after emitter, until it is killed.

The writer reports an emitter's number only after the file that holds it was saved.
"""

import os
import sys

from bands import sign_of
from gnuradio.spectrumencoder.emitters import commands
from gnuradio.spectrumencoder.emitters.band_file import BandFile, load


def write_for_ever(path: str):
    """Never returns."""
    band = load(path) if os.path.exists(path) else BandFile()
    while True:
        number = band.registry.next_id
        band.registry.add(sign_of(number, float(number)), belongs=False, learned=False)
        commands.accept(band.registry, number)
        band.save(path)
        os.write(1, f"{number}\n".encode())


for _ in range(int(sys.argv[2])):
    if not sys.stdin.readline():
        break
    child = os.fork()
    if not child:
        try:
            write_for_ever(sys.argv[1])
        finally:
            os._exit(1)
    os.write(1, f"{child}\n".encode())
    _, status = os.waitpid(child, 0)
    os.write(1, b"killed\n" if os.WIFSIGNALED(status) else b"failed\n")
