# SPDX-License-Identifier: GPL-3.0-or-later
"""Attacks on the files that commands read and write, by seeds: python file_attacks.py KIND FOLDER FIRST COUNT.

The folder holds quiet.sigmf-meta. Kinds: `changing` (a recording is replaced, cut, rewritten or grows while it is read), `disk`
(a file system that is full; it is mounted here, so this needs root).
"""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from attacks import SCRIPT, finish, lines_of, print_rows

SCENE = {"noise_dbfs_hz": -130, "emitters": [{"type": "tone", "freq_hz": 434.05e6, "power_dbfs": -30, "start_s": 3.0 + number,
                                              "stop_s": 3.3 + number} for number in range(4)]}


# A recording that changes

def replace(data: Path, other: Path, draw: random.Random):
    shutil.copy(other, data.with_suffix(".new"))
    os.replace(data.with_suffix(".new"), data)


def rewrite(data: Path, other: Path, draw: random.Random):
    """In place, as `cp` does: the file is emptied first."""
    shutil.copy(other, data)


def rewrite_parts(data: Path, other: Path, draw: random.Random):
    """In place, without a moment at which it is shorter."""
    with data.open("r+b") as to, other.open("rb") as source:
        at = draw.randrange(os.path.getsize(other)) // 8 * 8
        source.seek(at)
        to.seek(at)
        to.write(source.read(8 * draw.randrange(1, 2_000_000)))


def cut(data: Path, other: Path, draw: random.Random):
    os.truncate(data, draw.randrange(data.stat().st_size))


def grow(data: Path, other: Path, draw: random.Random):
    with data.open("ab") as to:
        to.write(other.read_bytes()[:8 * draw.randrange(1, 2_000_000)])


def remove(data: Path, other: Path, draw: random.Random):
    data.unlink()


def rewrite_metadata(data: Path, other: Path, draw: random.Random):
    meta = data.with_suffix(".sigmf-meta")
    meta.write_text(meta.read_text().replace("434000000.0", "99000000.0"))


CHANGES = (replace, rewrite, rewrite_parts, cut, grow, remove, rewrite_metadata)


def changing(folder: Path, seeds: range):
    quiet, data, other = (folder / f"{name}.sigmf-data" for name in ("quiet", "moving", "other"))
    samples = quiet.read_bytes()
    half = len(samples) // 16 * 8
    other.write_bytes(samples[half:] + samples[:half])  # its bursts are in the first half

    def run(events: Path) -> tuple[subprocess.Popen, list]:
        events.unlink(missing_ok=True)
        return subprocess.Popen([SCRIPT, "run", str(data), "--events", str(events), "-q"], stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, text=True)

    def copy():
        shutil.copy(quiet, data)
        shutil.copy(quiet.with_suffix(".sigmf-meta"), data.with_suffix(".sigmf-meta"))

    copy()
    began = time.monotonic()
    assert run(folder / "right.jsonl").wait() == 0
    lasted, right = time.monotonic() - began, lines_of(folder / "right.jsonl")
    assert right
    for seed in seeds:
        draw = random.Random(seed)
        change: Callable = draw.choice(CHANGES)
        copy()
        process = run(folder / "events.jsonl")
        time.sleep(draw.uniform(0.2, 1.0) * lasted)
        alive = process.poll() is None
        change(data, other, draw)
        _, errors, _ = finish(process, 60)
        rows, as_asked = lines_of(folder / "events.jsonl"), right
        if process.returncode == 0 and rows != right:  # it may have changed before it was opened
            assert run(folder / "changed.jsonl").wait() == 0
            as_asked = lines_of(folder / "changed.jsonl")
        yield {"seed": seed, "change": change.__name__, "alive": alive, "status": process.returncode, "errors": errors,
               "valid": rows is not None, "right": rows == as_asked}


# A disk that is full

@contextlib.contextmanager
def small_disk(folder: Path, free_bytes: int):
    """A file system of its own with so much room."""
    disk = folder / "disk"
    disk.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8M", "spectrumencoder-test", disk], check=True)
    try:
        with open(disk / "filler", "wb") as filler:
            filler.write(bytes(max(0, os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize - free_bytes)))
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def commands(folder: Path, out: Path) -> dict[str, list[str]]:
    """Command lines whose named output lies in the folder `out`."""
    quiet, scene = str(folder / "quiet.sigmf-meta"), folder / "scene.json"
    scene.write_text(json.dumps(SCENE))
    live = ["run", f"soapy:driver=spectrumtest,pace=0,scene={scene}", "--rate", "1e6", "--duration", "7", "--learn", "2"]
    plain = {f"{key} {name}": ["run", quiet, f"--{key}", f"{out}/{name}"] for key, name in (
        ("events", "e.jsonl"), ("signals", "s.jsonl"), ("tracks", "t.jsonl"), ("encoded", "c.bin"), ("json", "j.json"),
        ("plot", "p.png"), ("plot", "p.pdf"), ("snippets", "snippets"), ("band-file", "b.band"))}
    return plain | {
        "annotate": ["run", quiet, f"--annotate={out}/a.sigmf-meta"],
        "annotate signals": ["run", quiet, f"--annotate={out}/a.sigmf-meta", "--annotate-signals"],
        "live events": [*live, "--freq", "434e6", "--events", f"{out}/e.jsonl"],
        "live snippets": [*live, "--freq", "434e6", "--snippets", f"{out}/snippets"],
        "live encoded": [*live, "--freq", "434e6", "--encoded", f"{out}/c.bin"],
        "live band-file": [*live, "--freq", "434e6", "--band-file", f"{out}/b.band"],
        "sweeps": [*live, "--scan", "430e6:436e6", "--sweeps", f"{out}/w.jsonl"],
        "convert": ["convert", quiet, f"{out}/copy.sigmf-meta"],
        "calibrate": ["calibrate", quiet, "--out", f"{out}/q.band"],
        "survey json": ["survey", quiet, "--json", f"{out}/s.json"],
        "survey csv": ["survey", quiet, "--csv", f"{out}/s.csv"],
        "survey plot": ["survey", quiet, "--plot", f"{out}/s.png"],
        "decode npz": ["decode", str(folder / "some.bin"), "--npz", f"{out}/d.npz"],
        "decode csv": ["decode", str(folder / "some.bin"), "--csv", f"{out}/d.csv"]}


def run_quietly(arguments: list[str]) -> tuple[int, str]:
    done = subprocess.run([SCRIPT, *arguments, *([] if arguments[0] == "convert" else ["-q"])], capture_output=True, text=True,
                          timeout=600, check=False)
    return done.returncode, done.stderr


def is_whole(path: Path) -> bool:
    """Whether a file of lines has whole ones, one of metadata or of a summary is JSON; any other is."""
    if path.suffix == ".jsonl":
        return lines_of(path) is not None
    if path.suffix in (".json", ".sigmf-meta"):
        with contextlib.suppress(ValueError):
            return bool(json.loads(path.read_text()))
        return False
    return True


def disk(folder: Path, seeds: range):
    status, errors = run_quietly(["run", str(folder / "quiet.sigmf-meta"), "--encoded", str(folder / "some.bin")])
    assert status == 0, errors
    sizes = {}  # of each output with room enough
    for name, arguments in commands(folder, folder / "room").items():
        shutil.rmtree(folder / "room", ignore_errors=True)
        (folder / "room").mkdir()
        status, errors = run_quietly(arguments)
        assert status == 0, (arguments, errors)
        sizes[name] = sum(path.lstat().st_size for path in (folder / "room").rglob("*"))
    for seed in seeds:
        draw = random.Random(seed)
        name = sorted(sizes)[seed % len(sizes)]
        free = draw.choice((0, draw.randrange(max(1, min(sizes[name], 8 << 20) - 4096))))
        with small_disk(folder, free) as out:
            status, errors = run_quietly(commands(folder, out)[name])
            left = [path for path in out.rglob("*") if path.is_file() and path.name != "filler"]
            yield {"seed": seed, "output": name, "free": free, "of": sizes[name], "status": status, "errors": errors,
                   "valid": all(map(is_whole, left)), "left": sorted(path.name for path in left),
                   "temporary": [path.name for path in left if path.name.startswith(".") or ".part" in str(path)]}


KINDS = {"changing": changing, "disk": disk}

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the disk is unmounted
    print_rows(KINDS)
