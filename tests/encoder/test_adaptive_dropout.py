# SPDX-License-Identifier: GPL-3.0-or-later
"""Adaptive dropout: which frames are of interest, in the order of frames alone, without oscillation; and how quiet ones look."""

import numpy as np
import pytest
from gnuradio.spectrumencoder.encoder import features
from gnuradio.spectrumencoder.encoder.adaptive_dropout import (
    FEW,
    HELD,
    HOLD,
    OFF,
    REFRESH_S,
    SLEW_DB_PER_S,
    AdaptiveDropout,
    noise_law,
)
from gnuradio.spectrumencoder.encoder.adaptive_encoder import FEW_TOKENS, AdaptiveEncoder
from gnuradio.spectrumencoder.encoder.engine import Engine
from gnuradio.spectrumencoder.encoder.ensemble import open_engine
from gnuradio.spectrumencoder.tokens.layout import FrameLayout
from gnuradio.spectrumencoder.tokens.tokenize import tokenize
from small_models import write_small_model

N, RATE, AVERAGE = 128, 1e6, 16
LAYOUT = FrameLayout(N, 8)
HOP = N * AVERAGE
FRAMES_PER_S = RATE / HOP
BURST = slice(200, 208)  # frames of `bursts`


def noise(n_frames, seed=0, dbfs=-40.0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n_frames * HOP, 2)).astype(np.float32).view(np.complex64)[:, 0]
            * np.float32(10 ** (dbfs / 20) / np.sqrt(2)))


def tone(n_frames, db_over_noise_in_a_bin, bin_number=30, dbfs=-40.0):
    level = dbfs - 10 * np.log10(N) + db_over_noise_in_a_bin
    return (10 ** (level / 20) * np.exp(2j * np.pi * bin_number / N * np.arange(n_frames * HOP))).astype(np.complex64)


def items_of(iq):
    return tokenize(iq, RATE, fft_size=N, average=AVERAGE, flush=False).items


def settled(judge, n_frames=800, seed=9):
    """Shows it noise for long enough that only refreshes are left."""
    judge.full(items_of(noise(n_frames, seed)))
    return judge


@pytest.fixture(scope="module")
def bursts():
    """400 frames of noise with a burst in 8 of them."""
    iq = noise(400, 1)
    iq[BURST.start * HOP:BURST.stop * HOP] += tone(8, 20.0)
    return items_of(iq)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_small_model(tmp_path_factory.mktemp("adaptive") / "small.safetensors", "small", 1, sharpness=4.0)


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


# What is of interest


def test_noise_is_quiet_but_for_a_frame_a_second():
    judge = settled(AdaptiveDropout(LAYOUT))
    before, n_frames = judge.n_interest, 3000
    full = judge.full(items_of(noise(n_frames, 2)))
    assert judge.n_interest - before < 4 * n_frames * 1e-3 + 4  # the law, with room for what it leaves out
    assert np.diff(np.flatnonzero(full)).max() <= REFRESH_S * FRAMES_PER_S
    assert full.mean() < 0.03


@pytest.mark.parametrize("average", [1, 4, 64])
def test_noise_of_any_average_is_quiet(average):
    judge = AdaptiveDropout(LAYOUT)
    items = tokenize(noise(400, 3), RATE, fft_size=N, average=average, flush=False).items
    judge.full(items[:len(items) // 4])
    before = judge.n_interest
    judge.full(items[len(items) // 4:])
    assert judge.n_interest - before <= max(3, 5e-3 * len(items))


def test_a_burst_is_of_interest_from_its_first_frame_to_the_end_of_the_hold(bursts):
    full = settled(AdaptiveDropout(LAYOUT)).full(bursts)
    assert full[BURST.start:BURST.stop + HOLD].all()
    assert full[BURST.stop + HOLD:BURST.stop + HOLD + 40].sum() <= 1 and full[BURST.start - 40:BURST.start].sum() <= 1


def test_a_pulse_within_one_window_is_of_interest():
    iq = noise(100, 4)
    iq[50 * HOP + 3 * N:50 * HOP + 4 * N] += tone(1, 20.0)[:N]
    assert settled(AdaptiveDropout(LAYOUT)).full(items_of(iq))[50]


@pytest.mark.parametrize("height", [12.0, 25.0])
def test_a_steady_carrier_becomes_background_in_the_stated_time(height):
    judge = settled(AdaptiveDropout(LAYOUT))
    seconds = height / SLEW_DB_PER_S
    iq = noise(round((seconds + 3) * FRAMES_PER_S), 5)
    iq += tone(len(iq) // HOP, height)
    full = judge.full(items_of(iq))
    after = round((seconds + 1) * FRAMES_PER_S)
    assert full[:round(0.2 * seconds * FRAMES_PER_S)].all() and full[after:].mean() < 0.05
    gone = judge.full(items_of(noise(10, 6)))
    assert gone.all()  # that it is missing is of interest too


def test_a_carrier_that_is_there_less_than_half_of_the_time_stays_of_interest():
    judge, n_frames = settled(AdaptiveDropout(LAYOUT)), 6000
    on = np.arange(n_frames) % 100 < 30
    iq = noise(n_frames, 7) + tone(n_frames, 15.0) * np.repeat(on, HOP)
    assert judge.full(items_of(iq))[on].all()


def test_a_risen_floor_is_of_interest_though_no_level_stands_out_of_it():
    judge = settled(AdaptiveDropout(LAYOUT))
    assert judge.full(items_of(noise(20, 8, dbfs=-37.0))).all()


@pytest.mark.parametrize("height", [0.0, 3.0, 4.5, 6.0, 7.5, 9.0])
def test_a_signal_at_the_threshold_does_not_oscillate(height):
    judge, n_frames = settled(AdaptiveDropout(LAYOUT)), 1000
    on = np.arange(n_frames) % 100 < 40  # so that it never becomes background
    full = judge.full(items_of(noise(n_frames, 10) + tone(n_frames, height) * np.repeat(on, HOP)))
    toggles = np.count_nonzero(np.diff(full.astype(int)))
    assert toggles <= 2 * n_frames / (HOLD + 2)  # whatever the signal does
    starts = np.flatnonzero(np.diff(full.astype(int)) > 0) + 1
    stops = np.flatnonzero(np.diff(full.astype(int)) < 0) + 1
    lengths = stops - starts[:len(stops)] if len(starts) and not full[0] else np.zeros(0)
    assert set(lengths[lengths <= HOLD].tolist()) <= {1}  # only a refresh is shorter than the hold


@pytest.mark.parametrize("cut", [1, 3, 7, 16, 37, 256])
def test_what_is_of_interest_does_not_depend_on_the_batches(bursts, cut):
    whole = AdaptiveDropout(LAYOUT).full(bursts)
    judge = AdaptiveDropout(LAYOUT)
    parts = np.concatenate([judge.full(bursts[i:i + cut]) for i in range(0, len(bursts), cut)])
    assert np.array_equal(parts, whole) and 0 < whole.sum() < len(whole)


def test_each_tuning_has_a_background_of_its_own():
    judge = AdaptiveDropout(LAYOUT)
    iq = noise(3600, 11)
    carrier = items_of(iq + tone(3600, 12.0))
    empty = items_of(iq)
    judge.full(carrier, places=["high"] * 3600)
    judge.full(empty, places=["low"] * 3600)
    full = judge.full(np.concatenate((carrier[:20], empty[:20])), places=["high"] * 20 + ["low"] * 20)
    assert full[0] and full[20] and full.sum() <= 2 + 2 * HOLD  # the first frame of each visit
    for number in range(100):  # more tunings than are remembered
        assert judge.full(empty[:1], places=[number])[0]
    assert judge.full(carrier[:10], places=["high"] * 10).all()


def test_a_token_in_a_kept_band_is_of_interest(bursts):
    judge, wanted = settled(AdaptiveDropout(LAYOUT)), np.zeros((100, LAYOUT.n_tokens), bool)
    wanted[30:35, 3] = True
    full = judge.full(bursts[:100], wanted)
    assert full[30:35 + HOLD].all() and full[45:90].sum() <= 1


def test_the_law_is_that_of_noise():
    items = items_of(noise(4000, 12))
    tokens, _ = LAYOUT.split(items)
    law, n = noise_law(LAYOUT.n_tokens, 8, AVERAGE), LAYOUT.n_tokens
    mean = 10 * np.log10((10 ** (tokens[..., :-2] / 10)).mean(axis=2))
    for place, values in ((0, mean), (n, tokens[..., :-2].max(axis=2)), (2 * n, tokens[..., -2])):
        assert abs(np.median(values) - law.median[place]) < 0.5
        assert np.mean(values > law.median[place] + law.above_on[place]) < 5e-5
        assert np.quantile(values, 1 - 1e-4) > law.median[place] + 0.5 * law.above_on[place]  # not blind


# How quiet frames look


@pytest.fixture(params=["native", "torch"])
def engine(request, model):
    return Engine(model, runtime=request.param, backend="flash", dropout_rate=0.25)


def test_frames_of_interest_are_the_engines(engine, bursts):
    adaptive = AdaptiveEncoder(engine, HELD)
    out = adaptive.encode(bursts, "ism")
    full = out.features[:, features.K_ENCODED] > 0
    plain = engine.encode(bursts, "ism")
    assert 0 < full.sum() < len(full) and full[BURST].all()
    assert same([part[full] for part in out], [part[full] for part in plain])
    assert (adaptive.n_full, adaptive.n_few, adaptive.n_held) == (full.sum(), 0, (~full).sum())
    assert adaptive.mean_tokens == pytest.approx(full.mean() * engine.k_kept)


def test_a_held_frame_repeats_the_answer_and_keeps_its_own_levels(engine, bursts):
    out, plain = AdaptiveEncoder(engine, HELD).encode(bursts, "ism"), engine.encode(bursts, "ism")
    full = out.features[:, features.K_ENCODED] > 0
    quiet = np.flatnonzero(~full)
    source = np.maximum.accumulate(np.where(full, np.arange(len(full)), 0))[quiet]
    repeated = np.ones(features.N_FEATURES, bool)
    repeated[[features.K_EFF, features.FLOOR_DBFS, features.K_ENCODED]] = False
    assert np.array_equal(out.features[quiet][:, repeated], out.features[source][:, repeated])
    assert np.array_equal(out.latents[quiet], out.latents[source])
    tokens, side = LAYOUT.split(bursts)
    level = tokens[..., :-2].reshape(len(bursts), N)
    assert np.array_equal(out.features[:, features.FLOOR_DBFS], side[:, 0])
    assert np.array_equal(out.features[:, features.K_EFF], side[:, 1])
    mean = out.reconstruction[quiet] - side[quiet, :1]
    np.testing.assert_allclose(mean, plain.reconstruction[source] - side[source, :1], atol=1e-4)
    sigma = (level[source] - mean) / plain.residual[source]  # of the frame that answered
    sure = np.abs(plain.residual[source]) > 0.1
    np.testing.assert_allclose(((level[quiet] - mean) / sigma)[sure], out.residual[quiet][sure], rtol=2e-2, atol=1e-2)
    assert np.isfinite(out.residual).all() and (out.features[:, features.SKIPPED] == 0).all()
    assert (out.features[:, features.K_KEPT] == engine.k_kept).all()  # so that its conformal table is found


def test_few_tokens_are_the_engines_with_so_many(engine, bursts):
    adaptive = AdaptiveEncoder(engine, FEW)
    out, plain = adaptive.encode(bursts, "ism"), engine.encode(bursts, "ism")
    few = engine.encode(bursts, "ism", kept=min(FEW_TOKENS, engine.k_kept))
    quiet = out.features[:, features.K_ENCODED] < engine.k_kept
    assert 0 < quiet.sum() < len(quiet)
    assert same([part[quiet] for part in out], [part[quiet] for part in few])
    assert same([part[~quiet] for part in out], [part[~quiet] for part in plain])
    assert (out.features[:, features.K_KEPT] == engine.k_kept).all()


@pytest.mark.parametrize("mode", [FEW, HELD])
@pytest.mark.parametrize("cut", [1, 7, 64])
def test_results_do_not_depend_on_the_batches(engine, bursts, mode, cut):
    whole = AdaptiveEncoder(engine, mode).encode(bursts, "ism")
    adaptive = AdaptiveEncoder(engine, mode)
    parts = [adaptive.encode(bursts[i:i + cut], "ism") for i in range(0, len(bursts), cut)]
    assert same([np.concatenate(p) for p in zip(*parts, strict=True)], whole)


def test_off_is_the_engine(engine, bursts):
    assert same(AdaptiveEncoder(engine, OFF).encode(bursts, "ism"), engine.encode(bursts, "ism"))


def test_another_setting_or_band_is_answered_anew(engine, bursts):
    adaptive = AdaptiveEncoder(engine, HELD)
    adaptive.encode(bursts[:190], "ism")
    assert adaptive.encode(bursts[190:191], "aero").features[0, features.K_ENCODED] == engine.k_kept
    adaptive.encode(bursts[180:190], "aero")
    engine.set_dropout_rate(0.5)
    adaptive.settings_changed()
    assert adaptive.encode(bursts[190:191], "aero").features[0, features.K_ENCODED] == engine.k_kept


def test_a_mode_that_is_none_is_refused(engine):
    with pytest.raises(ValueError, match="adaptive_dropout 'quiet' is not one of off, few, held"):
        AdaptiveEncoder(engine, "quiet")
    with pytest.raises(ValueError, match=f"kept 0 is outside 1..{LAYOUT.n_tokens}"):
        engine.encode(items_of(noise(1)), kept=0)


@pytest.mark.parametrize("mode", [FEW, HELD])
def test_quiet_frames_are_not_refined(model, bursts, tmp_path, mode):
    large = write_small_model(tmp_path / "large.safetensors", "large", 2, width=32, embedding=16)
    engine = open_engine(f"speculative:{model},{large}", confidence_threshold=1.0)
    adaptive = AdaptiveEncoder(engine, mode)
    out = adaptive.encode(bursts, "ism")
    assert engine.n_refined == adaptive.n_full < len(bursts)
    full = out.features[:, features.K_ENCODED] == engine.k_kept
    assert np.array_equal(out.features[full], engine.encode(bursts[full], "ism").features)
