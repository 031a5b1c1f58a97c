# SPDX-License-Identifier: GPL-3.0-or-later
"""The IQ around events: the ring, the files, their bounds."""

import json

import numpy as np
import pmt
import pytest
from gnuradio import blocks, gr
from gnuradio.spectrumencoder import keys, snippet_recorder
from gnuradio.spectrumencoder.blocks.messages import pdu
from gnuradio.spectrumencoder.blocks.pre_roll import PreRoll
from gnuradio.spectrumencoder.blocks.run_flowgraph import run_flowgraph
from gnuradio.spectrumencoder.recordings import open_recording

RATE = 1e5
GAP = pmt.make_tuple(pmt.from_uint64(9), pmt.from_double(0.0))


def test_the_ring_gives_the_last_samples_by_their_numbers():
    ring, whole = PreRoll(1000), np.arange(5000).astype(np.complex64)
    rng, at = np.random.default_rng(0), 0
    while at < len(whole):
        n = int(rng.integers(1, 1500))
        ring.add(whole[at:at + n])
        at = min(len(whole), at + n)
        start = int(rng.integers(0, at))
        first, got = ring.read(start, start + 700)
        assert np.array_equal(got, whole[first:min(at, start + 700)]) and first == max(start, at - 1000, 0)


def event(identity, state, start, count, **more):
    return pdu({keys.EVENT_ID: identity, keys.STATE: state, keys.SAMPLE_START: start, keys.SAMPLE_COUNT: count,
                keys.TIMESTAMP: 1.7e9, keys.FREQ_CENTER_HZ: 1e8, keys.BANDWIDTH_HZ: 1e3, keys.LABEL: "LoRa"} | more)


def record(folder, events, n=300_000, tags=(), **settings):
    """A ramp of n samples through the recorder; events are posted before the samples come. -> (recorder, recordings by event)."""
    samples = (np.arange(n) / n).astype(np.complex64)
    source = blocks.vector_source_c(samples.tolist(), False, 1, [gr.tag_utils.python_to_tag(
        {"offset": offset, "key": pmt.intern(key), "value": value}) for offset, key, value in tags])
    recorder = snippet_recorder(str(folder), samp_rate=RATE, center_freq=1e8, **settings)
    top = gr.top_block()
    top.connect(source, recorder)
    for message in events:
        recorder.to_basic_block()._post(pmt.intern(keys.EVENTS), message)
    assert run_flowgraph(top, [recorder]) is None
    return recorder, {path.name.split("-", 2)[2].removesuffix(".sigmf-meta"): open_recording(path)
                      for path in sorted(folder.glob("*.sigmf-meta"))}


def test_a_snippet_begins_before_the_event_and_holds_it_as_annotation(tmp_path):
    _, found = record(tmp_path, [event("7", "open", 50_000, 1000), event("7", "close", 50_000, 4000)])
    recording = found["7"]
    assert recording.n_samples == 5000 + 4000 + 5000 and recording.samp_rate == RATE
    samples = recording.read(0, recording.n_samples)
    assert np.allclose(samples.real, (45_000 + np.arange(14_000)) / 300_000, atol=1e-6)
    note = json.loads(recording.path.read_text())["annotations"][0]
    assert (note["core:sample_start"], note["core:sample_count"]) == (5000, 4000) and note["core:label"] == "LoRa"
    assert recording.captures[0].frequency_hz == 1e8 and recording.captures[0].posix_time == pytest.approx(1.7e9 - 0.05)


def test_of_a_long_event_the_beginning_is_kept_and_of_the_last_what_there_is(tmp_path):
    _, found = record(tmp_path, [event("long", "open", 20_000, 1000), event("last", "open", 290_000, 1000)], max_s=0.2)
    assert found["long"].n_samples == 5000 + 20_000 + 5000
    assert found["last"].n_samples == 5000 + 10_000


def test_of_an_alert_the_first_transmission_is_kept_while_it_is_open(tmp_path):
    alert = {keys.ALERT: "new", keys.EMITTER_ID: 1}
    _, found = record(tmp_path, [event("over", "open", 20_000, 1000, **alert), event("over", "update", 20_000, 3000, **alert),
                                 event("again", "open", 20_000, 1000, **alert), event("again", "update", 90_000, 9000, **alert),
                                 event("on", "open", 20_000, 1000, **alert), event("on", "update", 20_000, 90_000, **alert)],
                      n=400_000, max_s=0.5)
    assert found["over"].n_samples == 5000 + 3000 + 5000
    assert found["again"].n_samples == 5000 + 1000 + 5000
    assert found["on"].n_samples == 5000 + 50_000 + 5000
    for recording in found.values():
        note, = json.loads(recording.path.read_text())["annotations"]
        assert note["core:sample_start"] == 5000 and note["core:label"] == "LoRa" and note["core:comment"] == "new, emitter 1"


def test_no_snippet_reaches_across_a_retune_or_a_gap(tmp_path):
    _, found = record(tmp_path, [event("7", "open", 50_000, 1000), event("7", "close", 50_000, 4000)],
                      tags=[(47_000, "rx_freq", pmt.from_double(2e8)), (55_000, "rx_time", GAP)])
    assert found["7"].n_samples == 8000 and found["7"].captures[0].frequency_hz == 2e8


def test_the_oldest_make_room(tmp_path):
    events = [event(str(k), state, 10_000 + 20_000 * k, 4000) for k in range(8) for state in ("open", "close")]
    recorder, found = record(tmp_path, events, max_mb=0.36)  # three of 0.112 MB
    assert recorder.n_written + recorder.n_lost == 8 and recorder.n_written >= 3
    assert sum(path.stat().st_size for path in tmp_path.glob("*.sigmf-data")) <= 0.36e6
    assert len(found) == 3 == len(list(tmp_path.glob("*.sigmf-data")))


@pytest.mark.parametrize("name, value", [("samp_rate", -1.0), ("pre_s", -1.0), ("max_s", 0.0), ("max_mb", 0.0)])
def test_arguments_out_of_range_are_refused(tmp_path, name, value):
    with pytest.raises(ValueError, match=name):
        snippet_recorder(str(tmp_path), **{name: value})


def test_a_malformed_event_is_counted(tmp_path):
    recorder, found = record(tmp_path, [pdu({keys.EVENT_ID: "1"}), event("2", "open", "x", 1)])
    assert recorder.malformed == 2 and not found
