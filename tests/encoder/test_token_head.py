# SPDX-License-Identifier: GPL-3.0-or-later
"""The token head: the native runtime against the oracle, and what the engines give."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from gnuradio.spectrumencoder.encoder import features
from gnuradio.spectrumencoder.encoder.adaptive_dropout import FEW, HELD
from gnuradio.spectrumencoder.encoder.adaptive_encoder import FEW_TOKENS, AdaptiveEncoder
from gnuradio.spectrumencoder.encoder.config import POLICIES
from gnuradio.spectrumencoder.encoder.engine import Engine
from gnuradio.spectrumencoder.encoder.ensemble import REFINE_BATCH, open_engine
from gnuradio.spectrumencoder.encoder.native import NativeNetwork
from gnuradio.spectrumencoder.encoder.precision import reduce_precision
from gnuradio.spectrumencoder.encoder.token_classes import columns, split
from gnuradio.spectrumencoder.tokens.layout import FrameLayout
from small_models import SMALL_FFT, write_small_model
from test_native import CONFIGS, FAMILIES, INSTRUCTIONS, REDUCED, SMALL, assert_close, frames_of, network_of, usable

HEADS = {name: replace(config, token_classes=True) for name, config in CONFIGS.items()}
HEAD = HEADS["small"]
RUNTIMES = ("native", "torch")


def with_head(config, seed=0):
    network = network_of(config, seed)
    network.token_temperature.fill_(0.6)
    return network


def native(network, items, bands, k, policy, instructions="", dtype="fp32", **more):
    config = network.config
    out = np.full((len(items), config.n_tokens * (len(config.labels) + 2)), np.nan, np.float32)
    NativeNetwork.of(network, instructions, dtype).encode(items, bands, k, policy, **more, token_classes=out)
    return out


def classes_of(network, items, bands, k, policy, noise=None, wanted=None, backend=None):
    """(F, M (L + 2)) by PyTorch, in the network's precision, from the logits as `TokenHead` gives them."""
    config, real = network.config, network.position.dtype
    tokens, side = (torch.from_numpy(x).to(real) for x in FrameLayout(config.fft_size, config.stride).split(items))
    with torch.inference_mode():
        logits = network(tokens, side, torch.from_numpy(bands), k, policy=policy, backend=backend,
                         noise=None if noise is None else torch.from_numpy(noise).to(real),
                         wanted=None if wanted is None else torch.from_numpy(wanted)).token_logits
        classes = torch.softmax(logits[:, :, :-1] / network.token_temperature, dim=2)
        return torch.cat((classes, torch.sigmoid(logits[:, :, -1:])), dim=2).flatten(1)


def oracle(config, *arguments, **more):
    backend = {"softmax": "naive"}.get(config.attention, f"{config.attention}_naive")
    return classes_of(with_head(config).double(), *arguments, **more, backend=backend)


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_and_instruction_set_equals_the_oracle(family, name, instructions):
    usable(instructions)
    config = replace(HEADS[name], attention=family)
    items, bands = frames_of(config, 19)
    for k in (1, *config.keep_choices):
        got = native(with_head(config), items, bands, k, "energy", instructions)
        assert_close({"token_classes": got}, {"token_classes": oracle(config, items, bands, k, "energy")})


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_and_kept_bands_equal_the_oracle(policy):
    rng = np.random.default_rng(5)
    items, bands = frames_of(HEAD, 9)
    more = {"wanted": rng.random((9, HEAD.n_tokens)) < 0.1}
    if policy == "random":
        more["noise"] = rng.random((9, HEAD.n_tokens)).astype(np.float32)
    assert_close({"token_classes": native(with_head(HEAD), items, bands, 64, policy, **more)},
                 {"token_classes": oracle(HEAD, items, bands, 64, policy, **more)})


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
@pytest.mark.parametrize("dtype", REDUCED)
@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("family", FAMILIES)
def test_reduced_precision_loses_as_little_as_with_pytorch(family, name, dtype, instructions):
    usable(instructions)
    config = replace(HEADS[name], attention=family)
    items, bands = frames_of(config, 19)
    for k in config.keep_choices[-2:]:
        exact = oracle(config, items, bands, k, "energy").numpy()
        peer = classes_of(reduce_precision(with_head(config), dtype), items, bands, k, "energy").numpy()
        got = native(with_head(config), items, bands, k, "energy", instructions, dtype)
        lost, lost_by_peer = (np.square(x - exact).mean() ** 0.5 for x in (got, peer))
        assert 0 < lost < 1.5 * lost_by_peer, k


def test_a_dropped_token_takes_what_its_background_token_says():
    items, bands = frames_of(HEAD, 4)
    classes, _ = split(native(with_head(HEAD), items, bands, 16, "energy"), HEAD.labels)
    n_tokens, n_parts = HEAD.n_tokens, HEAD.sub_bands
    for frame in classes:
        assert len(np.unique(frame, axis=0)) <= 16 + n_parts
        for part in np.split(frame, n_parts):  # each has more dropped tokens than kept ones can hide
            _, counts = np.unique(part, axis=0, return_counts=True)
            assert counts.max() >= n_tokens // n_parts - 16
    whole, _ = split(native(with_head(HEAD), items, bands, n_tokens, "energy"), HEAD.labels)
    assert len(np.unique(whole[0], axis=0)) == n_tokens


@pytest.mark.parametrize("dtype", ["fp32", *REDUCED])
@pytest.mark.parametrize("family", FAMILIES)
def test_results_depend_neither_on_the_batch_nor_on_the_threads(family, dtype):
    config = replace(HEAD, attention=family)
    items, bands = frames_of(config, 40)
    network = NativeNetwork.of(with_head(config), dtype=dtype)
    shape = HEAD.n_tokens * (len(HEAD.labels) + 2)
    whole, parts = np.empty((40, shape), np.float32), np.empty((40, shape), np.float32)
    network.encode(items, bands, 96, "energy", threads=2, token_classes=whole)
    for start, stop in ((0, 1), (1, 18), (18, 20), (20, 40)):
        network.encode(items[start:stop], bands[start:stop], 96, "energy", token_classes=parts[start:stop])
    assert np.array_equal(whole, parts)


def test_other_outputs_are_the_same_bits_with_and_without_token_classes():
    items, bands = frames_of(HEAD, 5)
    network = NativeNetwork.of(with_head(HEAD))
    alone, beside = (np.empty((5, HEAD.embedding), np.float32) for _ in range(2))
    residual, other = (np.empty((5, HEAD.fft_size), np.float32) for _ in range(2))
    network.encode(items, bands, 96, "energy", embedding=alone, residual=residual)
    network.encode(items, bands, 96, "energy", embedding=beside, residual=other,
                   token_classes=np.empty((5, HEAD.n_tokens * 5), np.float32))
    assert np.array_equal(alone, beside) and np.array_equal(residual, other)


def test_a_network_without_the_head_refuses_and_serves_the_rest():
    items, bands = frames_of(SMALL, 2)
    network = NativeNetwork.of(network_of(SMALL))
    with pytest.raises(ValueError, match="token_classes: the network has no token head"):
        network.encode(items, bands, 96, "energy", token_classes=np.empty((2, SMALL.n_tokens * 5), np.float32))
    embedding = np.full((2, SMALL.embedding), np.nan, np.float32)
    network.encode(items, bands, 96, "energy", embedding=embedding)
    assert np.isfinite(embedding).all()


@pytest.mark.parametrize(("name", "value", "reason"), [
    ("token_head.classes.weight", None, "parameter token_head.classes.weight is missing"),
    ("token_head.classes.bias", np.zeros(4, np.float32), "parameter token_head.classes.bias is not of shape 5"),
])
def test_weights_of_the_head_that_do_not_fit_are_refused(name, value, reason):
    weights = {key: array.detach().numpy() for key, array in with_head(HEAD).state_dict().items()}
    del weights[name]
    with pytest.raises(ValueError, match=reason):
        NativeNetwork(HEAD, weights if value is None else weights | {name: value})


# -- through Engine


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_small_model(tmp_path_factory.mktemp("head") / "head.safetensors", "head", 1, sharpness=4.0, token_classes=True)


@pytest.fixture(scope="module")
def items():
    """70 frames, every second of them with something in some tokens."""
    layout = FrameLayout(SMALL_FFT, 8)
    items = np.zeros((70, layout.item_size), np.float32)
    tokens, side = layout.split(items)
    rng = np.random.default_rng(3)
    tokens[:] = rng.normal(0, 3, tokens.shape) + rng.uniform(0, 30, (len(items), 1, 1)) * rng.integers(0, 2, tokens.shape)
    side[:] = (-90.0, 16, 1e6 / SMALL_FFT)
    return items


@pytest.mark.parametrize("policy", ["gumbel", "random"])
def test_the_runtimes_agree(model, items, policy):
    one, other = (Engine(model, runtime=r, dropout_policy=policy).encode(items, "ism", token_classes=True) for r in RUNTIMES)
    assert one.token_classes.shape == (70, 16 * 5)
    assert np.abs(one.token_classes - other.token_classes).max() < 1e-5
    classes, boundary = split(one.token_classes, ["noise", "LoRa", "BLE"])
    assert np.abs(classes.sum(axis=2) - 1).max() < 1e-5 and ((boundary > 0) & (boundary < 1)).all()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_engine_batches_change_no_bit(model, items, runtime):
    whole = Engine(model, runtime=runtime).encode(items, "ism", token_classes=True)
    engine, array = Engine(model, runtime=runtime), np.empty_like(whole.token_classes)
    for start, stop in ((0, 1), (1, 30), (30, 70)):
        given = engine.encode(items[start:stop], "ism", token_classes=array[start:stop])
        assert np.shares_memory(given.token_classes, array)
    assert np.array_equal(array, whole.token_classes)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_they_are_absent_unless_asked_for(model, items, runtime):
    engine = Engine(model, runtime=runtime)
    without, beside = engine.encode(items), engine.encode(items, token_classes=True)
    assert engine.has_token_classes and without.token_classes is None
    assert len(without) == len(beside) == 4
    for one, other in zip(without, beside, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_model_without_the_head_refuses(items, tmp_path, runtime):
    engine = Engine(write_small_model(tmp_path / "old.safetensors", "old", 1), runtime=runtime)
    assert not engine.has_token_classes and np.isfinite(engine.encode(items).residual).all()
    with pytest.raises(ValueError, match="token_classes: the network has no token head"):
        engine.encode(items, token_classes=True)


# -- quiet frames


def quiet_items(items):
    """The frames, each followed by 30 of steady noise."""
    rng, layout = np.random.default_rng(6), FrameLayout(SMALL_FFT, 8)
    many = np.repeat(items[:12], 31, axis=0)
    tokens, _ = layout.split(many)
    still = np.arange(len(many)) % 31 != 0
    tokens[still, :, :-2] = 10 * np.log10(rng.gamma(16, 1 / 16, (still.sum(), layout.n_tokens, 8)))
    tokens[still, :, -2] = tokens[still, :, :-2].max(axis=2) + 4
    tokens[still, :, -1] = 0.35
    return many


@pytest.mark.parametrize("cut", [1, 7, 64])
@pytest.mark.parametrize("mode", [FEW, HELD])
def test_quiet_frames_repeat_or_are_computed(model, items, mode, cut):
    many, engine = quiet_items(items), Engine(model)
    adaptive = AdaptiveEncoder(engine, mode)
    made = [adaptive.encode(many[i:i + cut], "ism", token_classes=True) for i in range(0, len(many), cut)]
    got, rows = np.concatenate([m.token_classes for m in made]), np.concatenate([m.features for m in made])
    quiet = rows[:, features.K_ENCODED] < engine.k_kept
    assert 20 < quiet.sum() < len(many) - 20
    plain = engine.encode(many, "ism", token_classes=True).token_classes
    assert np.array_equal(got[~quiet], plain[~quiet])
    if mode == HELD:
        source = np.maximum.accumulate(np.where(quiet, 0, np.arange(len(many))))
        assert np.array_equal(got, plain[source])
    else:
        few = engine.encode(many, "ism", kept=min(FEW_TOKENS, engine.k_kept), token_classes=True)
        assert np.array_equal(got[quiet], few.token_classes[quiet])


def test_token_classes_asked_for_late_are_not_made_up(model, items):
    many, engine = quiet_items(items), Engine(model)
    adaptive = AdaptiveEncoder(engine, HELD)
    adaptive.encode(many[:20], "ism")
    assert adaptive.encode(many[20:21], "ism").features[0, features.K_ENCODED] == 0
    late = adaptive.encode(many[21:24], "ism", token_classes=True)
    assert late.features[0, features.K_ENCODED] == engine.k_kept
    assert np.array_equal(late.token_classes[0], engine.encode(many[21:22], "ism", token_classes=True).token_classes[0])
    assert np.array_equal(late.token_classes[1:], np.repeat(late.token_classes[:1], 2, axis=0))


# -- two models


@pytest.mark.parametrize("large_has_it", [True, False])
def test_refined_frames_take_the_large_model_s_tokens_if_it_has_a_head(model, items, tmp_path, large_has_it):
    large = write_small_model(tmp_path / "large.safetensors", "large", 2, width=32, embedding=16, token_classes=large_has_it)
    fast = Engine(model).encode(items, "ism", token_classes=True)
    threshold = float(np.median(fast.features[:, features.PROBABILITIES].max(axis=1)))
    engine = open_engine(f"speculative:{model},{large}", confidence_threshold=threshold)
    out = engine.encode(items, "ism", token_classes=True)
    refined = out.features[:, features.ANSWERED_BY] > 0
    assert 20 < refined.sum() < 50
    assert np.array_equal(out.token_classes[~refined], fast.token_classes[~refined])
    wanted = Engine(large, pad_batch=REFINE_BATCH).encode(items, "ism", token_classes=True) if large_has_it else fast
    assert np.array_equal(out.token_classes[refined], wanted.token_classes[refined])


def test_two_models_give_none_if_the_fast_one_has_no_head(model, items, tmp_path):
    fast = write_small_model(tmp_path / "fast.safetensors", "fast", 2)
    engine = open_engine(f"speculative:{fast},{model}", confidence_threshold=1.0)
    assert not engine.has_token_classes and engine.encode(items, "ism").token_classes is None


def test_columns_are_those_of_the_network():
    assert len(columns(HEAD.labels)) == with_head(HEAD).token_head.classes.out_features
