# SPDX-License-Identifier: GPL-3.0-or-later
"""The comparison of codecs: its parts against what is known, and the whole on few frames."""

import json

import numpy as np
import pytest
from gnuradio.spectrumencoder.cli.main import main
from gnuradio.spectrumencoder.encoder.engine import Engine
from gnuradio.spectrumencoder.encoder.pdu import pack_classes, step_index, unpack
from gnuradio.spectrumencoder.encoder.quantise import Codec, log_bias_db
from gnuradio.spectrumencoder.evaluate.anomaly.clean_scenes import make_scenes, scene_frames, shuffled
from gnuradio.spectrumencoder.evaluate.compress.accuracy import accuracy, classes_from_latents, held_out_groups
from gnuradio.spectrumencoder.evaluate.compress.rate_distortion import Curve, bd_rate, bd_rmse, compared, front, rmse_at
from gnuradio.spectrumencoder.evaluate.compress.report import draw, report
from gnuradio.spectrumencoder.evaluate.compress.run import compress
from gnuradio.spectrumencoder.evaluate.compress.spectrum_codecs import (
    Cosines,
    DeltaZstd,
    ModelCodec,
    PrincipalComponents,
    Wavelets,
    with_labels,
)
from gnuradio.spectrumencoder.tokens.layout import FrameLayout
from gnuradio.spectrumencoder.training.corpus import CLASSES
from small_models import write_small_model

LAYOUT, WINDOW = FrameLayout(128, 8), "blackmanharris"
SEED = 900_001


@pytest.fixture(scope="module")
def frames():
    return scene_frames(SEED, 32, 16, LAYOUT, WINDOW)


def test_the_clean_spectrum_is_what_noise_averages_to(frames):
    """The mean over realisations of the noise of one frame comes to its clean spectrum."""
    error = frames.psd - frames.clean
    assert abs(np.mean(error) - log_bias_db(16)) < 0.05
    quiet = frames.clean < np.median(frames.clean) + 0.5  # where there is nothing but noise its spread is that of K = 16
    assert np.std(error[quiet]) == pytest.approx(1.10, abs=0.1)


def test_frames_alone_are_the_same_frames_in_another_order():
    scenes = make_scenes(3, 8, 16, LAYOUT, WINDOW, SEED)
    mixed = shuffled(scenes, 0)
    assert np.sort(np.concatenate([m.psd for m in mixed]).sum(axis=1)) == pytest.approx(
        np.sort(np.concatenate([s.psd for s in scenes]).sum(axis=1)))


@pytest.mark.parametrize("make", [PrincipalComponents, Cosines, Wavelets, lambda _: DeltaZstd()],
                         ids=["PCA", "DCT", "wavelet", "delta"])
def test_classical_codecs_decode_what_they_encode(frames, make):
    codec = make(scene_frames(SEED + 1, 64, 16, LAYOUT, WINDOW).level)
    sizes, errors = [], []
    for step in (4.0, 0.1):
        data = codec.encode(frames, step_index(step))
        decoded = codec.decode(data)
        assert decoded.shape == frames.psd.shape
        sizes.append(len(data))
        errors.append(np.sqrt(np.mean(np.square(decoded - frames.psd))))
    assert sizes[0] < sizes[1] and errors[1] < errors[0]
    assert errors[1] < (0.1 if codec.name.startswith("delta") else 2.0)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Engine of an untrained model with a class head on its latents, said to be trained on one recording of the small corpus."""
    path = tmp_path_factory.mktemp("small") / "small.safetensors"
    contract = {"training": {"trained_on": ["a_lora_01"]}}
    return Engine(write_small_model(path, "small", 1, sharpness=8.0, labels=CLASSES, embedding=16,
                                    decoder_width=32, contract=contract), dropout_rate=0.25)


def test_all_codecs_carry_the_same_classes(frames, small):
    labelled = with_labels(small, frames)
    assert labelled.label.shape == labelled.confidence.shape == (32,) and labelled.confidence.min() > 0
    classes, level = pack_classes(labelled.label, labelled.confidence), frames.level
    for codec in (ModelCodec(small, Codec(small.file), detail=True, refine=1), PrincipalComponents(level), Cosines(level),
                  Wavelets(level), DeltaZstd()):
        data, without = (codec.encode(f, step_index(1.0)) for f in (labelled, frames))
        assert len(data) - len(without) - len(classes) in (0, 1), codec.name  # the length may take a byte more
        header = unpack(data)[0]
        assert header.label == tuple(labelled.label) and unpack(without)[0].label is None
        assert np.abs(np.array(header.confidence) - labelled.confidence).max() <= 1 / 32
        np.testing.assert_array_equal(codec.decode(data), codec.decode(without))
    model = ModelCodec(small, Codec(small.file), detail=False, refine=1)
    assert model.labels(model.encode(labelled, 60)) == [CLASSES[i] for i in labelled.label]


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """A pool of 64 frames, of which half are of a recording that the small model was not trained on."""
    folder = tmp_path_factory.mktemp("pool")
    (folder / "train").mkdir()
    (folder / "pool.json").write_text(json.dumps({"sources": ["a_lora_01", "b_lora_01"]}))
    tokens, side = LAYOUT.split(scene_frames(SEED + 2, 64, 16, LAYOUT, WINDOW).items)
    source, zero = np.repeat([0, 1], 32), np.zeros(64, int)
    np.savez(folder / "train" / "shard_0000.npz", tokens=tokens, side=side, target=tokens, label=np.arange(64) % len(CLASSES),
             anomaly=zero, band=zero, source=source, mixed=zero - 1, token_label=np.full((64, LAYOUT.n_tokens), -1),
             boundary=np.full((64, LAYOUT.n_tokens), -1), others=np.full((64, 12), -1))
    return folder


def test_the_label_in_the_pdu_loses_nothing(small, pool, mini_corpus):
    classical = [Wavelets(scene_frames(SEED + 2, 64, 16, LAYOUT, WINDOW).level)]
    result = accuracy(str(small.file.path), pool, [mini_corpus], classical, train_frames=64, refine=1, dropout_rate=0.25, seed=0,
                      quick=True)
    whole = result["uncompressed"]["the whole model"]
    assert set(result["uncompressed"]) == {"the whole model", "its class head on latents alone",
                                           "classifier on spectra as they are"}
    for name in ("latents + detail", "latents"):
        for row in result["points"][name]:
            assert (row["classifier"], row["accuracy"]) == ("label in the PDU", whole)
            assert row["minus_uncompressed"] == {"mean": 0.0, "low": 0.0, "high": 0.0} and row["bytes"] > 0.5
    assert {row["classifier"] for row in result["points"]["wavelet"]} <= {"learnt as they are", "learnt as decoded"}
    groups, truth, _ = held_out_groups(small, [mini_corpus], True)
    classes = classes_from_latents(small, groups)
    assert classes.shape == truth.shape and set(classes) <= set(range(len(CLASSES)))


def test_bd_rate_of_known_curves():
    size = np.array([10.0, 20, 40, 80, 160])
    error = 4 - np.log2(size / 10)
    assert bd_rate((size / 2, error), (size, error))["ratio"] == pytest.approx(0.5, rel=1e-3)
    assert bd_rmse((size, error - 0.5), (size, error)) == pytest.approx(-0.5, abs=1e-6)
    assert bd_rate((size, error - 50), (size, error)) is None  # no error in common
    assert front(np.array([1.0, 2, 3]), np.array([3.0, 4, 1]))[0].tolist() == [1, 3]
    assert np.isnan(rmse_at((size, error), 5)) and rmse_at((size, error), 1000) == pytest.approx(error[-1], abs=1e-9)


def test_comparison_has_intervals():
    rng = np.random.default_rng(0)
    size = np.array([10.0, 20, 40, 80, 160])[:, None] * np.ones(10)
    square = np.square(4 - np.log2(size / 10)) * rng.uniform(0.9, 1.1, size.shape)
    found = compared(Curve(size / 2, square), Curve(size, square), 50)
    assert found["bd_rate_interval"][0] <= found["bd_rate"] <= found["bd_rate_interval"][1]
    assert found["bd_rate"] == pytest.approx(0.5, rel=0.01)


def test_quick_run_makes_page_and_picture(model_file, tmp_path):
    result = json.loads(json.dumps(compress(str(model_file), quick=True), allow_nan=False))
    assert set(result["conditions"]) == {"successive, K = 4", "alone, K = 4"}
    for condition in result["conditions"].values():
        assert set(condition["points"]) == {"latents + detail", "latents", "PCA", "DCT", "wavelet", "delta + zstd"}
        assert 0.5 < condition["class_bytes"] <= 2.5
        points = [p for points in condition["points"].values() for p in points]
        assert all(p["bytes"] > condition["class_bytes"] and np.isfinite(p["rmse_db"]) for p in points)
    page = report(result, "the command")
    assert "| **latents + detail** |" in page and "\nthe command\n" in page
    text = " ".join(page.split())
    assert "carry the label and the confidence" in text and " are label and confidence." in text
    draw(result, tmp_path / "c.png")
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


def test_usage(capsys):
    assert main(["evaluate", "compress", "--corpus", "."]) == 2
    assert "--pool" in capsys.readouterr().err
