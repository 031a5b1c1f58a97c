# SPDX-License-Identifier: GPL-3.0-or-later
"""``tokenize()``: IQ samples in NumPy to frames of tokens, computed by the C++ kernel that the live block runs too."""

from __future__ import annotations

import os
import tempfile
import threading
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from .layout import FrameLayout

_kernels = threading.local()  # a kernel serves one thread, and planning its FFT takes milliseconds


@dataclass(frozen=True)
class Frames:
    """F frames in time order. N = fft_size.

    Attributes:
        items: float32 (F, layout.item_size), as on the block's `tokens` output; `layout.split(items)` gives its parts.
        psd: float32 (F, N), dBFS, ascending frequency.
        frame_start: uint64 (F,), index of each frame's first sample.
        layout: sizes of an item.
        frame_hop: samples from one frame to the next (of an uninterrupted run).
        samp_rate: samples per second.
        center_freq: Hz at the middle of the spectrum.
    """

    items: np.ndarray
    psd: np.ndarray
    frame_start: np.ndarray
    layout: FrameLayout
    frame_hop: int
    samp_rate: float
    center_freq: float

    def __len__(self) -> int:
        return len(self.items)

    def frequencies_hz(self) -> np.ndarray:
        """Centre frequency of each bin, float64 (N,)."""
        n_bins = self.layout.fft_size
        return self.center_freq + (np.arange(n_bins) - n_bins // 2) * (self.samp_rate / n_bins)


def tokenize(iq: ArrayLike, samp_rate: float, *, fft_size: int = 1024, stride: int = 8, average: int = 16, overlap: float = 0.0,
             window: str = "blackmanharris", center_freq: float = 0.0, flush: bool = True,
             keep_constant: bool = False) -> Frames:
    """Converts `iq` to frames of tokens (docs/contracts.md, "Frame").

    Args:
        iq: complex (n,), full scale = 1.0; a contiguous complex64 array is used without a copy.
        samp_rate: samples per second.
        fft_size: bins N, 16..65536.
        stride: bins in a token; divides fft_size.
        average: windows in a frame K, 1..64.
        overlap: fraction of a window shared with the next one, 0..0.95.
        window: blackman, blackmanharris, flattop, hamming, hann, nuttall or rectangular.
        center_freq: Hz; only places `Frames.frequencies_hz()`.
        flush: also return the last frame if it has fewer than K (at least one) windows.
        keep_constant: keep frames with a run of identical samples; for computed signals, which have no noise.

    Frames that hold NaN or Inf are left out. So are frames with 1024 identical samples in a row, below full scale: zeros for lost
    samples, or a receiver that stands still. `frame_start` shows the gaps.

    Raises:
        ValueError: an argument is out of range (named, with its range), or `iq` is not one-dimensional complex.
        ImportError: the compiled module is missing.
    """
    iq = np.asarray(iq)
    if iq.ndim != 1 or not np.iscomplexobj(iq):
        raise ValueError(f"iq must be one-dimensional complex samples, not {iq.dtype} of shape {iq.shape}")
    kernel = _kernel(fft_size, stride, average, overlap, window)
    items, psd, frame_start = kernel.tokenize(np.ascontiguousarray(iq, np.complex64), samp_rate, flush, keep_constant)
    return Frames(items, psd, frame_start, FrameLayout(fft_size, stride), kernel.frame_hop, float(samp_rate),
                  float(center_freq))


def _kernel(*parameters):
    """This thread's kernel with these parameters (made on first use)."""
    known = _kernels.__dict__.setdefault("known", {})
    if parameters not in known:
        known[parameters] = native_module().tokenizer(*parameters)
    return known[parameters]


@lru_cache(maxsize=1)
def optional_native_module():
    """The compiled module; None if it is missing, for callers that have a NumPy fallback."""
    try:
        return native_module()
    except ImportError:
        return None


def _give_home() -> None:
    """GNU Radio keeps FFTW's wisdom in $HOME, and fails if it cannot be written: a service then has a temporary folder."""
    if not os.access(os.environ.get("HOME") or "/nonexistent", os.W_OK):
        home = Path(tempfile.gettempdir()) / f"spectrumencoder-home-{os.getuid()}"
        try:
            home.mkdir(mode=0o700, exist_ok=True)
            os.environ["HOME"] = str(home)
        except OSError:  # no room anywhere: GNU Radio says so
            pass


def native_module():
    """The compiled module.

    Raises:
        ImportError: it is missing, or GNU Radio is; one line that says what to run.
    """
    _give_home()
    try:
        import gnuradio.gr  # noqa: F401 (its libraries must be loaded first)
        return import_module("..spectrumencoder_python", __package__)
    except ImportError as error:
        raise ImportError(f"the compiled module spectrumencoder_python cannot be loaded ({error}); build and install it: "
                          "cmake -B build && cmake --build build && cmake --install build") from error
