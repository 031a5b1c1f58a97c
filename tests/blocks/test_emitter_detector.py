# SPDX-License-Identifier: GPL-3.0-or-later
"""anomaly_detector with the detector "emitters" in a flowgraph: it learns, alerts, obeys commands, and keeps its band file."""

import sys
from pathlib import Path

import numpy as np
import pmt
import pytest
from flowgraphs import frame_source, run_within, status_store, stored, wait_for
from gnuradio import blocks, gr
from gnuradio.spectrumencoder import anomaly_detector, keys
from gnuradio.spectrumencoder.blocks import band_part
from gnuradio.spectrumencoder.blocks.messages import metadata, to_pmt
from gnuradio.spectrumencoder.emitters import commands
from gnuradio.spectrumencoder.emitters.band_file import BandFileError, load
from gnuradio.spectrumencoder.emitters.band_keeper import change
from gnuradio.spectrumencoder.encoder import features as layout
from gnuradio.spectrumencoder.encoder.model_file import load as load_model
from gnuradio.spectrumencoder.encoder.model_file import save

sys.path.append(str(Path(__file__).resolve().parents[1] / "detector"))
import frames as synthetic

N, RATE, FREQ = 128, 1e6, 433.92e6
FRAME_S = 16 * N / RATE
LEARN = 1500  # frames
OWN, NEW = (30, 33), (80, 83)  # bins


def frames(count, *signals, seed=1):
    """Noise with signals (first frame, last frame, (low bin, high bin), dB)."""
    psd, residual, rows = synthetic.frames(count, seed, N)
    rows[:, layout.K_KEPT] = 12
    for first, last, (low, high), level_db in signals:
        synthetic.put(psd, residual, first, last, low, high, level_db)
    return psd, residual, rows


def graph(detector, psd, residual, rows):
    top = gr.top_block()
    top.detector, top.sources = detector, [frame_source(psd), frame_source(residual), frame_source(rows)]
    for port, source in enumerate(top.sources):
        top.connect(source, (detector, port))
    top.store = blocks.message_debug()
    top.msg_connect((detector, keys.ANOMALIES), (top.store, "store"))
    top.status = status_store(top, detector)
    return top


def detector_of(model, **settings):
    return anomaly_detector(model, N, RATE, FREQ, **{"learn_s": LEARN * FRAME_S} | settings)


def own_bursts(until, every=300, length=20):
    return [(first, first + length - 1, OWN, 15.0) for first in range(60, until, every)]


def opened(top):
    return [e for e in stored(top.store) if e[keys.STATE] == "open"]


def test_it_learns_says_what_it_heard_and_reports_what_is_new(small_model):
    data = frames(3500, *own_bursts(3500), (2500, 2599, NEW, 15.0))
    top = graph(detector_of(small_model), *data)
    assert run_within(top, [top.detector], 20.0) is None
    learned, = [s for s in stored(top.status) if s[keys.STATUS_STATE] == "learned"]
    heard, = learned[keys.EMITTERS]
    air, = [s for s in stored(top.status) if s[keys.STATUS_STATE] == "on_air"]
    assert [row[keys.FREQ_CENTER_HZ] for row in air[keys.EMITTERS]] == [heard[keys.FREQ_CENTER_HZ]]
    bin_hz = RATE / N
    assert heard[keys.FREQ_CENTER_HZ] == pytest.approx(FREQ + (31.5 - N // 2) * bin_hz, abs=bin_hz)
    assert heard[keys.BURSTS] > 3 and heard[keys.BELONGS]
    assert learned[keys.MESSAGE] == f"learned {top.detector.detector.learned_s:.3g} s of signal, heard 1 emitter"
    alert, = opened(top)
    assert alert[keys.ALERT] == "new" and alert[keys.SAMPLE_START] == pytest.approx(2500 * 16 * N, abs=2 * 16 * N)
    assert alert[keys.FREQ_CENTER_HZ] == pytest.approx(FREQ + (81.5 - N // 2) * bin_hz, abs=bin_hz)
    counters = top.detector.counters()
    assert counters[keys.FRAMES] == 3500 and counters[keys.EMITTERS] == 2 and not counters[keys.LEARNING]
    assert keys.FALSE_ALARM_RATE not in counters


def test_the_messages_do_not_depend_on_the_batches(small_model):
    data, found = frames(3000, *own_bursts(3000), (2500, 2599, NEW, 15.0)), []
    for most in (1, 7, 0):
        top = graph(detector_of(small_model), *data)
        if most:
            top.detector.set_max_noutput_items(most)
        assert run_within(top, [top.detector], 30.0) is None
        of_the_clock = keys.LATENCY_MS, keys.TIMESTAMP, keys.FIRST_HEARD, keys.LAST_HEARD
        found.append([{key: value for key, value in event.items() if key not in of_the_clock} for event in stored(top.store)
                      if event[keys.STATE] != "close"])  # it comes with stop, for which GNU Radio's sink does not wait
    assert found[0] == found[1] == found[2] != []


def say(detector, message):
    detector.handle_control(to_pmt(message))


def judged(detector, data):
    """Starts a detector without a flowgraph and gives it the frames."""
    detector.start()
    for first in range(0, len(data[0]), 250):
        detector._judge(*(part[first:first + 250] for part in data), None)
    return detector


def test_commands(small_model):
    detector, said = detector_of(small_model), []
    detector.message_port_pub = lambda port, message: said.append((pmt.symbol_to_string(port), metadata(message)))
    judged(detector, frames(3000, *own_bursts(3000), (2500, 2599, NEW, 15.0)))
    registry = detector.detector.registry
    stranger, = [e for e in registry.emitters.values() if not e.belongs]
    own, = [e for e in registry.emitters.values() if e.belongs]
    say(detector, {"name": [stranger.id, "gate"]})
    say(detector, {"accept": stranger.id})
    assert stranger.name == "gate" and stranger.accepted and stranger.belongs
    say(detector, {"ignore": [433.5e6, 433.6e6], "hold": 6})
    say(detector, {"ignore": own.id})
    assert registry.ignored[0] == (433.5e6, 433.6e6) and len(registry.ignored) == 2 and detector.detector.hold == 6
    say(detector, {"unignore": [433.5e6, 433.6e6]})
    assert len(registry.ignored) == 1
    say(detector, {"list": True})
    listed = said[-1][1]
    assert listed[keys.STATUS_STATE] == "emitters" and len(listed[keys.EMITTERS]) == 2
    assert {row[keys.EMITTER_NAME] for row in listed[keys.EMITTERS]} == {"gate", ""} and len(listed[keys.IGNORED]) == 1
    assert detector.malformed == 0 and detector.failure is None
    for wrong in ({"accept": 99}, {"name": [99, "x"]}, {"ignore": [2.0, 1.0]}, {"unignore": [1.0, 2.0]}):
        say(detector, wrong)
        assert said[-1][1][keys.STATUS_STATE] == "refused" and detector.failure is None, wrong
    for number, wrong in enumerate(({"accept": "x"}, {"accept": True}, {"ignore": [1.0]}, {"name": "x"}, {"unignore": 3}), 1):
        say(detector, wrong)
        assert detector.malformed == number and detector.failure is None, wrong


def test_an_accepted_emitter_and_an_ignored_range_do_not_alert(small_model):
    detector, alerts = detector_of(small_model), []
    detector.message_port_pub = lambda port, message: alerts.append(metadata(message)) \
        if pmt.symbol_to_string(port) == keys.ANOMALIES else None
    judged(detector, frames(2000, *own_bursts(2000)))
    bin_hz = RATE / N
    say(detector, {"ignore": [FREQ + (60 - N // 2) * bin_hz, FREQ + (70 - N // 2) * bin_hz]})
    for first in range(0, 1000, 250):
        data = frames(250, *own_bursts(250), (100, 149, (63, 66), 15.0), seed=9 + first)
        detector._judge(*data, None)
    assert alerts == []


def test_the_boxes_detector_refuses_commands_and_settings_of_the_other(small_model):
    detector, said = anomaly_detector(small_model, N, detector="boxes"), []
    detector.message_port_pub = lambda port, message: said.append(metadata(message))
    say(detector, {"accept": 1})
    assert said[-1][keys.STATUS_STATE] == "refused" and "detector=emitters" in said[-1][keys.MESSAGE]
    assert not detector.set_learn_s(3.0) and "learn_s 3.0 is for detector=emitters" in said[-1][keys.MESSAGE]
    assert not detector_of(small_model).set_false_alarm_rate(0.05)
    for settings, text in (({"detector": "boxes", "learn_s": 3.0}, "learn_s 3.0 is for detector=emitters"),
                           ({"detector": "boxes", "band_file": "x"}, "band_file 'x' is for detector=emitters"),
                           ({"threshold_mode": "fixed"}, "threshold_mode 'fixed' is for detector=boxes"),
                           ({"detector": "max-hold"}, "not one of emitters, boxes")):
        with pytest.raises(ValueError, match=text):
            anomaly_detector(small_model, N, **settings)


def test_a_calibrated_model_is_refused_with_the_cure(small_model, tmp_path):
    from gnuradio.spectrumencoder.detector import calibrate
    file = load_model(small_model)
    _, residual, rows = frames(2000)
    file.set_table("softmax-dynamic/ism/12/16/gumbel/fp32", calibrate.learn(residual, rows, FRAME_S).to_tensors())
    save(tmp_path / "calibrated.safetensors", file.contract, file.tensors)
    with pytest.raises(ValueError, match="holds tables of a calibrated band .* give it detector=boxes, or a shipped model"):
        anomaly_detector(str(tmp_path / "calibrated.safetensors"), N)


def test_the_band_file_is_written_and_taken_up_again(small_model, tmp_path):
    path = tmp_path / "my.band"
    top = graph(detector_of(small_model, band_file=str(path)), *frames(2000, *own_bursts(2000)))
    assert run_within(top, [top.detector], 20.0) is None
    band = load(path)
    assert band.complete and len(band.registry.emitters) == 1 and band.window == "blackmanharris" and band.fft_size == N
    tuning, = band.tunings
    assert (tuning.freq_hz, tuning.samp_rate, tuning.frame_hop, tuning.average) == (FREQ, RATE, 16 * N, 16)
    top = graph(detector_of(small_model, band_file=str(path)), *frames(800, *own_bursts(800), (400, 499, NEW, 15.0), seed=3))
    assert run_within(top, [top.detector], 20.0) is None
    alert, = opened(top)
    assert alert[keys.SAMPLE_START] == pytest.approx(400 * 16 * N, abs=2 * 16 * N)
    again = load(path)
    assert again.created_s == band.created_s and again.updated_s > band.updated_s
    assert len(again.registry.emitters) == 2
    # the same block, started again, goes on with what the file holds
    for source in top.sources:
        source.position = 0
    assert run_within(top, [top.detector], 20.0) is None
    assert len(load(path).registry.emitters) == 2 and load(path).created_s == band.created_s


def test_commands_are_saved_at_once_and_decisions_on_the_file_are_taken_over(small_model, tmp_path):
    path = tmp_path / "my.band"
    detector = judged(detector_of(small_model, band_file=str(path)), frames(3000, *own_bursts(3000), (2500, 2599, NEW, 15.0)))
    stranger, = [e for e in detector.detector.registry.emitters.values() if not e.belongs]
    say(detector, {"name": [stranger.id, "gate"]})
    assert load(path).registry.emitters[stranger.id].name == "gate"
    change(path, lambda registry: commands.accept(registry, stranger.id))
    change(path, lambda registry: commands.ignore(registry, 1e6, 2e6))
    detector._band_part.tend()
    assert stranger.accepted and stranger.belongs and detector.detector.registry.ignored == [(1e6, 2e6)]
    detector.stop()
    assert load(path).registry.emitters[stranger.id].accepted and load(path).registry.ignored == [(1e6, 2e6)]


def test_it_is_saved_while_it_runs(small_model, tmp_path, monkeypatch):
    monkeypatch.setattr(band_part, "SAVE_S", 0.05)
    monkeypatch.setattr(band_part, "LOOK_S", 0.01)
    path = tmp_path / "my.band"
    detector = detector_of(small_model, band_file=str(path))
    detector.start()
    psd, residual, rows = frames(100)

    def go_on():
        detector._band_part.tend()
        detector._judge(psd, residual, rows, None)
        return path.exists()
    wait_for(go_on)
    first = load(path).updated_s
    wait_for(lambda: go_on() and load(path).updated_s > first)
    detector.stop()
    assert detector.failure is None


def test_it_is_saved_when_it_has_learned(small_model, tmp_path):
    path = tmp_path / "my.band"
    detector = judged(detector_of(small_model, band_file=str(path)), frames(LEARN + 200, *own_bursts(LEARN)))
    detector._band_part.tend()
    wait_for(path.exists)
    assert load(path).complete
    detector.stop()


def test_an_emitter_that_alerts_can_be_decided_on_at_once(small_model, tmp_path):
    path = tmp_path / "my.band"
    detector = judged(detector_of(small_model, band_file=str(path)), frames(LEARN + 100, *own_bursts(LEARN)))
    detector._band_part.tend()
    wait_for(path.exists)
    detector._judge(*frames(800, *own_bursts(800), (400, 499, NEW, 15.0)), None)
    number, = detector.detector.registry.emitters.keys() - load(path).registry.emitters.keys()

    def in_file():
        detector._band_part.tend()
        return number in load(path).registry.emitters
    wait_for(in_file)
    change(path, lambda registry: commands.accept(registry, number))
    detector.stop()
    assert load(path).registry.emitters[number].accepted


def test_a_stream_that_ends_while_learning_says_so(small_model):
    for count, ended in ((LEARN // 2, 1), (LEARN + 200, 0)):
        top = graph(detector_of(small_model), *frames(count))
        assert run_within(top, [top.detector], seconds=20.0) is None
        said = [s[keys.MESSAGE] for s in stored(top.status) if s[keys.STATUS_STATE] == "learning"]
        assert len(said) == ended
        assert not said or f"ended while learning, after 1.51 s of {LEARN * FRAME_S:g} s: nothing was" in said[0]  # blocks


def test_a_band_file_that_cannot_be_used(small_model, tmp_path):
    (tmp_path / "bad.band").write_text("{")
    with pytest.raises(BandFileError, match="bad.band is no band file, or damaged"):
        detector_of(small_model, band_file=str(tmp_path / "bad.band"))
    with pytest.raises(BandFileError, match="name a file in a folder that exists"):
        detector_of(small_model, band_file=str(tmp_path / "nowhere" / "x.band"))
    path = tmp_path / "other.band"
    judged(detector_of(small_model, band_file=str(path)), frames(2000)).stop()
    band = load(path)
    band.window = "hann"
    band.save(path)
    with pytest.raises((ValueError, BandFileError), match="window hann, the frames have 128 and blackmanharris"):
        detector_of(small_model, band_file=str(path))


def test_a_file_that_can_no_longer_be_written_is_said_and_is_a_failure_at_the_end(small_model, tmp_path):
    folder = tmp_path / "gone"
    folder.mkdir()
    detector, said = detector_of(small_model, band_file=str(folder / "my.band")), []
    detector.message_port_pub = lambda port, message: said.append(metadata(message))
    judged(detector, frames(200))
    folder.rmdir()
    detector._band_part.save()
    assert detector.failure is None
    detector.stop()
    assert "my.band" in str(detector.failure) and "OSError" not in str(detector.failure)
    assert any(s.get(keys.STATUS_STATE) == "unsaved" and "exists" in s[keys.MESSAGE] for s in said)


def test_scores_are_finite_once_a_tuning_is_known(small_model):
    detector = detector_of(small_model)
    detector.start()
    scores = detector._judge(*frames(1500), None)
    assert scores.dtype == np.float32 and np.isfinite(scores[-1000:]).all() and np.mean(scores[-1000:] > 1) < 0.01
