# SPDX-License-Identifier: GPL-3.0-or-later
"""Engine runs inference with a model file: frames in; residual, features and reconstruction out.

The block, the calibration, the evaluation and the tests all use this one class. Two runtimes compute the same network. `native`
is our C++ (see `native`). `torch` serves all settings and is the oracle. PyTorch is imported only if a setting needs it.

A frame's numbers do not depend on the frames that it is batched with. A recording gives the same bits however the scheduler
cuts it. The native runtime always guarantees this. `torch` does if `pad_batch` > 0: each forward pass then has exactly that many
frames (the last one is filled up), on one thread by default.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from ..settings import DEFAULTS, SETTINGS
from ..tokens import layout
from ..tokens.layout import FrameLayout
from . import features, native
from .attention import BACKENDS, DEFAULT_OF_FAMILY, Backend, get_backend
from .config import POLICIES, EncoderConfig
from .encoded_frames import EncodedFrames, GivenArrays
from .features import BF16, FP32
from .model_file import ModelError, ModelFile, find_model, load, table_key
from .pytorch import choose_device, device_kind, log_fallback, why_no_torch
from .token_classes import columns

AUTO, NATIVE, TORCH = RUNTIMES = SETTINGS["runtime"].choices
SLOW_INSTRUCTIONS = "generic"  # with these instructions PyTorch may be the faster runtime
BF16_WIDTH = 64  # min network width for bf16: below it, over 0.1 % of frames change class (docs/results/precision.md)
_TRIAL_FRAMES, _TRIALS = 16, 3
_native_was_faster: dict[tuple, bool] = {}  # key: model, variant, backend, threads, padding, dtype; timed once per process


class Engine:
    """Inference with one model file.

    Ranges and defaults are those of ``settings.py``, except that `dtype` defaults to fp32.

    Args:
        model: name or path, see `find_model`; or a ModelFile already loaded.
        compute: auto | cpu | cuda[:n]. `auto` takes CUDA if PyTorch sees a device and it serves the settings, else the CPU; then
            the attribute `device_note` says why, and a warning is logged. See `static_runtime` for passes on CUDA.
        backend: auto (the default of the file's first family) or a name, which chooses among the file's variants. The named
            backend runs natively if the C++ library computes it (`attention.Backend.native`), else in PyTorch.
        rope_mode: none | static | dynamic; "" takes the file's default.
        dropout_rate: r in [0, 1); the nearest possible rate is used and can be read back.
        dropout_policy: gumbel | energy | entropy | random; "" takes the file's default.
        threads: number of threads of the native runtime, or of PyTorch's operations (process wide).
        pad_batch: frames per forward pass, see the module; 0 runs batches as they come.
        dtype: fp32 | bf16 | int8 | auto, for the matrix products in the transformer blocks; see `precision`. `auto` chooses
            bf16 if the native runtime serves the settings, the processor has instructions for it and the network is at
            least BF16_WIDTH wide, else fp32. The attribute `dtype` holds the choice.
        runtime: native | torch | auto. `auto` takes `native` if it computes the backend on the device, else `torch`. On a
            processor without AVX2 it times both on a few frames, once per process, and takes the faster one.

    Raises:
        ModelError: the file cannot be used. ValueError: a setting that the file, the device or the runtime cannot serve.
    """

    def __init__(self, model: str | ModelFile = DEFAULTS.model, *, compute: str = DEFAULTS.compute,
                 backend: str = DEFAULTS.backend, rope_mode: str = DEFAULTS.rope_mode,
                 dropout_rate: float = DEFAULTS.dropout_rate, dropout_policy: str = DEFAULTS.dropout_policy,
                 threads: int = DEFAULTS.threads, pad_batch: int = DEFAULTS.pad_batch, dtype: str = FP32,
                 runtime: str = DEFAULTS.runtime):
        for key, value in (("runtime", runtime), ("threads", threads), ("pad_batch", pad_batch), ("dtype", dtype)):
            SETTINGS[key].check(value)
        self.file = model if isinstance(model, ModelFile) else load(find_model(model))
        self.contract = self.file.contract
        self.device = "cpu" if compute == AUTO and runtime == NATIVE else choose_device(compute)
        self.device_note = ""  # why `auto` left a CUDA device
        self.pad_batch, self.threads = pad_batch, threads
        self._wanted_runtime = runtime
        self._configs = {v: self.file.config(v) for v in self.file.variants}
        self._made: dict[tuple[str, str], Any] = {}  # (runtime, variant) -> network
        self._frame_number = 0  # counts frames for the `random` policy
        settings = (backend, rope_mode, dropout_rate, dropout_policy, dtype)
        try:
            self._begin(*settings)
        except (ValueError, RuntimeError) as error:  # RuntimeError: the device's own, such as no memory
            if compute != AUTO or self.device == "cpu":
                raise
            self.device_note = log_fallback(self.device, error)
            self.device, self._made = "cpu", {}
            self._begin(*settings)

    def _begin(self, backend: str, rope_mode: str, dropout_rate: float, dropout_policy: str, dtype: str) -> None:
        """Apply the settings for the first time; a CUDA device also encodes a frame, as its errors show only then."""
        default = self.contract["variants"][0]
        self._variant, self._rope, self.backend = default["name"], default["rope"], DEFAULT_OF_FAMILY[default["attention"]]
        self._reduced = self._best_dtype(backend) if dtype == AUTO else dtype
        self.set_dropout_policy(dropout_policy)
        self.set_dropout_rate(dropout_rate)
        if rope_mode and backend != "auto":
            self._switch(backend, rope_mode)
        elif rope_mode:
            self.set_rope_mode(rope_mode)
        else:
            self.set_backend(backend)
        if self.device != "cpu":
            empty = np.zeros((1, self.layout.item_size), np.float32)
            self._fill(self.runtime, empty, np.zeros(1, np.int64), self._noise(0, 1), None, self.empty(1))

    def _best_dtype(self, backend: str) -> str:
        """bf16 if native products are faster in it and the network is wide enough for it, else fp32."""
        chosen = get_backend(self.backend if backend == AUTO else backend, self.device)
        served = self._wanted_runtime != TORCH and not chosen.why_not_native(self.device)
        return BF16 if served and native.has_fast_bf16() and self.config.width >= BF16_WIDTH else FP32

    def _network(self, runtime: str, variant: str) -> Any:
        """The NativeNetwork or EagerNetwork of a variant, made on first use."""
        made = self._made.get((runtime, variant))
        if made is None:
            config, weights = self._configs[variant], self.file.weights(variant)
            try:
                if runtime == NATIVE:
                    made = native.NativeNetwork(config, weights, dtype=self._reduced)
                else:
                    made = self._torch().from_weights(config, weights, self.device, self._reduced)
            except ValueError as error:
                raise ModelError(f"{self.file.path}: weights of variant {variant} do not fit its contract ({error}); "
                                 "train it again") from error
            self._made[runtime, variant] = made
        return made

    def _torch(self):
        """The class of the torch runtime's networks."""
        import torch
        torch.set_num_threads(self.threads)
        if device_kind(self.device) == "cuda":
            from .static_runtime import StaticNetwork
            return StaticNetwork
        from .torch_runtime import EagerNetwork
        return EagerNetwork

    # -- what it is

    @property
    def runtime(self) -> str:
        """The runtime that serves the present settings: native or torch."""
        return self._runtime

    @property
    def model_name(self) -> str:
        """Name in the file's contract; an ensemble gives both names."""
        return self.contract["name"]

    @property
    def layout(self) -> FrameLayout:
        """Sizes of a frame of tokens."""
        return FrameLayout(self.config.fft_size, self.config.stride)

    @property
    def config(self) -> EncoderConfig:
        """Configuration of the present variant."""
        return self._configs[self.variant]

    @property
    def n_bins(self) -> int:
        """Bins N of a spectrum, the FFT size."""
        return self.config.fft_size

    @property
    def labels(self) -> list[str]:
        """Class names, in the order of the probabilities."""
        return list(self.contract["labels"])

    @property
    def bands(self) -> list[str]:
        """Bands that the model knows; the last one is `unknown`."""
        return list(self.contract["bands"])

    @property
    def has_token_classes(self) -> bool:
        """Whether the model has a token head: it says what each token of a frame holds."""
        return self.file.has_token_classes

    @property
    def trained_on(self) -> set[str]:
        """Names of the recordings used in training; figures measured on them prove nothing."""
        return set(self.contract.get("training", {}).get("trained_on", []))

    @property
    def temperature(self) -> float:
        """Divisor of the class logits."""
        return float(self.file.weights(self.variant)["temperature"])

    @property
    def variant(self) -> str:
        """Name of the weights in use."""
        return self._variant

    @property
    def rope_mode(self) -> str:
        """none, static or dynamic: the RoPE mode in use."""
        return self._rope

    @property
    def dropout_rate(self) -> float:
        """The actual rate, 1 - k / M."""
        return 1.0 - self.k_kept / self.config.n_tokens

    @property
    def dtype(self) -> str:
        """Precision of the blocks. With fp32, attention may still run in bf16: CUDA's flash kernel has no fp32."""
        if self._reduced != FP32:
            return self._reduced
        return "bf16" if device_kind(self.device) == "cuda" and BACKENDS[self.backend].flash_kernel else FP32

    @property
    def settings(self) -> list[str]:
        """Possible backends and RoPE modes, as `backend/rope` names."""
        return [f"{b.name}/{v['rope']}" for v in self.contract["variants"] for b in BACKENDS.values()
                if b.family == v["attention"] and not b.why_not(self.device)]

    def file_default(self, key: str) -> str:
        """The file's value for a setting that is "". `key` is rope_mode or dropout_policy."""
        return {"rope_mode": self.contract["variants"][0]["rope"],
                "dropout_policy": self.contract.get("default_policy", "gumbel")}[key]

    def table_key(self, band: str, k_eff: int) -> str:
        """Key of the conformal table for the present settings.

        Args:
            band: name from the band plan.
            k_eff: windows in a frame.
        """
        row = np.zeros(features.N_FEATURES, np.float32)
        row[features.K_EFF] = k_eff
        self._stamp(row[None])
        return table_key(self.contract, band, row)

    # -- live changes: a setter that cannot serve the value raises ValueError with the choices, and keeps the old setting

    def set_dropout_rate(self, rate: float) -> None:
        """Set the possible dropout rate nearest to `rate`, in [0, 1)."""
        self.k_kept = self._configs[self.file.variants[0]].keep_for_rate(rate)

    def set_dropout_policy(self, policy: str) -> None:
        """Set the dropout `policy`: one that the model was trained with, or "" for the file's default."""
        policy = policy or self.file_default("dropout_policy")
        if policy not in POLICIES or policy not in self.contract["policies"]:
            raise ValueError(f"dropout policy {policy!r} is not one of {', '.join(self.contract['policies'])}")
        self.dropout_policy = policy

    def set_rope_mode(self, mode: str) -> None:
        """Use the weights of RoPE `mode` none, static or dynamic, if the file has them; "" is the file's default."""
        self._switch(self.backend, mode or self.file_default("rope_mode"))

    def set_backend(self, backend: str) -> None:
        """Set the attention `backend` by name, or the default with `auto`. The runtime is chosen again to serve it."""
        self._switch(backend, self._rope)

    def set_confidence_threshold(self, confidence_threshold: float) -> None:
        """Always raises ValueError: only a SpeculativeEngine has a `confidence_threshold`."""
        raise ValueError(f"confidence_threshold {confidence_threshold} is of a speculative model; {self.model_name} is one model "
                         "alone")

    def _switch(self, backend: str, rope: str) -> None:
        if backend == "auto":
            backend = DEFAULT_OF_FAMILY[self.contract["variants"][0]["attention"]]  # as a new engine chooses
        chosen = get_backend(backend, self.device)
        names = {(v["attention"], v["rope"]): v["name"] for v in reversed(self.contract["variants"])}
        variant = names.get((chosen.family, rope))
        if variant is None:
            raise ValueError(f"model {self.model_name!r} holds no weights for backend {backend!r} with RoPE {rope!r}; "
                             f"it has {', '.join(self.settings)}")
        before = self.backend, self._variant, self._rope
        self.backend, self._variant, self._rope = backend, variant, rope
        try:
            chosen_runtime = self._choose_runtime(chosen)
            self._network(chosen_runtime, variant)
        except Exception:
            self.backend, self._variant, self._rope = before
            raise
        self._runtime = chosen_runtime

    def _choose_runtime(self, chosen: Backend) -> str:
        """The runtime for the present settings. Raises ValueError if none, or not the requested one, serves them."""
        not_native = chosen.why_not_native(self.device)
        if self._wanted_runtime == NATIVE and not_native:
            raise ValueError(f"runtime native does not serve backend {chosen.name!r}: {not_native}; use runtime=torch or auto")
        if self._wanted_runtime == NATIVE or (
                self._wanted_runtime == AUTO and not not_native and native.best_instructions() != SLOW_INSTRUCTIONS):
            return NATIVE
        not_torch = self._why_not_torch()
        if self._wanted_runtime == AUTO and not not_native:
            return NATIVE if not_torch or self._native_is_faster() else TORCH
        if not_torch:
            raise ValueError(not_torch)
        return TORCH

    def _why_not_torch(self) -> str | None:
        """None if PyTorch serves these settings, else the reason, naming the setting that needs PyTorch."""
        missing = why_no_torch()
        if missing:
            setting = f"dtype {self._reduced!r}" if self._reduced != FP32 else f"backend {self.backend!r}"
            return f"{'runtime torch' if self._wanted_runtime == TORCH else setting}: {missing}"
        from .precision import why_not
        reason = why_not(self._reduced, self.device)
        return f"dtype {self._reduced!r}: {reason}" if reason else None

    def _native_is_faster(self) -> bool:
        key = (self.file.name, self.variant, self.backend, self.threads, self.pad_batch, self._reduced)
        if key not in _native_was_faster:
            items = np.random.default_rng(0).normal(0.0, 3.0, (_TRIAL_FRAMES, self.layout.item_size)).astype(np.float32)
            bands, noise, seconds = np.zeros(_TRIAL_FRAMES, np.int64), self._noise(0, _TRIAL_FRAMES), {}
            for runtime in (NATIVE, TORCH):
                times = []
                for _ in range(1 + _TRIALS):  # the first warms up
                    begin = time.perf_counter()
                    self._fill(runtime, items, bands, noise, None, self.empty(_TRIAL_FRAMES))
                    times.append(time.perf_counter() - begin)
                seconds[runtime] = min(times[1:])
            _native_was_faster[key] = seconds[NATIVE] < seconds[TORCH]
        return _native_was_faster[key]

    # -- inference

    def reset(self) -> None:
        """Count frames from 0 again, for the `random` policy. Settings stay."""
        self._frame_number = 0

    def encode(self, items: np.ndarray, bands: list[str] | str = "unknown", wanted: np.ndarray | None = None,
               out: GivenArrays | None = None, kept: int | None = None, *,
               token_classes: np.ndarray | bool | None = None) -> EncodedFrames:
        """Encode frames.

        Args:
            items: (F, item_size) float32 from the tokenizer.
            bands: band of each frame, or one for all; a band that the model does not know counts as `unknown`.
            wanted: (F, M) bool, tokens that token dropout keeps before others.
            out: arrays to write into and return, in the order of EncodedFrames. None makes a new array. Residual, features
                and reconstruction may be views of wider rows.
            kept: tokens to keep, 1..M, for these frames alone; None: those of the dropout rate.
            token_classes: True: what each token holds is computed as well; or the array (F, M (labels + 2)) to write it into.

        Returns:
            One row per frame; see EncodedFrames for shapes and units.

        Raises:
            ValueError: items have another size, `kept` is out of range, or the model has no token head to give token classes.
        """
        items, index = self._check(items, bands)
        if kept is not None and not 1 <= kept <= self.config.n_tokens:
            raise ValueError(f"kept {kept} is outside 1..{self.config.n_tokens} tokens")
        out = self.empty(len(items), out, token_classes)
        self._fill(self.runtime, items, index, self._draw_noise(len(items)), wanted, out, kept)
        return out

    def answer(self, items: np.ndarray, bands: list[str] | str = "unknown", wanted: np.ndarray | None = None,
               token_classes: np.ndarray | None = None) -> np.ndarray:
        """Like `encode`, without reconstruction: (F, 256) features with only EMBEDDING and PROBABILITIES filled.

        Args:
            items, bands, wanted: as for `encode`.
            token_classes: array (F, M (labels + 2)) to fill as well.
        """
        items, index = self._check(items, bands)
        rows = np.zeros((len(items), features.N_FEATURES), np.float32)
        self._compute(self.runtime, items, index, self._draw_noise(len(items)), wanted, None, **self._answer_of(rows),
                      token_classes=token_classes)
        return rows

    def empty(self, count: int, given: GivenArrays | None = None,
              token_classes: np.ndarray | bool | None = None) -> EncodedFrames:
        """The given arrays, with a new one of `count` frames for each None, and for `token_classes` if that is True."""
        shapes: tuple[tuple[int, ...], ...] = ((self.n_bins,), (features.N_FEATURES,), (self.n_bins,),
                                               (self.config.latents, self.config.latent_width))
        made = [np.empty((count, *shape), np.float32) if array is None else array
                for array, shape in zip(given or (None,) * len(shapes), shapes, strict=True)]
        if isinstance(token_classes, np.ndarray):
            made.append(token_classes)
        elif token_classes:
            made.append(np.empty((count, self.config.n_tokens * len(columns(self.labels))), np.float32))
        return EncodedFrames(*made)

    def _answer_of(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The parts of features rows (F, 256) that an answer fills."""
        return {"embedding": rows[:, features.EMBEDDING][:, :self.config.embedding],
                "probabilities": rows[:, features.PROBABILITIES][:, :len(self.labels)]}

    def _fill(self, runtime: str, items: np.ndarray, bands: np.ndarray, noise: np.ndarray | None, wanted: np.ndarray | None,
              out: EncodedFrames, kept: int | None = None) -> None:
        """Fills every array of `out`."""
        rows = out.features
        rows[:] = 0.0
        self._stamp(rows)
        rows[:, features.K_ENCODED] = kept or self.k_kept
        _, side = self.layout.split(items)
        rows[:, features.K_EFF], rows[:, features.FLOOR_DBFS] = side[:, layout.K_EFF], side[:, layout.FLOOR_DBFS]
        rows[:, features.CLIPPED_SHARE] = self.layout.clipped_share(items)
        self._compute(runtime, items, bands, noise, wanted, kept, residual=out.residual, reconstruction=out.reconstruction,
                      latents=out.latents.reshape(len(items), self.config.latents * self.config.latent_width),
                      logit=rows[:, features.LOGIT:features.LOGIT + 1], keep_statistics=rows[:, features.KEEP_STATS],
                      **self._answer_of(rows), token_classes=out.token_classes)

    def _compute(self, runtime: str, items: np.ndarray, bands: np.ndarray, noise: np.ndarray | None, wanted: np.ndarray | None,
                 kept: int | None, **given: np.ndarray | None) -> None:
        out = {name: array for name, array in given.items() if array is not None}
        inputs = {"items": items, "bands": bands, "kept": kept or self.k_kept, "policy": self.dropout_policy, "noise": noise,
                  "wanted": wanted}
        network = self._network(runtime, self.variant)
        if runtime == NATIVE:
            network.encode(**inputs, threads=self.threads, **out)
        else:
            network.encode(**inputs, backend=self.backend, pad_batch=self.pad_batch, **out)

    def _check(self, items: np.ndarray, bands: list[str] | str) -> tuple[np.ndarray, np.ndarray]:
        """The frames, and the index of each one's band."""
        items = np.asarray(items, np.float32)
        if items.ndim != 2 or items.shape[1] != self.layout.item_size:
            raise ValueError(f"frames of shape {items.shape} do not fit this model; it takes (F, {self.layout.item_size}): "
                             f"fft_size {self.layout.fft_size}, stride {self.layout.stride}")
        names = [bands] * len(items) if isinstance(bands, str) else list(bands)
        known = {band: number for number, band in enumerate(self.bands)}
        return items, np.array([known.get(band, len(known) - 1) for band in names], np.int64)

    def _draw_noise(self, count: int) -> np.ndarray | None:
        """Uniform draws for the `random` policy; they depend on the frame's number alone."""
        first, self._frame_number = self._frame_number, self._frame_number + count
        return self._noise(first, count)

    def _noise(self, first: int, count: int) -> np.ndarray | None:
        if self.dropout_policy != "random":
            return None
        noise = np.empty((count, self.config.n_tokens), np.float32)
        for number, row in enumerate(noise, first):
            np.random.Generator(np.random.Philox(key=number)).random(out=row, dtype=np.float32)
        return noise

    def _stamp(self, rows: np.ndarray) -> None:
        rows[:, features.K_KEPT] = self.k_kept
        rows[:, features.VARIANT] = self.file.variants.index(self.variant)
        rows[:, features.POLICY] = POLICIES.index(self.dropout_policy)
        rows[:, features.DTYPE] = features.DTYPES.index(self.dtype)
