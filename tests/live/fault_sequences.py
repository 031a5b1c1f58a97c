# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs seeded random sequences of faults and prints a JSON line for each: a process of its own, since some leave a thread that
hangs behind. Usage: fault_sequences.py MODEL FIRST_SEED COUNT"""

import json
import os
import random
import sys
import time

from gnuradio.spectrumencoder import keys
from gnuradio.spectrumencoder.blocks.messages import to_pmt
from gnuradio.spectrumencoder.session.flowgraph import Flowgraph, RunSettings, quiet_logs
from gnuradio.spectrumencoder.session.sources import RadioOptions, RadioSource

ENDS = ("unplug_after", "error_after", "hang_after")
PASSES = ("overflow_every", "timeout_every")
kept = []  # a flowgraph with a hanging thread must not be taken down


def run(seed: int, model: str) -> dict:
    """One flowgraph, to which a few things happen at random times: faults, retunes, gains, bad commands."""
    draw = random.Random(seed)
    source = RadioSource(RadioOptions(f"driver=spectrumtest,seed={seed},pace={draw.choice((0, 1))},hwtime={draw.choice((0, 1))},"
                                      f"retune_latency={draw.choice((0, 5))}", 100e6, draw.choice((250e3, 1e6)), silence_s=0.8))
    flowgraph = Flowgraph(source, RunSettings(model=model), append=False, keep_spectra=False, name_in_events=False)
    kept.append(flowgraph)
    radio, guard = source.block.source, source.block.blocks[0]
    plan = []
    for _ in range(draw.randint(1, 4)):
        kind = draw.choice(("fault", "retune", "gain", "bad", "pass"))
        plan.append((draw.uniform(0.05, 0.4), kind, draw.choice(PASSES), draw.randint(3, 40), draw.uniform(50e6, 1e9)))
    end = draw.choice((None, *ENDS))
    if end:
        plan.append((0.4, "fault", end, draw.randint(1, 5), 0.0))
    plan.sort()
    began, done = time.monotonic(), []

    def drive():
        elapsed = time.monotonic() - began
        while plan and elapsed > plan[0][0]:
            _, kind, fault, reads, freq = plan.pop(0)
            done.append(fault if kind in ("fault", "pass") else kind)
            if kind in ("fault", "pass"):
                radio.write_setting(fault, str(reads))
            else:
                command = {"retune": {"freq": freq}, "gain": {"gain": 30.0}, "bad": {"freq": 1e12}}[kind]
                guard.to_basic_block()._post(_CMD, to_pmt(command))

    source_ended = source.ended
    source.ended = lambda: source_ended() or (not plan and end is None and time.monotonic() - began > 0.6)
    flowgraph.on_poll.append(drive)
    interrupted = flowgraph.run()
    health = flowgraph.monitor.health.snapshot()
    return {"seed": seed, "done": done, "end": end, "fault": source.fault, "hung": flowgraph.hung, "interrupted": interrupted,
            "seconds": time.monotonic() - began, "frames": health[keys.FRAMES], "overflows": health[keys.OVERFLOWS],
            "refused": guard.n_refused}


def main(model: str, first: int, count: int):
    global _CMD
    import pmt
    _CMD = pmt.intern(keys.CMD)
    quiet_logs()
    for seed in range(first, first + count):
        print(json.dumps(run(seed, model)), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
