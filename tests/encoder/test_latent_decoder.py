# SPDX-License-Identifier: GPL-3.0-or-later
"""The decoder in NumPy is PyTorch's: values, both products of its derivative, and the conditioning."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from gnuradio.spectrumencoder.encoder import bottleneck, encoder
from gnuradio.spectrumencoder.encoder.config import EncoderConfig
from gnuradio.spectrumencoder.encoder.latent_decoder import LatentDecoder, conditioning
from gnuradio.spectrumencoder.encoder.model_file import find_model, load

SMALL = dict(fft_size=128, width=16, heads=2, keep_choices=(16,), latents=3, latent_width=5, decoder_width=32)


@pytest.fixture(params=["untrained", "base"])
def pair(request):
    """The network's decoder, the same in NumPy, and the number of its latents."""
    torch.manual_seed(3)
    config, weights = EncoderConfig(**SMALL), {}
    if request.param == "base":
        file = load(find_model("base"))
        config, weights = file.config(file.variants[0]), file.weights(file.variants[0])
    network = bottleneck.Decoder(config, encoder.N_CONDITION)
    if weights:
        network.load_state_dict({k.removeprefix("decoder."): torch.from_numpy(v.copy()) for k, v in weights.items()
                                 if k.startswith("decoder.")})
    twin = LatentDecoder({f"decoder.{k}": v.numpy() for k, v in network.state_dict().items()})
    return network.requires_grad_(False), twin, config.latents * config.latent_width


def inputs(n_latents, n_frames=6):
    rng = np.random.default_rng(n_latents)
    condition = np.concatenate((rng.normal(0, 0.5, (n_frames, 3)), np.ones((n_frames, 1))), axis=1)
    return rng.normal(0, 1, (n_frames, n_latents)).astype(np.float32), condition.astype(np.float32)


def test_values(pair):
    network, twin, n_latents = pair
    latents, condition = inputs(n_latents)
    wanted = network(torch.from_numpy(latents), torch.from_numpy(condition))[0].numpy()
    found = twin.mean_db(latents, condition)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


def test_derivative_both_ways(pair):
    network, twin, n_latents = pair
    latents, condition = inputs(n_latents)
    move, _ = inputs(n_latents)
    of_latents = lambda z: network(z, torch.from_numpy(condition))[0]  # noqa: E731
    spectrum, pushed = torch.func.jvp(of_latents, (torch.from_numpy(latents),), (torch.from_numpy(move),))
    error = np.random.default_rng(1).normal(0, 3, spectrum.shape).astype(np.float32)
    pulled = torch.func.vjp(of_latents, torch.from_numpy(latents))[1](torch.from_numpy(error))[0]
    here = twin.at(latents, condition)
    for found, wanted in ((here.push(move), pushed.numpy()), (here.pull(error), pulled.numpy())):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


def test_very_negative_and_very_large_values_do_not_overflow(pair):
    network, twin, n_latents = pair
    latents, condition = inputs(n_latents)
    latents = 1e4 * latents
    with np.errstate(all="raise", under="ignore"):
        found = twin.mean_db(latents, condition)
    wanted = network(torch.from_numpy(latents), torch.from_numpy(condition))[0].numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


def test_conditioning():
    side = np.array([[-80.0, 16.0, 1953.125], [-31.5, 1.0, 0.0], [12.0, 0.0, 61440.0]], np.float32)
    found = conditioning(side)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, encoder.conditioning(torch.from_numpy(side)).numpy(), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("module", ["encoder.quantise", "encoder.grouping", "blocks.encoded_output", "blocks.spectrum_decoder",
                                    "cli.decode"])
def test_the_codec_needs_no_torch_and_no_scipy(module):
    code = (f"import sys, gnuradio.spectrumencoder.{module}\n"
            "print([m for m in ('torch', 'scipy') if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
