# SPDX-License-Identifier: GPL-3.0-or-later
"""Each attention family as a whole SpectrumEncoder: gradients of every parameter, how a variant starts, its settings."""

import numpy as np
import pytest
import torch
from gnuradio.spectrumencoder.encoder.attention import BACKENDS, DEFAULT_OF_FAMILY
from gnuradio.spectrumencoder.encoder.config import ATTENTION_FAMILIES, POLICIES, EncoderConfig
from gnuradio.spectrumencoder.encoder.encoder import SpectrumEncoder, mflop_per_spectrum
from gnuradio.spectrumencoder.encoder.engine import Engine
from gnuradio.spectrumencoder.encoder.model_file import load, save, variant_name
from gnuradio.spectrumencoder.encoder.precision import reduce_precision
from gnuradio.spectrumencoder.training.transfer import transfer

SMALL = dict(fft_size=256, width=32, layers=2, heads=4, kv_heads=2, kv_rank=12, mhla_blocks=4, mlp_width=32, score_width=4,
             keep_choices=(8, 16, 32), latents=2, latent_width=4, decoder_width=32, embedding=16, labels=("noise", "a", "b"))
ORACLE = {b.family: b.name for b in BACKENDS.values() if b.oracle}


def network(attention, rope="dynamic", seed=0, **more):
    torch.manual_seed(seed)
    return SpectrumEncoder(EncoderConfig(**{**SMALL, **more}, attention=attention, rope=rope))


def frames(count=3, seed=0):
    g = torch.Generator().manual_seed(seed)
    side = torch.tensor([[-80.0, 16.0, 2000.0]]).repeat(count, 1)
    return torch.randn(count, 32, 10, generator=g) * 6, side, torch.arange(count) % 5


def gradients(net, k, backend):
    """Loss over every output, and the gradient of every parameter, with token dropout as in training."""
    noise = torch.rand(3, 32, generator=torch.Generator().manual_seed(2))
    net.zero_grad()
    out = net(*frames(), k, backend=backend, noise=noise)
    parts = [out.latents, out.embedding, out.class_logits, out.anomaly_logit, out.mean_db / 10, out.log_sigma]
    g = torch.Generator().manual_seed(1)
    loss = sum((x * torch.randn(x.shape, generator=g)).mean() for x in parts)
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("k", [8, 32])
@pytest.mark.parametrize("rope", ["none", "static", "dynamic"])
@pytest.mark.parametrize("attention", ATTENTION_FAMILIES)
def test_every_parameter_has_the_oracle_s_gradient(attention, rope, k):
    net = network(attention, rope).train()
    loss, ours = gradients(net, k, DEFAULT_OF_FAMILY[attention])
    wanted, theirs = gradients(net, k, ORACLE[attention])
    torch.testing.assert_close(loss, wanted, rtol=1e-4, atol=1e-5)
    assert set(ours) == set(theirs)
    assert any(name.startswith("blocks.0.attention.") for name in ours)
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
    own = {name for name, _ in net.named_parameters() if ".attention." in name}
    assert all(ours[name].abs().max() > 0 for name in own), "a parameter of attention learns nothing"


def test_sub_bands_are_those_of_the_spectrum_not_of_the_sequence():
    """Tokens of the upper quarter are weighted as such, whichever tokens stand before them: unseen, they change nothing else."""
    net = network("mhla", "none").eval()
    tokens, side, band = frames(1)
    tokens[...] = -20.0
    tokens[0, [1, 2, 3, 9, 10, 30, 31, 17]] = 40.0 + torch.randn(8, 10, generator=torch.Generator().manual_seed(5))
    outputs = []
    for cut in (False, True):
        with torch.no_grad():
            for block in net.blocks:
                block.attention.mix[:, :, 3] = -1e9 if cut else 0.0  # cut: nobody sees the upper quarter
            outputs.append(net(tokens, side, band, 8, policy="energy"))
    assert outputs[0].kept.index.tolist() == [[1, 2, 3, 9, 10, 17, 30, 31]]
    assert (outputs[0].embedding - outputs[1].embedding).abs().max() > 1e-4
    quiet = tokens.clone()
    quiet[0, 30:] = 35.0  # still kept, and unseen by all others: only their own rows change
    with torch.no_grad():
        x, y = (_encoded_tokens(net, t, side, band) for t in (tokens, quiet))
    torch.testing.assert_close(x[:, 2:-2], y[:, 2:-2], atol=1e-5, rtol=1e-5)
    assert (x[:, -2:] - y[:, -2:]).abs().max() > 1e-2


def _encoded_tokens(net, tokens, side, band):
    """(B, T, E) after the blocks; the special tokens come first. Conditioning is the same for both."""
    seen = []
    hook = net.blocks[-1].register_forward_hook(lambda _module, _inputs, out: seen.append(out))
    net(tokens, side, band, 8, policy="energy")
    hook.remove()
    return seen[0]


def test_a_latent_variant_starts_close_to_softmax_and_the_closer_the_higher_its_rank():
    first = network("softmax").eval()
    wanted, errors = first(*frames(), 16).embedding.detach(), []
    for rank in (4, 12, 32):
        net = network("latent", seed=1, kv_rank=rank)
        transfer(first.state_dict(), net, theta=True)
        errors.append(float((net.eval()(*frames(), 16).embedding.detach() - wanted).norm() / wanted.norm()))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.2, "full rank: only the norm of the latent differs"


def test_a_sub_band_variant_starts_from_the_same_projections():
    first, net = network("softmax"), network("mhla", seed=1)
    start = net.blocks[1].attention.mix.detach().clone()
    transfer(first.state_dict(), net)
    assert torch.equal(net.blocks[1].attention.qkv.weight, first.blocks[1].attention.qkv.weight)
    assert torch.equal(net.blocks[1].attention.mix, start)


@pytest.mark.parametrize("attention", ATTENTION_FAMILIES)
@pytest.mark.parametrize("dtype", ["bf16", "int8"])
def test_families_run_in_reduced_precision(attention, dtype):
    net = network(attention).eval()
    with torch.no_grad():
        wanted = net(*frames(), 16).embedding
        got = reduce_precision(net, dtype)(*frames(), 16).embedding
    assert got.dtype == torch.float32
    assert (got - wanted).norm() < 0.05 * wanted.norm()


@pytest.mark.parametrize("attention", ATTENTION_FAMILIES)
def test_counted_flops_agree_with_a_profile(attention):
    from torch.utils.flop_counter import FlopCounterMode

    net = network(attention).eval()
    backend = ORACLE[attention] if attention in ("softmax", "grouped") else DEFAULT_OF_FAMILY[attention]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(*frames(1), 16, backend=backend)
    counted = counter.get_total_flops() * 1e-6
    if attention == "latent":  # the counter does not see inside the CPU's flash kernel: scores and mixing
        counted += 2e-6 * net.config.layers * 2 * 18**2 * net.config.width
    assert counted == pytest.approx(mflop_per_spectrum(net.config, 16), rel=0.05)


@pytest.mark.parametrize(("wrong", "message"), [
    (dict(attention="latent", kv_rank=33), r"kv_rank 33 is outside 1..32"), (dict(attention="latent", kv_rank=0), "kv_rank 0"),
    (dict(attention="mhla", mhla_blocks=5), "mhla_blocks 5 must divide the 32 tokens"),
    (dict(attention="mhla", mhla_blocks=32), "blocks of at least 2")])
def test_configuration_errors(wrong, message):
    with pytest.raises(ValueError, match=message):
        EncoderConfig(**{**SMALL, **wrong})


def test_a_model_file_without_the_newer_settings_still_loads():
    old = EncoderConfig(**SMALL).to_dict()
    del old["kv_rank"], old["mhla_blocks"]
    assert EncoderConfig.from_dict(old).attention == "softmax"


def test_every_family_can_be_chosen_live(tmp_path):
    config, tensors, variants = EncoderConfig(**SMALL), {}, []
    for attention in ATTENTION_FAMILIES:
        name = variant_name(attention, "dynamic")
        variants.append({"name": name, "attention": attention, "rope": "dynamic"})
        tensors |= {f"weights.{name}.{k}": v.numpy() for k, v in network(attention).state_dict().items()}
    save(tmp_path / "all.safetensors", {
        "name": "all", "encoder": config.to_dict(), "labels": list(config.labels), "bands": list(config.bands), "steps": 1,
        "variants": variants, "policies": list(POLICIES), "average": [1, 64], "heads": {"anomaly": True}}, tensors)
    engine = Engine(load(tmp_path / "all.safetensors"), compute="cpu")
    items = np.random.default_rng(0).normal(5, 4, (20, engine.layout.item_size)).astype(np.float32)
    for backend, row in BACKENDS.items():
        engine.set_backend(backend)
        assert engine.variant == variant_name(row.family, "dynamic")
        together, alone = engine.encode(items), engine.encode(items[7:9])
        assert np.isfinite(together.residual).all()
        assert np.array_equal(together.residual[7:9], alone.residual), "a frame's numbers depend on its neighbours"
