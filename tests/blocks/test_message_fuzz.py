# SPDX-License-Identifier: GPL-3.0-or-later
"""Random PMTs at every message port, and a few that no draw gives: none is a block's failure, none escapes a handler."""

import json
import subprocess
import sys
from pathlib import Path

import pmt
import pytest
from gnuradio.spectrumencoder.blocks.messages import MalformedMessage, kind, metadata, to_pmt, to_python

SCRIPT = Path(__file__).with_name("message_fuzz.py")
N_PORTS = 14
UNIFORM = ("u8", "s8", "u16", "s16", "u32", "s32", "u64", "s64", "f32", "f64")


def check_fuzz(model, folder, first, count):
    done = subprocess.run([sys.executable, SCRIPT, model, folder, str(first), str(count)], capture_output=True, text=True,
                          timeout=1200, check=False)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"port"')]
    assert done.returncode == 0 and len(rows) == N_PORTS, done.stderr[-2000:]
    for row in rows:
        assert row["messages"] == count and not row["failure"] and not row["escaped"], (row, done.stderr[-2000:])
        assert 0 < row["malformed"] < count, row
    for name in ("e.jsonl", "w.jsonl"):
        assert [json.loads(line) for line in (folder / name).read_text().splitlines()]
    json.loads((folder / "a.sigmf-meta").read_text())
    return sum(row["messages"] for row in rows)


def test_random_messages(small_model, tmp_path):
    assert check_fuzz(small_model, tmp_path, first=1, count=300) == 300 * N_PORTS


@pytest.mark.soak
def test_a_hundred_thousand_random_messages(small_model, tmp_path):
    assert check_fuzz(small_model, tmp_path, first=1000, count=7200) >= 100_000


@pytest.mark.parametrize("name", UNIFORM)
def test_every_uniform_vector_has_a_python_value(name):
    vector = getattr(pmt, f"init_{name}vector")(3, [1, 2, 3])
    assert to_python(vector) == [1, 2, 3]
    assert metadata(pmt.dict_add(to_pmt({"a": 1}), pmt.intern("b"), vector)) == {"a": 1, "b": [1, 2, 3]}


def test_deep_and_endless_messages_are_malformed():
    """C++ writes out and counts by recursion, which these would overflow."""
    deep = pmt.PMT_NIL
    for _ in range(200_000):
        deep = pmt.cons(deep, pmt.PMT_NIL)
    circle = pmt.cons(pmt.from_long(1), pmt.PMT_NIL)
    pmt.set_cdr(circle, circle)
    for message in (deep, circle, pmt.dict_add(to_pmt({"a": 1}), pmt.intern("u"), circle)):
        assert len(kind(message)) <= 60
        with pytest.raises(MalformedMessage):
            metadata(message)
    pmt.set_cdr(circle, pmt.PMT_NIL)  # so that it can be freed
    while pmt.is_pair(deep):  # from the outside in: it would be freed by recursion, too
        inner = pmt.car(deep)
        pmt.set_car(deep, pmt.PMT_NIL)
        deep = inner
