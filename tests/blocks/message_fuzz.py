# SPDX-License-Identifier: GPL-3.0-or-later
"""Random messages to every message port, by seeds: python message_fuzz.py MODEL FOLDER FIRST COUNT. A JSON line per port.

A message is a dict, a PDU of one, or any other PMT; its keys are those of the vocabulary, its values any PMT. One in ten is a
message that the port uses, so that the odd ones meet a block that works.
"""

import json
import os
import random
import sys
from pathlib import Path

os.environ.setdefault("GR_CONF_LOG_LOG_LEVEL", "off")

import pmt
from gnuradio.spectrumencoder import (
    anomaly_detector,
    band_scanner,
    doma_tracker,
    event_log,
    keys,
    sigmf_annotator,
    snippet_recorder,
    spectrum_decoder,
    spectrum_encoder,
)
from gnuradio.spectrumencoder.blocks.messages import to_pmt
from gnuradio.spectrumencoder.blocks.soapy_radio import command_guard
from gnuradio.spectrumencoder.session.encoded_file import encoded_file
from gnuradio.spectrumencoder.session.run_probe import run_probe
from gnuradio.spectrumencoder.session.sweep_log import sweep_log

EVENT = {keys.EVENT_ID: "1", keys.STATE: "open", keys.SAMPLE_START: 1000, keys.SAMPLE_COUNT: 500, keys.TIMESTAMP: 1.7e9,
         keys.FREQ_CENTER_HZ: 1e8, keys.BANDWIDTH_HZ: 1e4, keys.POWER_DBFS: -30.0}
FIX = {"latitude": 50.0, "longitude": 8.0, "timestamp": 1.7e9, "identity": "a"}
NUMBERS = (0, 1, -1, 3, 0.5, 1e-300, 1e300, -1e18, float("inf"), float("-inf"), float("nan"), 2**31, 2**63 - 1, -2**63, 2**64 - 1,
           1.7e9)
TEXTS = ("", "x", "open", "close", "update", "../../x", "new", "gone", "\u2603" * 40, "1", "true", "ft", "HIGH")
UNIFORM = ("u8", "s8", "u16", "s16", "u32", "s32", "u64", "s64", "f32", "f64", "c32", "c64")
WORDS = ("freq", "rate", "gain", "antenna", "bandwidth", "units", "altitude", "snr", "hold", "gate", "horizon", "keep_bands_hz",
         "process_noise", "average", "usable", "bearing_deg", "icao", "heading", "speed", "time")


class Limits:
    """Abilities of a radio, as command_guard asks for them."""

    def check(self, name, value):
        from gnuradio.spectrumencoder.blocks.soapy_radio import RadioError, RadioLimits
        limits = RadioLimits.__new__(RadioLimits)
        limits._ranges = {"freq": [(1e6, 6e9)], "rate": [(48e3, 20e6)], "gain": [(0, 50)], "bandwidth": []}
        limits._antennas = ["RX"]
        limits.check(name, value)
        assert RadioError is not None


def ports(model, folder):
    """name -> (block, port, a message that it uses)"""
    guard = command_guard(Limits(), lambda: 1e6)
    return {
        "event_log": (event_log(str(folder / "e.jsonl")), keys.EVENTS, EVENT),
        "sigmf_annotator": (sigmf_annotator("", str(folder / "a.sigmf-meta"), 1e6), keys.EVENTS, EVENT),
        "band_scanner": (band_scanner(), keys.EVENTS, EVENT),
        "snippet_recorder": (snippet_recorder(str(folder / "s"), 1e6), keys.EVENTS, EVENT),
        "doma_tracker": (doma_tracker(), keys.DETECTIONS, FIX),
        "doma_tracker control": (doma_tracker(), keys.CONTROL, {"gate": 0.9}),
        "anomaly_detector": (anomaly_detector(model, 128), keys.CONTROL, {"hold": 3}),
        "spectrum_encoder": (spectrum_encoder(model, 128), keys.CONTROL, {"dropout_rate": 0.25}),
        "run_probe events": (run_probe(), keys.EVENTS, EVENT),
        "run_probe status": (run_probe(), keys.STATUS, {keys.BLOCK: "x", keys.STATUS_STATE: "learned", keys.EMITTERS: []}),
        "sweep_log": (sweep_log(str(folder / "w.jsonl")), keys.SWEEPS, {keys.HOPS: 1}),
        "encoded_file": (encoded_file(str(folder / "c.bin")), keys.ENCODED, {keys.FRAMES: 1}),
        "spectrum_decoder": (spectrum_decoder(model, 128), keys.ENCODED, {keys.FRAMES: 1}),
        "command_guard": (guard, keys.CMD, {"freq": 1e8})}


def any_pmt(draw, depth=0):
    kind = draw.randrange(14)
    if kind < 4:
        value = draw.choice(NUMBERS)
        return pmt.from_double(value) if isinstance(value, float) or draw.random() < 0.3 else to_pmt(value)
    if kind < 6:
        return pmt.intern(draw.choice(TEXTS))
    if kind == 6:
        return draw.choice([pmt.PMT_NIL, pmt.PMT_T, pmt.PMT_F, pmt.from_complex(1j), pmt.intern(b"caf\xe9"), pmt.PMT_EOF])
    if kind == 7:
        name, size = draw.choice(UNIFORM), draw.choice([0, 1, 3, 128])
        return getattr(pmt, f"init_{name}vector")(size, [draw.randrange(100)] * size)
    if depth > 3:
        return pmt.from_long(1)
    if kind < 10:
        result = pmt.make_vector(draw.randrange(4), pmt.PMT_NIL)
        for index in range(pmt.length(result)):
            pmt.vector_set(result, index, any_pmt(draw, depth + 1))
        return result
    if kind == 10:
        return pmt.cons(any_pmt(draw, depth + 1), any_pmt(draw, depth + 1))
    if kind == 11:
        return pmt.make_tuple(any_pmt(draw, depth + 1), any_pmt(draw, depth + 1))
    if kind == 12:
        deep = pmt.from_long(1)
        for _ in range(draw.choice([10, 40, 2000])):
            deep = pmt.make_vector(1, deep)
        return deep
    result = pmt.make_dict()
    for _ in range(draw.randrange(4)):
        result = pmt.dict_add(result, any_pmt(draw, depth + 1), any_pmt(draw, depth + 1))
    return result


def message(draw, good, names):
    if draw.random() < 0.1:
        return to_pmt({**good, **({keys.EVENT_ID: str(draw.randrange(50))} if keys.EVENT_ID in good else {})})
    if draw.random() < 0.15:
        return any_pmt(draw)
    fields = to_pmt(good) if draw.random() < 0.7 else pmt.make_dict()
    for _ in range(draw.randrange(1, 4)):
        own = pmt.intern(draw.choice([*good, *good, *names, *WORDS]))
        fields = pmt.dict_add(fields, own, any_pmt(draw))
    if draw.random() < 0.5:
        name = draw.choice(["u8", "f32", draw.choice(UNIFORM)])
        return pmt.cons(fields, getattr(pmt, f"init_{name}vector")(3, [1, 2, 3]))
    return fields


def main(model, folder, first, count):
    draw, names = random.Random(int(first)), sorted(set(keys.vocabulary().values()))
    for name, (block, port, good) in ports(model, Path(folder)).items():
        block.start()
        escaped = handled = 0
        while handled < int(count) and block.failure is None:
            handled += 1
            try:
                block._inputs[port](message(draw, good, names))
            except Exception as error:  # noqa: BLE001 (what is looked for)
                escaped += 1
                print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
        block.stop()
        print(json.dumps({"port": name, "messages": handled, "failure": str(block.failure or ""), "escaped": escaped,
                          "malformed": block.malformed}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
