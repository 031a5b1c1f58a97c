# SPDX-License-Identifier: GPL-3.0-or-later
"""Real flights to judge trackers on: the samples in the PyPI wheel `traffic` 2.13 (MIT), cleaned and smoothed.

The wheel is read as a zip file and never imported or installed. Paths are in local metres from the flight's first point. Truth
is the jump-cleaned path through one fixed smoother (see `smooth`). The samples themselves are off by tens of metres, since
their times are rounded. A filter is judged on a path of a real flight's shape with noise of a stated sigma added.

The split never changes with a seed. Tuned on: one long manoeuvring flight, one calibration flight, and half of the aircraft of
the Swiss collection (by a checksum of the address). Judged on: the other half, and files of which nothing was tuned on.
"""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
import zipfile
import zlib
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import numpy as np
from scipy.linalg import solveh_banded
from scipy.ndimage import maximum_filter1d

from ...atomic_file import write_file
from ...tracker.geo import Origin, to_geodetic, to_local

WHEEL = "traffic-2.13-py3-none-any.whl"
DOWNLOAD = "pip download --no-deps traffic==2.13 --dest DIR"
SMOOTHER_Q = 3.0  # m2/s3, white noise of acceleration
SMOOTHER_SIGMA_M = 40.0  # of a sample about the path; with it samples are off by as much as the path says
TUNE, JUDGE = "tune", "judge"

_SAMPLES = "traffic/data/samples/"
_FORMAT = 3  # of the cache; another one is made again
_GAP_S = 60.0  # a longer one ends a flight
_MIN_POINTS = 60
_OFF_PATH_M = 250.0  # a sample farther from the smoothed path is a jump
_SPEED_MPS = 400.0  # no aircraft here is faster
_FOOT_M = 0.3048
_QUICKSTART_EVERY = 12  # of the aircraft of a large collection

_CLASSES = {"calibration": "calibration", "gliders": "glider", "surveys": "survey", "military": "military",
            "ambulances": "helicopter", "featured": "manoeuvring", "collections/switzerland": "airliner",
            "collections/quickstart": "airliner, 1 s"}
_TUNED_FILES = ("featured/belevingsvlucht", "calibration/munich")
_HALVED_FILE = "collections/switzerland"


class TrackDataError(Exception):
    """Flights that cannot be read; one line."""


@dataclass(frozen=True)
class Flight:
    """A flight without a gap of more than a minute.

    `name` is file, aircraft and number of the piece. `flight_class` is the kind of aircraft. `split` is tune or judge.
    `origin` is the place of 0, 0, 0. `time_s` (n,) is POSIX time. `position_m` (n, 3) is as reported, without jumps. `truth_m`
    and `velocity_mps` (n, 3) are of the smoothed path.
    """

    name: str
    flight_class: str
    split: str
    origin: Origin
    time_s: np.ndarray
    position_m: np.ndarray
    truth_m: np.ndarray
    velocity_mps: np.ndarray

    def truth_at(self, time_s: np.ndarray) -> np.ndarray:
        """The smoothed path between its points, by cubic Hermite polynomials, (m, 3); NaN outside."""
        time_s = np.asarray(time_s, float)
        k = np.clip(np.searchsorted(self.time_s, time_s, side="right") - 1, 0, len(self.time_s) - 2)
        step = self.time_s[k + 1] - self.time_s[k]
        u = ((time_s - self.time_s[k]) / step)[:, None]
        step = step[:, None]
        path = ((1 + 2 * u) * (1 - u) ** 2 * self.truth_m[k] + u * (1 - u) ** 2 * step * self.velocity_mps[k]
                + u**2 * (3 - 2 * u) * self.truth_m[k + 1] - u**2 * (1 - u) * step * self.velocity_mps[k + 1])
        path[(time_s < self.time_s[0]) | (time_s > self.time_s[-1])] = np.nan
        return path

    def part(self, n: int) -> Flight:
        """The middle `n` reports; all if there are fewer."""
        begin = max(0, (len(self.time_s) - n) // 2)
        rows = slice(begin, begin + n)
        return replace(self, time_s=self.time_s[rows], position_m=self.position_m[rows], truth_m=self.truth_m[rows],
                       velocity_mps=self.velocity_mps[rows])

    def noisy(self, sigma_m: float, seed: int) -> np.ndarray:
        """The truth with white noise of `sigma_m` on every axis, (n, 3); drawn from the flight's name and `seed`."""
        rng = np.random.default_rng([zlib.crc32(self.name.encode()), seed])
        return self.truth_m + sigma_m * rng.standard_normal(self.truth_m.shape)


@dataclass(frozen=True)
class Samples:
    """One aircraft of one file as it reported itself, in order of time.

    `time_s`, `latitude`, `longitude` in degrees, `altitude_m` (NaN: none given), all (n,).
    """

    aircraft: str
    time_s: np.ndarray
    latitude: np.ndarray
    longitude: np.ndarray
    altitude_m: np.ndarray


def download(folder: Path) -> Path:
    """Gets the wheel into a folder with pip, unless it is there; returns its path.

    Raises:
        TrackDataError: pip could not.
    """
    wheel = folder / WHEEL
    if wheel.is_file():
        return wheel
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "traffic==2.13",
               "--dest", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    if done.returncode or not wheel.is_file():
        why = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
        raise TrackDataError(f"cannot download {WHEEL} into {folder} ({why}); run `{DOWNLOAD}` where there is a network")
    return wheel


def find_wheel(folder: Path) -> Path:
    """The wheel in a folder.

    Raises:
        TrackDataError: it is not there, or is not a zip file.
    """
    wheel = folder / WHEEL
    if not wheel.is_file():
        raise TrackDataError(f"{folder} does not hold {WHEEL}; run `{DOWNLOAD.replace('DIR', str(folder))}`, or give --download")
    if not zipfile.is_zipfile(wheel):
        raise TrackDataError(f"{wheel} is not a whole wheel; remove it and download it again")
    return wheel


def flights(folder: Path, split: str | None = None) -> list[Flight]:
    """All flights, or those of one split. The first call keeps its result beside the wheel (`track_flights.npz`)."""
    wheel, cache = find_wheel(folder), folder / "track_flights.npz"
    made = _read_cache(cache, wheel)
    if made is None:
        made = _make_flights(wheel)
        _write_cache(cache, wheel, made)
    return [f for f in made if split in (None, f.split)]


def files(wheel: Path, under: str = "") -> list[str]:
    """Names of the sample files in a wheel, such as `gliders/luberon`, under a folder of them."""
    with zipfile.ZipFile(wheel) as archive:
        names = [n.removeprefix(_SAMPLES).removesuffix(".json.gz") for n in archive.namelist()
                 if n.startswith(_SAMPLES + under) and n.endswith(".json.gz")]
    return sorted(names)


def read_samples(wheel: Path, name: str) -> list[Samples]:
    """Every aircraft of a sample file. Rows without a position and repeats of the position before are left out.

    Raises:
        TrackDataError: there is no such file, or its content is not as expected.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            content = json.loads(gzip.decompress(archive.read(f"{_SAMPLES}{name}.json.gz")))
        columns = ("timestamp", "latitude", "longitude", "altitude")
        if isinstance(content, dict):  # {column: {row: value}}
            rows = list(content["timestamp"])
            names = content.get("icao24", {})
            aircraft = np.array([str(names.get(r, "")) for r in rows])
            table = np.array([[content[c][r] for r in rows] for c in columns], float)
        else:
            aircraft = np.array([f"{r.get('icao24', '')}{'-' * ('flight_id' in r)}{r.get('flight_id', '')}" for r in content])
            table = np.array([[r.get(c) for r in content] for c in columns], float)
    except (KeyError, OSError, ValueError, TypeError, EOFError) as error:
        raise TrackDataError(f"cannot read {name} of {wheel} ({error}); download the wheel again") from error
    return [_samples(one, table[:, aircraft == one]) for one in dict.fromkeys(aircraft)]


def _samples(aircraft: str, table: np.ndarray) -> Samples:
    table = table[:, np.isfinite(table[:3]).all(axis=0)]
    table = table[:, np.argsort(table[0], kind="stable")]
    new = np.ones(table.shape[1], bool)  # a receiver repeats the last position while none comes
    new[1:] = (np.diff(table[0]) > 0) & (np.diff(table[1:3], axis=1) != 0).any(axis=0)
    table = table[:, new]
    return Samples(aircraft, table[0] / 1e3, table[1], table[2], table[3] * _FOOT_M)


def smooth(time_s: np.ndarray, position_m: np.ndarray, q: float = SMOOTHER_Q,
           sigma_m: float = SMOOTHER_SIGMA_M) -> tuple[np.ndarray, np.ndarray]:
    """The Rauch-Tung-Striebel smoother of a constant-velocity model without a prior: position and velocity, (n, D) each.

    Solved at once as the least squares that the two recursions solve step by step: a banded system,
    sum |z_k - p_k|^2 / sigma^2 + sum (x_k+1 - F x_k)' Q^-1 (x_k+1 - F x_k), Q = q [[T^3/3, T^2/2], [T^2/2, T]].
    """
    n, step = len(time_s), np.diff(time_s)
    inverse = np.array([[12 / step**3, -6 / step**2], [-6 / step**2, 4 / step]]).transpose(2, 0, 1) / q
    forward = np.zeros((n - 1, 2, 2))
    forward[:, 0, 0] = forward[:, 1, 1] = 1.0
    forward[:, 0, 1] = step
    diagonal = np.zeros((n, 2, 2))
    diagonal[:, 0, 0] = sigma_m**-2
    diagonal[1:] += inverse
    diagonal[:-1] += forward.transpose(0, 2, 1) @ inverse @ forward
    beside = -forward.transpose(0, 2, 1) @ inverse  # block of row k, column k + 1
    banded = np.zeros((4, 2 * n))  # upper form: banded[3 - d, j] is the entry d above the diagonal in column j
    banded[3, 0::2], banded[3, 1::2], banded[2, 1::2] = diagonal[:, 0, 0], diagonal[:, 1, 1], diagonal[:, 0, 1]
    banded[1, 2::2], banded[1, 3::2] = beside[:, 0, 0], beside[:, 1, 1]
    banded[0, 3::2], banded[2, 2::2] = beside[:, 0, 1], beside[:, 1, 0]
    right = np.zeros((2 * n, position_m.shape[1]))
    right[0::2] = position_m / sigma_m**2
    state = solveh_banded(banded, right)
    return state[0::2], state[1::2]


def seen_from(flight: Flight, origin: Origin) -> Flight:
    """The same flight in metres from another origin."""
    def moved(position_m):
        return to_local(*to_geodetic(position_m, flight.origin), origin)

    truth = moved(flight.truth_m)
    return replace(flight, origin=origin, position_m=moved(flight.position_m), truth_m=truth,
                   velocity_mps=moved(flight.truth_m + flight.velocity_mps) - truth)


def pieces(samples: Samples, name: str, flight_class: str, split: str) -> list[Flight]:
    """The flights in one aircraft's samples: jumps taken out, split at gaps, smoothed; pieces under 60 points are left out."""
    made = []
    for k, rows in enumerate(_pieces(samples.time_s, np.arange(len(samples.time_s)))):
        altitude = samples.altitude_m[rows]
        known = np.isfinite(altitude)
        time_s = samples.time_s[rows]
        altitude = np.interp(time_s, time_s[known], altitude[known]) if known.any() else np.zeros(len(rows))
        origin = Origin(float(samples.latitude[rows[0]]), float(samples.longitude[rows[0]]), float(altitude[0]))
        position = to_local(samples.latitude[rows], samples.longitude[rows], altitude, origin)
        keep = _without_jumps(time_s, position)
        for j, part in enumerate(_pieces(time_s, np.flatnonzero(keep))):
            truth, velocity = smooth(time_s[part], position[part])
            made.append(Flight(f"{name}:{samples.aircraft}:{k}.{j}", flight_class, split, origin, time_s[part], position[part],
                               truth, velocity))
    return made


def _pieces(time_s: np.ndarray, rows: np.ndarray) -> list[np.ndarray]:
    parts = np.split(rows, np.flatnonzero(np.diff(time_s[rows]) > _GAP_S) + 1)
    return [p for p in parts if len(p) >= _MIN_POINTS]


def _without_jumps(time_s: np.ndarray, position_m: np.ndarray) -> np.ndarray:
    """Which points to keep, (n,). First goes a point that is too fast from both neighbours. Then goes each point off the smoothed
    path, the worst of a neighbourhood first, because it drags the path away from others.
    """
    keep = np.ones(len(time_s), bool)
    speed = np.linalg.norm(np.diff(position_m, axis=0), axis=1) / np.diff(time_s)
    keep[1:-1] = (speed[:-1] < _SPEED_MPS) | (speed[1:] < _SPEED_MPS)
    for _ in range(5):
        rows = np.flatnonzero(keep)
        if len(rows) < _MIN_POINTS:
            break
        off_m = np.linalg.norm((smooth(time_s[rows], position_m[rows])[0] - position_m[rows])[:, :2], axis=1)
        jumps = (off_m > _OFF_PATH_M) & (off_m > 0.7 * maximum_filter1d(off_m, 11))
        if not jumps.any():
            break
        keep[rows[jumps]] = False
    return keep


def _make_flights(wheel: Path) -> list[Flight]:
    made = []
    for name in files(wheel):
        flight_class = _CLASSES.get(name, _CLASSES.get(name.split("/")[0]))
        if flight_class is None:
            continue
        aircraft = read_samples(wheel, name)
        for one in aircraft[::_QUICKSTART_EVERY] if name == "collections/quickstart" else aircraft:
            halved = name == _HALVED_FILE and zlib.crc32(one.aircraft.encode()) % 2 == 0
            made += pieces(one, name, flight_class, TUNE if halved or name in _TUNED_FILES else JUDGE)
    return made


def _write_cache(cache: Path, wheel: Path, made: list[Flight]):
    head = {"format": _FORMAT, "wheel_bytes": wheel.stat().st_size, "smoother": [SMOOTHER_Q, SMOOTHER_SIGMA_M],
            "flights": [[f.name, f.flight_class, f.split, astuple(f.origin), len(f.time_s)] for f in made]}
    content = io.BytesIO()
    np.savez_compressed(content, head=json.dumps(head), **{
        name: np.concatenate([getattr(f, name) for f in made]) for name in ("time_s", "position_m", "truth_m", "velocity_mps")})
    write_file(cache, content.getvalue())


def _read_cache(cache: Path, wheel: Path) -> list[Flight] | None:
    """The kept flights; None if there are none, or they are of another format, wheel or smoother."""
    try:
        with np.load(cache) as kept:
            head = json.loads(str(kept["head"]))
            arrays = {n: kept[n] for n in ("time_s", "position_m", "truth_m", "velocity_mps")}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    if (head["format"], head["wheel_bytes"], head["smoother"]) != (_FORMAT, wheel.stat().st_size, [SMOOTHER_Q, SMOOTHER_SIGMA_M]):
        return None
    edges = np.cumsum([0, *(f[-1] for f in head["flights"])])
    return [Flight(name, flight_class, split, Origin(*origin), **{n: a[low:high] for n, a in arrays.items()})
            for (name, flight_class, split, origin, _), low, high in zip(head["flights"], edges[:-1], edges[1:], strict=True)]
