# SPDX-License-Identifier: GPL-3.0-or-later
"""The speculative ensemble: whose numbers are whose, that batching changes no bit, that settings hold for both or none."""

import numpy as np
import pytest
from gnuradio.spectrumencoder.detector.calibrate import learn
from gnuradio.spectrumencoder.detector.detector import Detector
from gnuradio.spectrumencoder.detector.events import Segment
from gnuradio.spectrumencoder.encoder import features
from gnuradio.spectrumencoder.encoder.engine import Engine
from gnuradio.spectrumencoder.encoder.ensemble import (
    FAST,
    LARGE,
    REFINE_BATCH,
    SpeculativeEngine,
    load_models,
    members,
    open_engine,
)
from gnuradio.spectrumencoder.encoder.model_file import ModelError, load
from gnuradio.spectrumencoder.tokens.layout import FrameLayout
from small_models import write_small_model

N = 128
OUTPUTS = ("residual", "features", "reconstruction")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Paths of two models: `large` is wider, has other weights, another embedding width and variants of its own."""
    folder = tmp_path_factory.mktemp("pair")
    fast = write_small_model(folder / "fast.safetensors", "fast", 1, sharpness=4.0)
    large = write_small_model(folder / "large.safetensors", "large", 2, (("softmax", "dynamic"), ("linear", "dynamic")),
                              width=32, embedding=16, keep_choices=(8, 12, 16))
    return fast, large


@pytest.fixture(scope="module")
def model(pair):
    return "speculative:" + ",".join(pair)


@pytest.fixture(scope="module")
def items():
    layout = FrameLayout(N, 8)
    items = np.zeros((70, layout.item_size), np.float32)
    tokens, side = layout.split(items)
    rng = np.random.default_rng(3)
    tokens[:] = rng.normal(0, 3, tokens.shape) + rng.uniform(0, 30, (len(items), 1, 1)) * rng.integers(0, 2, tokens.shape)
    side[:] = (-90.0, 16, 1e6 / N)
    return items


@pytest.fixture(scope="module")
def threshold(pair, items):
    """A threshold that leaves about half of the frames in doubt."""
    return float(np.median(Engine(pair[0]).encode(items).features[:, features.PROBABILITIES].max(axis=1)))


def test_fast_answers_the_sure_frames_and_large_the_others(pair, model, items, threshold):
    engine = open_engine(model, confidence_threshold=threshold)
    out, fast = engine.encode(items, "ism"), Engine(pair[0]).encode(items, "ism")
    large = Engine(pair[1], pad_batch=REFINE_BATCH).encode(items, "ism")
    doubtful = fast.features[:, features.PROBABILITIES].max(axis=1) < np.float32(threshold)
    assert 20 < doubtful.sum() < 50
    assert (engine.n_refined, engine.n_accepted) == (doubtful.sum(), (~doubtful).sum())
    assert np.array_equal(out.features[:, features.ANSWERED_BY], np.where(doubtful, LARGE, FAST))
    for part in (features.PROBABILITIES, features.EMBEDDING):
        assert np.array_equal(out.features[:, part], np.where(doubtful[:, None], large.features[:, part], fast.features[:, part]))
    assert np.array_equal(out.residual, fast.residual) and np.array_equal(out.reconstruction, fast.reconstruction)
    rest = np.ones(features.N_FEATURES, bool)
    for part in (features.PROBABILITIES, features.EMBEDDING, features.ANSWERED_BY):
        rest[part] = False
    assert np.array_equal(out.features[:, rest], fast.features[:, rest])
    assert engine.table_key("ism", 16) == Engine(pair[0]).table_key("ism", 16)


def test_an_odd_embedding_is_refined_in_whole_batches(pair, items, threshold, tmp_path):
    odd = write_small_model(tmp_path / "odd.safetensors", "odd", 2, embedding=12)
    engine = open_engine(f"speculative:{pair[0]},{odd}", confidence_threshold=threshold)
    assert engine.large.pad_batch == engine.pad_batch == 16
    whole = engine.encode(items).features
    assert np.array_equal(whole, np.concatenate([engine.encode(items[i:i + 7]).features for i in range(0, len(items), 7)]))


@pytest.mark.parametrize("policy", ["gumbel", "random"])
@pytest.mark.parametrize("dtype", ["fp32", "int8"])
def test_results_do_not_depend_on_batching(model, items, threshold, policy, dtype):
    settings = dict(confidence_threshold=threshold, dropout_policy=policy, dtype=dtype)
    whole = open_engine(model, **settings).encode(items, "ism")
    engine, start = open_engine(model, **settings), 0
    for size in (1, 2, 13, 16, 1, 3, 30, 4):
        part = engine.encode(items[start:start + size], ["ism"] * size)
        for name in OUTPUTS:
            assert np.array_equal(getattr(whole, name)[start:start + size], getattr(part, name)), (name, start)
        start += size
    assert start == len(items)
    engine.reset()
    assert engine.n_refined == engine.n_accepted == 0
    assert np.array_equal(engine.encode(items, "ism").features, whole.features)


def test_each_frame_keeps_its_band(pair, model, items):
    bands = ["ism", "aero", "gnss"] * 23 + ["ism"]
    out = open_engine(model, confidence_threshold=1.0).encode(items, bands)
    assert np.array_equal(out.features[:, features.PROBABILITIES],
                          Engine(pair[1], pad_batch=REFINE_BATCH).encode(items, bands).features[:, features.PROBABILITIES])


@pytest.mark.parametrize(("threshold", "refined"), [(0.0, 0), (1.0, 70)])
def test_extremes_of_the_threshold(model, items, threshold, refined):
    engine = open_engine(model)
    engine.set_confidence_threshold(threshold)
    assert (engine.encode(items).features[:, features.ANSWERED_BY] == LARGE).sum() == engine.n_refined == refined
    assert engine.encode(items[:0]).features.shape == (0, features.N_FEATURES)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_threshold_that_is_no_probability_is_refused(model, pair, value):
    engine = open_engine(model, confidence_threshold=0.6)
    with pytest.raises(ValueError, match=r"confidence_threshold .* is outside \[0, 1\]"):
        engine.set_confidence_threshold(value)
    assert engine.confidence_threshold == 0.6
    with pytest.raises(ValueError, match="is outside"):
        open_engine(pair[0], confidence_threshold=value)


def test_settings_hold_for_both_or_for_none(model):
    engine = open_engine(model, dropout_rate=0.75)
    assert (engine.k_kept, engine.large.k_kept) == (4, 8)  # each the nearest that it offers
    engine.set_dropout_rate(0.5)
    engine.set_dropout_policy("energy")
    engine.set_backend("naive")
    for one in (engine, engine.large):
        assert (one.k_kept, one.dropout_policy, one.backend) == (8, "energy", "naive")
    for setter, value in (("set_backend", "linear"), ("set_rope_mode", "static")):  # one has it, the other has not
        with pytest.raises(ValueError, match="holds no weights"):
            getattr(engine, setter)(value)
        assert all((one.backend, one.rope_mode) == ("naive", "dynamic") for one in (engine, engine.large))
    assert engine.settings == ["naive/dynamic", "flash/dynamic"]
    with pytest.raises(ValueError, match="holds no weights"):
        open_engine(model, backend="linear")


def test_names_of_ensembles(pair, model):
    assert members("speculative") == ("fast", "large")
    assert members(model) == pair
    assert members("base") is members("speculative.safetensors") is members("./speculative:a,b") is None
    for wrong in ("speculative:", "speculative:base", "speculative:,large"):
        with pytest.raises(ModelError, match="does not name two models; write speculative:FAST,LARGE"):
            members(wrong)
    assert [file.name for file in load_models(model)] == ["fast", "large"]
    assert [file.name for file in load_models(pair[1])] == ["large"]
    assert type(open_engine(pair[1])) is Engine
    engine = open_engine(model)
    assert isinstance(engine, SpeculativeEngine) and engine.model_name == "speculative:fast,large"
    with pytest.raises(ModelError, match="no model file at absent.safetensors"):
        open_engine(f"speculative:{pair[0]},absent.safetensors")


@pytest.mark.parametrize(("other", "text"), [
    ({"labels": ("noise", "BLE", "LoRa")}, "their labels are noise, LoRa, BLE and noise, BLE, LoRa"),
    ({"fft_size": 256}, "fft_size is 128 and 256"), ({"window": "hann"}, "window is 'blackmanharris' and 'hann'"),
    ({"contract": {"average": [2, 64]}}, "'fast' takes frames of 1..32 windows, 'other' of 2..64"),
    ({"contract": {"heads": {"classes": False}}}, "names no classes")])
def test_models_that_do_not_go_together(pair, tmp_path, other, text):
    path = write_small_model(tmp_path / "other.safetensors", "other", 4, **other)
    with pytest.raises(ModelError, match="'fast' and 'other' cannot be one ensemble: .*" + text):
        load_models(f"speculative:{pair[0]},{path}")


def test_trained_on_is_that_of_both(pair, tmp_path):
    paths = [write_small_model(tmp_path / f"{n}.safetensors", n, 1, contract={"training": {"trained_on": names}})
             for n, names in (("a", ["x", "y"]), ("b", ["y", "z"]))]
    assert open_engine("speculative:" + ",".join(paths)).trained_on == {"x", "y", "z"}
    assert open_engine(pair[0]).trained_on == set()


def test_one_table_of_fast_judges_all_frames_and_events_name_who_answered(pair, model, items, threshold):
    """The scores of an ensemble are those of fast; an event's label, confidence and model are those of one frame."""
    engine = open_engine(model, confidence_threshold=threshold)
    out, alone = engine.encode(items, "ism"), Engine(pair[0]).encode(items, "ism")
    many = np.tile(np.arange(len(items)), 40)
    table = learn(alone.residual[many], alone.features[many], 0.01)
    judge = Detector(engine.contract, {engine.table_key("ism", 16): table}, false_alarm_rate=0.5,
                     false_events_per_hour=np.inf, models=[f.name for f in load_models(model)])
    segment = Segment(433e6, 1e6, "ism", 16 * N, 16, (0.0, 0), "tag")
    starts = segment.frame_hop * np.arange(len(items))
    psd = alone.reconstruction
    result = judge.process(psd, out.residual, out.features, starts, segment)
    single = Detector(engine.contract, {engine.table_key("ism", 16): table}, false_alarm_rate=0.5, false_events_per_hour=np.inf)
    assert np.array_equal(result.scores, single.process(psd, alone.residual, alone.features, starts, segment).scores)
    assert judge.n_uncalibrated == 0 and np.isfinite(result.p_values).all()
    events = result.events
    assert {e["model"] for e in events} == {"fast", "large"}
    answered = {(e["model"], round(e["confidence"], 6)) for e in events}
    confidence = out.features[:, features.PROBABILITIES].max(axis=1)
    names = np.array(["fast", "large"])[out.features[:, features.ANSWERED_BY].astype(int)]
    assert answered <= {(n, round(float(c), 6)) for n, c in zip(names, confidence, strict=True)}
    with pytest.raises(ValueError, match="model 1 of an ensemble has answered, the detector knows fast; give the"):
        single.process(psd, out.residual, out.features, starts, segment)


def test_same_file_twice_changes_no_answer(pair, items):
    file = load(pair[0])
    out = SpeculativeEngine(file, file, confidence_threshold=1.0, pad_batch=0).encode(items)
    alone = Engine(file, pad_batch=0).encode(items)
    assert np.allclose(out.features[:, features.PROBABILITIES], alone.features[:, features.PROBABILITIES], atol=1e-5)
