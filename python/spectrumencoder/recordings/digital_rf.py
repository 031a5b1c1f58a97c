# SPDX-License-Identifier: GPL-3.0-or-later
"""Digital RF (MIT Haystack): a folder for each channel, with HDF5 files of a second or so in folders of an hour.

The digital_rf package (extra "digital_rf") reads properties and metadata; it brings h5py. Samples that are neither compressed nor
have checksums are read from the files as they are, at the speed of raw IQ. A gap begins a capture, as does a change of
`center_frequencies` in the channel's metadata. Subchannels are the channels. The time of a sample is its number over the rate, a
ratio of whole numbers.
"""

from __future__ import annotations

import math
import warnings
from bisect import bisect_right
from fractions import Fraction
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from ..extras import how_to_get
from .binary import MAX_TIME_S, Time, pick_channel
from .digital_rf_index import DAMAGED, MIN_FILL, Layout, Piece, channel_files, index_file, one_line, true_runs
from .raw import SampleFile
from .recording import Capture, Recording, RecordingError
from .sample_format import SampleFormat

_PROPERTIES = "drf_properties.h5"
_FREQUENCY_FIELDS = ("center_frequencies", "center_frequency", "center_freq")
_MAX_RATE = 10**12


def is_digital_rf(path: Path, head: bytes) -> bool:
    """True if a path is a channel's folder."""
    return (path / _PROPERTIES).is_file()


def find_digital_rf(path: Path) -> Path | None:
    """The channel's folder of a path that is it, one of its files, or a folder that holds this one channel alone; else None."""
    if path.is_file() and path.suffix == ".h5":
        path = path.parent if path.name == _PROPERTIES else path.parent.parent
    if not path.is_dir():
        return None
    if (path / _PROPERTIES).is_file():
        return path
    children = list(path.iterdir())
    return children[0] if len(children) == 1 and (children[0] / _PROPERTIES).is_file() else None


def open_digital_rf(path: Path, *, channel: int | None = None) -> Recording:
    """Opens a channel's folder. channel: its subchannel, counted from 0.

    Raises:
        RecordingError: damaged, empty, or the package digital_rf is missing. RecordingArgumentError: no such subchannel.
    """
    try:
        import digital_rf
        import h5py
    except ImportError as error:
        raise RecordingError(f"{path}: Digital RF needs the package digital_rf; {how_to_get('digital_rf')}") from error
    found = find_digital_rf(path)
    if found is None:
        raise RecordingError(f"{path}: is no channel of Digital RF; name the folder with {_PROPERTIES}")
    path = found
    try:
        reader = digital_rf.DigitalRFReader(str(path.resolve().parent))
        properties = reader.get_properties(path.resolve().name)
        rate = Fraction(int(properties["sample_rate_numerator"]), int(properties["sample_rate_denominator"]))
        is_continuous = bool(properties["is_continuous"])
    except DAMAGED as error:
        raise RecordingError(f"{path}: its properties are damaged ({one_line(error)})") from error
    if not 0 < rate < _MAX_RATE:
        raise RecordingError(f"{path}: its sample rate is {float(rate):g} Hz; the properties are damaged")
    layout, pieces, notes = _index(h5py, path, is_continuous)
    channel = pick_channel(path, channel, layout.n_subchannels)
    recording = DigitalRfRecording(path, layout, pieces, rate, channel, h5py, is_continuous)
    recording.captures = _captures(pieces, rate, _frequencies(reader, path, channel, pieces, notes), notes)
    known = any(c.frequency_hz is not None for c in recording.captures)
    recording.origins |= dict.fromkeys(("samp_rate", "datatype", "channels"), _PROPERTIES)
    recording.origins |= {"time": "sample number"} if recording.captures[0].time_parts is not None else {}
    recording.origins |= {"frequency": "metadata"} if known else {}
    recording.notes += notes
    return recording


class DigitalRfRecording(Recording):
    """A channel of Digital RF, or one of its subchannels."""

    def __init__(self, path: Path, layout: Layout, pieces: list[Piece], rate: Fraction, channel: int, h5py: Any,
                 may_have_fill: bool):
        files = list(dict.fromkeys(piece.file for piece in pieces))
        super().__init__(path.name, float(rate), sum(piece.n_samples for piece in pieces), path=path, datatype=layout.datatype,
                         data_paths=files)
        self.n_channels, self.channel, self.size_bytes = layout.n_subchannels, channel, sum(file.stat().st_size for file in files)
        self._pieces, self._layout, self._h5py, self._may_have_fill = pieces, layout, h5py, may_have_fill
        self._file: Path | None = None  # that was read last
        self._samples: SampleFile | None = None  # of that file
        self._ends = list(accumulate(piece.n_samples for piece in pieces))
        self._format = SampleFormat(layout.datatype)
        self._fill = self._format.decode(np.frombuffer(layout.fill, np.uint8))[0]
        self._lowest = -math.inf if np.isnan(self._fill) else float(self._fill.real)

    def _read_samples(self, start: int, out: np.ndarray) -> None:
        done, i = 0, bisect_right(self._ends, start)
        while done < len(out):
            piece = self._pieces[i]
            skip = start + done - (self._ends[i] - piece.n_samples)
            part = out[done:done + piece.n_samples - skip]
            try:
                self._read_piece(piece, piece.row + skip, part)
            except DAMAGED as error:
                raise RecordingError(f"{piece.file}: cannot be read ({one_line(error)}); open it again") from error
            done, i = done + len(part), i + 1
        # Fill is the lowest number, or NaN, and a hole has one of these samples at least: true if it is NaN too.
        if self._may_have_fill and not np.minimum.reduce(out.real[::MIN_FILL]) > self._lowest:
            _hide_fill(out, self._fill)

    def _read_piece(self, piece: Piece, row: int, out: np.ndarray) -> None:
        if piece.byte is not None:
            if self._samples is None or self._file is not piece.file:  # all pieces of a file have the same Path
                self._file = piece.file
                self._samples = SampleFile(piece.file, self._layout.datatype, n_channels=self.n_channels, channel=self.channel,
                                           byte_start=piece.byte)
            self._samples.read_into(row, out)
        else:
            with self._h5py.File(piece.file, "r") as data:
                rows = np.ascontiguousarray(data["rf_data"][row:row + len(out), self.channel])
            if len(rows) < len(out):
                raise OSError("it has become shorter")
            self._format.decode_into(rows.view(np.uint8), out)


def _hide_fill(out: np.ndarray, fill: np.complex64) -> None:
    """Fill values that the index did not find, in a hole of a file, become NaN: no sample, and no frame with it."""
    is_fill = np.isnan(out.real) if np.isnan(fill) else out == fill
    for low, high in true_runs(is_fill):
        if high - low >= MIN_FILL:
            out[low:high] = np.nan


def _index(h5py: Any, path: Path, is_continuous: bool) -> tuple[Layout, list[Piece], list[str]]:
    """What the channel's files share, the pieces by their samples, and notes."""
    layout, pieces, notes = None, [], []
    for file in channel_files(path):
        try:
            of_file, found = index_file(h5py, file, is_continuous)
        except RecordingError as error:
            notes.append(f"{error}; it is left out")
            continue
        if layout is not None and (of_file.datatype, of_file.n_subchannels) != (layout.datatype, layout.n_subchannels):
            raise RecordingError(f"{file}: holds {of_file.datatype} with {of_file.n_subchannels} subchannels, files before it "
                                 f"{layout.datatype} with {layout.n_subchannels}; take the others out of the folder")
        layout = layout or of_file
        pieces += found
    pieces.sort()
    kept: list[Piece] = []
    for piece in pieces:
        if kept and piece.first < kept[-1].first + kept[-1].n_samples:
            notes.append(f"{piece.file.name} states samples that {kept[-1].file.name} has too; they are left out")
        else:
            kept.append(piece)
    if layout is None or not kept:
        reason = f" ({notes[0]})" if notes else ""
        raise RecordingError(f"{path}: holds no samples{reason}")
    return layout, kept, notes if len(notes) < 4 else [*notes[:3], f"and {len(notes) - 3} more"]


def _captures(pieces: list[Piece], rate: Fraction, frequencies: list[tuple[int, float | None]],
              notes: list[str]) -> list[Capture]:
    """A capture after each gap and at each change of frequency. frequencies: from which sample since 1970 on."""
    changes = [at for at, _ in frequencies]
    captures: list[Capture] = []
    before = n_gaps = n_lost = 0  # before: samples of the pieces before
    for piece, earlier in zip(pieces, [None, *pieces], strict=False):
        gap = piece.first - (earlier.first + earlier.n_samples) if earlier else 0
        n_gaps, n_lost = n_gaps + (gap > 0), n_lost + gap
        inside = slice(bisect_right(changes, piece.first), bisect_right(changes, piece.first + piece.n_samples - 1))
        for start in (piece.first, *changes[inside]):
            k = bisect_right(changes, start)
            frequency = frequencies[k - 1][1] if k else None
            if not captures or (gap and start == piece.first) or frequency != captures[-1].frequency_hz:
                captures.append(Capture(before + start - piece.first, frequency, _time(start, rate)))
        before += piece.n_samples
    if n_gaps:
        notes.append(f"{n_gaps} {'gap' if n_gaps == 1 else 'gaps'}, {float(n_lost / rate):.6g} s in all; a capture after each")
    return captures


def _time(sample: int, rate: Fraction) -> Time | None:
    whole, rest = divmod(sample * rate.denominator, rate.numerator)
    return (whole, rest / rate.numerator) if 0 <= whole < MAX_TIME_S else None


def _frequencies(reader: Any, path: Path, channel: int, pieces: list[Piece], notes: list[str]) -> list[tuple[int, float | None]]:
    """(sample since 1970, centre frequency) of each record of the channel's metadata, up to the last sample."""
    if not (path / "metadata").is_dir():
        return []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other versions, in several lines
            metadata = reader.get_digital_metadata(path.resolve().name)
            first, last = metadata.get_bounds()
            field = next((name for name in _FREQUENCY_FIELDS if name in metadata.get_fields()), None)
            records = {} if field is None else metadata.read(
                first, min(int(last), pieces[-1].first + pieces[-1].n_samples), field)
        return sorted((int(sample), _frequency(value, channel)) for sample, value in records.items())
    except DAMAGED as error:
        notes.append(f"the metadata cannot be read ({one_line(error)}); the frequency is not known")
        return []


def _frequency(value: Any, channel: int) -> float | None:
    """The frequency of a subchannel; a record may have one for each, or one for all."""
    values = np.asarray(value).reshape(-1)
    if not len(values) or values.dtype.kind not in "iuf":
        return None
    number = float(values[channel if channel < len(values) else 0])
    return number if math.isfinite(number) else None
