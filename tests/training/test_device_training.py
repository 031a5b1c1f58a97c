# SPDX-License-Identifier: GPL-3.0-or-later
"""What training on a GPU adds, run on the CPU: frames that stay on the device, and bf16 in the blocks alone."""

import numpy as np
import pytest
import torch
from gnuradio.spectrumencoder.encoder.attention import DEFAULT_OF_FAMILY
from gnuradio.spectrumencoder.encoder.config import ATTENTION_FAMILIES, EncoderConfig
from gnuradio.spectrumencoder.encoder.encoder import SpectrumEncoder
from gnuradio.spectrumencoder.training.config import ConfigError, TrainingConfig, read_config
from gnuradio.spectrumencoder.training.loop import Data, autocast_dtype
from gnuradio.spectrumencoder.training.resident import ResidentFrames

SMALL = dict(fft_size=128, width=16, layers=2, heads=2, kv_heads=1, kv_rank=8, mhla_blocks=4, mlp_width=32, score_width=4,
             latents=2, latent_width=4, keep_choices=(4, 8, 16), decoder_width=32, embedding=8,
             labels=("noise", "LoRa", "BLE"), sub_bands=2)


class Shards:
    """Two shards of frames that tell where they are from."""

    count = 2

    def get(self, number):
        rows = np.arange(50)
        return {"tokens": (rows + 100 * number)[:, None].repeat(3, 1).astype(np.float16), "label": (rows % 4 - 1).astype(np.int8),
                "source": np.where(rows % 7, -1, 3).astype(np.int16), "mixed": np.full(50, -1, np.int16),
                "others": np.full((50, 2), -1, np.int16)}


@pytest.mark.parametrize("balanced", [False, True])
def test_resident_frames_give_the_same_batches(balanced):
    plain, resident = (Data(Shards(), {3}, balanced=balanced, resident=r) for r in (None, ResidentFrames(torch.device("cpu"))))
    for step, shards in enumerate((1, 1, 2, 1, 2)):  # one shard again, after two are there
        wanted, got = (d.batch(np.random.default_rng(step), shards, 64) for d in (plain, resident))
        assert wanted.keys() == got.keys()
        for key, value in wanted.items():
            assert got[key].dtype == value.dtype
            assert torch.equal(got[key], value), key


def run(network, tokens, side):
    out = network(tokens, side, torch.zeros(len(tokens), dtype=torch.int64), 8,
                  backend=DEFAULT_OF_FAMILY[network.config.attention], noise=torch.full(tokens.shape[:2], 0.5))
    (out.mean_db.square().mean() + out.class_logits.square().mean()).backward()
    return out, torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])


@pytest.mark.parametrize("family", ATTENTION_FAMILIES)
def test_autocast_is_close_and_leaves_the_rest_in_fp32(family):
    torch.manual_seed(0)
    network = SpectrumEncoder(EncoderConfig(**SMALL, attention=family)).train()
    tokens, side = torch.randn(6, 16, 10) * 6 + 3, torch.tensor([[-80.0, 16.0, 2000.0]]).repeat(6, 1)
    exact, gradient = run(network, tokens, side)
    network.zero_grad(set_to_none=True)
    network.autocast = torch.bfloat16
    seen = []
    hooks = [network.blocks[1].mlp.up.register_forward_hook(lambda m, i, o: seen.append(o.dtype)),
             network.blocks[1].register_forward_hook(lambda m, i, o: seen.append(o.dtype)),
             network.bottleneck.register_forward_hook(lambda m, i, o: seen.append(o.dtype))]
    reduced, reduced_gradient = run(network, tokens, side)
    assert seen == [torch.bfloat16, torch.float32, torch.float32]
    assert len(hooks) == 3
    assert not torch.equal(exact.class_logits, reduced.class_logits)
    torch.testing.assert_close(reduced.mean_db, exact.mean_db, rtol=0.02, atol=0.02)
    assert (reduced_gradient - gradient).norm() < 0.05 * gradient.norm()


def test_dtype_of_a_training():
    cpu = torch.device("cpu")
    assert [autocast_dtype(d, cpu) for d in ("auto", "fp32", "bf16")] == [None, None, torch.bfloat16]
    assert TrainingConfig(holdout=("x",)).dtype == "auto"
    with pytest.raises(ConfigError, match="dtype 'fp8' is not one of auto, fp32, bf16"):
        read_config({"training": {"dtype": "fp8", "holdout": ["x"]}})
