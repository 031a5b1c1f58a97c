# SPDX-License-Identifier: GPL-3.0-or-later
"""Training: same seed, same weights; an interrupted run continues exactly; held-out sources are never drawn from."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from gnuradio.spectrumencoder.encoder.engine import Engine
from gnuradio.spectrumencoder.encoder.model_file import load
from gnuradio.spectrumencoder.tokens.layout import FrameLayout
from gnuradio.spectrumencoder.tokens.tokenize import tokenize
from gnuradio.spectrumencoder.training import augment
from gnuradio.spectrumencoder.training.batch_augment import add_power, add_spurs, carrier, mirror
from gnuradio.spectrumencoder.training.config import ConfigError, with_fold
from gnuradio.spectrumencoder.training.corpus import CLASSES, CorpusError, load_corpus, split
from gnuradio.spectrumencoder.training.datasets import FrameFactory, Recipe, add_anomaly, make_shard
from gnuradio.spectrumencoder.training.loop import Data, train
from gnuradio.spectrumencoder.training.losses import imitation
from gnuradio.spectrumencoder.training.shards import ShardMaker, _lock, being_made, unlabel_unseen, without

BANDS = ("ism", "cellular", "gnss", "aero", "unknown")


@pytest.fixture
def factory(mini_corpus):
    sources = split(load_corpus([mini_corpus]), ["b_*"])[0]
    return FrameFactory(sources, FrameLayout(128, 8), "blackmanharris", Recipe(mix=(0.6, 0, 0.2, 0.1, 0.1, 0)))


def test_interrupted_and_resumed_gives_the_same_weights(mini_corpus, mini_config, tmp_path):
    whole = load(train(mini_config, [mini_corpus], tmp_path / "whole"))
    stops = 0
    while True:
        try:
            path = train(copy.deepcopy(mini_config), [mini_corpus], tmp_path / "parts", resume=stops > 0,
                         minutes=1e-6 if stops < 3 else None)
            break
        except TimeoutError:
            stops += 1
    assert stops == 3
    resumed = load(path)
    assert whole.variants == resumed.variants == ["softmax-dynamic", "grouped-dynamic"]
    assert all(np.array_equal(whole.tensors[name], value) for name, value in resumed.tensors.items())
    assert whole.contract["training"]["held_out"] == ["b_fsk_01", "b_lora_01"]
    assert not any(name.startswith("b_") for name in whole.contract["training"]["trained_on"])
    out = Engine(resumed).encode(np.zeros((3, Engine(resumed).layout.item_size), np.float32) + 1)
    assert np.isfinite(out.features).all()
    with pytest.raises(ConfigError, match="continue with --resume"):
        train(mini_config, [mini_corpus], tmp_path / "whole")


def test_training_sees_no_frame_of_a_held_out_recording(mini_corpus, tmp_path):
    maker = ShardMaker(tmp_path, "train", [mini_corpus], layout=FrameLayout(128, 8), window="blackmanharris", bands=BANDS,
                       recipe=Recipe(mix=(0.8, 0, 0, 0.2, 0, 0), mixed_share=1.0), seed=0, count=1, size=64, workers=0)
    hidden = {n for n, name in enumerate(maker.sources) if name.startswith("b_")}
    shard = maker.get(0)
    assert len(shard["label"]) == 64 and hidden & set(shard["source"].tolist()) and hidden & set(shard["mixed"].tolist())
    seen = without(shard, hidden)
    assert 0 < len(seen["label"]) < 64
    assert not hidden & (set(seen["source"].tolist()) | set(seen["mixed"].tolist()))
    equal = Data(maker, hidden, balanced=True).batch(np.random.default_rng(0), 1, 3000)["label"].numpy()
    counts = np.bincount(equal[equal >= 0])
    assert np.ptp(counts[counts > 0]) < 0.2 * counts.max()
    assert np.mean(equal < 0) == pytest.approx(np.mean(seen["label"] < 0), abs=0.05)
    parts = Data(maker, hidden).batch(np.random.default_rng(0), 1, 500)
    assert set(parts["source"].tolist()) == set(seen["source"].tolist())


def test_a_shard_is_made_by_one_process_at_a_time(tmp_path):
    path = tmp_path / "shard_0000.npz"
    lock = _lock(path)
    assert lock and being_made(path) and _lock(path) is None
    dead = subprocess.Popen(["true"])
    dead.wait()
    lock.write_text(str(dead.pid))  # its maker was killed
    assert not being_made(path) and _lock(path) == lock and being_made(path)


def test_the_command_makes_shards_in_processes_of_its_own(mini_corpus, mini_config, tmp_path):
    """The installed script is imported again by each of them."""
    mini_config["training"] |= {"workers": 1, "shards": 1, "steps": 2, "variants": [["softmax", "dynamic"]]}
    config = tmp_path / "mini.toml"
    config.write_text("\n".join(f"[{table}]\n" + "\n".join(f"{key} = {json.dumps(value)}" for key, value in entries.items())
                                for table, entries in mini_config.items()))
    script = Path(sys.executable).with_name("spectrumencoder")
    done = subprocess.run([script, "train", config, "--corpus", mini_corpus, "--out", tmp_path / "out"], capture_output=True,
                          text=True, timeout=100)
    assert done.returncode == 0, done.stderr[-500:]
    assert (tmp_path / "out" / "mini.safetensors").exists() and (tmp_path / "out/pool/train/shard_0000.npz").exists()


def test_a_burst_that_drowned_gives_no_label():
    """LoRa frames of noise alone lose their label; one with a burst, LTE and noise keep theirs."""
    rng, layout = np.random.default_rng(5), FrameLayout(128, 8)
    iq = augment.white(rng, 128 * 16 * 80, 1e-4)
    on = 128 * 16 * 79
    iq[on:on + 400] += (0.05 * np.exp(2j * np.pi * 0.2 * np.arange(400))).astype(np.complex64)
    tokens, side = layout.split(tokenize(iq, 1e6, fft_size=128, average=16).items)
    label = np.full(80, CLASSES.index("noise"))
    label[60:] = CLASSES.index("LoRa")
    label[70] = CLASSES.index("LTE")
    shard = {"tokens": tokens.reshape(80, -1), "side": side, "label": label, "source": np.where(label == 9, -1, 3),
             "anomaly": np.zeros(80)}
    told = unlabel_unseen(shard, layout)
    assert (told[:60] == 9).all() and told[70] == CLASSES.index("LTE") and told[79] == CLASSES.index("LoRa")
    assert np.mean(told[60:79] == -1) > 0.7
    assert (unlabel_unseen({k: v[55:] for k, v in shard.items()}, layout) == label[55:]).all()  # too little noise to know


def test_spurs_at_the_tokens_are_what_a_steady_carrier_does():
    """Noise, and the same noise with a carrier: what add_power makes of the first agrees with the tokenizer's second."""
    rng, layout = np.random.default_rng(0), FrameLayout(1024, 8)
    noise = augment.white(rng, 32 * 1024, 1e-4)
    wave = (0.01 * np.exp(2j * np.pi * (300 - 512) / 1024 * np.arange(len(noise)))).astype(np.complex64)
    clean, dirty = (tokenize(x, 1e6, average=32) for x in (noise, noise + wave))
    tokens = torch.from_numpy(layout.split(clean.items)[0].copy())
    height_db = float(10 * np.log10(10 ** (dirty.psd[0, 300] / 10) - 10 ** (clean.psd[0, 300] / 10))) - clean.items[0, 1280]

    made = add_power(tokens, torch.from_numpy(carrier(1024, 300, height_db))[None])
    expected = torch.from_numpy(layout.split(dirty.items)[0])
    bins = slice(300 // 8 - 1, 300 // 8 + 2)
    assert (made[0, bins, :8] - expected[0, bins, :8]).abs().max() < 2.0  # the noise beats with the carrier
    assert (made[0, 37, 8] - expected[0, 37, 8]).abs() < 3.0 and (made[0, 37, 9] - expected[0, 37, 9]).abs() < 0.15
    torch.testing.assert_close(made[0, 60:], tokens[0, 60:], atol=1e-3, rtol=0)  # elsewhere nothing


def test_spurs_in_a_share_of_the_frames():
    tokens = torch.zeros(400, 128, 10)
    made, spurious = add_spurs(np.random.default_rng(3), tokens, 0.3)
    changed = (made != tokens).flatten(1).any(dim=1)
    assert torch.equal(changed, spurious > 0) and 90 < spurious.sum() < 150
    assert made[..., :8].max() < 36 and (made[..., :8] >= 0).all()


def test_mirrored_frames_run_the_other_way():
    """What a signal at +f leaves in the tokens, mirrored, is what it leaves at -f."""
    rng = np.random.default_rng(0)
    at = np.arange(4 * 1024)
    wave = np.exp(2j * np.pi * 200.25 / 1024 * at) + 0.1 * rng.standard_normal(len(at))
    turned = np.conj(wave) * np.exp(-2j * np.pi * at / 1024)  # bin n becomes 1023 - n
    layout = FrameLayout(1024, 8)
    up, down = (tokenize(x.astype(np.complex64), 1e6, average=4) for x in (wave, turned))
    tokens, expected = (torch.from_numpy(layout.split(x.items)[0].copy()) for x in (up, down))
    made, target = mirror(tokens, torch.from_numpy(up.psd.copy()), torch.ones(len(tokens), dtype=torch.bool))
    torch.testing.assert_close(made, expected, atol=2e-3, rtol=1e-3)
    torch.testing.assert_close(target, torch.from_numpy(down.psd.copy()), atol=2e-3, rtol=1e-3)
    same, _ = mirror(tokens, torch.from_numpy(up.psd.copy()), torch.zeros(len(tokens), dtype=torch.bool))
    assert torch.equal(same, tokens)


def test_the_chooser_is_fitted_last_and_shared(mini_corpus, mini_config, tmp_path):
    """It moves the learned score of token dropout and nothing else, and all variants have the same."""
    fitted = load(train(mini_config, [mini_corpus], tmp_path / "with", pool=tmp_path / "pool")).tensors
    mini_config["training"]["chooser_steps"] = 0
    bare = load(train(mini_config, [mini_corpus], tmp_path / "without", pool=tmp_path / "pool")).tensors
    moved = {name for name, value in fitted.items() if name.startswith("weights.") and not np.array_equal(value, bare[name])}
    learned = {name for name in fitted if ".dropout.learned." in name}
    assert moved == learned - {"weights.shared.dropout.learned.2.bias"}  # which has no gradient
    assert all(name.startswith("weights.shared.") for name in learned)


def test_going_on_with_all_recordings_under_a_teacher(mini_corpus, mini_config, tmp_path):
    """A fold's model is the start: the whole corpus is trained on, the temperature stays, the teacher's classes are imitated."""
    mini_config["training"] |= {"variants": [["softmax", "dynamic"]], "steps": 30}
    del mini_config["training"]["holdout"]
    with pytest.raises(ConfigError, match="holdout must name something"):
        train(mini_config, [mini_corpus], tmp_path / "none")
    folds = {"one": {"holdout": ["b_*"]}}
    with pytest.raises(ConfigError, match="fold 'two' is not one of one"):
        with_fold(mini_config, folds, "two")
    first = train(with_fold(mini_config, folds, "one"), [mini_corpus], tmp_path / "fold", pool=tmp_path / "pool")
    assert first.name == "mini_one.safetensors" and load(first).contract["training"]["held_out"] == ["b_fsk_01", "b_lora_01"]
    again = copy.deepcopy(mini_config)
    again["training"] |= {"seed": 4, "start": str(first), "teacher": str(first), "teacher_weight": 5.0, "rate": 1e-4, "steps": 50}
    made = load(train(again, [mini_corpus], tmp_path / "all", pool=tmp_path / "pool"))
    assert made.contract["training"]["held_out"] == []
    old = load(first)
    assert made.contract["metrics"]["softmax-dynamic"] == {
        "temperature": old.contract["metrics"]["softmax-dynamic"]["temperature"],
        "mflop_per_spectrum": old.contract["metrics"]["softmax-dynamic"]["mflop_per_spectrum"]}
    weights = {n: v for n, v in old.tensors.items() if n.startswith("weights") and ".rope." not in n}
    change = max(np.abs(made.tensors[n] - v).max() for n, v in weights.items())
    assert 0 < change < 0.05  # small steps from where it started, not a new network
    log = [json.loads(line) for line in (tmp_path / "all" / "log.jsonl").read_text().splitlines()]
    assert 0 <= log[0]["teacher"] < 0.5
    again["encoder"]["width"] = 32
    with pytest.raises(ConfigError, match="has width = 16, this configuration 32"):
        train(again, [mini_corpus], tmp_path / "other")


def test_imitation_is_zero_for_equal_classes_and_leaves_anomalies_out():
    logits = torch.tensor([[1.0, 2.0, 0.0], [3.0, 0.0, 0.0]])
    assert imitation(logits, logits + 7.0, torch.zeros(2), 2.0).abs() < 1e-6
    other = logits.clone()
    other[1] = torch.tensor([0.0, 0.0, 9.0])
    assert imitation(logits, other, torch.zeros(2), 2.0) > 0.5
    assert imitation(logits, other, torch.tensor([0.0, 1.0]), 2.0).abs() < 1e-6


def test_a_folder_of_another_configuration_is_refused(mini_corpus, mini_config, tmp_path):
    mini_config["training"]["workers"] = 1  # shards from another process
    with pytest.raises(TimeoutError):
        train(mini_config, [mini_corpus], tmp_path, minutes=1e-6)
    mini_config["training"]["holdout"] = ["a_*"]
    with pytest.raises(ConfigError, match="shards or checkpoints of another config"):
        train(mini_config, [mini_corpus], tmp_path, resume=True)


def test_shards_are_the_same_again(factory, tmp_path):
    for name in ("one", "two"):
        make_shard(factory, BANDS, 5, 3, 24, tmp_path / f"{name}.npz")
    one, two = (np.load(tmp_path / f"{n}.npz") for n in ("one", "two"))
    assert all(np.array_equal(one[k], two[k]) for k in one.files)
    assert np.isfinite(one["tokens"].astype(float)).all() and np.isfinite(one["target"].astype(float)).all()
    assert set(one["label"].tolist()) >= {3, 8, 9}  # LoRa, FSK, noise
    assert len(list(tmp_path.iterdir())) == 2


def test_a_clean_frame_is_its_own_target(factory):
    rng = np.random.default_rng(0)
    frames = [factory.draw(rng) for _ in range(40)]
    clean = [f for f in frames if not f["anomaly"]]
    assert clean and len(clean) < len(frames)
    for f in clean:
        level = f["tokens"].reshape(16, 10)[:, :8].reshape(-1).astype(float)
        assert np.abs(np.clip(level, -60, 100) - f["target"].astype(float)).max() < 0.1


def test_an_injected_anomaly_is_missing_from_the_target(factory):
    rng = np.random.default_rng(1)
    dirty = [f for f in (factory.draw(rng) for _ in range(200)) if f["anomaly"]]
    rise = [(f["tokens"].reshape(16, 10)[:, :8].reshape(-1) - f["target"]).max() for f in dirty]
    assert np.median(rise) > 3  # dB


@pytest.mark.parametrize("snr_db", [0.0, 10.0, 20.0])
def test_added_noise_gives_the_stated_snr(snr_db):
    rng = np.random.default_rng(2)
    n = 2**18
    band = augment.white(rng, n, 1.0)
    spectrum = np.fft.fft(band)
    spectrum[np.abs(np.fft.fftfreq(n)) > 0.1] = 0
    signal = np.fft.ifft(spectrum).astype(np.complex64)
    added = augment.noise_for_snr(augment.mean_psd(signal), snr_db)
    measured = 10 * np.log10(np.mean(np.abs(signal) ** 2) / (added * 0.2))
    assert measured == pytest.approx(snr_db, abs=0.6)


def test_channel_moves_and_scales_frequency():
    n = 4096
    tone = np.exp(2j * np.pi * 0.1 * np.arange(n)).astype(np.complex64)
    moved = augment.Channel(factor=2.0, shift=0.125).apply(tone)
    assert len(moved) == 2 * n
    assert np.argmax(np.abs(np.fft.fft(moved))) / (2 * n) == pytest.approx(0.05 + 0.125, abs=1e-3)
    assert np.mean(np.abs(moved) ** 2) == pytest.approx(1.0, rel=0.01)


def test_anomaly_has_the_stated_level():
    rng = np.random.default_rng(4)
    quiet = augment.white(rng, 2**16, 1.0)
    ratios = []
    for seed in range(30):
        added = add_anomaly(np.random.default_rng(seed), quiet, 10.0) - quiet
        psd, noise = augment.mean_psd(added), augment.mean_psd(quiet)
        own = psd > 0.01 * psd.max()
        ratios.append(10 * np.log10(psd[own].sum() / noise[own].sum()))
    assert 5 < np.median(ratios) < 12  # a pulse is weaker on average, a narrow one fills part of its bins


def test_quantised_noise_stays_within_full_scale():
    rng = np.random.default_rng(5)
    x = augment.quantise(augment.white(rng, 20000, 3.0), 8, 12.0)
    assert np.abs(x.real).max() <= 1.0 and len(np.unique(x.real)) <= 256


@pytest.mark.parametrize(("table", "key", "value", "message"), [
    ("training", "speed", 3, r"unknown setting\(s\) in \[training\]: speed"),
    ("encoder", "heads", 3, "heads 3 does not divide width 16"),
    ("training", "holdout", [], "holdout must name something"), ("training", "steps", 0, "steps 0, batch 16"),
    ("training", "keep_weights", [1.0], "1 keep_weights for 4 keep_choices"), ("data", "mix", [0.5, 0.5], "must be 6 shares"),
    ("training", "variants", [["foo", "none"]], "variant foo, none: attention 'foo' is not one of softmax"),
    ("encoder", "attention", "linear", "attention cannot be set"), ("data", "averages", [128], "average_weights"),
    ("encoder", "colour", 1, r"unknown setting\(s\) in \[encoder\]: colour")])
def test_configuration_errors(mini_corpus, mini_config, tmp_path, table, key, value, message):
    mini_config[table][key] = value
    with pytest.raises(ConfigError, match=message):
        train(mini_config, [mini_corpus], tmp_path)


def test_a_holdout_pattern_that_matches_nothing_is_an_error(mini_corpus):
    with pytest.raises(CorpusError, match="'c_.' matches no recording"):
        split(load_corpus([mini_corpus]), ["c_*"])


def test_bursts_decide_which_windows_hold_the_signal(mini_corpus):
    source = next(s for s in load_corpus([mini_corpus]) if s.name == "a_fsk_01")
    source.bursts = [(50_000, 2000)]
    assert source.holds_signal(49_000, 4096) and source.holds_signal(51_000, 4096)
    assert not source.holds_signal(52_000, 4096) and not source.holds_signal(0, 4096)
    assert not source.is_gap(51_000, 4096)
    noise = next(s for s in load_corpus([mini_corpus]) if s.label == "noise")
    assert noise.is_gap(0, 4096) and not noise.holds_signal(0, 4096)
