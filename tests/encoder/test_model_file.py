# SPDX-License-Identifier: GPL-3.0-or-later
"""Anything but a valid model file gets a one-line error that says what is wrong."""

import json
import pickle

import numpy as np
import pytest
import torch
from gnuradio.spectrumencoder.encoder.config import POLICIES, EncoderConfig
from gnuradio.spectrumencoder.encoder.encoder import SpectrumEncoder
from gnuradio.spectrumencoder.encoder.model_file import (
    CONTRACT_KEY,
    ModelError,
    ModelFile,
    find_model,
    found_models,
    load,
    save,
    save_apart,
    save_tables,
    table_key,
    tables_path,
)
from safetensors.numpy import save_file

SMALL = dict(fft_size=128, width=16, layers=1, heads=2, kv_heads=1, mlp_width=32, keep_choices=(4, 8, 16), score_width=4,
             latents=2, latent_width=4, decoder_width=16, embedding=8, labels=("noise", "signal"))


@pytest.fixture
def contents():
    torch.manual_seed(0)
    config = EncoderConfig(**SMALL)
    tensors = {f"weights.softmax-dynamic.{k}": v.numpy() for k, v in SpectrumEncoder(config).state_dict().items()}
    contract = {"name": "small", "encoder": config.to_dict(), "labels": list(config.labels), "bands": list(config.bands),
                "variants": [{"name": "softmax-dynamic", "attention": "softmax", "rope": "dynamic"}], "policies": list(POLICIES),
                "average": [1, 64], "steps": 1, "heads": {"anomaly": True}}
    return contract, tensors


@pytest.fixture
def path(tmp_path, contents):
    save(tmp_path / "small.safetensors", *contents)
    return tmp_path / "small.safetensors"


def one_line(error) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_round_trip(path, contents):
    model = load(path)
    assert model.name == "small"
    assert model.config("softmax-dynamic") == EncoderConfig(**SMALL)
    for name, value in contents[1].items():
        assert np.array_equal(model.tensors[name], value)


def test_a_file_of_before_the_token_head_loads_without_one(tmp_path, contents):
    contract, tensors = contents
    old = {key: value for key, value in contract["encoder"].items() if key != "token_classes"}
    save(tmp_path / "old.safetensors", {**contract, "encoder": old}, tensors)
    model = load(tmp_path / "old.safetensors")
    assert not model.has_token_classes and model.config("softmax-dynamic") == EncoderConfig(**SMALL)


@pytest.mark.parametrize("heads", [{}, {"token_classes": True}])
def test_a_token_head_is_in_the_contract(tmp_path, contents, heads):
    contract, _ = contents
    config = EncoderConfig(**SMALL, token_classes=True)
    tensors = {f"weights.softmax-dynamic.{k}": v.numpy() for k, v in SpectrumEncoder(config).state_dict().items()}
    save(tmp_path / "head.safetensors", {**contract, "encoder": config.to_dict(), "heads": heads}, tensors)
    model = load(tmp_path / "head.safetensors")
    assert model.has_token_classes and model.config("softmax-dynamic").token_classes


def test_tables_are_set_replaced_and_kept(path):
    model = load(path)
    model.set_table("softmax-dynamic/ism/8/16/gumbel/fp32", {"scores": np.arange(5.0), "n": np.array(5)})
    model.set_table("softmax-dynamic/ism/8/16/gumbel/fp32", {"scores": np.arange(3.0)})
    save(path, model.contract, model.tensors)
    tables = load(path).tables
    assert list(tables) == ["softmax-dynamic/ism/8/16/gumbel/fp32"]
    assert list(tables["softmax-dynamic/ism/8/16/gumbel/fp32"]) == ["scores"]


@pytest.mark.parametrize("keep", [0, 5, 9, 500, -100], ids=lambda n: f"{n} bytes")
def test_truncated(path, keep):
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelError) as error:
        load(path)
    assert "truncated" in one_line(error)


def test_pickle(path):
    path.write_bytes(pickle.dumps({"weights": [1, 2, 3]}))
    with pytest.raises(ModelError) as error:
        load(path)
    assert "pickle" in one_line(error)
    torch.save({"weights": torch.zeros(3)}, path)
    with pytest.raises(ModelError) as error:
        load(path)
    assert "pickle or zip" in one_line(error)


def test_another_program_s_file(tmp_path):
    save_file({"x": np.zeros(3, np.float32)}, str(tmp_path / "x.safetensors"))
    with pytest.raises(ModelError) as error:
        load(tmp_path / "x.safetensors")
    assert "another program" in one_line(error)


@pytest.mark.parametrize(("change", "message"), [
    (dict(steps=0), "untrained"),
    (dict(encoder={**EncoderConfig(**SMALL).to_dict(), "colour": 1}), "unknown encoder setting.s. colour"),
    (dict(variants=[{"name": "linear-none", "attention": "linear", "rope": "none"}]), "no weights for variant linear-none")])
def test_contract_that_does_not_fit(tmp_path, contents, change, message):
    contract, tensors = contents
    save(tmp_path / "x.safetensors", {**contract, **change}, tensors)
    with pytest.raises(ModelError, match=message) as error:
        load(tmp_path / "x.safetensors")
    one_line(error)


@pytest.mark.parametrize(("change", "message"), [
    (dict(variants=[]), "names no variant"), (dict(average="a"), "wrong type: average .'a'."),
    (dict(average=[1, 99]), "within 1..64"), (dict(labels=["noise"]), "labels differ from the encoder's"),
    (dict(policies=["best"]), "policies .'best'. are unknown"),
    (dict(bands=3), "wrong type: bands"), (dict(name=None), "name .None."),
    (dict(heads={"token_classes": True}), "heads and its encoder differ in token_classes")])
def test_contract_entries_are_checked(tmp_path, contents, change, message):
    contract, tensors = contents
    save(tmp_path / "x.safetensors", {**contract, **change}, tensors)
    with pytest.raises(ModelError, match=message) as error:
        load(tmp_path / "x.safetensors")
    one_line(error)


def test_contract_that_is_no_table(tmp_path, contents):
    save_file(contents[1], str(tmp_path / "x.safetensors"), {CONTRACT_KEY: "[1, 2]"})
    with pytest.raises(ModelError, match="contract that is a list"):
        load(tmp_path / "x.safetensors")


def test_every_header_length_is_read(tmp_path, contents):
    """The header's length is the file's first byte; 0x80 there is no pickle."""
    contract, tensors = contents
    firsts = set()
    for padding in range(0, 272, 8):
        save(tmp_path / "x.safetensors", {**contract, "metrics": {"note": "x" * padding}}, tensors)
        firsts.add((tmp_path / "x.safetensors").read_bytes()[0])
        load(tmp_path / "x.safetensors")
    assert 0x80 in firsts


def test_other_contract_version_and_missing_entry(tmp_path, contents):
    contract, tensors = contents
    save_file(tensors, str(tmp_path / "x.safetensors"), {CONTRACT_KEY: json.dumps({**contract, "format_version": 99})})
    with pytest.raises(ModelError, match="contract version 99, this program reads 1"):
        load(tmp_path / "x.safetensors")
    short = {k: v for k, v in contract.items() if k != "labels"}
    save_file(tensors, str(tmp_path / "x.safetensors"), {CONTRACT_KEY: json.dumps({**short, "format_version": 1})})
    with pytest.raises(ModelError, match="without labels"):
        load(tmp_path / "x.safetensors")


def test_damaged_weights_are_noticed(path):
    data = bytearray(path.read_bytes())
    data[-20] ^= 0x40
    path.write_bytes(data)
    with pytest.raises(ModelError, match="does not match its checksum"):
        load(path)


def test_an_interrupted_save_leaves_the_old_file(path, contents, monkeypatch):
    before = path.read_bytes()
    contract, tensors = contents
    with pytest.raises(TypeError):
        save(path, {**contract, "metrics": object()}, tensors)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_find_by_name_path_and_not_at_all(path, monkeypatch):
    monkeypatch.setenv("SPECTRUMENCODER_MODELS", str(path.parent))
    assert find_model("small") == path
    assert find_model(str(path)) == path
    with pytest.raises(ModelError, match="no model named 'huge'; there is: .*small"):
        find_model("huge")
    with pytest.raises(ModelError, match="no model file at"):
        find_model("nowhere/huge.safetensors")


def test_table_key_names_how_the_frame_was_encoded(path):
    from gnuradio.spectrumencoder.encoder import features
    from gnuradio.spectrumencoder.encoder.engine import Engine

    engine = Engine(str(path), dropout_rate=0.5, dropout_policy="energy")
    items = np.zeros((1, engine.layout.item_size), np.float32)
    side = engine.layout.split(items)[1]
    side[:] = (-80, 4, 1000)
    row = engine.encode(items, "ism").features[0]
    assert table_key(engine.contract, "ism", row) == "softmax-dynamic/ism/8/4/energy/fp32" == engine.table_key("ism", 4)
    assert row[features.K_KEPT] == 8


def test_tables_beside_the_weights_load_as_if_they_were_in_the_file(contents, tmp_path):
    contract, tensors = contents
    whole, apart = tmp_path / "whole.safetensors", tmp_path / "apart.safetensors"
    model = ModelFile(contract, dict(tensors))
    model.set_table("a/b", {"scores": np.arange(5.0), "n": np.int64(5)})
    save(whole, contract, model.tensors)
    save_apart(apart, contract, model.tensors)
    one, two = load(whole), load(apart)
    assert one.tensors.keys() == two.tensors.keys() and two.tables["a/b"]["scores"].tolist() == [0, 1, 2, 3, 4]
    assert one.contract == {k: v for k, v in two.contract.items() if k != "tables"}
    assert tables_path(apart).stat().st_size < apart.stat().st_size < whole.stat().st_size
    save(tmp_path / "again.safetensors", two.contract, two.tensors)  # as calibrate does
    assert (tmp_path / "again.safetensors").read_bytes() == whole.read_bytes()


def test_tables_beside_that_are_missing_or_of_other_weights_are_an_error(contents, tmp_path):
    contract, tensors = contents
    tensors = {**tensors, "table.a/b.scores": np.arange(5.0)}
    path = tmp_path / "apart.safetensors"
    save_apart(path, contract, tensors)
    with pytest.raises(ModelError, match="holds tables alone; name the model file beside it"):
        load(tables_path(path))
    save_tables(path, "0" * 64, tensors)
    with pytest.raises(ModelError, match="tables of other weights than those of apart.safetensors"):
        load(path)
    tables_path(path).unlink()
    with pytest.raises(ModelError, match=r"keeps its tables in apart\.tables\.safetensors, which is missing"):
        load(path)


def test_tables_are_no_model_of_their_own(monkeypatch, contents, tmp_path):
    monkeypatch.setenv("SPECTRUMENCODER_MODELS", str(tmp_path))
    save_apart(tmp_path / "mine.safetensors", contents[0], {**contents[1], "table.a/b.scores": np.arange(5.0)})
    assert [path.name for path in found_models() if path.parent == tmp_path] == ["mine.safetensors"]
