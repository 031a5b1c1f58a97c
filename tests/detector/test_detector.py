# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole detector on synthetic frames: localisation in time and frequency, batches, missing tables, settings."""

from dataclasses import replace

import numpy as np
import pytest
from frames import CONTRACT, FREQ, HOP, K_EFF, K_KEPT, KEY, RATE, SEGMENT, N, detector, frames, put, run, table
from gnuradio.spectrumencoder import keys
from gnuradio.spectrumencoder.detector import band_drift, band_statistics, box_search, windows
from gnuradio.spectrumencoder.detector import table as table_module
from gnuradio.spectrumencoder.detector.detector import Detector, window_enbw
from gnuradio.spectrumencoder.detector.events import BURST_EVENTS, EVENTS_PER_S
from gnuradio.spectrumencoder.detector.judge import TableJudge, mean_square
from gnuradio.spectrumencoder.detector.table import Tuning
from gnuradio.spectrumencoder.encoder import features as layout
from scipy.signal import get_window

WIDTH = RATE / N


@pytest.fixture(scope="module")
def conformal():
    return table(8000)


def closed(emitted):
    return [e.fields for e in emitted if e.fields[keys.STATE] == "close"]


def fields(emitted):
    """Events without what is measured by the clock."""
    return [{k: v for k, v in e.fields.items() if k != keys.LATENCY_MS} for e in emitted]


@pytest.mark.parametrize(("low", "high"), [(100, 100), (60, 64), (200, 239)])
def test_a_signal_15_db_up_is_placed_within_two_bins_and_two_frames(conformal, low, high):
    psd, residual, rows = frames(300, seed=20)
    put(psd, residual, 120, 179, low, high, 15)
    _, emitted = run(detector(conformal), psd, residual, rows)
    event = max(closed(emitted), key=lambda e: e[keys.SAMPLE_COUNT])
    assert abs(event[keys.FREQ_CENTER_HZ] - (FREQ + ((low + high) / 2 - N // 2) * WIDTH)) <= 2 * WIDTH
    assert abs(event[keys.BANDWIDTH_HZ] - (high - low + 1) * WIDTH) <= 4 * WIDTH
    assert abs(event[keys.SAMPLE_START] - 120 * HOP) <= 2 * HOP
    assert abs(event[keys.SAMPLE_START] + event[keys.SAMPLE_COUNT] - 180 * HOP) <= 2 * HOP
    assert event[keys.P_VALUE] <= 0.001
    assert event[keys.SNR_DB] == pytest.approx(15, abs=1)
    assert event[keys.LABEL] == "LoRa"
    assert event[keys.DROPOUT_RATE] == pytest.approx(0.25)
    assert event[keys.TIMESTAMP] == pytest.approx(1.7e9 + event[keys.SAMPLE_START] / RATE, abs=1e-5)
    assert event[keys.LATENCY_MS] >= 0


def test_a_barrage_shows_by_the_floor_alone(conformal):
    psd, residual, rows = frames(300, seed=21)
    psd[150:200] += 10
    rows[150:200, layout.FLOOR_DBFS] += 10
    _, emitted = run(detector(conformal), psd, residual, rows)
    event = max(closed(emitted), key=lambda e: e[keys.SAMPLE_COUNT])
    assert event[keys.ANALYSIS_TYPE] == "floor"
    assert event[keys.BANDWIDTH_HZ] == pytest.approx(RATE)
    assert (event[keys.SAMPLE_START], event[keys.SAMPLE_COUNT]) == (150 * HOP, 50 * HOP)
    assert event[keys.SNR_DB] == pytest.approx(9.5, abs=0.5)
    assert event[keys.THREAT_LEVEL] == "HIGH"


def test_an_emitter_that_falls_silent_is_missing(conformal):
    psd, residual, rows = frames(300, seed=22)
    put(psd, residual, 100, 159, 40, 79, -6)
    _, emitted = run(detector(conformal), psd, residual, rows)
    event = max(closed(emitted), key=lambda e: e[keys.SAMPLE_COUNT])
    assert "missing_" in event[keys.ANALYSIS_TYPE]
    assert abs(event[keys.FREQ_CENTER_HZ] - (FREQ + (59.5 - N // 2) * WIDTH)) <= 2 * WIDTH


def test_the_head_alone_opens_an_event_where_the_residual_is_largest(conformal):
    psd, residual, rows = frames(100, seed=23)
    rows[50, layout.LOGIT] = 10
    scores, emitted = run(detector(conformal), psd, residual, rows)
    event = next(e for e in fields(emitted) if e[keys.SAMPLE_START] == 50 * HOP)
    assert event[keys.ANALYSIS_TYPE] == "head"
    assert event[keys.ANOMALY_SCORE] == pytest.approx(scores[50])


def test_every_flagged_frame_has_its_p_value(conformal):
    psd, residual, rows = frames(3000, seed=24)
    judge = detector(conformal, false_alarm_rate=0.05)
    result = judge.process(psd, residual, rows, HOP * np.arange(3000), SEGMENT)
    np.testing.assert_array_equal(result.flagged, result.p_values <= 0.05)
    assert 0.03 < result.flagged.mean() < 0.07
    assert judge.n_flagged == result.flagged.sum()
    assert judge.n_judged == judge.n_frames == 3000


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_batches_do_not_matter(conformal, batch):
    psd, residual, rows = frames(400, seed=25)
    put(psd, residual, 50, 70, 30, 34, 15)
    put(psd, residual, 60, 65, 33, 120, 12)
    put(psd, residual, 200, 200, 200, 200, 20)
    rows[300:320, layout.FLOOR_DBFS] += 8
    rows[100:110, layout.SKIPPED] = 1
    rows[350:, layout.K_EFF] = 5
    put(psd, residual, 340, 399, 60, 64, 15)
    settings = {"false_alarm_rate": 0.05, "hold": 2, "false_events_per_hour": np.inf}
    whole_scores, whole = run(detector(conformal, **settings), psd, residual, rows)
    scores, emitted = run(detector(conformal, **settings), psd, residual, rows, batch)
    np.testing.assert_array_equal(scores, whole_scores)
    assert fields(emitted) == fields(whole)
    assert len(whole) > 20
    for one, other in zip(emitted, whole, strict=True):
        np.testing.assert_array_equal(one.residual, other.residual)


@pytest.mark.parametrize("learned", [True, False])
def test_without_the_compiled_module_it_gives_the_same(conformal, learned, monkeypatch):
    """Bit for bit: scores, p-values, events."""
    one = conformal if learned else table(8000, tuning=None)
    psd, residual, rows = frames(400, seed=26)
    put(psd, residual, 120, 159, 60, 64, 15)
    compiled = run(detector(one, false_alarm_rate=0.01), psd, residual, rows, batch=37)
    for module in (band_drift, box_search, band_statistics, table_module, windows):
        monkeypatch.setattr(module, "optional_native_module", lambda: None)
    numpy = run(detector(one, false_alarm_rate=0.01), psd, residual, rows, batch=37)
    np.testing.assert_array_equal(compiled[0], numpy[0])
    assert fields(compiled[1]) == fields(numpy[1]) and compiled[1]


def test_nothing_is_looked_for_where_no_event_may_open(conformal, monkeypatch):
    """One frame in a hundred is flagged by design; where in it something is, nobody asks."""
    asked = []
    locate = TableJudge.locate
    monkeypatch.setattr(TableJudge, "locate", lambda self, frame, score: asked.append(frame.index) or locate(self, frame, score))
    psd, residual, rows = frames(2000, seed=27)
    judge = detector(conformal, false_alarm_rate=0.01, false_events_per_hour=1e-6)
    run(judge, psd, residual, rows, batch=100)
    assert judge.n_flagged >= 8 and not asked
    put(psd, residual, 1000, 1019, 60, 64, 15)
    judge = detector(conformal, false_alarm_rate=0.01, false_events_per_hour=1e-6)
    _, emitted = run(judge, psd, residual, rows, batch=100)
    assert len(closed(emitted)) == 1 and set(asked) >= set(range(1002, 1018)) and min(asked) >= 1000


def test_a_change_of_a_setting_holds_for_a_table_that_was_found_before(conformal):
    psd, residual, rows = frames(400, seed=28)
    judge, starts = detector(conformal, false_alarm_rate=0.001), HOP * np.arange(400)
    judge.process(psd, residual, rows, starts, SEGMENT)
    few = judge.n_flagged
    judge.set_false_alarm_rate(0.2)
    judge.process(psd, residual, rows, starts + 400 * HOP, SEGMENT)
    assert judge.n_flagged - few > 40 > few


def test_without_a_table_nothing_is_made_up(conformal):
    psd, residual, rows = frames(50, seed=26)
    put(psd, residual, 10, 30, 100, 110, 30)
    judge = Detector(CONTRACT, {})
    result = judge.process(psd, residual, rows, HOP * np.arange(50), SEGMENT)
    assert np.isnan(result.scores).all()
    assert np.isnan(result.p_values).all()
    assert not result.flagged.any()
    assert not result.emitted
    assert not judge.flush()
    assert len(result.notices) == 1
    assert result.notices[0].state == "uncalibrated"
    assert KEY in result.notices[0].text
    assert judge.n_uncalibrated == 50
    assert not judge.process(psd, residual, rows, HOP * np.arange(50), SEGMENT).notices  # told once


def test_a_band_that_nobody_calibrated_is_judged_by_the_general_table(conformal):
    psd, residual, rows = frames(50, seed=35)
    judge = Detector(CONTRACT, {KEY.replace("/ism/", "/unknown/"): conformal})
    result = judge.process(psd, residual, rows, HOP * np.arange(50), SEGMENT)
    assert np.isfinite(result.scores).all()
    (state, text), = result.notices
    assert state == "general_table"
    assert text.startswith("general table: ")
    assert "mixture of recordings" in text
    assert "uncalibrated" not in text


GENERAL = KEY.replace("/ism/", "/unknown/")


@pytest.mark.parametrize(("dtype", "learned", "judged"), [("bf16", "fp32", True), ("fp32", "bf16", True), ("int8", "fp32", False),
                                                          ("bf16", "int8", False)])
def test_tables_of_fp32_and_bf16_stand_in_for_each_other(conformal, dtype, learned, judged):
    psd, residual, rows = frames(50, seed=36)
    rows[:, layout.DTYPE] = layout.DTYPES.index(dtype)
    judge = Detector(CONTRACT, {KEY.replace("fp32", learned): conformal})
    result = judge.process(psd, residual, rows, HOP * np.arange(50), SEGMENT)
    assert np.isfinite(result.p_values).all() == judged
    assert [notice.state for notice in result.notices] == ([] if judged else ["uncalibrated"])


def test_a_table_of_the_frame_s_own_precision_comes_first(conformal):
    psd, residual, rows = frames(50, seed=36)
    other = replace(conformal, scores=conformal.scores + 12)
    own = Detector(CONTRACT, {KEY: conformal, KEY.replace("fp32", "bf16"): other}).process(
        psd, residual, rows, HOP * np.arange(50), SEGMENT)
    alone = Detector(CONTRACT, {KEY: conformal}).process(psd, residual, rows, HOP * np.arange(50), SEGMENT)
    assert np.array_equal(own.p_values, alone.p_values)


@pytest.mark.parametrize("elsewhere", [{"rx_freq": 868.5e6}, {"rx_rate": 2e6}])
def test_a_table_with_statistics_per_bin_is_not_used_at_another_tuning(conformal, elsewhere):
    psd, residual, rows = frames(50, seed=37)
    segment = replace(SEGMENT, **elsewhere)
    judge = detector(conformal)
    result = judge.process(psd, residual, rows, HOP * np.arange(50), segment)
    assert np.isnan(result.p_values).all()
    (state, text), = result.notices
    assert state == "uncalibrated"
    assert "433.92 MHz and 1 MS/s" in text
    assert str(Tuning(segment.rx_freq, segment.rx_rate)) in text
    back = judge.process(psd, residual, rows, HOP * np.arange(50, 100), SEGMENT)
    assert np.isfinite(back.p_values).all()
    with_general = Detector(CONTRACT, {KEY: conformal, GENERAL: table(tuning=None)}, false_alarm_rate=0.01)
    result = with_general.process(psd, residual, rows, HOP * np.arange(50), segment)
    assert np.isfinite(result.p_values).all()
    assert [notice.state for notice in result.notices] == ["general_table"]


def test_a_table_of_another_overlap_is_not_used(conformal):
    psd, residual, rows = frames(50, seed=38)
    overlapped = replace(SEGMENT, frame_hop=HOP // 2)
    tables = {KEY: conformal, GENERAL: table(tuning=None)}
    result = Detector(CONTRACT, tables).process(psd, residual, rows, HOP // 2 * np.arange(50), overlapped)
    assert np.isnan(result.p_values).all()
    (state, text), = result.notices
    assert state == "uncalibrated"
    assert text.count("another overlap") == 2
    tables = {KEY: table(window_hop=N // 2)}
    judge = Detector(CONTRACT, tables, false_alarm_rate=0.01)
    assert np.isfinite(judge.process(psd, residual, rows, HOP // 2 * np.arange(50), overlapped).p_values).all()


def test_an_open_event_closes_where_the_table_is_lost(conformal):
    psd, residual, rows = frames(100, seed=39)
    put(psd, residual, 20, 99, 100, 104, 15)
    rows[40:, layout.K_KEPT] = 8  # a setting that nobody calibrated
    judge = detector(conformal, hold=4)
    result = judge.process(psd, residual, rows, HOP * np.arange(100), SEGMENT)
    assert judge.tracker.n_open == 0
    event = max(closed(result.emitted), key=lambda e: e[keys.SAMPLE_COUNT])
    assert (event[keys.SAMPLE_START], event[keys.SAMPLE_COUNT]) == (20 * HOP, 20 * HOP)


def test_an_event_outlives_a_few_frames_without_a_table(conformal):
    psd, residual, rows = frames(100, seed=40)
    put(psd, residual, 20, 59, 100, 104, 15)
    rows[40:43, layout.K_KEPT] = 8
    _, emitted = run(detector(conformal, hold=4), psd, residual, rows)
    event = max(closed(emitted), key=lambda e: e[keys.SAMPLE_COUNT])
    assert (event[keys.SAMPLE_START], event[keys.SAMPLE_COUNT]) == (20 * HOP, 40 * HOP)


def test_reset_starts_anew(conformal):
    psd, residual, rows = frames(300, seed=41)
    put(psd, residual, 20, 59, 100, 104, 15)
    put(psd, residual, 290, 299, 30, 34, 15)
    rows[:, layout.FLOOR_DBFS] += np.linspace(0, 3, 300)
    judge = detector(conformal)
    first = run(judge, psd, residual, rows)
    judge.process(psd, residual, rows, HOP * np.arange(300), SEGMENT)
    judge.reset()
    assert judge.n_frames == judge.tracker.n_open == 0
    again = run(judge, psd, residual, rows)
    np.testing.assert_array_equal(again[0], first[0])
    assert fields(again[1]) == fields(first[1])


def test_an_open_event_lasts_while_its_bins_keep_half_their_height():
    psd, residual, rows = frames(60, seed=36)
    put(psd, residual, 20, 29, 100, 103, 15)
    put(psd, residual, 30, 39, 100, 103, 9)
    put(psd, residual, 40, 49, 100, 103, 5)
    general = table(8000, tuning=None)
    judge = detector(replace(general, scores=general.scores + 12))
    scores, emitted = run(judge, psd, residual, rows)
    event, = closed(emitted)
    assert (scores[30:40] < event[keys.THRESHOLD]).all()
    assert (event[keys.SAMPLE_START], event[keys.SAMPLE_COUNT]) == (20 * HOP, 20 * HOP)


def test_an_event_opens_at_scores_as_rare_as_it_may_be_false(conformal):
    """One frame in a hundred is flagged; an event needs what comes once an hour, or, asked for, every flagged frame."""
    psd, residual, rows = frames(6000, seed=37)
    put(psd, residual, 3000, 3003, 100, 103, 15)
    judge = detector(conformal, false_alarm_rate=0.01)
    event, = closed(run(judge, psd, residual, rows)[1])
    assert event[keys.SAMPLE_START] == 3000 * HOP and judge.n_flagged > 30
    assert len(closed(run(detector(conformal, false_alarm_rate=0.01, false_events_per_hour=np.inf), psd, residual, rows)[1])) > 10
    with pytest.raises(ValueError, match="false_events_per_hour 0 must be positive"):
        detector(conformal, false_events_per_hour=0)


def test_a_storm_of_events_is_limited_and_counted(conformal):
    """Each frame another signal, for longer than the allowance lasts: events are counted, one notice is given, none is lost."""
    psd, residual, rows = frames(600, seed=38)
    for frame in range(0, 600, 3):
        put(psd, residual, frame, frame, 10 + frame % 230, 12 + frame % 230, 25)
    judge = detector(conformal, hold=1)
    result = judge.process(psd, residual, rows, HOP * np.arange(600), SEGMENT)
    opened = sum(e[keys.STATE] == "open" for e in result.events)
    seconds = 600 * SEGMENT.frame_s
    assert BURST_EVENTS <= opened <= BURST_EVENTS + seconds * EVENTS_PER_S + 1
    assert judge.tracker.n_suppressed > 50
    assert [n.state for n in result.notices] == ["rate_limited"]
    assert judge.process(psd[:50], residual[:50], rows[:50], HOP * np.arange(600, 650), SEGMENT).notices == []


def test_only_the_frames_that_a_table_fits_are_judged(conformal):
    psd, residual, rows = frames(50, seed=27)
    rows[-1, layout.K_EFF] = 3  # the short last frame of a recording
    scores, _ = run(detector(conformal), psd, residual, rows)
    assert np.isnan(scores).tolist() == [False] * 49 + [True]
    other_band, _ = run(detector(conformal), psd, residual, rows, segment=replace(SEGMENT, band="gnss"))
    assert np.isnan(other_band).all()


@pytest.mark.parametrize("batch", [50, 7])
def test_a_short_last_frame_alone_is_no_reason_for_a_notice(conformal, batch):
    psd, residual, rows = frames(50, seed=27)
    rows[-1, layout.K_EFF] = 3
    judge = detector(conformal)
    states = [notice.state for first in range(0, 50, batch) for notice in judge.process(
        *(part[first:first + batch] for part in (psd, residual, rows)), HOP * np.arange(first, min(first + batch, 50)),
        SEGMENT).notices]
    assert states == [] and judge.n_uncalibrated == 1


def test_a_short_last_frame_that_the_general_table_judges_is_not_said_to_be(conformal):
    psd, residual, rows = frames(50, seed=27)
    rows[-1, layout.K_EFF] = 3
    short = GENERAL.replace(f"/{K_KEPT}/{K_EFF}/", f"/{K_KEPT}/3/")
    judge = Detector(CONTRACT, {KEY: conformal, short: table(tuning=None)}, false_alarm_rate=0.01)
    result = judge.process(psd, residual, rows, HOP * np.arange(50), SEGMENT)
    assert np.isfinite(result.p_values).all() and result.notices == []


def test_short_frames_alone_are_said_to_be_uncalibrated(conformal):
    """A recording of less than one frame holds nothing else."""
    psd, residual, rows = frames(1, seed=27)
    rows[-1, layout.K_EFF] = 3
    result = detector(conformal).process(psd, residual, rows, np.zeros(1, int), SEGMENT)
    assert [notice.state for notice in result.notices] == ["uncalibrated"]


def test_whole_frames_after_a_short_one_get_their_own_notice(conformal):
    psd, residual, rows = frames(50, seed=27)
    rows[0, layout.K_EFF] = 3
    result = Detector(CONTRACT, {}).process(psd, residual, rows, HOP * np.arange(50), SEGMENT)
    assert [notice.state for notice in result.notices] == ["uncalibrated"] * 2


def test_skipped_frames_are_ignored_and_age_nothing(conformal):
    psd, residual, rows = frames(60, seed=28)
    put(psd, residual, 20, 39, 100, 104, 15)
    rows[25:35, layout.SKIPPED] = 1
    rows[25:35, layout.LOGIT] = residual[25:35] = 1e9
    scores, emitted = run(detector(conformal, hold=3), psd, residual, rows)
    assert np.isnan(scores[25:35]).all()
    event = max(closed(emitted), key=lambda e: e[keys.SAMPLE_COUNT])
    assert (event[keys.SAMPLE_START], event[keys.SAMPLE_COUNT]) == (20 * HOP, 20 * HOP)


def test_a_rate_that_the_table_is_too_small_for(conformal):
    psd, residual, rows = frames(50, seed=29)
    judge = detector(conformal, false_alarm_rate=1e-6)
    result = judge.process(psd, residual, rows, HOP * np.arange(50), SEGMENT)
    assert "999999" in result.notices[0].text
    assert np.isnan(result.scores).all()
    judge.set_false_alarm_rate(0.01)
    assert np.isfinite(judge.process(psd, residual, rows, HOP * np.arange(50), SEGMENT).scores).all()


def test_what_only_the_model_did_not_expect_is_named_so(conformal):
    """Levels that are usual on the band, a residual that is not: the model's channel speaks, and says where."""
    psd, residual, rows = frames(60, seed=41)
    residual[30, 100:104] += 12
    _, emitted = run(detector(conformal), psd, residual, rows)
    (event,) = closed(emitted)
    assert event[keys.ANALYSIS_TYPE] == "model_4" and event[keys.SAMPLE_START] == 30 * HOP
    assert abs(event[keys.FREQ_CENTER_HZ] - (FREQ + (101.5 - N / 2) * RATE / N)) <= RATE / N


def test_a_discontinuity_closes_what_is_open(conformal):
    psd, residual, rows = frames(50, seed=30)
    put(psd, residual, 30, 49, 100, 104, 15)
    judge = detector(conformal)
    judge.process(psd, residual, rows, HOP * np.arange(50), SEGMENT)
    events = [e.fields for e in judge.discontinuity()]
    assert [e[keys.STATE] for e in events] == ["close"]
    assert not judge.discontinuity()


def test_a_short_last_frame_covers_fewer_samples(conformal):
    psd, residual, rows = frames(10, seed=31)
    residual[9, 50] += 40
    rows[9, layout.K_EFF] = 4
    judge = Detector(CONTRACT, {KEY: conformal, KEY.replace("/16/", "/4/"): conformal}, false_alarm_rate=0.001)
    _, emitted = run(judge, psd, residual, rows)
    assert closed(emitted)[-1][keys.SAMPLE_COUNT] == HOP // 4


def test_mean_square():
    residual = np.array([[1.0, -2.0, 2.0], [0.0, 0.0, 3.0]], np.float32)
    np.testing.assert_allclose(mean_square(residual), [3.0, 3.0])


def test_fixed_threshold_needs_no_table():
    psd, residual, rows = frames(60, seed=32)
    put(psd, residual, 20, 29, 100, 104, 30)
    judge = Detector(CONTRACT, {}, threshold_mode="fixed", threshold=2.0)
    scores, emitted = run(judge, psd, residual, rows)
    np.testing.assert_allclose(scores, np.square(residual.astype(float)).mean(axis=1), rtol=1e-5)
    event, = closed(emitted)
    assert keys.P_VALUE not in event
    assert event[keys.ANALYSIS_TYPE] == "mean_square"
    assert event[keys.THRESHOLD] == 2.0
    assert abs(event[keys.FREQ_CENTER_HZ] - (FREQ + (102 - N // 2) * WIDTH)) <= 2 * WIDTH
    judge.set_threshold_mode("calibrated")
    assert np.isnan(run(judge, psd, residual, rows)[0]).all()


@pytest.mark.parametrize(("settings", "message"), [
    ({"false_alarm_rate": 0}, "false_alarm_rate 0"), ({"false_alarm_rate": 0.9}, "false_alarm_rate 0.9"),
    ({"threshold_mode": "soft"}, "'soft' is not one of calibrated, quantile, fixed"), ({"threshold": -1.0}, "threshold -1"),
    ({"hold": 0}, "hold 0"), ({"hold": 1.5}, "hold 1.5"), ({"drift_db_per_s": -1}, "drift_db_per_s -1"),
])
def test_settings_out_of_range_are_refused(conformal, settings, message):
    with pytest.raises(ValueError, match=message):
        detector(conformal, **settings)


def test_a_table_of_another_fft_size_is_refused(conformal):
    small = CONTRACT | {"encoder": CONTRACT["encoder"] | {"fft_size": 128}}
    with pytest.raises(ValueError, match="256 bins, the model of 128"):
        Detector(small, {KEY: conformal})


def test_a_residual_that_is_not_finite_is_an_error(conformal):
    psd, residual, rows = frames(5, seed=33)
    residual[2] = np.nan
    with pytest.raises(ValueError, match="1 frames have a residual"):
        run(detector(conformal), psd, residual, rows)


def test_equivalent_noise_bandwidths():
    assert window_enbw("rectangular", 1024) == pytest.approx(1.0)
    assert window_enbw("hann", 1024) == pytest.approx(1.5, abs=0.01)
    assert window_enbw("blackmanharris", 1024) == pytest.approx(2.0, abs=0.01)
    for window in ("blackman", "blackmanharris", "flattop", "hamming", "hann", "nuttall"):
        for n_bins in (16, 1024):
            taps = get_window(window, n_bins)
            assert window_enbw(window, n_bins) == pytest.approx(n_bins * np.sum(taps**2) / np.sum(taps) ** 2, rel=1e-12)
    with pytest.raises(ValueError, match="'kaiser' is none of blackman"):
        window_enbw("kaiser", 1024)


def test_speed(conformal):
    """Thousands of frames per second: 20,000 frames of 256 bins within 4 s even on a busy machine."""
    import time
    psd, residual, rows = frames(20_000, seed=34)
    judge = detector(conformal, false_alarm_rate=0.01)
    began = time.perf_counter()
    run(judge, psd, residual, rows, batch=64)
    assert time.perf_counter() - began < 4
