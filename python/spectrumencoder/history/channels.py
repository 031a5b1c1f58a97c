# SPDX-License-Identifier: GPL-3.0-or-later
"""Channels: a grid over absolute frequency, so that what different tunings hear adds up; and the measure of their occupancy.

Channel k of a grid of width w is centred on k * w, as the rasters of most services are. w is 25 kHz times a power of two, so that
a tuning has 64 to 128 of them. Occupancy is the share of frames in which the strongest bin of a channel is above the floor
(frequency channel occupancy, Recommendation ITU-R SM.1880). The floor of a frame is one for all bins, a low quantile across them:
a carrier that never stops is above it all the time.

Shape letters: F frames, N bins, C channels.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..emitters.steady import DC_BINS
from .reader import MIN_GAP_S

if TYPE_CHECKING:
    from ..display.history import Tuning

RASTER_HZ = 25e3
MIN_CHANNELS = 64  # of a tuning; twice as many at most
MAX_SCAN_CHANNELS = 4096  # of a scan over all hops: beyond, channels are wider
QUANTILE, _QUANTILE_Z = 0.25, -0.6744898  # of the bins that is noise, as of the tokenizer's floor
MIN_OVER_DB = 6.0  # over the floor: occupied
_RARE_Z = 4.4172  # of a normal variable, exceeded with probability 5e-6 by a bin of noise
WINDOW_BINS = 4  # half the main lobe of the Blackman-Harris window
MINUTE_S = 60.0
MAX_GAPS = 1000  # that wait to be taken


def channel_hz(rate_hz: float, span_hz: float = 0.0) -> float:
    """Width of the channels of a tuning, Hz.

    Args:
        rate_hz: width of a tuning. span_hz: of all ranges of a scan together, else 0.
    """
    width = RASTER_HZ * 2.0 ** math.floor(math.log2(rate_hz / MIN_CHANNELS / RASTER_HZ))
    return width * 2.0 ** max(0, math.ceil(math.log2(max(span_hz, 1.0) / width / MAX_SCAN_CHANNELS)))


def over_db(average: int) -> float:
    """Level over the floor, dB, from which on a bin is occupied: noise exceeds it in 5e-6 of its bins, or fewer.

    Args:
        average: spectra in a frame; a bin of noise is a gamma variable of that shape.
    """
    return max(MIN_OVER_DB, 10 * math.log10(_gamma_quantile(average, _RARE_Z)))


def _gamma_quantile(shape: float, z: float) -> float:
    """Quantile of a gamma variable of mean 1, by the one of a normal variable (Wilson and Hilferty 1931)."""
    return max(1e-3, 1.0 - 1.0 / (9.0 * shape) + z * math.sqrt(1.0 / (9.0 * shape))) ** 3


def is_short(frame: np.ndarray, average: int) -> bool:
    """Whether a frame (N,) dBFS has about half as many spectra as it should, or fewer: by how much its noise varies.

    That is the median difference between bins so far apart that the window does not join them.
    """
    varies_db = 10 / math.log(10.0) * math.sqrt(2 * (1 / average + 1 / (2 * average**2)))  # of the logarithm of a gamma variable
    return float(np.median(np.abs(frame[WINDOW_BINS:] - frame[:-WINDOW_BINS]))) > 1.35 * 0.6745 * varies_db


class Grid:
    """The bins of a tuning on the grid.

    Attributes:
        first: number of the first channel; its centre is first * channel_hz. n_channels: C.
        bins: slice of the bins that count. starts: (C,) where each channel begins among those. dc: slice of the receiver's own
            line among those.
    """

    def __init__(self, tuning: Tuning, width_hz: float, usable: float):
        n_bins, middle = tuning.n_bins, tuning.n_bins // 2
        centers = tuning.center_hz + tuning.bin_hz * (np.arange(n_bins) - middle)
        number = np.floor(centers / width_hz + 0.5).astype(np.int64)
        reach = 0.5 * usable * tuning.rate_hz
        inside = (number * width_hz >= tuning.center_hz - reach) & (number * width_hz <= tuning.center_hz + reach)
        low, high = int(np.argmax(inside)), n_bins - int(np.argmax(inside[::-1]))
        self.bins, self.channel_hz = slice(low, high), width_hz
        self.first = int(number[low])
        self.starts = np.flatnonzero(np.diff(number[low:high], prepend=number[low] - 1))
        self.n_channels = len(self.starts)
        self.dc = slice(max(0, middle - DC_BINS - low), max(0, middle + DC_BINS + 1 - low))
        self.low_hz, self.bin_hz = tuning.low_hz + low * tuning.bin_hz, tuning.bin_hz


class Sums:
    """What was measured at one tuning in one minute.

    Attributes:
        begin_s, end_s: POSIX. frames: number of them. floor_sum: of their floors, dBFS.
        channel_n, channel_sum, channel_max: (C,) frames above the floor; sum over all frames of the power over the floor
            (linear), of the strongest bin; its max.
        bin_n, bin_sum, bin_max: (bins,) as those, and the sum of the power in frames above the floor.
    """

    def __init__(self, grid: Grid, begin_s: float):
        n_bins = grid.bins.stop - grid.bins.start
        self.grid, self.begin_s, self.end_s, self.frames, self.seconds, self.floor_sum = grid, begin_s, begin_s, 0, 0.0, 0.0
        self.channel_n, self.channel_sum, self.channel_max = (np.zeros(grid.n_channels) for _ in range(3))
        self.bin_n, self.bin_sum, self.bin_max = (np.zeros(n_bins, np.float32) for _ in range(3))

    def add(self, psd: np.ndarray, over: float, floor_db: float, begin_s: float, frame_s: float) -> None:
        """Takes frames (F, N) dBFS. over: power over the floor from which on a bin counts. floor_db: of ``Meter``."""
        n_bins = psd.shape[1]
        floor = np.partition(psd, int(QUANTILE * n_bins), axis=1)[:, int(QUANTILE * n_bins), None] - floor_db
        power = np.exp((psd[:, self.grid.bins] - floor) * np.float32(0.1 * math.log(10.0)))
        if self.grid.dc.stop:
            power[:, self.grid.dc] = 1.0
        above = power > over
        strongest = np.maximum.reduceat(power, self.grid.starts, axis=1)
        self.channel_n += np.count_nonzero(strongest > over, axis=0)
        self.channel_sum += strongest.sum(axis=0, dtype=np.float64)
        np.maximum(self.channel_max, strongest.max(axis=0), out=self.channel_max)
        self.bin_n += np.count_nonzero(above, axis=0)
        self.bin_sum += np.where(above, power, 0.0).sum(axis=0)
        np.maximum(self.bin_max, power.max(axis=0), out=self.bin_max)
        self.floor_sum += float(floor.sum())
        self.frames += len(psd)
        self.seconds += len(psd) * frame_s
        self.end_s = begin_s + len(psd) * frame_s


class Reach(NamedTuple):
    """An emitter's place: its number, and its lowest and highest frequency in Hz."""

    emitter_id: int
    low_hz: float
    high_hz: float


class Level(NamedTuple):
    """An emitter in a stretch of time: frames at its place, those above the floor, their power over it (sum, max; linear)."""

    frames: int
    n: float
    power_sum: float
    power_max: float


def level_of(sums: Sums, place: Reach) -> Level | None:
    """The level of the bin in an emitter's place that was above the floor in most frames; None if it was not tuned to."""
    grid = sums.grid
    low = math.floor((place.low_hz - grid.low_hz) / grid.bin_hz)
    high = math.ceil((place.high_hz - grid.low_hz) / grid.bin_hz)
    if high <= 0 or low >= len(sums.bin_n):
        return None
    part = slice(max(low, 0), max(high, low + 1))
    best = part.start + int(np.lexsort((sums.bin_sum[part], sums.bin_n[part]))[-1])
    return Level(sums.frames, float(sums.bin_n[best]), float(sums.bin_sum[best]), float(sums.bin_max[part].max()))


class Meter:
    """Frames in, sums by minute and tuning out. ``add`` is called on one thread, ``take`` on another.

    Args:
        width_hz: of the channels. average: spectra in a frame. usable: share of a tuning's width that counts.

    Attributes: lost_frames: dropped since nobody took the sums in time.
    """

    MAX_SUMS = 2048

    def __init__(self, width_hz: float, average: int, usable: float = 1.0):
        self._width_hz, self._usable = width_hz, usable
        self._average, self._over = average, np.float32(10 ** (over_db(average) / 10))
        self._floor_db = np.float32(10 * math.log10(_gamma_quantile(average, _QUANTILE_Z)))
        self._grids: dict[Tuning, Grid] = {}
        self._sums: dict[tuple[int, Tuning], Sums] = {}
        self._lock = threading.Lock()
        self._held: tuple[np.ndarray, Tuning, float, float] | None = None  # the newest frame, with the arguments of `add`
        self._end_s = math.inf  # of the newest frame
        self._gaps: deque[tuple[float, float]] = deque(maxlen=MAX_GAPS)
        self.lost_frames = 0

    def add(self, psd: np.ndarray, tuning: Tuning, posix_s: float, frame_s: float) -> None:
        """Takes frames (F, N) dBFS that follow each other from posix_s on, frame_s seconds apart.

        A frame before a break may be of fewer spectra, in which noise reaches high: it is left out then.
        """
        if not len(psd):
            return
        if posix_s - self._end_s >= MIN_GAP_S:
            self._gaps.append((self._end_s, posix_s))
        self._end_s = posix_s + len(psd) * frame_s
        if self._held is not None:
            _, before, held_s, held_frame_s = self._held
            if tuning == before and abs(held_s + held_frame_s - posix_s) < 0.5 * frame_s:
                self._count(*self._held)
            else:
                self.finish()
        last = len(psd) - 1
        self._count(psd[:last], tuning, posix_s, frame_s)
        self._held = psd[last:].copy(), tuning, posix_s + last * frame_s, frame_s

    def finish(self) -> None:
        """A break follows, or the end."""
        held, self._held = self._held, None
        if held is not None and not is_short(held[0][0], self._average):
            self._count(*held)

    def _count(self, psd: np.ndarray, tuning: Tuning, posix_s: float, frame_s: float) -> None:
        while len(psd):
            minute = math.floor(posix_s / MINUTE_S + 1e-9)
            count = min(len(psd), max(1, math.ceil(((minute + 1) * MINUTE_S - posix_s) / frame_s - 1e-6)))
            with self._lock:
                self._of(minute, tuning, posix_s).add(psd[:count], self._over, self._floor_db, posix_s, frame_s)
            psd, posix_s = psd[count:], posix_s + count * frame_s

    def _of(self, minute: int, tuning: Tuning, posix_s: float) -> Sums:
        sums = self._sums.get((minute, tuning))
        if sums is None:
            if len(self._sums) >= self.MAX_SUMS:
                self.lost_frames += self._sums.pop(next(iter(self._sums))).frames
            if len(self._grids) > self.MAX_SUMS:
                self._grids.clear()
            grid = self._grids.get(tuning)
            if grid is None:
                grid = self._grids[tuning] = Grid(tuning, self._width_hz, self._usable)
            sums = self._sums[minute, tuning] = Sums(grid, posix_s)
        return sums

    def take_gaps(self) -> list[tuple[float, float]]:
        """Stretches without a frame since the last call, MIN_GAP_S or longer: begin and end, POSIX s."""
        return [self._gaps.popleft() for _ in range(len(self._gaps))]

    def take(self) -> list[tuple[int, Sums]]:
        """The sums since the last call, by minute."""
        with self._lock:
            taken, self._sums = self._sums, {}
        return [(minute, sums) for (minute, _), sums in taken.items()]
