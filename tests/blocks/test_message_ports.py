# SPDX-License-Identifier: GPL-3.0-or-later
"""Every field of a message with every odd value: a message port never fails, so it never ends the blocks beside it."""

import math

import numpy as np
import pytest
from flowgraphs import run_within
from gnuradio import blocks, gr
from gnuradio.spectrumencoder import (
    anomaly_detector,
    band_scanner,
    doma_tracker,
    event_log,
    hub_sender,
    keys,
    sigmf_annotator,
    snippet_recorder,
    spectrum_encoder,
)
from gnuradio.spectrumencoder.blocks.messages import to_pmt
from gnuradio.spectrumencoder.session.run_probe import run_probe

ODD = (None, math.inf, -math.inf, math.nan, "x", "", "../../x", True, -1, 0, 2**63, 2**64 - 1, 1e300, -1e18, [], [1, 2], {"a": 1})
EVENT = {keys.EVENT_ID: "1", keys.STATE: "open", keys.SAMPLE_START: 1000, keys.SAMPLE_COUNT: 500, keys.TIMESTAMP: 1.7e9,
         keys.FREQ_CENTER_HZ: 1e8, keys.BANDWIDTH_HZ: 1e4, keys.POWER_DBFS: -30.0, keys.SNR_DB: 10.0, keys.LABEL: "x",
         keys.ALERT: "new", keys.EMITTER_ID: 3, keys.EMITTER_NAME: "n", keys.BURSTS: 2, keys.FIRST_HEARD: 1.7e9,
         keys.LAST_HEARD: 1.7e9, keys.THREAT_LEVEL: "LOW", keys.POSSIBLE_THREATS: {"a": 0.5}, keys.FREQ_RELATIVE: True}
SIGNAL = {keys.SIGNAL_ID: 1, keys.STATE: "open", keys.SAMPLE_START: 1000, keys.SAMPLE_COUNT: 500, keys.TIMESTAMP: 1.7e9,
          keys.FREQ_CENTER_HZ: 1e8, keys.BANDWIDTH_HZ: 1e4, keys.POWER_DBFS: -30.0, keys.SNR_DB: 10.0, keys.LABEL: "x",
          keys.CONFIDENCE: 0.5, keys.BURSTS: 2, keys.DUTY_CYCLE: 0.5, keys.FREQ_RELATIVE: True}
FIX = {"latitude": 50.0, "longitude": 8.0, "timestamp": 1.7e9, "altitude": 100.0, "identity": "a", "event_id": "1",
       "freq_center_hz": 1e8, "snr": 3.0, "units": {"altitude": "ft"}, "position_error_m": 5.0}
CONTROL = {"hold": 3, "dropout_rate": 0.3, keys.ACCEPT: 1, keys.IGNORE: [1.0, 2.0], keys.NAME: [1, "x"], keys.LIST: True,
           "gate": 0.9, "horizon": [1.0, 2.0], "keep_bands_hz": [[1.0, 2.0]]}
STATUS = {keys.BLOCK: "x", keys.STATUS_STATE: "learned", keys.MESSAGE: "m", keys.FRAMES: 3, keys.EMITTERS: []}
PORTS = {
    "event_log": (lambda d, m: event_log(str(d / "e.jsonl")), keys.EVENTS, EVENT),
    "sigmf_annotator": (lambda d, m: sigmf_annotator("", str(d / "a.sigmf-meta"), 1e6), keys.EVENTS, EVENT),
    "event_log, signals": (lambda d, m: event_log(str(d / "e.jsonl")), keys.EVENTS, SIGNAL),
    "sigmf_annotator, signals": (lambda d, m: sigmf_annotator("", str(d / "a.sigmf-meta"), 1e6), keys.SIGNALS, SIGNAL),
    **{f"hub_sender, {port}": (lambda d, m: _sender(d), port, base)
       for port, base in ((keys.EVENTS, EVENT), (keys.SIGNALS, SIGNAL), (keys.REPORTS, FIX), (keys.HEALTH, STATUS))},
    "run_probe, signals": (lambda d, m: run_probe(), keys.SIGNALS, SIGNAL),
    "band_scanner": (lambda d, m: band_scanner(), keys.EVENTS, EVENT),
    "doma_tracker, events": (lambda d, m: doma_tracker(), keys.DETECTIONS, EVENT),
    "doma_tracker, fixes": (lambda d, m: doma_tracker(), keys.DETECTIONS, FIX),
    "doma_tracker, control": (lambda d, m: doma_tracker(), keys.CONTROL, CONTROL),
    "anomaly_detector": (lambda d, m: anomaly_detector(m, 128), keys.CONTROL, CONTROL),
    "spectrum_encoder": (lambda d, m: spectrum_encoder(m, 128), keys.CONTROL, CONTROL),
    "run_probe, events": (lambda d, m: run_probe(), keys.EVENTS, EVENT),
    "run_probe, status": (lambda d, m: run_probe(), keys.STATUS, STATUS)}


def _sender(folder):
    """A hub_sender that has started; nobody listens there."""
    block = hub_sender("tcp://127.0.0.1:1", "x", spool=folder / "x.spool")
    assert block.start()
    return block


def odd_messages(base):
    """PMTs of the dict with one odd value, opened and closed, each of another event."""
    for key in base:
        for number, value in enumerate(ODD):
            own = {keys.EVENT_ID: f"{key}-{number}"} if key != keys.EVENT_ID and keys.EVENT_ID in base else {}
            for state in ({keys.STATE: "open"}, {keys.STATE: "close"}) if key != keys.STATE and keys.STATE in base else ({},):
                yield to_pmt(base | own | state | {key: value})


@pytest.mark.filterwarnings("ignore:overflow encountered")
@pytest.mark.parametrize("name", PORTS)
def test_no_message_ends_a_block(tmp_path, small_model, name):
    make, port, base = PORTS[name]
    block = make(tmp_path, small_model)
    for message in odd_messages(base):
        block._inputs[port](message)
        assert block.failure is None
    assert block.stop() and block.failure is None


def test_no_event_ends_the_recorder_or_the_flowgraph(tmp_path):
    """Also what it writes: a time that is none, a name that leads elsewhere."""
    folder = tmp_path / "in" / "snippets"
    recorder, top, sink = snippet_recorder(str(folder), pre_s=0, post_s=0, max_s=0.01), gr.top_block(), blocks.vector_sink_c()
    source = blocks.vector_source_c(np.ones(50_000, np.complex64).tolist())
    top.connect(source, recorder)
    top.connect(source, sink)
    for message in odd_messages({key: value for key, value in EVENT.items() if key != keys.ALERT}):
        recorder.to_basic_block()._post(to_pmt(keys.EVENTS), message)
    assert run_within(top, [recorder], 20) is None
    assert len(sink.data()) == 50_000 and recorder.malformed > 10
    assert recorder.n_written + recorder.n_lost > 50 and recorder.n_written >= 8
    assert {path.parent for path in tmp_path.rglob("*.sigmf-*")} == {folder}
