# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole network: dropping equals masking, positions survive, shapes, budgets."""

import pytest
import torch
from gnuradio.spectrumencoder.encoder.bottleneck import MEAN_DB, start_from_principal_components
from gnuradio.spectrumencoder.encoder.config import EncoderConfig
from gnuradio.spectrumencoder.encoder.encoder import DB_SCALE, SpectrumEncoder, conditioning, mflop_per_spectrum

LABELS = tuple("abcdefghij")


def network(attention="softmax", rope="dynamic", **more):
    torch.manual_seed(0)
    config = EncoderConfig(attention=attention, rope=rope, labels=LABELS, **more)
    return SpectrumEncoder(config).eval()


def frames(count=3, seed=0):
    g = torch.Generator().manual_seed(seed)
    tokens = torch.randn(count, 128, 10, generator=g) * 6
    side = torch.tensor([[-80.0, 16.0, 2000.0]]).repeat(count, 1)
    return tokens, side, torch.tensor([0, 4, 2])[:count]


ORACLE = {"softmax": "naive", "grouped": "grouped_naive", "linear": "linear_naive", "latent": "latent_naive",
          "mhla": "mhla_naive"}


@pytest.mark.parametrize("rope", ["none", "static", "dynamic"])
@pytest.mark.parametrize("attention", list(ORACLE))
@pytest.mark.parametrize("k, sub_bands", [(32, 1), (96, 1), (48, 8)])
def test_dropping_tokens_equals_masking_them(attention, rope, k, sub_bands):
    net = network(attention, rope, sub_bands=sub_bands)
    with torch.no_grad():
        dropped = net(*frames(), k)
        masked = net(*frames(), k, backend=ORACLE[attention], masked=True)
    for name in ("latents", "embedding", "class_logits", "anomaly_logit", "mean_db", "log_sigma", "latent_logits"):
        torch.testing.assert_close(getattr(dropped, name), getattr(masked, name), atol=1e-4, rtol=1e-4, msg=name)


def test_sub_bands_fit():
    with pytest.raises(ValueError, match="sub_bands 7 must divide the 128 tokens"):
        EncoderConfig(sub_bands=7)
    with pytest.raises(ValueError, match="sub_bands 16 and the conditioning token do not fit into a block of mhla, 16 tokens"):
        EncoderConfig(attention="mhla", sub_bands=16)


def test_positions_survive_dropping():
    """The same kept contents at other places of the spectrum give another output, by the rotary embedding alone."""
    net = network()
    with torch.no_grad():
        net.position.zero_()
    tokens, side, band = frames(1)
    tokens[...] = 0.0
    there = torch.arange(0, 64, 2)
    tokens[0, there] = 20 * torch.rand(32, 10, generator=torch.Generator().manual_seed(1)) + 20
    spread = torch.zeros_like(tokens)
    spread[0, torch.arange(0, 128, 4)] = tokens[0, there]
    with torch.no_grad():
        near, far = net(tokens, side, band, 32, policy="energy"), net(spread, side, band, 32, policy="energy")
    assert torch.equal(near.kept.index[0], there)
    assert torch.equal(far.kept.index[0], torch.arange(0, 128, 4))
    assert (near.embedding - far.embedding).abs().max() > 1e-3
    with torch.no_grad():
        net.rope.mode = "none"
        near, far = net(tokens, side, band, 32, policy="energy"), net(spread, side, band, 32, policy="energy")
    torch.testing.assert_close(near.embedding, far.embedding, atol=1e-5, rtol=1e-5)


def test_compute_shrinks_with_dropout_and_base_is_within_budget():
    config = EncoderConfig(labels=LABELS)
    assert mflop_per_spectrum(config, 96) <= 40
    assert mflop_per_spectrum(config, 32) < 0.5 * mflop_per_spectrum(config, 128)


def test_counted_flops_agree_with_a_profile():
    """The formula of the budget against PyTorch's own count of the same forward pass, written-out attention."""
    from torch.utils.flop_counter import FlopCounterMode

    net = network()
    tokens, side, band = frames(1)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(tokens, side, band, 96, backend="naive")
    assert counter.get_total_flops() * 1e-6 == pytest.approx(mflop_per_spectrum(net.config, 96), rel=0.05)


def test_reconstruction_passes_through_the_bottleneck_alone():
    """Latents and side values alone give the reconstruction: nothing of the tokens goes past them."""
    net = network()
    a, b = frames(1, seed=1), frames(1, seed=2)
    with torch.no_grad():
        first, second = net(*a, 96), net(*b, 96)
        assert not torch.equal(first.latents, second.latents)
        for out, (_, side, _) in ((first, a), (second, b)):
            assert torch.equal(out.mean_db, net.decoder(out.latents, conditioning(side))[0])
    assert first.latents[0].numel() <= 128, "a few small latents, not a copy of 1024 bins"


def test_the_linear_path_starts_as_principal_components():
    """Spectra of a few shapes come back through bins -> latents -> direct path; what is beyond the latents does not."""
    net = network(fft_size=128, keep_choices=(4, 8, 12, 16), latents=2, latent_width=3, decoder_width=16)
    g = torch.Generator().manual_seed(3)
    shapes = torch.linalg.qr(torch.randn(128, 6, generator=g)).Q.T
    levels = 5.0 + (40 * torch.randn(500, 6, generator=g)) @ shapes
    start_from_principal_components(net.bottleneck, net.decoder, levels, DB_SCALE)
    with torch.no_grad():
        latents = net.bottleneck.bins(levels / DB_SCALE)
        back = MEAN_DB * (net.decoder.direct(latents) + net.decoder.mean.bias)
    torch.testing.assert_close(back, levels, atol=0.02, rtol=1e-3)


def test_quantisation_noise_reaches_the_reconstruction_and_not_the_classes():
    net = network()
    noise = torch.ones(3, 8, 12)
    with torch.no_grad():
        clean, noisy = net(*frames(), 96), net(*frames(), 96, latent_noise=noise)
    torch.testing.assert_close(noisy.latents, clean.latents + noise)
    assert torch.equal(noisy.class_logits, clean.class_logits) and not torch.equal(noisy.latent_logits, clean.latent_logits)
    assert not torch.equal(noisy.mean_db, clean.mean_db)


@pytest.mark.parametrize(("wrong", "message"), [
    (dict(stride=7), "stride 7 does not divide fft_size 1024"), (dict(heads=5), "heads 5 does not divide width 64"),
    (dict(kv_heads=3), "kv_heads 3 does not divide heads 4"), (dict(rope="fixed"), "rope 'fixed' is not one of"),
    (dict(attention="foo"), "attention 'foo' is not one of softmax"), (dict(heads=0), "heads 0"),
    (dict(keep_choices=(200,)), "must lie in 1..128"), (dict(bands=("ism",)), "must be 'unknown'")])
def test_configuration_errors(wrong, message):
    with pytest.raises(ValueError, match=message):
        EncoderConfig(**wrong)


def test_rate_gives_the_nearest_k():
    config = EncoderConfig()
    assert [config.keep_for_rate(r) for r in (0, 0.25, 0.5, 0.3, 0.99)] == [128, 96, 64, 96, 32]
    with pytest.raises(ValueError, match=r"1.0 is outside \[0, 1\)"):
        config.keep_for_rate(1.0)


def test_a_backend_of_another_family_is_refused():
    with pytest.raises(ValueError, match="'linear' needs linear weights, this model holds softmax"):
        network()(*frames(), 96, backend="linear")
