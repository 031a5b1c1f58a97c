# SPDX-License-Identifier: GPL-3.0-or-later
"""Every backend against the oracle of its family: outputs and the gradients of all inputs."""

import math
from pathlib import Path

import pytest
import torch
from gnuradio.spectrumencoder.encoder.attention import BACKENDS, describe_backends, get_backend
from gnuradio.spectrumencoder.encoder.attention.flash import FLASH_ATTN, SDPA, Facts, choose_kernel, package_facts
from gnuradio.spectrumencoder.encoder.attention.mhla import distance_logits, mixing
from gnuradio.spectrumencoder.encoder.config import ATTENTION_FAMILIES
from gnuradio.spectrumencoder.encoder.rope import RotaryEmbedding

PAIRS = [("flash", "naive"), ("grouped", "grouped_naive"), ("latent", "latent_naive"), ("linear", "linear_naive"),
         ("mhla", "mhla_naive")]
SHAPES = [(1, 4, 1, 8), (2, 4, 33, 16), (3, 4, 129, 16), (2, 2, 64, 4)]
TOKENS, BLOCKS = 256, 8  # of the frequency axis in these tests


def position_and_slot(b, t, g):
    """Places of t tokens, drawn without repeats and sorted as token dropout gives them; the first is a special token."""
    place = torch.stack([torch.randperm(TOKENS, generator=g)[:t - 1].sort().values for _ in range(b)])
    special = torch.zeros(b, 1, dtype=torch.long)
    return torch.cat((special, place), dim=1), torch.cat((special + TOKENS, place), dim=1)


def inputs(family, shape, rope, seed=0):
    """What the family's backends take, with a gradient where it is learned, and the rotation."""
    b, h, t, d = shape
    g = torch.Generator().manual_seed(seed)
    draw = lambda *size: torch.randn(*size, generator=g).requires_grad_(True)  # noqa: E731
    position, slot = position_and_slot(b, t, g)
    rotation = RotaryEmbedding(rope, d, 2)(position, torch.zeros(b, dtype=torch.long), torch.full((b,), 10.0))
    if family == "latent":
        return {"q": draw(b, h, t, d), "c": draw(b, t, 12), "up": draw(2, h, d, 12)}, rotation
    kv_heads = h // 2 if family == "grouped" else h
    made = {"q": draw(b, h, t, d), "k": draw(b, kv_heads, t, d), "v": draw(b, kv_heads, t, d)}
    if family == "mhla":
        logits = (distance_logits(h, BLOCKS) + torch.randn(h, BLOCKS + 1, BLOCKS + 1, generator=g)).requires_grad_(True)
        made |= {"slot": slot, "mix": logits, "size": TOKENS // BLOCKS}
    return made, rotation


def attend(name, made, rotation, mask=None):
    """The weights between sub-bands come from logits, so that these have a gradient to compare."""
    values = [mixing(x) if key == "mix" else x for key, x in made.items()]
    return get_backend(name).attend(*values, rotation, mask)


@pytest.mark.parametrize("rope", ["none", "static", "dynamic"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "B{}-H{}-T{}-D{}".format(*s))
@pytest.mark.parametrize(("name", "oracle"), PAIRS, ids=[p[0] for p in PAIRS])
def test_output_and_gradients_equal_the_oracle(name, oracle, shape, rope):
    assert BACKENDS[name].family == BACKENDS[oracle].family
    results = []
    for backend in (name, oracle):
        made, rotation = inputs(BACKENDS[name].family, shape, rope)
        out = attend(backend, made, rotation)
        weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
        learned = {key: x for key, x in made.items() if torch.is_tensor(x) and x.requires_grad}
        gradients = torch.autograd.grad((out * weight).sum(), list(learned.values()))
        results.append({"output": out, **{f"d{key}": g for key, g in zip(learned, gradients, strict=True)}})
    for what, ours in results[0].items():
        close(ours, results[1][what], what)


def close(ours, theirs, what):
    """Within 1e-4 of the value and 1e-5 of the tensor's largest (or of 1): linear attention's normaliser makes some large."""
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5 * max(1.0, float(theirs.detach().abs().max())),
                               msg=lambda m: f"{what}: {m}")


@pytest.mark.parametrize("rope", ["none", "dynamic"])
@pytest.mark.parametrize(("name", "oracle"), PAIRS, ids=[p[0] for p in PAIRS])
def test_double_precision_is_kept(name, oracle, rope):
    """Given fp64, no step falls back to fp32: a backend and its oracle then agree to 1e-11 (in fp32 they would to 1e-5)."""
    made, rotation = inputs(BACKENDS[name].family, (2, 4, 129, 16), rope)
    made = {key: x.detach().double() if torch.is_tensor(x) and x.is_floating_point() else x for key, x in made.items()}
    rotation = None if rotation is None else rotation.detach().to(torch.complex128)
    ours, theirs = (attend(backend, made, rotation) for backend in (name, oracle))
    assert ours.dtype == theirs.dtype == torch.float64
    torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11 * max(1.0, float(theirs.abs().max())))


def test_every_backend_has_its_oracle():
    assert {p[0] for p in PAIRS} == {b.name for b in BACKENDS.values() if not b.oracle}
    assert {p[1] for p in PAIRS} == {b.name for b in BACKENDS.values() if b.oracle}


@pytest.mark.parametrize("name", ["naive", "grouped_naive", "latent_naive", "linear", "linear_naive", "mhla", "mhla_naive"])
def test_a_masked_key_is_as_good_as_absent(name):
    made, _ = inputs(BACKENDS[name].family, (2, 4, 20, 8), "none")
    mask = torch.ones(2, 20, dtype=torch.bool)
    mask[:, 12:] = False
    short = {key: x[:, :12] if key in ("c", "slot") else x[:, :, :12] if key in ("q", "k", "v") else x
             for key, x in made.items()}
    torch.testing.assert_close(attend(name, made, None, mask)[:, :, :12], attend(name, short, None), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("rope", ["none", "dynamic"])
@pytest.mark.parametrize("name", ["mhla", "mhla_naive"])
def test_equal_weights_between_sub_bands_are_linear_attention(name, rope):
    made, rotation = inputs("mhla", (2, 4, 40, 8), rope)
    made["mix"] = torch.full((4, BLOCKS + 1, BLOCKS + 1), 0.7)
    linear = get_backend("linear").attend(made["q"], made["k"], made["v"], rotation, None)
    torch.testing.assert_close(attend(name, made, rotation), linear, atol=1e-5, rtol=1e-4)


def test_weight_zero_hides_a_sub_band():
    """What stands in a sub-band changes nothing for queries whose weight for it is zero, and does for the others."""
    made, _ = inputs("mhla", (1, 2, 60, 8), "none")
    mix = torch.ones(2, BLOCKS + 1, BLOCKS + 1)
    mix[:, 3, 5] = 0.0
    block = made["slot"][0] // made["size"]
    louder = {**made, "v": made["v"] + 10.0 * (block == 5)[:, None]}
    before, after = (get_backend("mhla").attend(*{**m, "mix": mix}.values(), None, None)[0] for m in (made, louder))
    torch.testing.assert_close(before[:, block == 3], after[:, block == 3], atol=1e-5, rtol=1e-5)
    assert (before - after)[:, block == 4].abs().min() > 0.1


def test_mixing_starts_by_frequency_distance():
    weights = mixing(distance_logits(2, 8))
    assert (weights[:, 0, :8].diff(dim=-1) < 0).all()
    assert (weights[:, 7, :8].diff(dim=-1) > 0).all()
    assert (weights[:, 8] == 1).all(), "the special tokens see every sub-band alike"
    torch.testing.assert_close(weights.mean(dim=-1), torch.ones(2, 9))
    assert weights[0, 0, 3] / weights[0, 0, 0] == pytest.approx(math.exp(-1))


def test_a_latent_of_full_rank_is_softmax_attention():
    """Keys and values as the latent itself: the same numbers as `naive` with these keys and values."""
    g = torch.Generator().manual_seed(3)
    q, k, v = (torch.randn(2, 4, 21, 8, generator=g) for _ in range(3))
    c = torch.cat((k, v), dim=1).permute(0, 2, 1, 3).flatten(2)  # (B, T, 2 H D)
    up = torch.eye(64).view(2, 4, 8, 64)
    for name in ("latent", "latent_naive"):
        torch.testing.assert_close(get_backend(name).attend(q, c, up, None, None), get_backend("naive").attend(q, k, v))


@pytest.mark.parametrize("name", [b.name for b in BACKENDS.values() if b.flash_kernel])
def test_flash_runs_the_flash_kernel_and_takes_no_mask(name):
    made, _ = inputs(BACKENDS[name].family, (2, 4, 20, 8), "none")
    with torch.profiler.profile() as profile:
        attend(name, made, None)
    assert any("flash_attention" in event.key for event in profile.key_averages())
    with pytest.raises(ValueError, match="takes no key mask"):
        attend(name, made, None, torch.ones(2, 20, dtype=torch.bool))


CUDA = Facts("cuda", (9, 0), "2.8.3", None)


@pytest.mark.parametrize(("facts", "kernel", "note"), [
    (Facts("cpu", None, "2.8.3", None), SDPA, "PyTorch's SDPA flash kernel"),
    (CUDA, FLASH_ATTN, "the flash-attn package 2.8.3"),
    (CUDA._replace(package=None), SDPA, "not installed"),
    (CUDA._replace(trouble="undefined symbol: _ZN3c10"), SDPA, "cannot be used: undefined symbol"),
    (CUDA._replace(capability=(7, 5)), None, "needs compute capability 8.0, this GPU has 7.5; use backend=naive"),
    (CUDA._replace(capability=None), None, "no CUDA device; use compute=cpu"),
    (Facts("mps", None, None, None), None, "no flash kernel for mps")])
def test_the_flash_kernel_follows_from_facts(facts, kernel, note):
    chosen = choose_kernel(facts)
    assert chosen.name == kernel
    assert note in chosen.note


@pytest.mark.parametrize(("text", "version", "trouble"), [
    (None, None, None), ("__version__ = '2.9'\ndef flash_attn_func(): ...", "2.9", None),
    ("__version__ = '4.0'", "4.0", "no flash_attn_func"),
    ("raise ImportError('undefined\\nsymbol')", "of unknown version", "undefined symbol"),
    ("import no_such_dependency", "of unknown version", "no_such_dependency")])
def test_what_is_said_of_an_installed_package(tmp_path, monkeypatch, text, version, trouble):
    name = f"flash_probe_{abs(hash(text))}"
    monkeypatch.syspath_prepend(tmp_path)
    if text is not None:
        (tmp_path / f"{name}.py").write_text(text)
    found = package_facts(name)
    assert found[0] == version
    assert (trouble in found[1]) if trouble else found[1] is None


def test_rows_say_which_kernel_runs_and_what_is_needed():
    rows = {row["name"]: row for row in describe_backends("cpu")}
    assert list(rows) == list(BACKENDS)
    assert rows["flash"]["kernel"] == rows["latent"]["kernel"] == "PyTorch's SDPA flash kernel"
    assert rows["linear"]["kernel"] == "" and rows["linear"]["needs"] == "nothing"
    assert "compute capability 8.0" in rows["grouped"]["needs"]


@pytest.mark.parametrize("block", ["spectrum_encoder", "spectrum_monitor"])
def test_grc_offers_and_explains_every_backend(block):
    path = Path(__file__).parents[2] / "grc" / f"spectrumencoder_{block}.block.yml"
    text = path.read_text()
    options = text.split("-   id: backend")[1].split("options: [")[1].split("]")[0].split(", ")
    assert options[0] == "auto"
    assert set(options[1:]) == {"naive"} | {b.name for b in BACKENDS.values() if not b.oracle}
    explained = text.split("documentation:")[1].split("- Attention backend")[1]
    assert all(name in explained for name in options)


def test_registry_names_what_is_missing():
    assert {b.family for b in BACKENDS.values()} == set(ATTENTION_FAMILIES)
    with pytest.raises(ValueError, match="'fast' is not one of naive, flash"):
        get_backend("fast")
    with pytest.raises(ValueError, match="cannot run on meta"):
        get_backend("flash", "meta")
    rows = describe_backends("meta")
    assert [r["name"] for r in rows if not r["available"]] == ["flash", "grouped", "latent"]
    assert all(r["reason"] for r in rows if not r["available"])


def test_scores_depend_on_relative_position_only():
    rope = RotaryEmbedding("static", 16, 1)
    band, width = torch.zeros(1, dtype=torch.long), torch.full((1,), 10.0)
    made, _ = inputs("softmax", (1, 2, 9, 16), "none")
    outputs = [attend("naive", made, rope(torch.arange(9)[None] + shift, band, width)) for shift in (0, 57)]
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
