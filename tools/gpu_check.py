#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks a GPU: the same answers as the CPU, speed, streaming, memory, training. docs/gpu.md says how to run it.

It needs Python 3.11, NumPy, SciPy, safetensors and PyTorch with CUDA, and this checkout. It needs no GNU Radio, no compiled
module and no network. It takes 6 minutes at most, and writes gpu_DEVICE.json and gpu_DEVICE.log to --out.

    tools/gpu_check.py                                  # the check
    tools/gpu_check.py --device cpu --small --out DIR   # tries it on a CPU
    tools/gpu_check.py prepare --corpus DIR --out gpu_shards    # training shards, where the recordings and GNU Radio are
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECIPE = ROOT / "recipes" / "train" / "base.toml"


def main() -> int:
    arguments = _parser().parse_args()
    if arguments.command == "prepare":
        from gnuradio.spectrumencoder.bench.gpu.prepare import prepare  # the installed one, with its compiled module
        folder = prepare(arguments.recipe, arguments.corpus, arguments.out, shards=arguments.shards,
                         shard_size=arguments.shard_size)
        print(f"wrote {folder}; carry it, and run tools/gpu_check.py --shards {folder}")
        return 0
    sys.path.insert(0, str(ROOT / "python"))
    from spectrumencoder.bench.gpu.check import DONE, LIMITS_S, check
    result = check(arguments.out, device=arguments.device, small=arguments.small, parts=arguments.parts or tuple(LIMITS_S),
                   total_s=arguments.seconds, recipe=RECIPE, shards=arguments.shards, say=lambda text: print(text, flush=True))
    for row in result["goals"]:
        answer = {True: "met", False: "NOT MET", None: "open"}[row["met"]]
        print(f"{answer:8} {row['goal']}: {row['value']} (target {row['target']})")
    complete = all(row["state"] == DONE for row in result["parts"].values())
    return 0 if complete and not any(row["met"] is False for row in result["goals"]) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, cpu or auto")
    parser.add_argument("--small", action="store_true", help="sizes for a test on a CPU")
    parser.add_argument("--out", type=Path, default=Path("gpu_check"), help="folder for the JSON and the log")
    parser.add_argument("--shards", type=Path, help="folder of prepared training shards; drawn in NumPy otherwise")
    parser.add_argument("--seconds", type=float, default=350.0, help="for all parts together")
    parser.add_argument("--parts", nargs="+", metavar="PART", help="only these")
    commands = parser.add_subparsers(dest="command")
    made = commands.add_parser("prepare", help="make training shards from recordings")
    made.add_argument("--corpus", type=Path, action="append", required=True, help="folder of labelled recordings; repeatable")
    made.add_argument("--recipe", type=Path, default=RECIPE)
    made.add_argument("--out", type=Path, default=Path("gpu_shards"))
    made.add_argument("--shards", type=int, default=2)
    made.add_argument("--shard-size", type=int, default=2048)
    return parser


if __name__ == "__main__":
    sys.exit(main())
