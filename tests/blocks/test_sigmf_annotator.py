# SPDX-License-Identifier: GPL-3.0-or-later
"""sigmf_annotator: annotations of events, in a file that is valid at every moment."""

import json
import shutil
import time

import numpy as np
import pmt
import pytest
import sigmf
from flowgraphs import run_within, status_store, stored, wait_for
from gnuradio import gr
from gnuradio.spectrumencoder import keys, sigmf_annotator
from gnuradio.spectrumencoder.blocks.messages import to_pmt
from gnuradio.spectrumencoder.recordings import MemoryRecording, RecordingError, open_recording
from test_event_log import WRONG

OWN = {"core:sample_start": 500, "core:sample_count": 10, "core:label": "burst"}


def event(identity="a1", start=1000, count=200, **more):
    return {keys.EVENT_ID: identity, keys.STATE: "open", keys.SAMPLE_START: start, keys.SAMPLE_COUNT: count,
            keys.FREQ_CENTER_HZ: 434e6, keys.BANDWIDTH_HZ: 20e3, keys.ANALYSIS_TYPE: "tone",
            keys.SNR_DB: float("nan"), keys.POSSIBLE_THREATS: {"carrier": 0.875, "pulse": 0.0625}} | more


class running:
    """The annotator in a running flowgraph; post() returns when the event is in the file."""

    def __init__(self, annotator):
        self.annotator, self.top = annotator, gr.top_block()
        self.debug = status_store(self.top, annotator)

    def __enter__(self):
        self.top.start()
        wait_for(self.annotator.path.is_file)
        return self

    def __exit__(self, *_):
        self.top.stop()
        self.top.wait()

    def post(self, message):
        message = to_pmt(message) if isinstance(message, dict) else message
        self.annotator.to_basic_block()._post(pmt.intern(keys.EVENTS), message)

    def annotations(self):
        return json.loads(self.annotator.path.read_text())["annotations"]


def test_annotations_beside_a_recording(make_recording, noise):
    path = make_recording(noise(5000), annotations=[OWN])
    annotator = sigmf_annotator(str(path))
    assert annotator.path.name == "recording-events.sigmf-meta"
    with running(annotator) as run:
        assert run.annotations() == [OWN]
        run.post(event())
        run.post(event(state="close", sample_count=400))
        run.post(event("b2", 100))
        wait_for(lambda: len(annotator._events) == 2)
    first, second, third = run.annotations()
    assert (first["core:sample_start"], second, third["core:sample_start"]) == (100, OWN, 1000)
    assert third == {"core:sample_start": 1000, "core:sample_count": 400, "core:generator": "gr-spectrumencoder",
                     "core:freq_lower_edge": 433.99e6, "core:freq_upper_edge": 434.01e6, "core:label": "tone"} | {
                         keys.SIGMF_PREFIX + key: value
                         for key, value in event(state="close", sample_count=400, snr_db=None).items()}
    written = open_recording(annotator.path)
    assert written.n_samples == 5000 and len(written.annotations) == 3
    head = json.loads(annotator.path.read_text())["global"]
    assert head["core:extensions"] == [{"name": "spectrumencoder", "version": "0.1.0", "optional": True}]


def test_each_transmission_that_an_alert_tells_of_is_an_annotation_at_once(make_recording, noise):
    annotator = sigmf_annotator(str(make_recording(noise(5000))))
    told = {keys.ALERT: "new", keys.EMITTER_ID: 4, keys.LABEL: "LoRa"}
    with running(annotator) as run:
        run.post(event(**told))
        run.post(event(state="update", count=400, **told))  # the same one goes on
        run.post(event(state="update", start=3000, count=100, **told))
        wait_for(lambda: len(run.annotations()) == 2)
        assert [(a["core:sample_start"], a["core:sample_count"]) for a in run.annotations()] == [(1000, 400), (3000, 100)]
        run.post(event(state="close", start=3000, count=150, **told))
        wait_for(lambda: run.annotations()[-1]["core:sample_count"] == 150)
    first, second = run.annotations()
    assert [(a["core:sample_start"], a["core:sample_count"]) for a in (first, second)] == [(1000, 400), (3000, 150)]
    for annotation in (first, second):
        assert annotation["core:label"] == "LoRa" and annotation["core:comment"] == "new, emitter 4"
    assert (first[keys.SIGMF_PREFIX + keys.STATE], second[keys.SIGMF_PREFIX + keys.STATE]) == ("update", "close")


def test_a_recording_is_taken_as_it_is(make_recording, noise, tmp_path):
    """It is not opened again: the file holds what was read when it was opened."""
    path = make_recording(noise(5000), annotations=[OWN])
    recording = open_recording(path)
    path.unlink()
    with running(sigmf_annotator(recording)) as run:
        run.post(event())
        wait_for(lambda: run.annotator._events)
    assert run.annotator.path.name == "recording-events.sigmf-meta" and len(run.annotations()) == 2
    (tmp_path / "x.cu8").write_bytes(bytes(200))
    raw = sigmf_annotator(open_recording(tmp_path / "x.cu8", rate=2e6, datatype="rtl"))
    with running(raw):
        pass
    assert json.loads((tmp_path / "x-events.sigmf-meta").read_text()) == {
        "global": {"core:datatype": "cu8", "core:sample_rate": 2e6, "core:version": "1.2.0", "core:dataset": "x.cu8",
                   "core:extensions": [{"name": "spectrumencoder", "version": "0.1.0", "optional": True}]},
        "captures": [{"core:sample_start": 0}], "annotations": []}
    with pytest.raises(ValueError, match="neither a recording in a file nor an output"):
        sigmf_annotator(MemoryRecording("held", noise(1000), 1e6))


@pytest.mark.parametrize("folder", [".", "elsewhere"])
def test_samples_are_found_by_the_name_of_the_metadata(make_recording, noise, tmp_path, folder):
    """inspectrum 0.2.3 opens NAME.sigmf-data for NAME.sigmf-meta, whatever core:dataset says; SigMF wants it in the folder."""
    path, iq = make_recording(noise(5000)), noise(5000)
    output = path.parent / folder / "found.sigmf-meta"
    output.parent.mkdir(exist_ok=True)
    for _ in range(2):  # the second run finds the first one's link
        with running(sigmf_annotator(str(path), str(output))) as run:
            run.post(event(count=300))
            wait_for(lambda run=run: run.annotator._events)
    link = output.with_suffix(".sigmf-data")
    assert link.is_symlink() and link.read_bytes() == path.with_suffix(".sigmf-data").read_bytes()
    opened = sigmf.fromfile(str(output))
    opened.validate()
    assert (opened.sample_count, len(opened.get_annotations())) == (5000, 1)
    np.testing.assert_allclose(opened.read_samples(), iq)
    head = json.loads(output.read_text())["global"]
    assert "core:metadata_only" not in head and head.get("core:dataset") == (path.with_suffix(".sigmf-data").name
                                                                               if folder == "." else None)


def test_an_annotation_says_which_channel_it_is_of(make_recording, noise):
    path = make_recording(noise(5000))
    meta = json.loads(path.read_text())
    meta["global"]["core:num_channels"] = 2
    path.write_text(json.dumps(meta))
    with running(sigmf_annotator(open_recording(path, channel=1))) as run:
        run.post(event())
        run.post(event("b2", 3000, alert="new", emitter_id=4))
        wait_for(lambda: len(run.annotator._events) == 2)
    assert [a["core:comment"] for a in run.annotations()] == [
        "channel 1 of 2, counted from 0", "new, emitter 4, channel 1 of 2, counted from 0"]


def test_a_file_that_has_that_name_stays(make_recording, noise, tmp_path):
    path = make_recording(noise(5000))
    other = path.with_name("recording-events.sigmf-data")
    other.write_bytes(b"somebody's")
    with running(sigmf_annotator(str(path))) as run:
        pass
    assert other.read_bytes() == b"somebody's"
    assert json.loads(run.annotator.path.read_text())["global"]["core:dataset"] == path.with_suffix(".sigmf-data").name


@pytest.mark.parametrize(("stated", "kept"), [
    ({"antenna": "1.0.0"}, [{"name": "antenna", "version": "1.0.0", "optional": True}]),
    (["antenna"], [{"name": "antenna", "version": "unknown", "optional": True}]),
    ([{"name": "antenna", "version": "1.0.0", "optional": False}, {"version": "2"}],
     [{"name": "antenna", "version": "1.0.0", "optional": False}]),
    ([{"name": "antenna", "version": "1.0.0"}, {"name": "spectrumencoder", "version": "0.0.1", "optional": False}],
     [{"name": "antenna", "version": "1.0.0", "optional": True}]),
    ("antenna", []), (None, [])])
def test_extensions_are_kept_in_the_form_that_sigmf_has_now(make_recording, noise, stated, kept):
    path = make_recording(noise(5000))
    meta = json.loads(path.read_text())
    meta["global"]["core:extensions"] = stated
    path.write_text(json.dumps(meta))
    with running(sigmf_annotator(str(path))) as run:
        pass
    sigmf.fromfile(str(run.annotator.path)).validate()
    own = {"name": "spectrumencoder", "version": "0.1.0", "optional": True}
    assert json.loads(run.annotator.path.read_text())["global"]["core:extensions"] == [*kept, own]


def test_an_earlier_runs_annotations_give_way(make_recording, noise):
    path = make_recording(noise(5000), annotations=[OWN])
    for identity in ("first", "second"):
        with running(sigmf_annotator(str(path), str(path))) as run:
            run.post(event(identity))
            wait_for(lambda run=run: run.annotator._events)
        identities = [item.get("spectrumencoder:event_id") for item in run.annotations()]
        assert identities == [None, identity]
    assert open_recording(path).n_samples == 5000


def test_sample_numbers_count_from_the_recordings_offset(make_recording, noise):
    path = make_recording(noise(5000), captures=[{"core:sample_start": 7000}])
    meta = json.loads(path.read_text())
    meta["global"]["core:offset"] = 7000
    path.write_text(json.dumps(meta))
    with running(sigmf_annotator(str(path))) as run:
        run.post(event())
        wait_for(lambda: run.annotator._events)
    assert run.annotations()[0]["core:sample_start"] == 8000
    assert open_recording(run.annotator.path).annotations[0].sample_start == 1000


def test_minimal_metadata_without_a_recording(tmp_path):
    annotator = sigmf_annotator(output=str(tmp_path / "live"), samp_rate=2e6, center_freq=433e6, datatype="ci16_le")
    with running(annotator) as run:
        run.post(event())
        wait_for(lambda: run.annotator._events)
    meta = json.loads((tmp_path / "live.sigmf-meta").read_text())
    assert meta["global"]["core:sample_rate"] == 2e6 and meta["global"]["core:datatype"] == "ci16_le"
    assert meta["captures"] == [{"core:sample_start": 0, "core:frequency": 433e6}]
    assert len(meta["annotations"]) == 1


def test_file_is_valid_at_every_moment_and_written_at_most_each_second(tmp_path):
    annotator = sigmf_annotator(output=str(tmp_path / "live"), samp_rate=1e6)
    contents, states = set(), set()
    with running(annotator) as run:
        began = time.monotonic()
        number = 0
        while time.monotonic() - began < 2.5:
            run.post(event(f"e{number}", number))
            number += 1
            text = annotator.path.read_text()
            contents.add(len(json.loads(text)["annotations"]))  # raises where the file is not whole
            states.add(tuple(sorted(p.name for p in tmp_path.iterdir() if not p.name.startswith("."))))
            time.sleep(0.002)
        wait_for(lambda: len(annotator._events) == number)
    assert 3 <= len(contents) <= 4 and states == {("live.sigmf-meta",)}
    assert len(run.annotations()) == number
    assert list(tmp_path.iterdir()) == [annotator.path]


def test_the_last_event_reaches_the_file_without_another_one(tmp_path):
    with running(sigmf_annotator(output=str(tmp_path / "live"), samp_rate=1e6)) as run:
        run.post(event())
        wait_for(lambda: len(run.annotations()) == 1, 3)


@pytest.mark.parametrize("message", [*WRONG, to_pmt({keys.EVENT_ID: "x"}), to_pmt(event(sample_start="soon"))])
def test_wrong_messages_are_counted(tmp_path, message):
    annotator = sigmf_annotator(output=str(tmp_path / "live"), samp_rate=1e6)
    with running(annotator) as run:
        run.post(message)
        run.post(event())
        wait_for(lambda: annotator._events)
    assert (annotator.malformed, annotator.failure, len(run.annotations())) == (1, None, 1)


def test_a_folder_that_goes_away_is_a_failure_that_the_runner_sees(tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    annotator, top = sigmf_annotator(output=str(folder / "live"), samp_rate=1e6), gr.top_block()
    debug = status_store(top, annotator)
    shutil.rmtree(folder)
    failure = run_within(top, [annotator])
    assert failure.where == "start"
    assert str(failure).startswith(f"sigmf_annotator: cannot write {folder}/live.sigmf-meta: No such")
    assert stored(debug) is not None


@pytest.mark.parametrize(("arguments", "error", "text"), [
    ({}, ValueError, "neither"), ({"output": "x"}, ValueError, "samp_rate 0.0"),
    ({"output": "/no/such/folder/x", "samp_rate": 1.0}, ValueError, "does not exist"),
    ({"recording": "/no/such.sigmf-meta"}, RecordingError, "no such")])
def test_wrong_arguments_say_what_to_do(arguments, error, text):
    with pytest.raises(error, match=text):
        sigmf_annotator(**arguments)
