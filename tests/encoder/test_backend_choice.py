# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backend and runtime an engine takes: the named backend runs, and a family without C++ runs in PyTorch."""

import sys

import numpy as np
import pytest
import torch
from gnuradio.spectrumencoder import keys, spectrum_encoder
from gnuradio.spectrumencoder.encoder import config, layers
from gnuradio.spectrumencoder.encoder.attention import BACKENDS, DEFAULT_OF_FAMILY, Backend, describe_backends
from gnuradio.spectrumencoder.encoder.attention.naive import naive
from gnuradio.spectrumencoder.encoder.engine import Engine
from gnuradio.spectrumencoder.encoder.native_support import families
from small_models import SMALL_FFT, write_small_model

REACH = 3  # tokens to either side


def windowed(q, k, v, rotation=None, key_mask=None):
    """Softmax attention in which a token sees its REACH neighbours to either side; q, k, v (B, H, T, D)."""
    rows = [naive(q[:, :, t:t + 1], k[:, :, max(0, t - REACH):t + REACH + 1], v[:, :, max(0, t - REACH):t + REACH + 1])
            for t in range(q.shape[2])]
    return torch.cat(rows, dim=2)


@pytest.fixture
def register(monkeypatch):
    """Puts a row into the registry for the time of a test."""
    def put(**row):
        backend = Backend(attend=windowed, about="softmax attention among neighbours", **row)
        monkeypatch.setitem(BACKENDS, backend.name, backend)
    return put


@pytest.fixture
def new_family(monkeypatch, register, tmp_path):
    """A model of a family that the C++ library does not have; its backend and family are both named `windowed`."""
    def make(native=False):
        monkeypatch.setattr(config, "ATTENTION_FAMILIES", (*config.ATTENTION_FAMILIES, "windowed"))
        monkeypatch.setitem(layers.ATTENTION, "windowed", layers.Attention)
        monkeypatch.setitem(DEFAULT_OF_FAMILY, "windowed", "windowed")
        register(name="windowed", family="windowed", native=native)
        return write_small_model(tmp_path / "windowed.safetensors", "windowed", 0, variants=(("windowed", "none"),))
    return make


@pytest.fixture
def softmax_model(tmp_path):
    """Frames of 16 tokens, softmax weights, no rotary embedding."""
    return write_small_model(tmp_path / "softmax.safetensors", "softmax", 0, variants=(("softmax", "none"),))


def residual_of(engine):
    items = np.random.default_rng(0).normal(5.0, 4.0, (6, engine.layout.item_size)).astype(np.float32)
    return engine.encode(items).residual


@pytest.mark.parametrize("claimed", [False, True], ids=["as the row says", "though the row claims it"])
def test_a_family_without_cpp_runs_in_pytorch(new_family, softmax_model, claimed):
    engine = Engine(new_family(claimed), compute="cpu", dropout_rate=0.0)
    assert (engine.backend, engine.runtime) == ("windowed", "torch")
    assert engine.settings == ["windowed/none"]
    assert np.isfinite(residual_of(engine)).all()
    same_weights = Engine(softmax_model, compute="cpu", dropout_rate=0.0)
    assert np.abs(residual_of(engine) - residual_of(same_weights)).max() > 1e-3, "it is not windowed attention that ran"


def test_native_refuses_a_family_that_it_does_not_have(new_family):
    with pytest.raises(ValueError) as error:
        Engine(new_family(), compute="cpu", runtime="native")
    assert str(error.value) == ("runtime native does not serve backend 'windowed': the C++ library has no windowed attention; "
                                "it has grouped, latent, linear, mhla, softmax; use runtime=torch or auto")


def test_a_family_without_cpp_says_that_it_needs_pytorch(new_family, monkeypatch):
    path = new_family()
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ValueError, match="backend 'windowed' cannot run on cpu: it needs PyTorch, which is not installed"):
        Engine(path, compute="cpu")


@pytest.mark.parametrize("runtime", ["auto", "torch"])
def test_the_named_backend_is_the_one_that_runs(register, softmax_model, runtime):
    register(name="near", family="softmax")
    fresh = Engine(softmax_model, compute="cpu", backend="near", runtime=runtime, dropout_rate=0.0)
    live = Engine(softmax_model, compute="cpu", runtime=runtime, dropout_rate=0.0)
    flash = residual_of(live)
    live.set_backend("near")
    for engine in (fresh, live):
        assert (engine.backend, engine.runtime) == ("near", "torch")
        assert np.abs(residual_of(engine) - flash).max() > 1e-3, "flash ran under another name"
    assert np.array_equal(residual_of(fresh), residual_of(live))
    live.set_backend("auto")
    assert (live.backend, live.runtime) == ("flash", "native" if runtime == "auto" else "torch")
    assert np.array_equal(residual_of(live), flash)


def test_native_refuses_a_named_backend_that_it_does_not_compute(register, softmax_model):
    register(name="near", family="softmax")
    reason = "runtime native does not serve backend 'near': 'near' is computed by PyTorch only; use runtime=torch or auto"
    with pytest.raises(ValueError) as error:
        Engine(softmax_model, compute="cpu", backend="near", runtime="native")
    assert str(error.value) == reason
    engine = Engine(softmax_model, compute="cpu", runtime="native")
    with pytest.raises(ValueError) as error:
        engine.set_backend("near")
    assert str(error.value) == reason
    assert (engine.backend, engine.runtime) == ("flash", "native")


def test_a_block_reports_the_backend_and_the_runtime_that_run(register, softmax_model):
    register(name="near", family="softmax")
    block = spectrum_encoder(softmax_model, fft_size=SMALL_FFT, compute="cpu")
    reported = []
    for backend in ("flash", "near", "naive", "auto"):
        assert block.set_backend(backend)
        reported.append((block.counters()[keys.BACKEND], block.counters()[keys.RUNTIME]))
    assert reported == [("flash", "native"), ("near", "torch"), ("naive", "torch"), ("flash", "native")]


def test_one_backend_of_each_family_of_the_library_runs_natively():
    """`auto` and the default's own name are the same: the C++ library computes that backend, and no other of its family."""
    by_family = {family: [b.name for b in BACKENDS.values() if b.native and b.family == family] for family in families()}
    assert by_family == {family: [DEFAULT_OF_FAMILY[family]] for family in families()}
    assert {b.family for b in BACKENDS.values() if b.native} <= families()


@pytest.mark.parametrize("name", [b.name for b in BACKENDS.values() if b.native])
def test_the_name_of_a_default_runs_natively(name, model_file):
    engine = Engine(str(model_file), compute="cpu")
    if not any(setting.startswith(f"{name}/") for setting in engine.settings):
        pytest.skip(f"the shipped model has no weights for {name}")
    engine = Engine(str(model_file), compute="cpu", backend=name)
    assert (engine.backend, engine.runtime) == (name, "native")


def test_doctor_s_rows_name_the_runtimes(register):
    register(name="near", family="softmax")
    rows = {row["name"]: row["runtimes"] for row in describe_backends("cpu")}
    assert rows["flash"] == rows["mhla"] == ["native", "torch"] and rows["near"] == rows["naive"] == ["torch"]
    assert {row["name"]: row["runtimes"] for row in describe_backends("meta")}["flash"] == []
