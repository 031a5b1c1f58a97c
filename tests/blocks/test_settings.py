# SPDX-License-Identifier: GPL-3.0-or-later
"""settings.py is the one declaration: what checks, obeys, sends or asks for a setting agrees with its row."""

import dataclasses
import inspect
import pickle

import pytest
from gnuradio.spectrumencoder import (
    anomaly_detector,
    doma_tracker,
    keys,
    spectrum_encoder,
    spectrum_monitor,
)
from gnuradio.spectrumencoder.blocks import control
from gnuradio.spectrumencoder.blocks.messages import MalformedMessage, to_pmt
from gnuradio.spectrumencoder.encoder.config import LARGEST_BATCH, POLICIES, ROPE_MODES
from gnuradio.spectrumencoder.encoder.engine import Engine
from gnuradio.spectrumencoder.encoder.ensemble import SpeculativeEngine
from gnuradio.spectrumencoder.encoder.features import DTYPES
from gnuradio.spectrumencoder.session import RunSettings
from gnuradio.spectrumencoder.settings import (
    DETECTOR,
    ENCODER,
    RUN,
    SETTINGS,
    TRACKER,
    of_command,
    of_monitor,
    of_stage,
)
from gnuradio.spectrumencoder.tracker.doma import DomaTracker
from gnuradio.spectrumencoder.tracker.settings import SpatialSettings

N = 128
BLOCKS = {ENCODER: spectrum_encoder, DETECTOR: anomaly_detector, TRACKER: doma_tracker}


@pytest.mark.parametrize(("key", "value", "checked"), [
    ("hold", 1, 1), ("dropout_rate", 0, 0.0), ("false_alarm_rate", 0.5, 0.5), ("encoded_group", 0, 0), ("encoded_group", 16, 16),
    ("average", "auto", "auto"), ("threshold_mode", "far", "calibrated"), ("false_events_per_hour", float("inf"), float("inf"))])
def test_what_is_in_range_passes(key, value, checked):
    assert SETTINGS[key].check(value) == checked


@pytest.mark.parametrize(("key", "value", "text"), [
    ("hold", 0, r"hold 0 is outside \[1, 1000000\] frames"), ("hold", 1.5, "hold 1.5 is not a whole number"),
    ("hold", float("inf"), "hold inf is not a whole number"), ("dropout_rate", 1.0, r"1.0 is outside \[0, 1\)"),
    ("false_alarm_rate", 0.0, r"0.0 is outside \[1e-6, 0.5\]"), ("threshold", float("nan"), "nan is outside"),
    ("gate", "near", "gate 'near' is not a number"), ("encoded_group", 8, r"8 is outside \[16, 64\] frames, and not 0"),
    ("threshold_mode", "soft", "'soft' is not one of calibrated, quantile, fixed")])
def test_what_is_not_says_what_is_possible(key, value, text):
    with pytest.raises(ValueError, match=text):
        SETTINGS[key].check(value)


@pytest.mark.parametrize("stage", BLOCKS)
def test_constructors_have_the_settings_and_their_defaults(stage):
    parameters = inspect.signature(BLOCKS[stage].__init__).parameters
    assert {row.key: parameters[row.key].default for row in of_stage(stage) if row.argument} == {
        row.key: row.default for row in of_stage(stage) if row.argument}
    assert all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters.values())
    with pytest.raises(TypeError, match="unexpected keyword argument 'gain'"):
        BLOCKS[stage](gain=3)


def test_the_monitor_has_them_too():
    parameters = inspect.signature(spectrum_monitor.__init__).parameters
    assert set(parameters) == {"self", *(row.key for row in of_monitor())}
    for row in of_monitor():
        of_the_model = {"fft_size": 0, "stride": 0, "window": ""}
        assert parameters[row.key].default == of_the_model.get(row.key, row.default), row.key
    with pytest.raises(TypeError, match="unexpected keyword argument 'gain'"):
        spectrum_monitor(gain=3)


def test_every_live_setting_has_a_setter():
    for stage, block in BLOCKS.items():
        assert [row.key for row in of_stage(stage) if row.live and not callable(getattr(block, f"set_{row.key}", None))] == []
    for row in of_monitor():
        if row.live:
            assert getattr(spectrum_monitor, f"set_{row.key}").__name__ == f"set_{row.key}"


def test_a_live_setting_of_the_engine_holds_for_both_models_of_a_pair():
    for row in of_stage(ENCODER):
        if row.live and hasattr(Engine, f"set_{row.key}"):
            assert f"set_{row.key}" in vars(SpeculativeEngine), row.key


def test_a_message_holds_settings_of_several_stages():
    message = to_pmt({"dropout_rate": 0.5, "hold": 2, "gate": 0.9, "horizon": [1.0, 2.0]})
    assert control.changes(message, ENCODER) == {"dropout_rate": 0.5}
    assert control.changes(message, DETECTOR) == {"hold": 2}
    assert control.changes(message, TRACKER) == {"gate": 0.9, "horizon": [1.0, 2.0]}


@pytest.mark.parametrize(("message", "text"), [
    ({"gain": 3}, "unknown setting 'gain'; known are .*dropout_rate.*hold.*gate"), ({"dtype": "bf16"}, "unknown setting 'dtype'"),
    ({"samp_rate": 1e6}, "unknown setting 'samp_rate'"), ({"hold": 2.0}, "hold is 2.0, which is of the wrong type"),
    ({"gate": True}, "of the wrong type"), ({"rope_mode": 3}, "of the wrong type"), ({"horizon": 1.0}, "of the wrong type")])
def test_a_message_with_anything_else_is_malformed(message, text):
    for stage in BLOCKS:
        with pytest.raises(MalformedMessage, match=text):
            control.changes(to_pmt({"dropout_rate": 0.5} | message), stage)


def test_whole_numbers_of_a_slider_are_taken_as_whole_numbers(small_model):
    """GNU Radio's QT GUI Range sends floats."""
    for number in (8.0, 7.999999999, 8.0000000001):
        assert type(SETTINGS["hold"].check(number)) is int and SETTINGS["hold"].check(number) == 8
    detector = anomaly_detector(small_model, N)
    assert detector.set_hold(8.0) and detector.detector.hold == 8 and type(detector.detector.hold) is int
    assert not detector.set_hold(0.0) and not detector.set_hold(8.5) and detector.detector.hold == 8
    monitor = spectrum_monitor(small_model, average=8.0, hold=6.0)
    assert monitor.tokenizer.average() == 8 and monitor.detector.detector.hold == 6
    assert monitor.set_average(16.0) and monitor.tokenizer.average() == 16 and monitor.set_hold(7.0)
    assert monitor.set_average(7.999999999) and monitor.tokenizer.average() == 8


def test_a_fraction_is_refused_with_the_range(small_model):
    monitor = spectrum_monitor(small_model)
    said = []
    monitor.encoder.refuse = monitor.detector.refuse = said.append
    assert not monitor.set_average(8.5) and not monitor.set_hold(8.5) and not monitor.set_hold(0.0)
    low, high = monitor.encoder.engine.contract["average"]
    assert said == [f"average 8.5: average 8.5 is not a whole number in {low}..{high}",
                    "hold 8.5 is not a whole number in [1, 1000000] frames", "hold 0.0 is outside [1, 1000000] frames"]


def test_the_tracker_obeys_a_message():
    tracker = doma_tracker()
    tracker.handle_control(to_pmt({"gate": 0.5, "horizon": [2.0, 4.0], "hold": 3}))
    assert tracker.failure is None and tracker.malformed == 0
    assert tracker.tracker.horizons_s == (2.0, 4.0)
    assert not tracker.set_gate(1.0) and not tracker.set_horizon((3.0, 1.0)) and tracker.tracker.horizons_s == (2.0, 4.0)


def test_the_old_name_of_a_threshold_is_taken_everywhere(small_model):
    detector = anomaly_detector(small_model, N, detector="boxes", threshold_mode="far")
    assert detector.detector.threshold_mode == "calibrated"
    assert detector.set_threshold_mode("fixed") and detector.set_threshold_mode("far")
    assert detector.detector.threshold_mode == "calibrated"
    detector.set_threshold_mode("quantile")
    detector.handle_control(to_pmt({"threshold_mode": "far"}))
    assert detector.detector.threshold_mode == "calibrated"


def test_what_settings_share_with_other_tables():
    assert SETTINGS["dropout_policy"].choices == ("", *POLICIES)
    assert SETTINGS["rope_mode"].choices == ("", *ROPE_MODES)
    assert SETTINGS["dtype"].choices == ("auto", *DTYPES)
    assert SETTINGS["pad_batch"].interval()[1] == LARGEST_BATCH
    tracker = {name: p.default for name, p in inspect.signature(DomaTracker).parameters.items()}
    for key, name in (("position_error_m",) * 2, ("altitude_error_m",) * 2, ("weak_snr_db",) * 2, ("interval", "interval_s"),
                      ("horizon", "horizons_s")):
        assert tracker[name] == SETTINGS[key].default, key
    for key, name in (("gate", "gate_probability"), ("process_noise",) * 2, ("group_radius_m",) * 2):
        assert getattr(SpatialSettings(), name) == SETTINGS[key].default, key


def test_the_vocabulary_names_no_other_live_setting():
    """A key that keys.py has for a setting is the row's; a new setting needs none there."""
    for name in ("DROPOUT_RATE", "DROPOUT_POLICY", "ROPE_MODE", "BACKEND", "RUNTIME", "ENCODED_STEP", "CONFIDENCE_THRESHOLD",
                 "FALSE_ALARM_RATE", "FALSE_EVENTS_PER_HOUR", "THRESHOLD_MODE", "THRESHOLD", "HOLD", "KEEP_BANDS_HZ", "GATE",
                 "PROCESS_NOISE", "HORIZON"):
        assert getattr(keys, name) in SETTINGS


def test_run_settings_are_the_rows():
    settings = RunSettings(dropout_rate=0.5)
    assert settings.of_chain() == {row.key: row.default for row in of_command(RUN)} | {"dropout_rate": 0.5}
    assert pickle.loads(pickle.dumps(settings)) == settings == dataclasses.replace(settings)
    with pytest.raises(TypeError, match="gain"):
        RunSettings(gain=3)
