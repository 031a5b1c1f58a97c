# SPDX-License-Identifier: GPL-3.0-or-later
"""Each reader of recordings against damaged files: one clear line of error, or a recording whose samples can be read.

    python tests/recordings/fuzz.py [--readers wav blue] [--count 10000] [--seed 1]

A small valid recording is written for each reader, one of its files is damaged (bits flipped, bytes cut out, put in or moved,
numbers replaced by extreme ones), and the result is opened and read. The process may take MEMORY_MB more than it has at the
start, and LIMIT_S for a file. It prints a line for each reader, and exits 1 if one failed. test_fuzz.py runs some hundred of
each.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import re
import resource
import shutil
import signal
import struct
import sys
import tarfile
import tempfile
import time
import traceback
import zipfile
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
from gnuradio.spectrumencoder.recordings import RecordingArgumentError, RecordingError, open_recording
from gnuradio.spectrumencoder.recordings.recording import iso_time

MEMORY_MB, LIMIT_S = 200, 5.0
_RATE = 1_000_000
_PCM = np.random.default_rng(1).integers(-9000, 9000, (3000, 2)).astype("<i2")
_INTEGERS = (0, 1, 2, -1, -2, 0x7F, 0x7FFF, 0x7FFFFFFF, 2**63 - 1, -2**7, -2**15, -2**31, -2**63, 0xFFFF, 0xFFFFFFFF, 2**30,
             4096, 512)
_DOUBLES = (0.0, -1.0, math.nan, math.inf, -math.inf, 1e308, 1e-308, 1e18, 2.0**53, -5e9)
_TEXTS = (b"0", b"-1", b"1e400", b"-1e400", b"NaN", b"null", b"true", b"[]", b"{}", b'"x"', b"9" * 40, b"0.5", b"1e18",
          b"-9e18", b"99999")


class TooSlow(Exception):
    """A file took more than LIMIT_S."""


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """A damaged copy. Two of three changes are in the first kilobyte, where headers are."""
    data = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        if not data:
            break
        at = int(rng.integers(0, len(data) if rng.random() < 0.34 else min(len(data), 1024)))
        kind = rng.integers(0, 9)
        if kind == 0:
            data[at] ^= 1 << rng.integers(0, 8)
        elif kind == 1:
            data[at] = rng.integers(0, 256)
        elif kind == 2:
            del data[at:]
        elif kind == 3:
            del data[at:at + int(rng.integers(1, 40))]
        elif kind == 4:
            data[at:at] = rng.integers(0, 256, rng.integers(1, 40), np.uint8).tobytes()
        elif kind == 5:
            start = int(rng.integers(0, len(data)))
            data[at:at] = data[start:start + int(rng.integers(1, 200))]
        elif kind == 6:
            data[at:at + 8] = struct.pack(rng.choice(["<d", ">d"]), _DOUBLES[rng.integers(0, len(_DOUBLES))])
        elif kind == 7 and (numbers := list(re.finditer(rb"-?\d+(\.\d+)?|true|null", bytes(data[:4096])))):
            number = numbers[rng.integers(0, len(numbers))]
            data[number.start():number.end()] = _TEXTS[rng.integers(0, len(_TEXTS))]
        else:
            n_bytes = int(2 ** rng.integers(0, 4))
            value = [*_INTEGERS, len(data), len(data) - 1, len(data) + 1][rng.integers(0, len(_INTEGERS) + 3)]
            data[at:at + n_bytes] = (value % 2 ** (8 * n_bytes)).to_bytes(n_bytes, str(rng.choice(["little", "big"])))
    return bytes(data)


def check(path: Path) -> bool:
    """Opens and reads a recording; False if it was refused in one line.

    Raises:
        Exception: anything else went wrong.
    """
    try:
        try:
            recording = open_recording(path)
        except RecordingArgumentError:  # the rate is not known any more
            recording = open_recording(path, rate=_RATE)
        if not (recording.n_samples > 0 and 0 < recording.samp_rate < math.inf):
            raise AssertionError(f"{recording.n_samples} samples at {recording.samp_rate} Hz")
        starts = [c.sample_start for c in recording.captures]
        if starts != sorted(starts) or not 0 <= starts[0] or not starts[-1] < recording.n_samples:
            raise AssertionError(f"captures at {starts[:5]} ... {starts[-1]} of {recording.n_samples} samples")
        for capture in recording.captures[:50]:
            if capture.time_parts is not None:
                iso_time(capture.time_parts)
            if capture.frequency_hz is not None and not math.isfinite(capture.frequency_hz):
                raise AssertionError(f"frequency {capture.frequency_hz}")
        json.dumps(recording.sigmf_meta(path.with_suffix(".sigmf-meta")), allow_nan=False)
        if any("\n" in note or len(note) > 1000 for note in recording.notes):
            raise AssertionError(f"note of several lines: {recording.notes}")
        for start in (0, recording.n_samples // 2, max(0, recording.n_samples - 4096)):
            count = min(4096, recording.n_samples - start)
            if recording.read(start, count).shape != (count,):
                raise AssertionError("the samples have another number")
    except RecordingError as error:
        if "\n" in str(error) or len(str(error)) > 1000:
            raise AssertionError(f"error of several lines: {error}") from error
        return False
    return True


def _sigmf(folder: Path) -> Path:
    meta = {"global": {"core:datatype": "ci16_le", "core:sample_rate": _RATE, "core:version": "1.2.0", "core:num_channels": 1,
                       "core:offset": 0, "core:trailing_bytes": 0, "core:author": "x"},
            "captures": [{"core:sample_start": 0, "core:frequency": 1e8, "core:datetime": "2023-05-01T12:30:15.25Z",
                          "core:header_bytes": 0, "core:global_index": 0},
                         {"core:sample_start": 1000, "core:global_index": 5000, "core:frequency": 2e8}],
            "annotations": [{"core:sample_start": 10, "core:sample_count": 20, "core:freq_lower_edge": 1e8,
                             "core:freq_upper_edge": 1.1e8, "core:label": "x"}]}
    (folder / "x.sigmf-meta").write_text(json.dumps(meta))
    (folder / "x.sigmf-data").write_bytes(_PCM.tobytes())
    return folder / "x.sigmf-meta"


def _sigmf_tar(folder: Path, packed: str = "") -> Path:
    with tempfile.TemporaryDirectory() as inside:
        _sigmf(Path(inside))
        with tarfile.open(folder / "x.sigmf", f"w:{packed}") as archive:
            for suffix in ("meta", "data"):
                archive.add(Path(inside) / f"x.sigmf-{suffix}", f"x/x.sigmf-{suffix}")
    return folder / "x.sigmf"


def _sigmf_zip(folder: Path) -> Path:
    with tempfile.TemporaryDirectory() as inside:
        _sigmf(Path(inside))
        with zipfile.ZipFile(folder / "x.sigmf.zip", "w") as archive:
            for suffix in ("meta", "data"):
                archive.write(Path(inside) / f"x.sigmf-{suffix}", f"x/x.sigmf-{suffix}")
    return folder / "x.sigmf.zip"


def _sigmf_collection(folder: Path) -> Path:
    _sigmf(folder)
    (folder / "x.sigmf-collection").write_text(json.dumps({"collection": {"core:version": "1.2.0", "core:streams": [
        {"name": "x", "hash": "0" * 128}]}}))
    return folder / "x.sigmf-collection"


def _raw(folder: Path) -> Path:
    path = folder / "gqrx_20230501_123015_433920000_1000000_fc.raw"
    path.write_bytes(_PCM.astype("<f4").tobytes())
    return path


def _npy(folder: Path) -> Path:
    np.save(folder / "x.npy", _PCM.astype(np.float32).view(np.complex64)[:, 0])
    return folder / "x.npy"


def _wav(folder: Path) -> Path:
    from test_wav import auxi, chunk, fmt, write
    return write(folder / "x.wav", chunk(b"LIST", b"INFOabc"), fmt(length=18), auxi(433_920_000), chunk(b"data", _PCM.tobytes()),
                 chunk(b"note", b"abcd"))


def _wav_xml(folder: Path) -> Path:
    from test_wav import chunk, extensible, write
    xml = '<?xml version="1.0"?><D CurrentTimeUTC="01-05-2023 12:30:15" RadioCenterFreq="10489750000" UTCSeconds="1682944215"/>'
    return write(folder / "x.wav", chunk(b"ds64", struct.pack("<QQQI", 0, _PCM.nbytes, 3000, 0)), extensible(1, 16, 2),
                 chunk(b"auxi", xml.encode()), chunk(b"data", _PCM.tobytes(), size=0xFFFFFFFF), container=b"RF64")


def _wav_kiwi(folder: Path) -> Path:
    from test_wav import gps, kiwi_wav
    return kiwi_wav(folder / "20230501T123017Z_7500000_site_iq.wav", gps(131433.25, 20, 10, 2.5))[0]


def _file_meta(folder: Path, *, detached: bool = False) -> Path:
    import pmt
    from test_file_meta import START, tag, write
    write(folder / "x.dat", [*START, tag(450, "rx_freq", pmt.from_double(868e6)), tag(700, "name", pmt.intern("x"))],
          items=_PCM[:1000].astype(np.float32).view(np.complex64)[:, 0], segment=300, detached=detached)
    return folder / ("x.dat.hdr" if detached else "x.dat")


def _blue(folder: Path, end: str = "<") -> Path:
    from test_headers import blue, keyword
    return blue(folder / "x.tmp", _PCM.tobytes(), end=end, data_end=end, main=b"FREQ=100e6\0TC_PREC=1e-9\0",
                keywords=keyword(end, "RF_FREQ", "D", 433.92e6) + keyword(end, "NOTE", "A", "abc"))


def _sdriq(folder: Path) -> Path:
    from test_headers import sdriq
    return sdriq(folder / "x.sdriq", _PCM.tobytes())


def _portapack(folder: Path) -> Path:
    (folder / "BBD_0001.C16").write_bytes(_PCM.tobytes())
    (folder / "BBD_0001.TXT").write_text("sample_rate=500000\ncenter_frequency=433920000\n")
    return folder / "BBD_0001.C16"


def _vita49(folder: Path, kind: str = "raw") -> Path:
    import test_vita49
    packets = [test_vita49.context_packet(), *test_vita49.stream_of()[:12], test_vita49.context_packet(1, rf_hz=868e6),
               *test_vita49.stream_of(stream=0x22)[12:24]]
    return getattr(test_vita49, kind)(folder / "x.bin", packets)


def _digital_rf(folder: Path) -> Path:
    import digital_rf
    from test_digital_rf import write
    with redirect_stdout(io.StringIO()):
        path = write(folder, [(0, (_PCM[:500].astype(np.float32) / 32768).view(np.complex64)),
                              (1200, (_PCM[500:900].astype(np.float32) / 32768).view(np.complex64))], rate=(1000, 1),
                     start=1_700_000_000_123, continuous=True)
        (path / "metadata").mkdir()
        metadata = digital_rf.DigitalMetadataWriter(str(path / "metadata"), 3600, 60, 1000, 1, "metadata")
        metadata.write(1_700_000_000_123, {"center_frequencies": np.array([[1e8]])})
    return path


READERS: dict[str, Callable[[Path], Path]] = {
    "sigmf": _sigmf, "sigmf-tar": _sigmf_tar, "sigmf-gz": lambda folder: _sigmf_tar(folder, "gz"),
    "sigmf-xz": lambda folder: _sigmf_tar(folder, "xz"), "sigmf-zip": _sigmf_zip, "sigmf-collection": _sigmf_collection,
    "raw": _raw,
    "npy": _npy, "wav": _wav, "wav-xml": _wav_xml, "wav-kiwi": _wav_kiwi, "file_meta": _file_meta,
    "file_meta-detached": lambda folder: _file_meta(folder, detached=True), "blue": _blue,
    "blue-big": lambda folder: _blue(folder, ">"),
    "sdriq": _sdriq, "portapack": _portapack, "vita49": _vita49, "vita49-pcap": lambda folder: _vita49(folder, "pcap"),
    "vita49-pcapng": lambda folder: _vita49(folder, "pcapng"), "digital_rf": _digital_rf}


def _remake_checksum(name: str, data: bytes) -> bytes:
    """A header of SDRangel whose checksum is right again: else every mutation would be refused by it."""
    import zlib
    return data[:28] + struct.pack("<I", zlib.crc32(data[:28])) + data[32:] if name == "sdriq" and len(data) > 32 else data


def fuzz(name: str, count: int, seed: int) -> dict:
    """Damages the recording of a reader `count` times. Returns counts, times and failures."""
    signal.signal(signal.SIGALRM, _stop)
    result: dict = {"reader": name, "files": count, "read": 0, "refused": 0, "failures": [], "slowest_s": 0.0}
    with tempfile.TemporaryDirectory() as work:
        valid, damaged = Path(work) / "valid", Path(work) / "damaged"
        valid.mkdir()
        named = READERS[name](valid).relative_to(valid)
        files = sorted(path for path in valid.rglob("*") if path.is_file())
        shutil.copytree(valid, damaged)
        if not check(damaged / named):
            raise SystemExit(f"{name}: the valid recording is refused")
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        limit = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + MEMORY_MB * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        for number in range(seed, seed + count):
            rng = np.random.default_rng(number)
            file = files[rng.integers(0, len(files))]
            target = damaged / file.relative_to(valid)
            data = mutated(file.read_bytes(), rng)
            target.write_bytes(_remake_checksum(name, data) if number % 2 else data)
            started = time.monotonic()
            signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
            try:
                result["read" if check(damaged / named) else "refused"] += 1
            except Exception as error:  # noqa: BLE001  all that is no RecordingError is what is looked for
                result["failures"].append((number, "".join(traceback.format_exception(error)[-3:])))
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            result["slowest_s"] = max(result["slowest_s"], time.monotonic() - started)
            shutil.copyfile(file, target)
        result["memory_mb"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used) / 1024
    return result


def _stop(*_: object) -> None:
    raise TooSlow(f"more than {LIMIT_S} s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--readers", nargs="*", default=list(READERS), choices=list(READERS))
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    failed = 0
    for name in arguments.readers:
        result = fuzz(name, arguments.count, arguments.seed)
        print(f"{name}: {result['files']} files, {result['read']} read, {result['refused']} refused in one line, "
              f"{len(result['failures'])} failures; slowest {result['slowest_s']:.2f} s, {result['memory_mb']:.0f} MB more",
              flush=True)
        for number, text in result["failures"][:5]:
            print(f"  seed {number}: {text}")
        failed += len(result["failures"])
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
