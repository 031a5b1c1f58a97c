# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever comes in at a message port or as a tag: it is used, or counted as malformed; the flowgraph goes on."""

import json

import numpy as np
import pmt
import pytest
from flowgraphs import frame_source, run_within
from gnuradio import blocks, gr
from gnuradio.spectrumencoder import anomaly_detector, event_log, keys, sigmf_annotator, spectrum_encoder, spectrum_monitor
from gnuradio.spectrumencoder.blocks.messages import MAX_DEPTH, MalformedMessage, kind, metadata, tag_key, to_pmt, to_python
from gnuradio.spectrumencoder.session.run_probe import run_probe

N = 128
NOT_UTF8 = pmt.intern(b"caf\xe9")
EVENT = {"event_id": "a", "state": "close", "sample_start": 10, "sample_count": 20}


def nested(depth):
    value = pmt.from_long(1)
    for _ in range(depth):
        value = pmt.make_vector(1, value)
    return value


def long_list(length=3000):
    value = pmt.PMT_NIL
    for number in reversed(range(length)):
        value = pmt.cons(pmt.from_long(number), value)
    return value


def dict_of(value, key=None):
    return pmt.dict_add(to_pmt(EVENT), key or pmt.intern("dropout_rate"), value)


MESSAGES = {
    "not text": NOT_UTF8, "not text inside": dict_of(NOT_UTF8), "not text as key": dict_of(pmt.from_long(1), NOT_UTF8),
    "list": long_list(), "list inside": dict_of(long_list()), "deep": nested(3000), "deep inside": dict_of(nested(3000)),
    "barely too deep": dict_of(nested(MAX_DEPTH + 1)), "complex": dict_of(pmt.from_complex(1j)), "nothing": pmt.PMT_NIL,
    "infinite": dict_of(pmt.from_double(np.inf), pmt.intern("sample_start")),
    "text for numbers": dict_of(pmt.intern("x"), pmt.intern("sample_count")),
    "list for numbers": dict_of(long_list(3), pmt.intern("sample_start")),
    "infinite frequency": pmt.dict_add(dict_of(pmt.from_double(np.inf), pmt.intern("freq_center_hz")),
                                       pmt.intern("bandwidth_hz"), pmt.from_double(1.0)),
    "pdu of it": pmt.cons(dict_of(NOT_UTF8), pmt.init_f32vector(1, [1.0])),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_reading_a_message_raises_nothing_but_malformed(name):
    assert len(kind(MESSAGES[name])) <= 60
    try:
        metadata(MESSAGES[name])
    except MalformedMessage as error:
        assert len(str(error)) < 200


def test_long_lists_are_read():
    assert to_python(long_list()) == list(range(3000))
    assert metadata(dict_of(nested(MAX_DEPTH - 1)))
    for value in (nested(MAX_DEPTH + 1), NOT_UTF8):
        with pytest.raises(MalformedMessage):
            to_python(value)


def every_port(small_model, folder):
    """(block, port) of each message input of the project."""
    monitor = spectrum_monitor(small_model)
    probe = run_probe(N)
    return [(spectrum_encoder(small_model, N), keys.CONTROL), (monitor.encoder, keys.CONTROL), (monitor.detector, keys.CONTROL),
            (event_log(str(folder / "events.jsonl")), keys.EVENTS), (probe, keys.EVENTS), (probe, keys.STATUS),
            (sigmf_annotator(output=str(folder / "events.sigmf-meta"), samp_rate=1e6), keys.EVENTS)], monitor


@pytest.mark.parametrize("name", MESSAGES)
def test_every_message_port_survives(small_model, tmp_path, name):
    ports, _monitor = every_port(small_model, tmp_path)
    for block, port in ports:
        block._inputs[port](MESSAGES[name])
        block.stop()
        assert block.failure is None, f"{block.name()}: {block.failure}"
    for line in (tmp_path / "events.jsonl").read_text().splitlines() if (tmp_path / "events.jsonl").exists() else ():
        json.loads(line)
    annotations = json.loads((tmp_path / "events.sigmf-meta").read_text())["annotations"]
    core = [value for annotation in annotations for key, value in annotation.items() if key.startswith("core:")]
    assert None not in core


@pytest.mark.parametrize("name", MESSAGES)
def test_the_system_port_survives_until_it_is_done(tmp_path, name):
    log = event_log(str(tmp_path / "events.jsonl"))
    top = gr.top_block()
    strobe = blocks.message_strobe(to_pmt(EVENT), 20)
    top.msg_connect(strobe, "strobe", log, keys.EVENTS)
    log.to_basic_block()._post(pmt.intern("system"), MESSAGES[name])
    assert run_within(top, [log], 5, lambda: log.n_events >= 2) is None
    assert log.malformed == 1


BAD_VALUES = (NOT_UTF8, long_list(), nested(3000), pmt.from_double(np.nan), pmt.PMT_T)
TAG_KEYS = (keys.RX_FREQ, keys.FRAME_HOP, keys.FRAME_START)


class tagged_source(frame_source):
    """Every tag that concerns a stage with every bad value, and one whose key is no text."""

    def work(self, input_items, output_items):
        if self.position == 0:
            for key in TAG_KEYS:
                for value in BAD_VALUES:
                    self.add_item_tag(0, 2, pmt.intern(key), value)
            self.add_item_tag(0, 3, NOT_UTF8, pmt.PMT_T)
        return super().work(input_items, output_items)


def test_tags_of_any_kind_are_counted_or_passed_over(small_model, make_items):
    top, source, encoder = gr.top_block(), tagged_source(make_items(12)), spectrum_encoder(small_model, N, overload="skip")
    psd, detector = tagged_source(np.zeros((12, N), np.float32)), anomaly_detector(small_model, N)
    top.connect(source, encoder)
    for port, stage in enumerate((psd, (encoder, 0), (encoder, 1))):
        top.connect(stage, (detector, port))
    assert run_within(top, [encoder, detector]) is None
    for block in (encoder, detector):
        not_known = 1  # rx_freq of NaN
        assert (block.counters()["frames"], block.malformed) == (12, len(TAG_KEYS) * len(BAD_VALUES) - not_known)


def test_key_of_a_tag():
    for key, text in ((pmt.intern("rx_freq"), "rx_freq"), (NOT_UTF8, ""), (pmt.from_long(1), "")):
        tag = gr.tag_t()
        tag.key = key
        assert tag_key(tag) == text
