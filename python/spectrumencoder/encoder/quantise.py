# SPDX-License-Identifier: GPL-3.0-or-later
"""The codec of `encoded` PDUs: a group of spectra as quantised, entropy-coded latents, with the remainder as wavelet detail.

1. A few steps of conjugate gradients refine each frame's latents against its spectrum through the decoder (iterative amortised
   inference, Yang et al., arXiv:2006.04240). The encoder's single pass gives only a first guess.
2. A linear map turns the latents into uncorrelated coordinates. A step in any direction makes the same error in the decoded
   spectrum: a Karhunen-Loeve transform in the metric of the decoder's mean Jacobian. The noise floor is one more coordinate.
3. A DCT along time gathers the steady part. It spans 1, 8 or all frames of the group, whichever costs least.
4. The coefficients are quantised uniformly with a dead zone, and coded by `entropy`.
5. If it pays, the difference between spectrum and decoded latents follows as wavelet coefficients through steps 3 and 4, without
   those under three sigma of the averaged noise. If it pays more, the difference from flat noise is coded instead. Then the floor
   is the only coordinate.

The PDU also carries each frame's label and confidence from the encoder (`pdu`). A receiver cannot classify as well from spectra
or latents as the whole model does.

The unit of all coefficients is dB, scaled so that their squared error is the mean squared error of a bin.
Shape letters: F frames, N bins, L x W = P latents. The map is stored in the model file (`codec.*`, see `fit_codec`);
all variants use one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from . import entropy
from .latent_decoder import LatentDecoder, conditioning
from .model_file import ModelFile, weights_sha256
from .pdu import IDENTITY_BYTES, MAX_FRAMES, CodecError, GroupHeader, pack, step_index, step_of, unpack
from .transforms import along_time, inverse_wavelet, quantise, wavelet

TENSORS = ("mean", "analysis", "synthesis", "scale", "detail_scale", "flat_scale")
TIME_BLOCKS = (1, 8, MAX_FRAMES)
# Eighths of an octave by which the latents' step is coarser, and whether the spectrum starts from flat noise in their place. Then
# the floor is the only coordinate coded. It is _FLOOR_GAIN times finer, so that its step is that of the detail
CANDIDATES = ((0, False), (8, False), (16, False), (16, True))
MIN_STEP = 3.0  # sigmas of the averaged noise in a coefficient: a finer step would encode noise
REFINE_STEPS = 4
NOISE_SIGMAS = 3.0  # coefficients under this many sigmas are taken for noise and left out
LEVEL_RANGE = (-20.0, 80.0)  # dB over the floor, as the network sees it
_FLOOR_SCALE, _FLOOR_GAIN = 0.5, 4.0  # usual deviation of a frame's floor from the group's, dB; its step is finer by the gain
_FLOOR_NOISE = 1.4  # the floor's noise in sigmas of a coordinate: spread of a quantile of all bins over that of their mean
BIT_PRICE = 0.15  # price of a bit in squared steps: about the rate-distortion slope of a uniform quantiser
_DETAIL_OVERHEAD_BITS = 48
_PLAIN_GAIN, _PLAIN_SCALE, _PLAIN_DETAIL = 8.0, 4.0, 0.1  # for a model without fitted codec


@dataclass(frozen=True)
class Group:
    """Frames to encode, with the facts that they share.

    Attributes:
        latents: (F, L, W).
        level: (F, N) dB over the floor.
        floor: (F,) dBFS.
        average: number of windows in each frame.
        variant, band: names.
        frame_start, frame_hop, rx_rate, rx_freq, rx_time: as in GroupHeader.
        label: (F,) int, index into the model's labels; None if there are no classes.
        confidence: (F,) 0..1; None if there are no classes.
    """

    latents: np.ndarray
    level: np.ndarray
    floor: np.ndarray
    average: tuple[int, ...]
    variant: str
    band: str
    frame_start: int
    frame_hop: int
    rx_rate: float
    rx_freq: float | None = None
    rx_time: float | None = None
    label: np.ndarray | None = None
    confidence: np.ndarray | None = None


@dataclass(frozen=True)
class DecodedGroup:
    """A decoded PDU.

    Attributes:
        spectra: (F, N) float32 dBFS.
        floor: (F,) dBFS.
        latents: (F, L, W); None if the spectra start from flat noise.
        band: name.
        header: the PDU's header.
        label: a name for each frame; None if the PDU has no classes.
        confidence: (F,), exact to 1/32; None if the PDU has no classes.
    """

    spectra: np.ndarray
    floor: np.ndarray
    latents: np.ndarray | None
    label: list[str] | None
    confidence: np.ndarray | None
    band: str
    header: GroupHeader


def noise_sigma_db(average: np.ndarray) -> np.ndarray:
    """Standard deviation in dB of a noise bin averaged over K windows: that of 10 log10 of a gamma variable with shape K.

    The variance of its natural logarithm is the trigamma function at K: pi^2 / 6 minus the sum of 1 / k^2 over k < K (NIST
    Handbook of Mathematical Functions, 5.15).

    Args:
        average: K, whole numbers >= 1.
    """
    return 10.0 / np.log(10.0) * np.sqrt(np.pi**2 / 6 - _sum_below(average, 2))


def log_bias_db(average: np.ndarray) -> np.ndarray:
    """Bias of a mean of dB values: the mean of 10 log10 of noise averaged over K windows, minus 10 log10 of its mean.

    It is -2.51 dB at K = 1. The mean of the natural logarithm is the digamma function at K: the sum of 1 / k over k < K, minus
    Euler's constant (NIST Handbook, 5.4.14).

    Args:
        average: K, whole numbers >= 1.
    """
    return 10.0 / np.log(10.0) * (_sum_below(average, 1) - np.euler_gamma - np.log(np.asarray(average, np.float64)))


def _sum_below(average: np.ndarray, power: int) -> np.ndarray:
    """Sum of 1 / k^power over k = 1 .. K - 1."""
    average = np.asarray(average).astype(np.int64)
    sums = np.cumsum(np.append(0.0, np.arange(1.0, max(2, np.max(average))) ** -power))
    return sums[average - 1]


class Codec:
    """Encodes and decodes groups with one model file.

    Args:
        file: the model. Without fitted `codec` tensors a plain map is used: equally exact, but PDUs are larger.
    """

    def __init__(self, file: ModelFile):
        self.file = file
        self.labels = list(file.contract["labels"]) if file.contract["heads"].get("classes", True) else []
        self.bands = list(file.contract["bands"])
        self.identity = identity(file)
        self._variants: dict[str, VariantCodec] = {}

    def of(self, variant: str) -> VariantCodec:
        """The codec of one variant, made on first use."""
        if variant not in self._variants:
            self._variants[variant] = VariantCodec(self.file, variant)
        return self._variants[variant]

    def encode(self, group: Group, *, step: float = 0.5, detail: bool = True, refine: int = REFINE_STEPS) -> bytes:
        """The PDU of a group.

        Args:
            step: quantiser step in dB, rounded to an eighth of an octave. It is about 3.5 times the error that it adds to a
                bin when all coefficients count. A step fine enough to encode the noise of the average is made coarser.
            detail: whether wavelet detail may follow the latents.
            refine: number of refinement steps; 0 uses the latents unchanged.

        Raises:
            CodecError: no frame, more than 256 frames, non-finite values, or invalid labels or confidences.
            ValueError: the step is out of range.
        """
        if not 1 <= len(group.level) <= MAX_FRAMES:
            raise CodecError(f"a group holds 1..{MAX_FRAMES} frames, not {len(group.level)}")
        if not (np.isfinite(group.level).all() and np.isfinite(group.latents).all() and np.isfinite(group.floor).all()):
            raise CodecError("a frame holds values that are not finite")
        label, confidence = self._classes(group)
        header = GroupHeader(self.identity, self.file.variants.index(group.variant), self.bands.index(group.band), 1,
                             step_index(step), None, group.frame_start, group.frame_hop, group.rx_rate, group.rx_freq,
                             group.rx_time, int(np.rint(np.mean(group.floor))), tuple(map(int, group.average)), label=label,
                             confidence=confidence)
        return self.of(group.variant).encode(group, header, detail, refine)

    def _classes(self, group: Group) -> tuple[tuple[int, ...] | None, tuple[float, ...] | None]:
        """Check labels and confidences, and return them as the header stores them."""
        if group.label is None and group.confidence is None:
            return None, None
        n_frames = len(group.level)
        if any(values is None or np.shape(values) != (n_frames,) for values in (group.label, group.confidence)):
            raise CodecError(f"a group of {n_frames} frames needs as many labels and confidences, or neither")
        label, confidence = tuple(map(int, group.label)), tuple(map(float, group.confidence))
        if not (0 <= min(label) and max(label) < len(self.labels)):
            raise CodecError(f"labels {min(label)}..{max(label)} are not among the {len(self.labels)} of {self.file.name}")
        if not all(0.0 <= c <= 1.0 for c in confidence):
            raise CodecError("a confidence is outside 0..1")
        return label, confidence

    def decode(self, data: bytes) -> DecodedGroup:
        """Decode the spectra of a PDU.

        Raises:
            CodecError: the bytes are no PDU, have another version or model, or are truncated or damaged.
        """
        header, latents, detail = unpack(data)
        if header.identity != self.identity:
            raise CodecError(f"PDU was encoded with another model ({header.identity.hex()}); this one is "
                             f"{self.file.name} ({self.identity.hex()})")
        if header.variant >= len(self.file.variants) or header.band >= len(self.bands):
            raise CodecError(f"PDU names variant {header.variant} and band {header.band}, which {self.file.name} does not have")
        if header.label is not None and max(header.label) >= len(self.labels):
            raise CodecError(f"PDU names label {max(header.label)}, which {self.file.name} does not have")
        try:
            spectra, floor, given = self.of(self.file.variants[header.variant]).decode(header, latents, detail)
        except (ValueError, ArithmeticError, LookupError) as error:  # a right checksum, and content that this program writes not
            raise CodecError(f"PDU does not decode: {error}") from error
        if not np.isfinite(spectra).all():
            raise CodecError("PDU decodes to values that are not finite: it was not written by this program")
        label = confidence = None
        if header.label is not None:
            label, confidence = [self.labels[i] for i in header.label], np.array(header.confidence, np.float32)
        return DecodedGroup(spectra, floor, given, label, confidence, self.bands[header.band], header)


class VariantCodec:
    """The codec of one variant of a model file; `Codec` wraps it."""

    def __init__(self, file: ModelFile, variant: str):
        self.config = file.config(variant)
        self.shape = (self.config.latents, self.config.latent_width)
        self.decoder = LatentDecoder(file.weights(variant))
        flat = self.shape[0] * self.shape[1]
        found = {name: file.tensors.get(f"codec.{name}") for name in TENSORS}
        plain = {"mean": np.zeros(flat), "analysis": np.eye(flat) * _PLAIN_GAIN, "synthesis": np.eye(flat) / _PLAIN_GAIN,
                 "scale": np.full(flat, _PLAIN_SCALE), "detail_scale": np.full(self.config.fft_size, _PLAIN_DETAIL),
                 "flat_scale": np.full(self.config.fft_size, _PLAIN_DETAIL)}
        fitted = all(v is not None for v in found.values())
        self.set_map({k: np.asarray(v, np.float32) for k, v in (found if fitted else plain).items()})

    def set_map(self, tensors: dict[str, np.ndarray]) -> None:
        """Use this map: mean (P,), analysis (C, P), synthesis (P, C), scale (C,), detail_scale and flat_scale (N,)."""
        self.mean, self.analysis, self.synthesis = (tensors[k] for k in TENSORS[:3])
        self.scale = np.concatenate(([_FLOOR_SCALE * _FLOOR_GAIN], tensors["scale"]))
        self.detail_scales = tensors["detail_scale"], tensors["flat_scale"]  # by GroupHeader.flat

    # -- parts

    def condition(self, floor: np.ndarray, average, rx_rate: float) -> np.ndarray:
        """Conditioning values (F, 4) of the frames."""
        return conditioning(np.stack((floor, average, np.full(len(floor), rx_rate / self.config.fft_size)), axis=1))

    def refined(self, latents: np.ndarray, level: np.ndarray, condition: np.ndarray, steps: int) -> np.ndarray:
        """Refine latents, so that their decoded spectrum lies nearer to level (F, N). Returns (F, P).

        The method is nonlinear conjugate gradients (Polak-Ribiere) in the codec's coordinates. The Gauss-Newton model along the
        direction gives the length of each step. A frame keeps its best latents, so it never gets worse.
        """
        start = np.asarray(latents, np.float32).reshape(len(latents), -1)
        if steps < 1:
            return start
        wanted = np.clip(np.asarray(level, np.float32), *LEVEL_RANGE)
        move = best = np.zeros((len(start), self.synthesis.shape[1]), np.float32)
        lowest, direction, before = np.full(len(start), np.inf, np.float32), None, None
        for step in range(steps + 1):
            here = self.decoder.at(start + move @ self.synthesis.T, condition)
            error = here.mean_db - wanted
            loss = np.square(error).mean(axis=1)
            better = loss < lowest
            best, lowest = np.where(better[:, None], move, best), np.minimum(loss, lowest)
            if step == steps:
                break
            gradient = here.pull(error) @ self.synthesis / np.float32(error.shape[1])  # of half the loss
            if before is None:
                direction = -gradient
            else:
                turn = _dot(gradient, gradient - before) / np.maximum(_dot(before, before), np.float32(1e-20))
                direction = -gradient + (np.clip(turn, 0.0, 2.0) * better)[:, None] * direction
            before = gradient
            slope = here.push(direction @ self.synthesis.T)
            length = -_dot(gradient, direction) / np.maximum(np.square(slope).mean(axis=1), np.float32(1e-12))
            length *= np.where(better, np.float32(1.0), np.float32(0.3))
            move = np.where(better[:, None], move, best) + length[:, None] * direction
        return start + best @ self.synthesis.T

    def coordinates(self, flat: np.ndarray, floor: np.ndarray, floor_db: int) -> np.ndarray:
        """(F, 1 + C): floor relative to the group's, then the latents in the codec's coordinates."""
        y = (flat - self.mean) @ self.analysis.T
        return np.concatenate((_FLOOR_GAIN * (floor[:, None] - floor_db), y), axis=1).astype(np.float64)

    # -- a group

    def encode(self, group: Group, header: GroupHeader, detail: bool, refine: int) -> bytes:
        condition = self.condition(group.floor, group.average, group.rx_rate)
        flat = self.refined(group.latents, group.level, condition, refine)
        y = self.coordinates(flat, np.asarray(group.floor, np.float64), header.floor_db)
        root = np.sqrt(self.config.fft_size)
        noise = noise_sigma_db(group.average).max() / root
        step = max(header.latent_step, step_index(max(step_of(0), MIN_STEP * noise)))
        psd = group.level + group.floor[:, None]
        above = wavelet((psd - self._base(y, replace(header, flat=True))).astype(np.float32)) / np.float32(root)
        block = min((self._detail(above, step, b, noise, True) if detail else self._coded(y, step, b, noise)
                     for b in time_blocks(len(y))), key=lambda c: c.price).block
        chosen = None
        for coarser, flat in CANDIDATES if detail else CANDIDATES[:1]:
            latents = self._coded(y[:, :1] if flat else y, min(127, step + coarser), block, noise)
            left = wavelet((psd - self._base(latents.restored(), replace(header, flat=flat))).astype(np.float32)) / root
            more = self._detail(left, step, block, noise, flat) if detail else None
            choices = [(float(np.square(left).sum()), (latents,))] if not (coarser or flat) else []
            choices += [(more.error, (latents, more))] if more else []
            for error, parts in choices:
                price = _price(error, step_of(step), *parts)
                if chosen is None or price < chosen[0]:
                    chosen = price, parts, flat
        _, (latents, *extra), flat = chosen
        extra = extra[0] if extra else None
        latent_step = step_index(latents.step)
        header = replace(header, block=block, latent_step=latent_step, detail_step=step if extra else None, flat=flat)
        return pack(header, latents.data(), extra.data() if extra else b"")

    def _coded(self, y: np.ndarray, step: int, block: int, noise: float) -> Coded:
        """Code coordinates (F, 1 + C), or the floor's (F, 1). Changes under three sigma of noise in the time transform are
        taken as steady."""
        limit = np.full(y.shape[1], NOISE_SIGMAS * noise)
        limit[0] *= _FLOOR_NOISE * _FLOOR_GAIN
        prior = entropy.prior_of(self.scale[:y.shape[1]], step_of(step))
        return Coded.create(y, step_of(step), block, prior, noise, limit, keep_steady=True)

    def _detail(self, left: np.ndarray, step: int, block: int, noise: float, flat: bool) -> Coded:
        """Code wavelet coefficients (F, N), without those under three sigma of noise."""
        prior = entropy.prior_of(self.detail_scales[flat], step_of(step))
        return Coded.create(left.astype(np.float64), step_of(step), block, prior, noise, NOISE_SIGMAS * noise)

    def _base(self, y: np.ndarray, header: GroupHeader) -> np.ndarray:
        """Spectra (F, N) float32 dBFS before the detail is added, from coordinates (F, 1 + C); if flat, from the floor (F, 1)."""
        floor = (y[:, 0] / _FLOOR_GAIN + header.floor_db).astype(np.float32)[:, None]
        if header.flat:
            bias = log_bias_db(np.array(header.average))[:, None]
            return np.repeat((floor + bias).astype(np.float32), self.config.fft_size, axis=1)
        return self.decoder.mean_db(self._latents(y), self.condition(floor[:, 0], header.average, header.rx_rate)) + floor

    def _latents(self, y: np.ndarray) -> np.ndarray:
        return self.mean + y[:, 1:].astype(np.float32) @ self.synthesis.T

    def decode(self, header: GroupHeader, latents: bytes, detail: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Spectra (F, N) float32 dBFS, floor (F,) dBFS, latents (F, L, W) (None: flat)."""
        y = _restore(latents, header, header.latent_step, self.scale[:1] if header.flat else self.scale)
        spectra = self._base(y, header)
        if header.detail_step is not None:
            more = _restore(detail, header, header.detail_step, self.detail_scales[header.flat])
            spectra = spectra + inverse_wavelet(more.astype(np.float32)) * np.float32(np.sqrt(self.config.fft_size))
        floor = (y[:, 0] / _FLOOR_GAIN + header.floor_db).astype(np.float32)
        given = None if header.flat else self._latents(y).reshape(-1, *self.shape)
        return spectra.astype(np.float32), floor, given


@dataclass(frozen=True)
class Coded:
    """A quantised matrix of coefficients transformed along time.

    q, step, prior and block are as coded. The other fields are the number of bits, the squared error of the quantised input, and
    the part of that error hidden by following the noise: twice its variance for each coefficient (as in Mallows' Cp).
    """

    q: np.ndarray
    step: float
    prior: np.ndarray
    block: int
    bits: float
    error: float
    luck: float

    @property
    def price(self) -> float:
        """The cost to minimise, in squared dB; see `_price`."""
        return _price(self.error, self.step, self)

    @classmethod
    def create(cls, x: np.ndarray, step: float, block: int, prior: np.ndarray, noise: float, limit, *,
               keep_steady: bool = False) -> Coded:
        """Zero the values of x (F, D) under `limit` (number, or (D,)) before and after the transform along time; quantise.

        keep_steady: the limit does not apply to temporal frequency 0; without a time transform it applies to nothing.
        """
        loud = x if keep_steady else np.where(np.abs(x) < limit, 0.0, x)  # frame by frame first: noise seldom is loud twice
        x, kept = along_time(x, block), along_time(loud, block)
        below = np.abs(kept) < limit
        if keep_steady:
            below[np.arange(len(x)) % block == 0] = False
        kept = np.where(below, 0.0, kept)
        q = quantise(kept, step)
        luck = 2.0 * noise**2 * np.count_nonzero(q)
        return cls(q, step, prior, block, entropy.cost_bits(q, prior, block), float(np.square(q * step - x).sum()), luck)

    def restored(self) -> np.ndarray:
        return along_time(self.q * self.step, self.block, inverse=True)

    def data(self) -> bytes:
        return entropy.encode(self.q, self.prior, self.block)


def _dot(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(F, D), (F, D) -> (F,), row by row."""
    return np.einsum("fd,fd->f", x, y)


def _price(error: float, step: float, *parts: Coded) -> float:
    """The cost to minimise, in squared dB: the error, the part of it hidden by following the noise, and the bits."""
    bits = sum(p.bits for p in parts) + _DETAIL_OVERHEAD_BITS * (len(parts) - 1)
    return error + sum(p.luck for p in parts) + BIT_PRICE * step**2 * bits


def _restore(data: bytes, header: GroupHeader, step: int, scale: np.ndarray) -> np.ndarray:
    q = entropy.decode(data, header.n_frames, entropy.prior_of(scale, step_of(step)), header.block)
    return along_time(q * step_of(step), header.block, inverse=True)


def time_blocks(n_frames: int) -> list[int]:
    """Lengths of the time transform to try."""
    return sorted({min(b, n_frames) for b in TIME_BLOCKS})


def identity(file: ModelFile) -> bytes:
    """The first bytes of a hash over the weights and the codec's map. A PDU's encoder and decoder must have the same."""
    digest = hashlib.sha256((file.contract.get("weights_sha256") or weights_sha256(file.tensors)).encode())
    for name in sorted(t for t in file.tensors if t.startswith("codec.")):
        digest.update(name.encode())
        digest.update(np.asarray(file.tensors[name], order="C").tobytes())
    return digest.digest()[:IDENTITY_BYTES]
