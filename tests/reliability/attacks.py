# SPDX-License-Identifier: GPL-3.0-or-later
"""Attacks on the command line, by seeds: python attacks.py KIND FOLDER FIRST COUNT. A JSON line per attack.

Each run is a process of its own. One in four is the program as a user starts it; the others are forked from a process that has
imported it and done nothing else, at half the cost.

The folder holds quiet.sigmf-meta. Kinds: `signals` (SIGINT, SIGTERM and kill -9 at random moments of a run), `sigmf` (damaged
metadata), `encoded` (damaged files of compressed spectra), `full` (outputs that end at a limit of size, as on a full disk),
`radio` (faults of the test radio, which needs no folder of recordings).
"""

import contextlib
import io
import json
import math
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

SCRIPT = os.path.join(os.path.dirname(sys.executable), "spectrumencoder")
PYTHON_IS_NOT_UP = "Fatal Python error: init_import_site"  # Ctrl-C in the first hundredths of a second, before any of our code
CHANGING = ("latency_ms",)  # differs from run to run
ODD = (0, -1, 1, 2**31, 2**63, 2**64, 10**400, 1e300, -1e300, 0.5, "", "x", "1e6", None, True, [], [1], {},
       "9999-12-31T23:59:59Z",
       "0001-01-01T00:00:00+12:00", "1969-12-31T23:59:59Z", "cf32_le", "\u2603" * 99)


class Forked:
    """A command that runs in a fork of this process, with the part of ``subprocess.Popen`` that the attacks use."""

    def __init__(self, arguments: list[str]):
        from gnuradio.spectrumencoder.cli.main import main
        self._out, self._errors, self.returncode = tempfile.TemporaryFile(), tempfile.TemporaryFile(), None
        self.pid = os.fork()
        if self.pid:
            return
        status = 70
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            for file, descriptor in ((self._out, 1), (self._errors, 2)):
                os.dup2(file.fileno(), descriptor)
            status = main(arguments)
        except BaseException:  # noqa: BLE001 (as the interpreter does)
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def send_signal(self, number: int):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def communicate(self) -> tuple[str, str]:
        while self.poll() is None:
            time.sleep(0.005)
        said = []
        for file in (self._out, self._errors):
            file.seek(0)
            said.append(file.read().decode())
            file.close()
        return said[0], said[1]


def finish(process: subprocess.Popen | Forked, limit_s: float) -> tuple[str, str, float]:
    """Waits for the end of a run. What it said on stdout and stderr, "HANG" if it did not end, and the seconds that it took.

    Seconds in which the machine gave it no processor do not count.
    """
    from gnuradio.spectrumencoder.blocks.grace import Grace, waits_s
    grace = Grace(limit_s, waits=lambda: waits_s(process.pid))
    hangs = False
    while process.poll() is None and not hangs:
        time.sleep(0.02)
        hangs = grace.is_over()
    took_s = grace.spent_s()
    if hangs:
        process.kill()
    out, errors = process.communicate()
    return out, errors + ("HANG" if hangs else ""), took_s


def start(seed: int, arguments: list[str]) -> subprocess.Popen | Forked:
    """A run: a fresh process for one seed in four, else a fork."""
    if seed % 4:
        return Forked(arguments)
    return subprocess.Popen([SCRIPT, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))


def import_what_runs_need():
    """So that a fork does not. GNU Radio is asked to be quiet before it is imported, as the program does."""
    from gnuradio.spectrumencoder.session.quiet_logs import quiet_logs
    quiet_logs()
    from gnuradio.spectrumencoder.blocks import soapy_radio, spectrum_monitor  # noqa: F401
    from gnuradio.spectrumencoder.cli import run  # noqa: F401
    from gnuradio.spectrumencoder.session import run_probe, sweep_log  # noqa: F401


def outputs(folder: Path, name: str) -> dict[str, Path]:
    return {key: folder / f"{name}.{key}" for key in ("events", "tracks", "encoded", "json")}


def command(recording: Path, files: dict[str, Path]) -> list[str]:
    return ["run", str(recording), "-q", *(part for key, path in files.items() for part in (f"--{key}", str(path)))]


def run_main(arguments: list[str]) -> tuple[int, str]:
    """Exit status and what went to stderr, of a command in this process."""
    from gnuradio.spectrumencoder.cli.main import main
    errors, out = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(out):
        status = main(arguments)
    return status, errors.getvalue()


def lines_of(path: Path) -> list[dict] | None:
    """The JSON lines of a file; None if one is torn or no JSON."""
    if not path.exists():
        return []
    text = path.read_text()
    try:
        rows = [json.loads(line) for line in text.splitlines()]
    except ValueError:
        return None
    return None if text and not text.endswith("\n") else [{k: v for k, v in row.items() if k not in CHANGING} for row in rows]


def differences(some: list, every: list) -> dict[str, list[str]]:
    """States by event of the lines in which a stopped run differs from the whole one by more than its end explains.

    The end cuts bursts short, and says so: for each event that is open its last line is the close, and before that may be an
    update about each of its bursts, or that the first of them has opened it.
    """
    same = next((n for n, (a, b) in enumerate(zip(some, every, strict=False)) if a != b), min(len(some), len(every)))
    ends: dict[str, list[str]] = {}
    for row in some[same:]:
        ends.setdefault(row["event_id"], []).append(row["state"])
    explained = {event for event, (*before, last) in ends.items()
                 if last == "close" and set(before[:1]) <= {"open", "update"} and set(before[1:]) <= {"update"}}
    return {event: states for event, states in ends.items() if event not in explained}


def units(path: Path) -> list[bytes]:
    from gnuradio.spectrumencoder.encoder.pdu import iterate
    return [unit if isinstance(unit, bytes) else b"" for _, unit in iterate(path.read_bytes())] if path.exists() else []


def signals(folder: Path, seeds: range):
    recording, whole = folder / "quiet.sigmf-meta", outputs(folder, "whole")
    for path in whole.values():
        path.unlink(missing_ok=True)  # events are appended
    began = time.monotonic()
    subprocess.run([SCRIPT, *command(recording, whole)], check=True, timeout=300)
    lasted = {True: time.monotonic() - began}  # by whether the process is fresh
    import_what_runs_need()
    began = time.monotonic()
    Forked(command(recording, outputs(folder, "forked"))).communicate()
    lasted[False] = time.monotonic() - began
    every, every_unit = lines_of(whole["events"]), units(whole["encoded"])
    for seed in seeds:
        draw = random.Random(seed)
        number = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)[seed % 3]
        files = outputs(folder, f"stopped{seed}")
        process = start(seed, command(recording, files))
        time.sleep(draw.uniform(0.1, 1.0) * lasted[seed % 4 == 0])
        alive = process.poll() is None
        process.send_signal(number)
        _, errors, took_s = finish(process, 30)
        if errors.startswith(PYTHON_IS_NOT_UP):
            alive, errors = False, ""  # nothing of the program has run
        found = {key: lines_of(files[key]) for key in ("events", "tracks")}
        parts = units(files["encoded"])
        whole_parts = parts[:-1]  # the last group is short, or torn by kill -9
        summary = json.loads(files["json"].read_text()) if files["json"].exists() else {}
        killed = number == signal.SIGKILL
        yield {"seed": seed, "signal": number.name, "alive": alive, "status": process.returncode, "errors": errors,
               "seconds": took_s, "valid": all(rows is not None for rows in found.values()),
               "differences": differences(found["events"] or [], every),
               "encoded": whole_parts == every_unit[:len(whole_parts)] and (killed or b"" not in parts),
               "summary": killed or not alive or bool(summary) or "in quiet" not in errors}
        for path in files.values():
            path.unlink(missing_ok=True)


def sigmf(folder: Path, seeds: range):
    meta = json.loads((folder / "quiet.sigmf-meta").read_text())
    data = (folder / "quiet.sigmf-data").read_bytes()[:8 * 400_000]
    for seed in seeds:
        draw, changed = random.Random(seed), json.loads(json.dumps(meta))
        changed["annotations"] = [{"core:sample_start": 5, "core:sample_count": 9, "core:freq_lower_edge": 1.0,
                                   "core:freq_upper_edge": 2.0, "core:label": "x"}]
        changed["captures"][0]["core:datetime"] = "2026-01-01T00:00:00Z"
        place = draw.choice([changed["global"], changed["captures"][0], changed["annotations"][0], changed])
        key = draw.choice([*place, "core:offset", "core:num_channels", "core:header_bytes", "core:trailing_bytes",
                           "core:extensions",
                           "core:global_index", "core:dataset", "core:sha512"])
        place[key] = draw.choice(ODD)
        text = json.dumps(changed).encode()
        if draw.random() < 0.2:
            at = draw.randrange(len(text))
            text = draw.choice([text[:at], text[:at] + bytes([text[at] ^ 1 << draw.randrange(8)]) + text[at + 1:]])
        (folder / "bad.sigmf-meta").write_bytes(text)
        (folder / "bad.sigmf-data").write_bytes(data[:draw.choice([len(data), len(data), 0, 7, 8 * 1000 + 3])])
        status, errors = run_main(["run", str(folder / "bad.sigmf-meta"), "-q", f"--annotate={folder}/bad-out.sigmf-meta"])
        yield {"seed": seed, "status": status, "errors": errors, "done": f"{key} = {place[key]!r:.60}"}


def encoded(folder: Path, seeds: range):
    path = folder / "some.bin"
    status, errors = run_main(["run", str(folder / "quiet.sigmf-meta"), "-q", "--encoded", str(path)])
    assert status == 0, errors
    whole = path.read_bytes()
    n_units = len(units(path))
    for seed in seeds:
        draw, data = random.Random(seed), bytearray(whole)
        for _ in range(draw.choice([1, 1, 2, 20])):
            at = draw.randrange(len(data)) if data else 0
            kind = draw.randrange(4)
            if kind == 0 and data:
                data[at] ^= 1 << draw.randrange(8)
            elif kind == 1:
                del data[at:at + draw.choice([1, 10, 5000])]
            elif kind == 2:
                data[at:at] = draw.choice([b"\xd5SE\x02", bytes(9), draw.randbytes(50)])
            else:
                data = data[:max(1, at)]
        (folder / "bad.bin").write_bytes(data)
        status, errors = run_main(["decode", str(folder / "bad.bin"), "-q", "--json", str(folder / "bad.json")])
        pdus = json.loads((folder / "bad.json").read_text())["pdus"] if (folder / "bad.json").exists() else 0
        (folder / "bad.json").unlink(missing_ok=True)
        yield {"seed": seed, "status": status, "errors": errors, "pdus": pdus, "of": n_units, "changed": bytes(data) != whole}


def full(folder: Path, seeds: range):
    for seed in seeds:
        draw, files = random.Random(seed), outputs(folder, f"full{seed}")
        limit = int(2 ** draw.uniform(4, 17))

        def small(limit=limit):
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        done = subprocess.run([SCRIPT, *command(folder / "quiet.sigmf-meta", files)], capture_output=True, text=True, timeout=120,
                              check=False, preexec_fn=small)
        yield {"seed": seed, "limit": limit, "status": done.returncode, "errors": done.stderr,
               "valid": all(lines_of(files[key]) is not None for key in ("events", "tracks")),
               "summary": not files["json"].exists() or bool(json.loads(files["json"].read_text())),
               "full": any(path.exists() and path.stat().st_size > 0.9 * limit for path in files.values())}
        for path in files.values():
            path.unlink(missing_ok=True)


READ = 8192  # samples that a read of the test radio gives, at most
ENDING, PASSING = ("unplug_after", "error_after", "hang_after"), ("overflow_every", "timeout_every")


def radio_options(draw: random.Random) -> tuple[list[str], dict[str, int], int]:
    """Source and options of a run; its faults by name, and the reads that it takes at least."""
    rate, seconds, paced = draw.choice((250e3, 1e6)), draw.choice((0.1, 0.5, 1.0, 2.0)), draw.random() < 0.2
    reads = math.ceil(rate * seconds / READ)
    faults = {name: draw.choice((1, draw.randint(1, reads), draw.randint(1, 4 * reads)))
              for name in draw.sample(ENDING + PASSING, draw.choice((1, 1, 2, 3)))}
    arguments = {"seed": draw.randrange(100), "pace": int(paced), "hwtime": draw.randrange(2),
                 "scene": draw.choice(("builtin", "none")), "retune_latency": draw.choice((0, 0, 5)), **faults}
    where = draw.choice((["--freq", "434e6"], ["--freq", "98e6"], ["--scan", "430e6:436e6"],
                         ["--scan", "88e6:90e6,433e6:435e6"]))
    more = draw.choice(([], [], ["--gain", "30"], ["--agc", "on"], ["--ppm", "3"], ["--setting", "dc_dbfs=-30"],
                        ["--bandwidth", "2e5"]))
    device = ",".join(f"{key}={value}" for key, value in arguments.items())
    return ([f"soapy:driver=spectrumtest,{device}", "--rate", f"{rate:g}", "--duration", f"{seconds:g}", "--silence", "4", *where,
             *more], faults, reads)


def must_end(faults: dict[str, int], reads: int) -> list[int]:
    """The exit statuses that are right."""
    if any(faults.get(name) == 1 for name in PASSING) or any(faults.get(name, reads) < reads for name in ENDING):
        return [1]  # no sample at all, or a fault before the last one; GNU Radio may read less at a time, and meet it earlier
    # A time-out costs GNU Radio half a second of the clock, also without a pace: many put the run too far behind it
    return [0, 1] if any(name in faults for name in (*ENDING, "timeout_every")) else [0]


def radio(folder: Path, seeds: range):
    import_what_runs_need()
    for seed in seeds:
        draw = random.Random(seed)
        options, faults, reads = radio_options(draw)
        files = {key: folder / f"radio{seed}.{key}" for key in draw.sample(("events", "tracks", "encoded", "json", "signals"), 2)}
        if "--scan" in options:
            files["sweeps"] = folder / f"radio{seed}.sweeps"
        arguments = [part for key, path in files.items() for part in (f"--{key}", str(path))]
        process = start(seed, ["run", *options, "-q", *arguments])
        out, errors, took_s = finish(process, 60)
        of_lines = [path for key, path in files.items() if key not in ("encoded", "json")]
        yield {"seed": seed, "options": options, "status": process.returncode, "right": must_end(faults, reads),
               "out": out, "errors": errors, "seconds": took_s,
               "valid": all(lines_of(path) is not None for path in of_lines),
               "summary": "json" not in files or (files["json"].exists() and bool(json.loads(files["json"].read_text())))}
        for path in files.values():
            path.unlink(missing_ok=True)


KINDS = {"radio": radio, "signals": signals, "sigmf": sigmf, "encoded": encoded, "full": full}


def print_rows(kinds: dict[str, Callable]):
    """The program: prints the rows of an attack, from the words KIND FOLDER FIRST COUNT."""
    _, kind, folder, first, count = sys.argv
    for row in kinds[kind](Path(folder), range(int(first), int(first) + int(count))):
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    print_rows(KINDS)
