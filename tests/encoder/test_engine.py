# SPDX-License-Identifier: GPL-3.0-or-later
"""Engine with the shipped model: batching never changes a bit, settings swap live or are refused."""

import numpy as np
import pytest
from gnuradio.spectrumencoder.encoder import features
from gnuradio.spectrumencoder.encoder.engine import Engine
from gnuradio.spectrumencoder.tokens.tokenize import tokenize


@pytest.fixture(scope="module")
def frames():
    rng = np.random.default_rng(0)
    iq = rng.standard_normal((40 * 4096, 2), np.float32).view(np.complex64)[:, 0] * 0.05
    iq += 0.05 * np.exp(2j * np.pi * 0.11 * np.arange(len(iq))).astype(np.complex64)
    return tokenize(iq, 2e6, average=4)


@pytest.fixture
def engine(model_file):
    return Engine(str(model_file))


@pytest.mark.parametrize("policy", ["gumbel", "energy", "entropy", "random"])
def test_results_do_not_depend_on_batching(model_file, frames, policy):
    whole = Engine(str(model_file), dropout_policy=policy).encode(frames.items, "ism")
    engine = Engine(str(model_file), dropout_policy=policy)
    parts, start = [], 0
    for size in (1, 2, 13, 16, 8):
        parts.append(engine.encode(frames.items[start:start + size], "ism"))
        start += size
    for i, name in enumerate(("residual", "features", "reconstruction")):
        assert np.array_equal(getattr(whole, name), np.concatenate([p[i] for p in parts])), name


def test_features_layout(engine, frames):
    out = engine.encode(frames.items, "ism")
    tokens, side = engine.layout.split(frames.items)
    assert np.allclose(out.features[:, features.PROBABILITIES].sum(axis=1), 1, atol=1e-5)
    assert np.array_equal(out.features[:, features.K_EFF], side[:, 1])
    assert np.array_equal(out.features[:, features.FLOOR_DBFS], side[:, 0])
    assert (out.features[:, features.K_KEPT] == 96).all()
    assert np.isfinite(out.residual).all()
    level = tokens[:, :, :-2].reshape(len(tokens), -1) + side[:, :1]
    assert np.abs(out.reconstruction - level).mean() < 8  # dB: it reconstructs this spectrum, not another


@pytest.mark.parametrize("runtime", ["native", "torch"])
def test_the_share_of_samples_at_full_scale_is_passed_on_and_changes_nothing_else(model_file, frames, runtime):
    engine = Engine(str(model_file), runtime=runtime)
    before = engine.encode(frames.items, "ism")
    items = frames.items.copy()
    share = engine.layout.clipped_share(items)
    assert not share.any() and not before.features[:, features.CLIPPED_SHARE].any()
    share[:] = np.linspace(0.0, 1.0, len(items))
    after = engine.encode(items, "ism")
    assert np.array_equal(after.features[:, features.CLIPPED_SHARE], share)
    after.features[:, features.CLIPPED_SHARE] = 0
    for name in ("residual", "features", "reconstruction"):
        assert np.array_equal(getattr(after, name), getattr(before, name)), name


@pytest.mark.parametrize("policy", ["gumbel", "random"])
def test_an_answer_is_that_of_encode(model_file, frames, policy):
    engine, other = (Engine(str(model_file), dropout_policy=policy) for _ in range(2))
    whole, rows = engine.encode(frames.items[:21], "ism").features, other.answer(frames.items[:21], "ism")
    for part in (features.EMBEDDING, features.PROBABILITIES):
        assert np.array_equal(whole[:, part], rows[:, part])
    assert not rows[:, :features.EMBEDDING.start].any() and rows.shape == whole.shape


def test_settings_take_effect_and_equal_a_fresh_engine(model_file, engine, frames):
    engine.encode(frames.items[:3])
    for name, value in (("dropout_rate", 0.5), ("rope_mode", "static"), ("dropout_policy", "energy")):
        getattr(engine, f"set_{name}")(value)
    fresh = Engine(str(model_file), dropout_rate=0.5, rope_mode="static", dropout_policy="energy")
    assert np.array_equal(engine.encode(frames.items).residual, fresh.encode(frames.items).residual)
    engine.set_rope_mode("dynamic")
    engine.set_backend("linear")
    fresh = Engine(str(model_file), dropout_rate=0.5, backend="linear", dropout_policy="energy")
    assert np.array_equal(engine.encode(frames.items).residual, fresh.encode(frames.items).residual)


def test_naive_and_flash_share_weights(model_file, frames):
    flash, naive = (Engine(str(model_file), backend=b).encode(frames.items) for b in ("flash", "naive"))
    assert np.allclose(flash.residual, naive.residual, atol=1e-3)
    assert np.allclose(flash.features, naive.features, atol=1e-3)


@pytest.mark.parametrize(("setter", "value", "message"), [
    ("set_rope_mode", "spiral", "holds no weights for backend 'flash' with RoPE 'spiral'; it has .*flash/dynamic"),
    ("set_backend", "quantum", "'quantum' is not one of naive, flash"),
    ("set_dropout_rate", 1.0, r"1.0 is outside \[0, 1\)"), ("set_dropout_policy", "best", "'best' is not one of gumbel")])
def test_refused_settings_keep_the_old_one(model_file, engine, frames, setter, value, message):
    with pytest.raises(ValueError, match=message):
        getattr(engine, setter)(value)
    fresh = Engine(str(model_file))
    assert np.array_equal(engine.encode(frames.items[:4]).residual, fresh.encode(frames.items[:4]).residual)


def test_wrong_frames_and_devices_are_named(model_file, engine):
    with pytest.raises(ValueError, match=r"\(2, 99\) do not fit this model; it takes \(F, 1344\): fft_size 1024, stride 8"):
        engine.encode(np.zeros((2, 99), np.float32))
    with pytest.raises(ValueError, match="'gpu' is not auto, cpu, cuda or cuda:n"):
        Engine(str(model_file), compute="gpu")


@pytest.mark.parametrize("place", [100, 317, 512, 700, 951])
@pytest.mark.parametrize("average", [4, 16])
def test_a_tone_that_training_never_showed_stays_in_the_residual(engine, place, average):
    """A 20 dB tone keeps at least 75 % of its height: the reconstruction at its bin rises by less than 5 dB. In the middle of the
    band it keeps 45 %: receivers have their DC offset there, and the model has learnt to expect one."""
    rng = np.random.default_rng(place)
    n = average * 1024 * 4
    iq = (rng.standard_normal((n, 2), np.float32).view(np.complex64)[:, 0] * np.float32(0.01 * 2**-0.5)).astype(np.complex64)
    clean = tokenize(iq, 2e6, average=average)
    noise_dbfs = float(np.median(clean.psd))
    height = 10 ** ((noise_dbfs + 20) / 20)
    tone = height * np.exp(2j * np.pi * (place - 512) / 1024 * np.arange(n))
    dirty = tokenize((iq + tone).astype(np.complex64), 2e6, average=average)
    rise_in = (dirty.psd[:, place] - clean.psd[:, place]).mean()
    left = (dirty.psd[:, place] - engine.encode(dirty.items, "unknown").reconstruction[:, place]).mean()
    before = (clean.psd[:, place] - engine.encode(clean.items, "unknown").reconstruction[:, place]).mean()
    assert rise_in > 18
    assert (left - before) >= (0.45 if place == 512 else 0.75) * rise_in
