# SPDX-License-Identifier: GPL-3.0-or-later
"""Reduced precision: what each linear map computes, that frames stay independent, that tables tell precisions apart."""

import numpy as np
import pytest
import torch
from gnuradio.spectrumencoder.encoder import features, native, precision
from gnuradio.spectrumencoder.encoder.config import ATTENTION_FAMILIES, EncoderConfig
from gnuradio.spectrumencoder.encoder.encoder import SpectrumEncoder
from gnuradio.spectrumencoder.encoder.engine import Engine
from gnuradio.spectrumencoder.encoder.precision import Bf16Linear, Int8Linear, reduce_precision, why_not
from gnuradio.spectrumencoder.tokens.tokenize import tokenize

CPU = torch.device("cpu")
REDUCED = ["bf16", "int8"]


@pytest.fixture(scope="module")
def frames():
    rng = np.random.default_rng(0)
    iq = rng.standard_normal((40 * 4096, 2), np.float32).view(np.complex64)[:, 0] * 0.05
    iq += 0.05 * np.exp(2j * np.pi * 0.11 * np.arange(len(iq))).astype(np.complex64)
    return tokenize(iq, 2e6, average=4)


def make_linear(bias, inputs=96, outputs=40):
    torch.manual_seed(1)
    return torch.nn.Linear(inputs, outputs, bias=bias)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(96,), (3, 96), (2, 5, 96)])
def test_int8_is_the_product_of_the_rounded_values(bias, shape):
    linear, x = make_linear(bias), torch.randn(shape)
    weight, rows = linear.weight.detach().double(), x.double()
    s_w, s_x = (v.abs().amax(-1, keepdim=True) / 127 for v in (weight, rows))
    wanted = ((rows / s_x).round() * s_x) @ ((weight / s_w).round() * s_w).T
    wanted = wanted + linear.bias.detach() if bias else wanted
    with torch.inference_mode():
        assert torch.allclose(Int8Linear(linear)(x).double(), wanted, atol=2e-5)


@pytest.mark.parametrize(("kind", "relative"), [(Bf16Linear, 0.01), (Int8Linear, 0.02)])
def test_a_reduced_map_is_near_the_exact_one(kind, relative):
    linear, x = make_linear(True), torch.randn(50, 96)
    with torch.inference_mode():
        exact, reduced = linear(x), kind(linear)(x).float()
    assert (exact - reduced).square().mean().sqrt() < relative * exact.square().mean().sqrt()


def test_int8_scales_each_token_by_itself():
    x = torch.randn(4, 96)
    with torch.inference_mode():
        alone, beside_loud = Int8Linear(make_linear(False))(x[:2]), Int8Linear(make_linear(False))(
            torch.cat((x[:2], 1e4 * x[2:])))
    assert torch.equal(alone, beside_loud[:2])
    assert torch.isfinite(Int8Linear(make_linear(False))(torch.zeros(3, 96))).all()


@pytest.mark.parametrize("dtype", REDUCED)
@pytest.mark.parametrize("family", ATTENTION_FAMILIES)
def test_every_family_of_attention_runs_reduced(family, dtype):
    torch.manual_seed(0)
    network = SpectrumEncoder(EncoderConfig(fft_size=128, width=16, layers=2, heads=2, kv_heads=1, kv_rank=8, mlp_width=32,
                                            attention=family, keep_choices=(8, 12, 16), labels=("a", "b"))).eval()
    inputs = (torch.rand(3, 16, 10) * 20, torch.tensor([[-80.0, 16.0, 1e3]] * 3), torch.zeros(3, dtype=torch.long))
    with torch.inference_mode():
        exact = network(*inputs, 12)
        replaced = reduce_precision(network, dtype)
        assert not any(isinstance(m, torch.nn.Linear) for m in replaced.blocks.modules())
        assert isinstance(replaced.heads.classes, torch.nn.Linear)
        reduced = replaced(*inputs, 12)
    for name in ("class_logits", "mean_db"):
        one, other = getattr(exact, name), getattr(reduced, name)
        assert other.dtype == torch.float32
        assert 0 < (one - other).abs().max() < 0.1 * one.abs().max(), name


@pytest.mark.parametrize("runtime", ["native", "torch"])
@pytest.mark.parametrize("dtype", REDUCED)
def test_results_do_not_depend_on_batching(model_file, frames, dtype, runtime):
    whole = Engine(str(model_file), dtype=dtype, runtime=runtime).encode(frames.items, "ism")
    engine, start = Engine(str(model_file), dtype=dtype, runtime=runtime), 0
    for size in (1, 2, 13, 16, 8):
        part = engine.encode(frames.items[start:start + size], "ism")
        for name in ("residual", "features", "reconstruction"):
            assert np.array_equal(getattr(whole, name)[start:start + size], getattr(part, name)), name
        start += size


@pytest.mark.parametrize("runtime", ["native", "torch"])
@pytest.mark.parametrize("dtype", REDUCED)
def test_the_shipped_model_loses_little(model_file, frames, dtype, runtime):
    exact, reduced = (Engine(str(model_file), dtype=d, runtime=runtime).encode(frames.items, "ism") for d in ("fp32", dtype))
    p, q = (e.features[:, features.PROBABILITIES] for e in (exact, reduced))
    assert np.array_equal(p.argmax(axis=1), q.argmax(axis=1))
    assert 0 < np.abs(exact.residual - reduced.residual).max()
    assert np.sqrt(np.mean((exact.residual - reduced.residual) ** 2)) < 0.1


def test_tables_tell_precisions_apart(model_file, frames):
    for number, dtype in enumerate(("fp32", "bf16", "int8")):
        engine = Engine(str(model_file), compute="cpu", dtype=dtype)
        assert engine.dtype == dtype
        assert engine.table_key("ism", 16).endswith(f"/{dtype}")
        assert (engine.encode(frames.items[:2]).features[:, features.DTYPE] == number).all()


@pytest.mark.parametrize(("instructions", "settings", "wanted"), [
    ("avx512_bf16", {}, "bf16"), ("avx512", {}, "fp32"), ("avx2", {"runtime": "native"}, "fp32"),
    ("avx512_bf16", {"runtime": "torch"}, "fp32"), ("avx512_bf16", {"backend": "naive"}, "fp32")])
def test_auto_is_bf16_if_the_processor_gains_by_it(model_file, monkeypatch, instructions, settings, wanted):
    monkeypatch.setattr(native, "best_instructions", lambda: instructions)
    assert Engine(str(model_file), compute="cpu", dtype="auto", **settings).dtype == wanted


def test_what_cannot_run_is_refused(model_file, monkeypatch):
    with pytest.raises(ValueError, match="'fp8' is not one of auto, fp32, bf16, int8"):
        Engine(str(model_file), dtype="fp8")
    assert "int8 runs on a CPU only, not on cuda" in why_not("int8", torch.device("cuda"))
    assert why_not("fp32", CPU) is why_not("bf16", CPU) is why_not("int8", CPU) is None
    precision._why_no_int8.cache_clear()
    monkeypatch.setattr(torch, "_int_mm", lambda a, b: (a.int() @ b.int()).clamp(max=2**15 - 1))  # a kernel that saturates
    with pytest.raises(ValueError, match="dtype 'int8': the int8 product of this CPU saturates"):
        Engine(str(model_file), dtype="int8", runtime="torch")
    precision._why_no_int8.cache_clear()
