# SPDX-License-Identifier: GPL-3.0-or-later
"""Every backend against the oracle of its family: outputs and the gradients of all inputs."""

import pytest
import torch
from gnuradio.spectrumencoder.encoder.attention import BACKENDS, describe_backends, get_backend
from gnuradio.spectrumencoder.encoder.config import ATTENTION_FAMILIES
from gnuradio.spectrumencoder.encoder.rope import RotaryEmbedding

PAIRS = [("flash", "naive", 4), ("grouped", "grouped_naive", 2), ("linear", "linear_naive", 4)]
SHAPES = [(1, 4, 1, 8), (2, 4, 33, 16), (3, 4, 129, 16)]


def inputs(shape, kv_heads, rope, seed=0):
    b, h, t, d = shape
    g = torch.Generator().manual_seed(seed)
    q = torch.randn(b, h, t, d, generator=g, requires_grad=True)
    k, v = (torch.randn(b, kv_heads, t, d, generator=g, requires_grad=True) for _ in range(2))
    position = torch.stack([torch.randperm(128 + t, generator=g)[:t].sort().values for _ in range(b)])
    rotation = RotaryEmbedding(rope, d, 2)(position, torch.zeros(b, dtype=torch.long), torch.full((b,), 10.0))
    return q, k, v, rotation


@pytest.mark.parametrize("rope", ["none", "static", "dynamic"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "B{}-H{}-T{}-D{}".format(*s))
@pytest.mark.parametrize(("name", "oracle", "kv_heads"), PAIRS, ids=[p[0] for p in PAIRS])
def test_output_and_gradients_equal_the_oracle(name, oracle, kv_heads, shape, rope):
    results = []
    for backend in (name, oracle):
        q, k, v, rotation = inputs(shape, kv_heads, rope)
        out = get_backend(backend).attend(q, k, v, rotation, None)
        weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
        results.append((out, *torch.autograd.grad((out * weight).sum(), (q, k, v))))
    for what, ours, theirs in zip(("output", "dq", "dk", "dv"), *results, strict=True):
        # scaled by the largest entry: linear attention's normaliser makes some entries large
        assert (ours - theirs).abs().max() <= 2e-5 * max(1.0, float(theirs.detach().abs().max())), what


@pytest.mark.parametrize("name", ["naive", "grouped_naive", "linear", "linear_naive"])
def test_a_masked_key_is_as_good_as_absent(name):
    heads = 2 if name.startswith("grouped") else 4
    q, k, v, _ = inputs((2, 4, 20, 8), heads, "none")
    mask = torch.ones(2, 20, dtype=torch.bool)
    mask[:, 12:] = False
    masked = get_backend(name).attend(q, k, v, None, mask)[:, :, :12]
    short = get_backend(name).attend(q[:, :, :12], k[:, :, :12], v[:, :, :12], None, None)
    torch.testing.assert_close(masked, short, atol=1e-5, rtol=1e-5)


def test_flash_runs_the_flash_kernel_and_takes_no_mask():
    q, k, v, _ = inputs((2, 4, 20, 8), 4, "none")
    with torch.profiler.profile() as profile:
        get_backend("flash").attend(q, k, v, None, None)
    assert any("flash_attention" in event.key for event in profile.key_averages())
    with pytest.raises(ValueError, match="takes no key mask"):
        get_backend("flash").attend(q, k, v, None, torch.ones(2, 20, dtype=torch.bool))


def test_registry_names_what_is_missing():
    assert {b.family for b in BACKENDS.values()} == set(ATTENTION_FAMILIES)
    with pytest.raises(ValueError, match="'fast' is not one of naive, flash"):
        get_backend("fast")
    with pytest.raises(ValueError, match="cannot run on meta"):
        get_backend("flash", "meta")
    rows = describe_backends("meta")
    assert [r["name"] for r in rows if not r["available"]] == ["flash", "grouped"]
    assert all(r["reason"] for r in rows if not r["available"])


def test_scores_depend_on_relative_position_only():
    rope = RotaryEmbedding("static", 16, 1)
    band, width = torch.zeros(1, dtype=torch.long), torch.full((1,), 10.0)
    q, k, v, _ = inputs((1, 2, 9, 16), 2, "none")
    outputs = [get_backend("naive").attend(q, k, v, rope(torch.arange(9)[None] + shift, band, width), None) for shift in (0, 57)]
    torch.testing.assert_close(*outputs, atol=1e-4, rtol=1e-4)


def test_theta_differs_by_band_and_bin_width_when_learned():
    rope = RotaryEmbedding("dynamic", 16, 2)
    with torch.no_grad():
        rope.log_theta[1] += 1.0
        rope.slope += 0.5
    position = torch.arange(5).expand(3, -1)
    turned = rope(position, torch.tensor([0, 1, 0]), torch.tensor([10.0, 10.0, 14.0]))
    assert (turned[0] - turned[1]).abs().max() > 1e-2
    assert (turned[0] - turned[2]).abs().max() > 1e-2
