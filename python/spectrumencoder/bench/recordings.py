# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading of recordings: the same noise in 16 bits as SigMF, WAV and Digital RF, read in blocks from first to last.

The files lie in a temporary folder, and in the page cache after the first turn: what is measured is the reader, not the disk.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..measure.machine import head
from ..recordings import Recording, open_recording
from ..recordings.sigmf_writer import write_encoded
from .rounds import QUIET, paired_ratio, statistics, take_turns

SIGMF, WAV, DIGITAL_RF, CONTINUOUS = "SigMF", "WAV", "Digital RF", "Digital RF, continuous"
_RATE, _START_S = 2_500_000, 1_700_000_000


@dataclass(frozen=True)
class Sizes:
    """Rounds, samples in millions of each file, and samples in a block."""

    rounds: int = 9
    msamples: float = 50.0
    blocks: tuple[int, ...] = (1 << 14, 1 << 16, 1 << 20)


QUICK = Sizes(2, 1.0, (1 << 16,))


def recordings(*, sizes: Sizes = Sizes(), seed: int = 0,
               progress: Callable[[int, int, str], None] = lambda done, total, name: None) -> dict:
    """Measures the readers.

    Returns:
        head; `rows`: block and `formats`: name -> ms_s (millions of samples a second, by the clock), ms_per_cpu_s, and for all
        but SigMF `speed`: its speed over that of SigMF (wall and cpu: median ratio within a round, its interval).
    """
    result = head("recordings", asdict(sizes) | {"seed": seed, "rate": _RATE})
    result["rows"] = []
    count = int(sizes.msamples * 1e6)
    with tempfile.TemporaryDirectory() as folder:
        opened = {name: open_recording(path) for name, path in _write(Path(folder), count, seed).items()}
        for number, block in enumerate(sizes.blocks):
            progress(number, len(sizes.blocks), f"blocks of {block} samples")
            out = np.empty(block, np.complex64)
            arms = {name: lambda recording=recording, out=out: _read(recording, out) for name, recording in opened.items()}
            turns = take_turns(arms, sizes.rounds, calls=1, seed=seed)[QUIET]
            figures = {}
            for name, of_one in turns.items():
                times = statistics(of_one)
                figures[name] = {"ms_s": count / times["p50_ms"] / 1e3, "ms_per_cpu_s": count / times["cpu_p50_ms"] / 1e3}
                if name != SIGMF:
                    figures[name]["speed"] = paired_ratio(turns[SIGMF], of_one, seed)
            result["rows"].append({"block": block, "formats": figures})
    progress(len(sizes.blocks), len(sizes.blocks), "done")
    return result


def _read(recording: Recording, out: np.ndarray) -> None:
    for start in range(0, recording.n_samples, len(out)):
        recording.read_into(start, out[:recording.n_samples - start])


def _write(folder: Path, count: int, seed: int) -> dict[str, Path]:
    """The files of each format; Digital RF only if its package is there."""
    pcm = np.random.default_rng(seed).integers(-3000, 3000, (count, 2), dtype="<i2")
    paths = {SIGMF: write_encoded(folder / "x", pcm.tobytes(), _RATE, "ci16_le", description="noise", center_freq_hz=1e8),
             WAV: folder / "x.wav"}
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 2, _RATE, 4 * _RATE, 4, 16)
    paths[WAV].write_bytes(b"RIFF" + struct.pack("<I", 36 + pcm.nbytes) + b"WAVE" + fmt + b"data" + struct.pack("<I", pcm.nbytes)
                           + pcm.tobytes())
    try:
        import digital_rf
    except ImportError:
        return paths
    values = pcm.view([("r", "<i2"), ("i", "<i2")])
    for name, continuous in ((DIGITAL_RF, False), (CONTINUOUS, True)):
        paths[name] = folder / name / "ch0"
        paths[name].mkdir(parents=True)
        writer = digital_rf.DigitalRFWriter(str(paths[name]), values.dtype, 3600, 1000, _START_S * _RATE, _RATE, 1,
                                            is_complex=True, num_subchannels=1, is_continuous=continuous, marching_periods=False)
        writer.rf_write(values)
        writer.close()
    return paths
