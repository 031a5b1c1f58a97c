# SPDX-License-Identifier: GPL-3.0-or-later
"""The reference network alone: p50 of a spectrum of 128 tokens, by PyTorch's fast path and without it.

The network itself is `spectrumencoder.bench.reference`, in the package: `spectrumencoder bench` must find it where only that is
installed.
"""

import argparse

import torch
from gnuradio.spectrumencoder.bench import reference

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=30)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    _, told = reference.choose(arguments.batch, rounds=arguments.rounds)
    print(f"{reference.mflop():.0f} MFLOP a spectrum, {arguments.threads} threads, batch {arguments.batch}")
    for name, value in told["median_ms"].items():
        print(f"{name}: p50 {value:.2f} ms")
