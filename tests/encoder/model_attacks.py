# SPDX-License-Identifier: GPL-3.0-or-later
"""Damages model files by seeds and loads them: python model_attacks.py FOLDER FIRST COUNT. A JSON line per file.

A kind of damage in turn: a flipped bit; a size of the network that cannot be; another entry of the contract that cannot be; a
header of the file that lies about a tensor; a cut. The last but two are files with a right checksum.
"""

import json
import random
import struct
import sys
from pathlib import Path

import numpy as np
from gnuradio.spectrumencoder.encoder import model_file
from gnuradio.spectrumencoder.encoder.config import MAX_SIZES
from gnuradio.spectrumencoder.encoder.engine import Engine
from gnuradio.spectrumencoder.encoder.model_file import ModelError, load, save

ODD = (0, -1, 1, 3, 7, 2**31 - 1, 2**31, 2**32, 2**60 + 1, 2**63 - 1, 2**63, 2**64, 10**30, 1.5, 1e300, float("inf"),
       float("nan"), "",       "softmax", None, True, [], [1], {}, {"name": 1}, "x" * 5000, [[]], [None], "\u2603\n")


def damage(draw: random.Random, kind: int, path: Path, whole: bytes, contract: dict, tensors: dict) -> str:
    """Writes a damaged file; returns what was done."""
    if kind == 0:
        at, bit = draw.randrange(len(whole)), draw.randrange(8)
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1:])
        return f"bit {bit} of byte {at}"
    if kind == 1:
        field, value = draw.choice(sorted([*MAX_SIZES, "theta_static", "keep_choices", "attention", "rope"])), draw.choice(ODD)
        save(path, {**contract, "encoder": {**contract["encoder"], field: value}}, tensors)
        return f"encoder.{field} = {value!r:.40}"
    if kind == 2:
        entry, value = draw.choice(sorted(contract)), draw.choice(ODD)
        save(path, {**contract, entry: value}, tensors)
        return f"{entry} = {value!r:.40}"
    if kind == 3:
        length = struct.unpack("<Q", whole[:8])[0]
        header = json.loads(whole[8:8 + length])
        row = header[draw.choice(sorted(header.keys() - {"__metadata__"}))]
        field, value = draw.choice(sorted(row)), draw.choice(ODD)
        place = draw.random() < 0.5 and isinstance(row[field], list) and row[field]
        if place:
            row[field][draw.randrange(len(row[field]))] = value
        else:
            row[field] = value
        text = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", draw.choice([len(text), len(text), len(text), 2**63, len(text) + 1])) + text +
                         whole[8 + length:])
        return f"{field} of a tensor = {value!r:.40}"
    cut = draw.randrange(len(whole))
    path.write_bytes(whole[:cut] + bytes(draw.choice([0, len(whole) - cut])))
    return f"cut at {cut}"


def outcome(path: Path, contract: dict, tensors: dict) -> tuple[str, str]:
    """("refused", the line), ("same", ""), ("runs", "") or ("raw", type and text of an exception that is none of ours)."""
    try:
        model = load(path)
        same = {k: v for k, v in model.contract.items() if k != "weights_sha256"} == {**contract, "format_version": 1} and \
            model.tensors.keys() == tensors.keys() and all(np.array_equal(tensors[name], v) for name, v in model.tensors.items())
        engine = Engine(model, runtime="native")
        layout = engine.layout
        engine.encode(np.zeros((2, layout.item_size), np.float32))
    except (ModelError, ValueError) as error:
        return "refused", str(error)
    except Exception as error:  # noqa: BLE001 (what is looked for)
        return "raw", f"{type(error).__name__}: {error}"
    return ("same" if same else "runs"), ""


def main(folder: str, first: str, count: str):
    path = Path(folder) / f"attacked{first}.safetensors"
    original = load(Path(folder) / "original.safetensors")
    whole = (Path(folder) / "original.safetensors").read_bytes()
    contract = {k: v for k, v in original.contract.items() if k not in ("weights_sha256", "format_version")}
    for seed in range(int(first), int(first) + int(count)):
        draw, kind = random.Random(seed), seed % 5
        done = damage(draw, kind, path, whole, contract, original.tensors)
        print(json.dumps({"seed": seed, "kind": kind, "done": done}), flush=True)  # before: the last line names a crash
        end, text = outcome(path, contract, original.tensors)
        print(json.dumps({"seed": seed, "kind": kind, "end": end, "text": text[:300]}), flush=True)
    assert model_file.FORMAT_VERSION == 1


if __name__ == "__main__":
    main(*sys.argv[1:])
