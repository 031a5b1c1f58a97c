# SPDX-License-Identifier: GPL-3.0-or-later
"""Composed frames: the truth of tokens, and that no frame joins recordings which a split parts."""

import copy

import numpy as np
import pytest
import torch
from gnuradio.spectrumencoder.encoder.model_file import load
from gnuradio.spectrumencoder.tokens.layout import FrameLayout
from gnuradio.spectrumencoder.tokens.tokenize import tokenize
from gnuradio.spectrumencoder.training.batch_augment import mirror_truth, without_spurs
from gnuradio.spectrumencoder.training.composed import EMPTY, UNKNOWN, UNSURE, Composer, Placed, groups_of, pieces_of, truth_of
from gnuradio.spectrumencoder.training.corpus import CLASSES, CorpusError, load_corpus
from gnuradio.spectrumencoder.training.datasets import COMPOSED, FrameFactory, Recipe, make_shard
from gnuradio.spectrumencoder.training.loop import train
from gnuradio.spectrumencoder.training.losses import token_losses
from gnuradio.spectrumencoder.training.shards import FIELDS, without

LAYOUT = FrameLayout(128, 8)
FOLDS = '[one]\nholdout = ["a_*"]\n[two]\nholdout = ["b_*"]\n'


@pytest.fixture(scope="module")
def sources(mini_corpus):
    return load_corpus([mini_corpus])


@pytest.fixture
def folds(tmp_path):
    path = tmp_path / "folds.toml"
    path.write_text(FOLDS)
    return path


def placed(low_bin, high_bin, cls, level, average=4, count=128, share=1.0):
    """A flat signal of this power over the noise in bins low..high - 1."""
    spectrum = np.full((high_bin - low_bin) * average, np.sqrt(level * average * count), np.complex64)
    return Placed(low_bin * average, spectrum, cls, -1, share, True)


def test_tokens_know_what_they_hold():
    lora, ook = CLASSES.index("LoRa"), CLASSES.index("ISM-sensor-OOK")
    truth = truth_of([placed(16, 40, lora, 20.0), placed(40, 56, ook, 50.0), placed(96, 98, UNKNOWN, 30.0)], LAYOUT, 4,
                     np.ones(128))
    label = truth["token_label"]
    assert label[:2].tolist() == [EMPTY] * 2 and label[2:5].tolist() == [lora] * 3
    assert label[5:7].tolist() == [ook] * 2 and label[12] == UNKNOWN
    assert (label[[7, 8, 9, 10, 11, 13, 14, 15]] == EMPTY).all()
    assert np.flatnonzero(truth["boundary"] == 1).tolist() == [5]
    assert truth["boundary"][3:5].tolist() == [0, 0]
    assert truth["label"] == UNSURE


def test_weak_signals_and_collisions_teach_nothing():
    lora, ook = CLASSES.index("LoRa"), CLASSES.index("ISM-sensor-OOK")
    weak = truth_of([placed(16, 32, lora, 0.3)], LAYOUT, 4, np.ones(128))
    assert (weak["token_label"][2:4] == UNSURE).all() and weak["label"] == UNSURE
    both = truth_of([placed(16, 40, lora, 20.0), placed(16, 40, ook, 15.0)], LAYOUT, 4, np.ones(128))
    assert (both["token_label"][2:5] == UNSURE).all()
    alone = truth_of([placed(16, 40, lora, 20.0)], LAYOUT, 4, np.ones(128))
    assert alone["label"] == lora
    beyond_the_filter = truth_of([placed(16, 40, lora, 20.0)], LAYOUT, 4, np.full(128, 1e-4))
    assert (beyond_the_filter["token_label"] == EMPTY).all()


def test_the_truth_lies_where_the_power_is(sources):
    composer = Composer(sources, LAYOUT, None)
    composer.begin()
    rng, inside, outside = np.random.default_rng(5), [], []
    for _ in range(60):
        got = composer.draw(rng, 16)
        if got is None:
            continue
        iq, _, rate, truth = got
        frame = tokenize(iq / 64, rate, fft_size=128, stride=8, average=16, window="blackmanharris")
        tokens, _ = LAYOUT.split(frame.items[:1])
        high = tokens[0, :, :8].max(axis=1)
        label = truth["token_label"]
        inside += high[(label != EMPTY) & (label != UNSURE)].tolist()
        outside += high[label == EMPTY].tolist()
    assert len(inside) > 50 and len(outside) > 50
    assert np.median(inside) > np.median(outside) + 5


def test_no_frame_joins_recordings_that_a_split_parts(sources, folds):
    names = [s.name for s in sources]
    groups = groups_of(names, folds)
    assert len(groups) == 2 and not any(n.startswith("a_") for n in groups[1]) and not any(n.startswith("b_") for n in groups[0])
    composer = Composer(sources, LAYOUT, folds)
    rng, seen = np.random.default_rng(1), []
    for _ in range(80):
        got = composer.draw(rng, 4)
        if got is not None:
            seen.append({names[n][0] for n in got[3]["sources"]})
    assert not any({"a", "b"} <= s for s in seen)
    assert any("a" in s for s in seen) and any("b" in s for s in seen)


@pytest.mark.parametrize("text", [None, "x = ", "[one]\nhold = []\n"])
def test_a_file_of_folds_that_is_none(tmp_path, text):
    path = tmp_path / "f.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(CorpusError, match=r"folds = '.*f\.toml' of \[data\]: is no readable file of folds \(.*\); name one"):
        groups_of(["a"], path)


def test_noise_has_no_pieces(sources):
    kinds = {s.label: pieces_of(s, 0) for s in sources}
    assert kinds.get("noise", []) == []
    piece = next(p for label, parts in kinds.items() if label not in ("noise", "GNSS") for p in parts)
    assert np.mean(np.abs(piece.iq) ** 2) == pytest.approx(1.0, rel=1e-3) and 0 < piece.width_hz < 1e6


def test_a_shard_carries_all_its_recordings(sources, folds, tmp_path):
    recipe = Recipe(mix=(0.6, 0, 0.2, 0.1, 0.1, 0), composed_share=0.7, folds=str(folds))
    factory = FrameFactory(sources, LAYOUT, "blackmanharris", recipe)
    for path in (tmp_path / "one.npz", tmp_path / "two.npz"):
        make_shard(factory, ("ism", "unknown"), 3, 0, 48, path)
    with np.load(tmp_path / "one.npz") as one, np.load(tmp_path / "two.npz") as two:
        shard = {key: one[key] for key in FIELDS}
        assert all(np.array_equal(shard[key], two[key], equal_nan=True) for key in FIELDS)
    composed = shard["source"] == COMPOSED
    assert 0.4 < composed.mean() < 0.95
    assert (shard["others"][~composed] == -1).all()
    heard = {n for n in shard["others"].ravel().tolist() if n >= 0}
    left = without(shard, {next(iter(heard))})
    assert len(left["label"]) < 48 and not (left["others"] == next(iter(heard))).any()
    noise = (shard["label"] == EMPTY) & (shard["anomaly"] == 0) & ~composed
    assert (shard["token_label"][noise] == EMPTY).all()


def test_a_mirrored_truth_keeps_its_boundaries():
    label = torch.tensor([[9, 3, 3, 7, 7, 9]])
    boundary = torch.tensor([[-1, -1, 0, 1, 0, -1]])
    turned, edges = mirror_truth(torch.tensor([True]), label, boundary)
    assert turned.tolist() == [[9, 7, 7, 3, 3, 9]] and edges.tolist() == [[-1, -1, 0, 1, 0, -1]]
    same, kept = mirror_truth(torch.tensor([False]), label, boundary)
    assert torch.equal(same, label) and torch.equal(kept, boundary)


def test_a_token_with_an_added_carrier_teaches_nothing():
    before = torch.zeros(1, 16, 10)
    after = before.clone()
    after[0, 3, 2] = after[0, 8, 0] = 12.0  # the second one in the middle, as a receiver's DC line
    truth = without_spurs(torch.full((1, 16), EMPTY), before, after)
    assert truth[0, 3] == UNSURE and truth[0, 8] == EMPTY and (truth[0, :3] == EMPTY).all()


def test_the_loss_of_tokens():
    label = torch.tensor([[9, 9, 9, 3]])
    right = torch.full((1, 4, 12), -5.0)
    right[0, torch.arange(4), label[0]] = 5.0
    none = torch.full((1, 4), -1)
    assert token_losses(right, label, none) < 0.3
    wrong = right.flip(2)
    assert token_losses(wrong, label, none) > 5.0
    edges = torch.tensor([[-1, 0, 0, 1]])
    told = right.clone()
    told[0, 3, -1] = 5.0
    assert token_losses(told, label, edges) < token_losses(right, label, edges)
    assert token_losses(right, none, none) == 0.0


def test_training_gives_tokens_their_classes(mini_corpus, mini_config, tmp_path):
    config = copy.deepcopy(mini_config)
    config["encoder"]["token_classes"] = True
    config["data"]["composed_share"] = 0.5
    config["training"] |= {"steps": 60, "rate": 5e-3, "variants": [["softmax", "dynamic"]]}
    model = load(train(config, [mini_corpus], tmp_path / "run"))
    assert model.contract["heads"]["token_classes"] is True
    weights = model.weights("softmax-dynamic")
    assert weights["token_head.classes.weight"].shape == (12, 16)
    metrics = model.contract["metrics"]["softmax-dynamic"]
    assert metrics["empty_accuracy"] > 0.5 and 0.2 < metrics["token_temperature"] < 5
    assert float(weights["token_temperature"]) == pytest.approx(metrics["token_temperature"], abs=1e-3)
