# SPDX-License-Identifier: GPL-3.0-or-later
"""What is judged and how it is counted; and the shipped model on recordings that it never saw."""

from pathlib import Path

import numpy as np
import pytest
from gnuradio.spectrumencoder.encoder.engine import Engine
from gnuradio.spectrumencoder.evaluate.inference.classify import Judged, classify, equalise, judge, summarise
from gnuradio.spectrumencoder.training import front_end
from gnuradio.spectrumencoder.training.corpus import CorpusError, open_source

ROOT = Path(__file__).resolve().parents[2]
LABELS = ["BLE", "LoRa", "noise"]
FRAME = 1024


@pytest.fixture
def write(write_sigmf):
    """Writes a labelled cf32 recording of noise, and a carrier of that level during the bursts; returns it opened."""
    def make(folder, name, n, cls, rate=1e6, bursts=(), level=0.0, seed=0):
        rng = np.random.default_rng(seed)
        iq = rng.standard_normal((n, 2), np.float32).view(np.complex64)[:, 0] * np.float32(0.01)
        carrier = (level * np.exp(2j * np.pi * 0.1 * np.arange(n))).astype(np.complex64)
        for start, count in bursts:
            iq[start:start + count] += carrier[start:start + count]
        notes = [{"core:sample_start": 0, "core:sample_count": n, "core:label": cls,
                  "core:comment": f"whole file; family=ism; class={cls}"}]
        notes += [{"core:sample_start": s, "core:sample_count": c, "core:label": cls} for s, c in bursts]
        return open_source(write_sigmf(folder, name, iq, rate, freq_hz=868e6, annotations=notes))
    return make


def rows(*entries):
    """(label, list of guessed labels) -> what summarise takes."""
    made = []
    for number, (label, guesses) in enumerate(entries):
        probabilities = np.zeros((len(guesses), len(LABELS)), np.float32)
        probabilities[np.arange(len(guesses)), [LABELS.index(g) for g in guesses]] = 1
        made.append((Judged(f"r{number}", label, np.zeros((len(guesses), 1), np.float32), "ism",
                            f"r{number}"), probabilities))
    return made


def test_balanced_accuracy_is_the_mean_recall_and_a_file_without_frames_is_wrong():
    result = summarise(rows(("BLE", ["BLE"] * 3 + ["LoRa"]), ("LoRa", ["LoRa"] * 4), ("LoRa", []), ("noise", ["noise"] * 2)),
                       LABELS, 0)
    assert result["per_class"]["BLE"]["recall"] == 0.75
    assert result["per_class"]["LoRa"] == {"recall": 0.8, "n_frames": 5, "recording_accuracy": 0.5, "n_recordings": 2}
    assert result["balanced_accuracy"] == pytest.approx((0.75 + 0.8 + 1) / 3, abs=1e-4)
    assert result["accuracy"] == pytest.approx(9 / 11, abs=1e-4)
    assert result["n_frames"] == 10 and result["n_recordings"] == 4
    assert result["confusion"]["LoRa"] == {"LoRa": 4, "(none)": 1}
    assert result["recording_accuracy"] == 0.75
    assert result["wrong"] == {"r2": "(none)"}
    assert result["interval"][0] <= result["balanced_accuracy"] <= result["interval"][1]


def test_only_frames_that_hold_the_signal_are_judged(write, tmp_path, model_file):
    engine = Engine(str(model_file))
    source = write(tmp_path, "x_BLE_01", 160 * FRAME, "BLE", bursts=[(20 * FRAME, 4 * FRAME), (97 * FRAME, 2 * FRAME)], level=0.3)
    held, gaps = judge(source, "plain", 0, engine)
    assert (held.label, gaps.label) == ("BLE", "noise")
    assert len(held.items) == 2 and len(gaps.items) == 7  # of ten at K = 16 two overlap bursts, one ends too near to one
    assert (engine.layout.split(held.items)[1][:, 1] == 16).all()


def test_few_frames_are_judged_at_k_4_then_at_k_1_and_too_few_samples_yield_none(write, tmp_path, model_file):
    engine = Engine(str(model_file))
    short = write(tmp_path, "x_LTE_01", 50 * FRAME, "LTE")
    (held,) = judge(short, "plain", 0, engine)
    assert len(held.items) == 12 and (engine.layout.split(held.items)[1][:, 1] == 4).all()
    tiny = write(tmp_path, "x_LTE_02", 3 * FRAME, "LTE")
    (held,) = judge(tiny, "plain", 0, engine)
    assert len(held.items) == 3 and (engine.layout.split(held.items)[1][:, 1] == 1).all()
    (held,) = judge(write(tmp_path, "x_LTE_03", FRAME // 2, "LTE"), "plain", 0, engine)
    assert len(held.items) == 0


def test_equalised_is_seeded_quantised_and_resampled(write, tmp_path, model_file):
    source = write(tmp_path, "x_LoRa_01", 64 * FRAME, "LoRa", bursts=[(0, 64 * FRAME)], level=0.3)
    (one, factor), (two, _), (three, _) = (equalise(np.random.default_rng(s), source) for s in (5, 5, 6))
    assert np.array_equal(one, two) and not np.array_equal(one[:100], three[:100])
    assert len(np.unique(one.real)) <= 256
    assert len(one) == pytest.approx(64 * FRAME * factor, abs=1) and 0.75 <= factor <= 1.5
    (held,) = judge(source, "equalised", 0, Engine(str(model_file)))
    assert held.band == "unknown"


def test_a_front_end_is_that_of_the_noise_and_the_control_is_judged_as_noise(write, tmp_path, model_file):
    """A tilt of 12 dB on a recording's noise is its front end; the strong carrier in its bursts is not."""
    source = write(tmp_path, "x_BLE_01", 512 * FRAME, "BLE", bursts=[(200 * FRAME, 30 * FRAME)], level=3.0)
    tilt = 10.0 ** (np.fft.fftfreq(128) * 12 / 20)
    source.iq = front_end.shape(source.iq, tilt.astype(np.float32))
    found = 20 * np.log10(np.fft.fftshift(front_end.response(source)))
    assert np.mean(found**2) > 0 and abs((found[110] - found[18]) - 12 * (110 - 18) / 128) < 1.0
    assert abs(found[64 + 13] - np.interp(13, [-46, 46], found[[18, 110]])) < 1.0  # where the carrier was
    judged = judge(source, "front-end", 0, Engine(str(model_file)))
    assert [(j.label, j.shaped_by, len(j.items)) for j in judged] == [("noise", "BLE", 12)]


def test_the_front_end_of_a_recording_that_is_never_quiet(write, tmp_path, model_file):
    """What lies beside a steady narrow signal is bridged over it; beside a signal as wide as the band nothing is to be seen."""
    source = write(tmp_path, "x_LoRa_01", 256 * FRAME, "LoRa", bursts=[], level=0.0)
    tilt = 10.0 ** (np.fft.fftfreq(128) * 4 / 20)
    noise = front_end.shape(source.iq, tilt.astype(np.float32))
    sweep = np.cumsum(0.1 + 0.03 * np.sin(2 * np.pi * np.arange(len(noise)) / 2000))
    source.iq = (noise + 0.3 * np.exp(2j * np.pi * sweep)).astype(np.complex64)
    found = 20 * np.log10(np.fft.fftshift(front_end.response(source)))
    assert abs((found[110] - found[18]) - 4 * (110 - 18) / 128) < 1.0
    assert abs(found[64 + 13] - np.interp(13, [-46, 46], found[[18, 110]])) < 1.0
    wide = write(tmp_path, "x_LTE_01", 64 * FRAME, "LTE", bursts=[], level=0.0)
    assert front_end.response(wide) is None and judge(wide, "front-end", 0, Engine(str(model_file))) == []


def test_recordings_of_the_training_are_left_out(write, tmp_path, model_file):
    name = Engine(str(model_file)).contract["training"]["trained_on"][0]
    write(tmp_path, name, 64 * FRAME, "LTE")
    with pytest.raises(CorpusError, match="every labelled recording was used in training of"):
        classify(tmp_path, str(model_file))
    assert classify(tmp_path, str(model_file), include_trained=True)["per_class"]["LTE"]["n_recordings"] == 1
    with pytest.raises(ValueError, match="'easy' is not one of plain, equalised"):
        classify(tmp_path, str(model_file), condition="easy")


@pytest.mark.timeout(400)
@pytest.mark.parametrize(("condition", "balanced", "frames"), [("plain", 0.88, 0.93), ("equalised", 0.85, 0.925),
                                                              ("front-end", 0.85, 0.85)])
def test_the_folds_of_base_on_recordings_they_never_saw(corpus, condition, balanced, frames):
    """BLE moves the balanced figure: 19 of its 24 frames are of one file, and count as much as 1300 of LTE."""
    folds = [str(path) for path in sorted((ROOT / "models" / "folds").glob("base_fold?.safetensors"))]
    result = classify(corpus, folds, 0.25, condition)
    assert len(folds) == 3 and result["tokens_kept"] == 96
    assert len(result["per_class"]) == (1 if condition == "front-end" else 10)
    assert result["balanced_accuracy"] >= balanced and result["accuracy"] >= frames, result["per_class"]
