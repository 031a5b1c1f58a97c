# SPDX-License-Identifier: GPL-3.0-or-later
"""Token dropout keeps exactly k tokens, in order, and teaches its scores."""

import pytest
import torch
from gnuradio.spectrumencoder.encoder.config import POLICIES
from gnuradio.spectrumencoder.encoder.token_dropout import TokenDropout, background, gather_tokens

M, C = 32, 10


@pytest.fixture
def tokens():
    return torch.randn(5, M, C, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def noise():
    return torch.rand(5, M, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def dropout():
    torch.manual_seed(3)
    return TokenDropout(C, 16)


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("k", [1, 8, 31])
@pytest.mark.parametrize("policy", POLICIES)
def test_exactly_k_sorted_distinct_indices(dropout, tokens, noise, policy, k, training):
    kept = dropout.train(training)(tokens, k, policy, noise=noise)
    assert kept.index.shape == (5, k)
    assert (kept.index[:, 1:] > kept.index[:, :-1]).all()
    assert (kept.keep.sum(dim=1) == k).all()
    assert kept.keep.gather(1, kept.index).all()
    assert torch.equal(gather_tokens(tokens, kept.index)[2, 0], tokens[2, kept.index[2, 0]])


@pytest.mark.parametrize("policy", POLICIES)
def test_wanted_tokens_are_kept_before_others_within_k(dropout, tokens, noise, policy):
    dropout.eval()
    wanted = torch.zeros(5, M, dtype=torch.bool)
    wanted[:, [0, 7, 30]] = True
    kept = dropout(tokens, 8, policy, noise=noise, wanted=wanted)
    plain = dropout(tokens, 8, policy, noise=noise)
    assert kept.index.shape == (5, 8) and kept.keep[:, [0, 7, 30]].all()
    others = kept.keep & ~wanted
    assert (others & ~plain.keep).sum() == 0  # the rest is the best of the rest
    few = dropout(tokens, 2, policy, noise=noise, wanted=wanted)
    assert (few.keep & ~wanted).sum() == 0  # where more are wanted than fit, the best of them
    assert torch.equal(dropout(tokens, 8, policy, noise=noise, wanted=torch.zeros_like(wanted)).index, plain.index)


@pytest.mark.parametrize("policy", POLICIES)
def test_keeping_all_is_the_identity(dropout, tokens, noise, policy):
    kept = dropout(tokens, M, policy, noise=noise)
    assert torch.equal(gather_tokens(tokens, kept.index), tokens)
    assert kept.gate is None


def test_energy_keeps_the_strong_and_entropy_the_structured(dropout):
    quiet = torch.zeros(1, M, C)
    quiet[..., -1] = -1.0
    strong = quiet.clone()
    strong[0, 5, :-1] = 2.0
    assert 5 in dropout(strong, 1, "energy").index
    line = quiet.clone()
    line[0, 9, 3] = 1.0  # one bin 20 dB above its neighbours: low entropy
    assert 9 in dropout(line, 1, "entropy").index


def test_gumbel_is_deterministic_at_inference_and_random_in_training(dropout, tokens, noise):
    dropout.eval()
    assert torch.equal(dropout(tokens, 8).index, dropout(tokens, 8, noise=noise).index)
    dropout.train()
    other = torch.rand(5, M, generator=torch.Generator().manual_seed(9))
    assert not torch.equal(dropout(tokens, 8, noise=noise).index, dropout(tokens, 8, noise=other).index)


def test_the_gate_is_hard_forward_and_soft_backward(dropout, tokens, noise):
    kept = dropout.train()(tokens, 8, noise=noise, temperature=0.5)
    assert torch.allclose(kept.gate, kept.keep.float(), atol=1e-6)
    (kept.gate * tokens[..., 0]).sum().backward()
    learnt = [p for p in dropout.parameters() if p is not dropout.learned[2].bias]  # the same for every token: chooses nothing
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in learnt)
    assert dropout.learned[0].weight.grad.abs().max() > 0


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_the_noise_of_training_neither_drowns_the_learned_scores_nor_is_drowned(dropout, tokens, noise, scale):
    with torch.no_grad():
        dropout.learned[2].weight *= scale
    exact = dropout.eval()(tokens, 8).keep
    drawn = dropout.train()(tokens, 8, noise=noise).keep
    shared = float((exact & drawn).sum() / exact.sum())
    assert 0.4 <= shared <= 0.9  # by chance 0.25


def test_learned_scores_find_the_informative_token(dropout):
    """Training by the straight-through gradient alone learns to keep the one token that carries the answer."""
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(dropout.parameters(), lr=0.02)
    dropout.train()

    def batch():
        x = torch.randn(64, M, C) * 0.3
        place, sign = torch.randint(M, (64,)), torch.randint(2, (64,)).float() * 2 - 1
        x[torch.arange(64), place, 0] = 2.0  # marks the token
        x[torch.arange(64), place, 1] = sign
        return x, place, sign

    for _ in range(150):
        x, _, sign = batch()
        kept = dropout(x, 4, noise=torch.rand(64, M))
        guess = (x[..., 1] * kept.gate).sum(dim=1)
        optimizer.zero_grad()
        (guess - sign).square().mean().backward()
        optimizer.step()
    x, place, _ = batch()
    kept = dropout.eval()(x, 4)
    assert (kept.index == place[:, None]).any(dim=1).float().mean() > 0.95


def test_logistic_noise_is_unbiased(dropout):
    """With equal scores each token is kept with probability k / M (one Gumbel instead of two would keep 63 %)."""
    dropout.train()
    with torch.no_grad():
        for p in dropout.parameters():
            p.zero_()
    x = torch.zeros(4000, M, C)
    kept = dropout(x, 8, noise=torch.rand(4000, M, generator=torch.Generator().manual_seed(5)))
    assert (kept.keep.float().mean(dim=0) - 0.25).abs().max() < 0.04


def test_background_is_the_mean_of_the_dropped(dropout, tokens):
    kept = dropout.eval()(tokens, 8, "energy")
    expected = tokens[0][~kept.keep[0]].mean(dim=0)
    torch.testing.assert_close(background(tokens, kept)[0, 0], expected)


def test_background_of_each_part_of_the_spectrum(dropout, tokens):
    """A part that lost nothing gives zeros; the others the mean of what they lost."""
    loud = tokens.clone()
    loud[:, 8:16, :-2] += 50.0  # the second of four parts: kept whole
    kept = dropout.eval()(loud, 12, "energy")
    made = background(loud, kept, 4)
    assert made.shape == (5, 4, C) and kept.keep[:, 8:16].all() and (made[:, 1] == 0).all()
    for part in (0, 2, 3):
        lost = ~kept.keep[0, 8 * part:8 * part + 8]
        torch.testing.assert_close(made[0, part], loud[0, 8 * part:8 * part + 8][lost].mean(dim=0))


def test_errors_name_value_and_range(dropout, tokens):
    with pytest.raises(ValueError, match=r"k = 33 is outside 1..32"):
        dropout(tokens, 33)
    with pytest.raises(ValueError, match="'best' is not one of gumbel, energy, entropy, random"):
        dropout(tokens, 8, "best")
    with pytest.raises(ValueError, match="needs its noise"):
        dropout(tokens, 8, "random")
