# SPDX-License-Identifier: GPL-3.0-or-later
"""The codecs that are compared: the model's, and the classical ones with the same grouping, header, quantiser and entropy coder.

Principal components, cosine and wavelet coefficients of the level over the floor go the way of the model's latents. The floor
is one more coordinate. Then come a DCT along time over 1, 8 or all frames (the cheapest), shrinkage (coefficients under three
sigma of the averaged noise become 0), uniform quantisation with a dead zone, `encoder.entropy` with priors from training, and
a PDU. If frames have labels (`with_labels`), the PDUs of all codecs carry them, in the same bytes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace

import numpy as np
import zstandard
from scipy import fft

from ...encoder import entropy, features
from ...encoder.engine import Engine
from ...encoder.pdu import GroupHeader, pack, step_of, unpack
from ...encoder.quantise import NOISE_SIGMAS, Codec, Coded, Group, noise_sigma_db, time_blocks
from ...encoder.transforms import along_time, quantise
from ..anomaly.clean_scenes import SceneFrames

PRINCIPAL_COMPONENTS = 256
WAVELET, EXTENSION = "sym4", "periodization"  # of PyWavelets
FLOOR_SCALE = 0.5  # dB
_IDENTITY = b"cls0"


def with_labels(engine: Engine, frames: SceneFrames) -> SceneFrames:
    """The frames with the labels and confidences that the whole model gives them, band unknown; unchanged if it names no classes.
    """
    if not engine.contract["heads"].get("classes", True):
        return frames
    probabilities = engine.encode(frames.items).features[:, features.PROBABILITIES][:, :len(engine.labels)]
    return replace(frames, label=probabilities.argmax(axis=1), confidence=probabilities.max(axis=1))


def header_of(frames: SceneFrames, step: int) -> GroupHeader:
    """The header that every codec's PDU has: the same fields for all, classes included."""
    average = (int(frames.average),) * len(frames.psd)
    label, confidence = (None if x is None else tuple(x.tolist()) for x in (frames.label, frames.confidence))
    return GroupHeader(_IDENTITY, 0, 0, 1, step, None, 0, int(frames.average) * frames.psd.shape[1], frames.samp_rate, 868e6,
                       1.7e9, int(np.rint(frames.floor.mean())), average, label=label, confidence=confidence)


class ModelCodec:
    """The model's own codec, with or without wavelet detail after the latents."""

    def __init__(self, engine: Engine, codec: Codec, *, detail: bool, refine: int):
        self.engine, self.codec, self.detail, self.refine = engine, codec, detail, refine
        self.name = "latents + detail" if detail else "latents"

    def latents(self, frames: SceneFrames) -> np.ndarray:
        return self.engine.encode(frames.items).latents

    def encode(self, frames: SceneFrames, step: int, latents: np.ndarray | None = None) -> bytes:
        """The PDU at step index `step`."""
        header = header_of(frames, step)
        latents = self.latents(frames) if latents is None else latents
        group = Group(latents, frames.level.astype(np.float32), frames.floor, header.average, self.engine.variant,
                      self.engine.bands[-1], 0, header.frame_hop, frames.samp_rate, header.rx_freq, header.rx_time, frames.label,
                      frames.confidence)
        return self.codec.encode(group, step=step_of(step), detail=self.detail, refine=self.refine)

    def decode(self, data: bytes) -> np.ndarray:
        """(F, N) dBFS."""
        return self.codec.decode(data).spectra

    def labels(self, data: bytes) -> list[str] | None:
        """The label of each frame; None where the PDU tells none."""
        return self.codec.decode(data).label


class TransformCodec(ABC):
    """A linear transform of the level in place of the latents; see the module.

    Args:
        training: (F, N) levels over the floor that mean and priors are taken from.
    """

    name = ""

    def __init__(self, training: np.ndarray):
        self.root = np.sqrt(training.shape[1])
        self.fit(training)
        scale = np.abs(self.analyse(training)).mean(axis=0) / self.root
        self.scale = np.concatenate(([FLOOR_SCALE], scale))

    def fit(self, training: np.ndarray) -> None:
        self.mean = float(training.mean())

    @abstractmethod
    def analyse(self, level: np.ndarray) -> np.ndarray:
        """Levels (F, N) -> coefficients (F, N or fewer)."""

    @abstractmethod
    def synthesise(self, coefficients: np.ndarray) -> np.ndarray:
        """The way back."""

    def distorted(self, level: np.ndarray, average: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """What becomes of single frames (F, N) of `average` (F,) windows at step indices (F,): no time transform, no bytes."""
        y = self.analyse(level) / self.root
        y[np.abs(y) < NOISE_SIGMAS * noise_sigma_db(average)[:, None] / self.root] = 0.0
        width = np.array([step_of(s) for s in steps])[:, None]
        return self.synthesise(quantise(y, width) * width * self.root)

    def encode(self, frames: SceneFrames, step: int, latents=None) -> bytes:
        header, width = header_of(frames, step), step_of(step)
        y = np.concatenate((frames.floor[:, None] - header.floor_db, self.analyse(frames.level) / self.root), axis=1)
        prior = entropy.prior_of(self.scale, width)
        limit = np.full(y.shape[1], NOISE_SIGMAS * noise_sigma_db(frames.average) / self.root)
        limit[0] = 0.0
        best = None
        for block in time_blocks(len(y)):
            coded = Coded.create(y, width, block, prior, noise_sigma_db(frames.average) / self.root, limit)
            best = coded if best is None or coded.price < best.price else best
        return pack(replace(header, block=best.block), best.data())

    def decode(self, data: bytes) -> np.ndarray:
        header, payload, _ = unpack(data)
        width = step_of(header.latent_step)
        q = entropy.decode(payload, header.n_frames, entropy.prior_of(self.scale, width), header.block)
        y = along_time(q * width, header.block, inverse=True)
        return self.synthesise(y[:, 1:] * self.root) + (y[:, :1] + header.floor_db)


class PrincipalComponents(TransformCodec):
    name = "PCA"

    def fit(self, training):
        self.mean = training.mean(axis=0)
        _, vectors = np.linalg.eigh(np.cov((training - self.mean).T))
        self.basis = vectors[:, ::-1][:, :PRINCIPAL_COMPONENTS]

    def analyse(self, level):
        return (level - self.mean) @ self.basis

    def synthesise(self, coefficients):
        return self.mean + coefficients @ self.basis.T


class Cosines(TransformCodec):
    name = "DCT"

    def analyse(self, level):
        return fft.dct(level - self.mean, axis=1, norm="ortho")

    def synthesise(self, coefficients):
        return self.mean + fft.idct(coefficients, axis=1, norm="ortho")


class Wavelets(TransformCodec):
    name = "wavelet"

    def fit(self, training):
        import pywt
        super().fit(training)
        self.levels = pywt.dwt_max_level(training.shape[1], WAVELET)
        parts = pywt.wavedec(training[:1], WAVELET, EXTENSION, self.levels, axis=1)
        self.ends = np.cumsum([p.shape[1] for p in parts])[:-1]

    def analyse(self, level):
        import pywt
        return np.concatenate(pywt.wavedec(level - self.mean, WAVELET, EXTENSION, self.levels, axis=1), axis=1)

    def synthesise(self, coefficients):
        import pywt
        return self.mean + pywt.waverec(np.split(coefficients, self.ends, axis=1), WAVELET, EXTENSION, axis=1)


class DeltaZstd:
    """Levels quantised uniformly, as differences to the neighbour in frequency (or time, if that is smaller), zstd level 19."""

    name = "delta + zstd"

    def encode(self, frames: SceneFrames, step: int, latents=None) -> bytes:
        header, width = header_of(frames, step), step_of(step)
        q = np.rint((frames.psd - header.floor_db) / width).astype(np.int16)
        along_frequency = np.diff(q, axis=1, prepend=0)
        in_time = np.concatenate((along_frequency[:1], np.diff(q, axis=0)))
        kind = np.int8 if max(np.abs(along_frequency).max(), np.abs(in_time).max()) < 128 else np.int16
        press = zstandard.ZstdCompressor(level=19, write_content_size=False)
        found = [press.compress(x.astype(kind).tobytes()) for x in (along_frequency, in_time)]
        best = int(len(found[1]) < len(found[0]))
        return pack(replace(header, block=1 + best + 2 * (kind is np.int16)), found[best])

    def distorted(self, level: np.ndarray, average: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """As of TransformCodec."""
        width = np.array([step_of(s) for s in steps])[:, None]
        return np.rint(level / width) * width

    def decode(self, data: bytes) -> np.ndarray:
        header, payload, _ = unpack(data)
        raw = zstandard.ZstdDecompressor().decompressobj().decompress(payload)
        in_time, wide = (header.block - 1) % 2, (header.block - 1) // 2
        x = np.frombuffer(raw, np.int16 if wide else np.int8).astype(np.int64).reshape(header.n_frames, -1)
        q = np.cumsum(np.concatenate((np.cumsum(x[:1], axis=1), x[1:])), axis=0) if in_time else np.cumsum(x, axis=1)
        return q * step_of(header.latent_step) + float(header.floor_db)
