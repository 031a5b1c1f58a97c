# SPDX-License-Identifier: GPL-3.0-or-later
"""What the block tests share: a small model file, frames, and a recording, all made on the fly and seeded."""

import numpy as np
import pytest
import torch
from gnuradio.spectrumencoder.encoder.config import EncoderConfig
from gnuradio.spectrumencoder.encoder.encoder import SpectrumEncoder
from gnuradio.spectrumencoder.encoder.model_file import save, variant_name
from gnuradio.spectrumencoder.tokens.layout import FrameLayout

SMALL_FFT = 128


@pytest.fixture(scope="session")
def small_model(tmp_path_factory):
    """Path of a model file for fft_size 128 that holds softmax-dynamic (default), softmax-static and linear-dynamic."""
    small = dict(fft_size=SMALL_FFT, width=16, layers=1, heads=2, kv_heads=1, mlp_width=32, keep_choices=(4, 8, 12, 16),
                 score_width=4, latents=2, latent_width=4, decoder_width=32, embedding=8, labels=("noise", "signal"))
    tensors, variants = {}, []
    torch.manual_seed(2)
    for attention, rope in (("softmax", "dynamic"), ("softmax", "static"), ("linear", "dynamic")):
        name = variant_name(attention, rope)
        variants.append({"name": name, "attention": attention, "rope": rope})
        network = SpectrumEncoder(EncoderConfig(**small, attention=attention, rope=rope))
        for parameter, value in network.state_dict().items():
            tensors[f"weights.{name}.{parameter}"] = value.numpy()
    config = EncoderConfig(**small)
    contract = {"name": "small", "encoder": config.to_dict(), "variants": variants, "default_policy": "gumbel",
                "policies": ["gumbel", "energy", "entropy", "random"], "labels": list(config.labels),
                "bands": list(config.bands), "average": [1, 32], "steps": 1, "heads": {}}
    path = tmp_path_factory.mktemp("models") / "small.safetensors"
    save(path, contract, tensors)
    return str(path)


@pytest.fixture(scope="session")
def make_items():
    """make_items(n_frames, average=16) -> float32 (n_frames, item_size) for fft_size 128: noise, each frame another."""
    def make(n_frames, average=16, seed=3):
        layout = FrameLayout(SMALL_FFT, 8)
        items = np.zeros((n_frames, layout.item_size), np.float32)
        tokens, side = layout.split(items)
        tokens[:] = np.random.default_rng(seed).normal(0, 3, tokens.shape)
        side[:] = (-90.0, average, 1e6 / SMALL_FFT)
        return items
    return make


@pytest.fixture
def make_recording(tmp_path, write_sigmf):
    """make_recording(iq, name=..., samp_rate=..., captures=..., annotations=...) -> path of a cf32 .sigmf-meta with a time."""
    def make(iq, name="recording", samp_rate=1e6, captures=None, annotations=()):
        return write_sigmf(tmp_path, name, iq, samp_rate, annotations=annotations, captures=captures or [
            {"core:sample_start": 0, "core:frequency": 433.92e6, "core:datetime": "2024-05-01T12:00:00.25Z"}])
    return make


@pytest.fixture(scope="session")
def noise():
    """noise(n, dbfs=-40) -> complex64 (n,), seeded."""
    def make(n, dbfs=-40.0, seed=4):
        rng = np.random.default_rng(seed)
        values = rng.standard_normal((n, 2), np.float32).view(np.complex64)[:, 0]
        return values * np.float32(np.sqrt(10 ** (dbfs / 10) / 2))
    return make
