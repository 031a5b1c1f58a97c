# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever raises, in whichever entry point of whichever stream block: the flowgraph ends and the failure is recorded."""

import time

import numpy as np
import pmt
import pytest
from flowgraphs import collector, frame_source, run_within, status_store, stored, wait_for
from gnuradio import blocks, gr
from gnuradio.spectrumencoder import anomaly_detector, sigmf_source, spectrum_encoder
from gnuradio.spectrumencoder.blocks.messages import to_pmt
from gnuradio.spectrumencoder.blocks.run_flowgraph import run_flowgraph
from gnuradio.spectrumencoder.blocks.safe_block import SafeBlock, first_failure, handler
from gnuradio.spectrumencoder.recordings import RecordingError

N = 128


class Broken(Exception):
    """Raised on purpose."""


def broken_in(block_class, where):
    """A subclass whose entry point raises after the real one has run (work: at its third call)."""
    def entry(self, *arguments):
        result = getattr(block_class, where)(self, *arguments)
        self.calls = getattr(self, "calls", 0) + 1
        if where != "_work" or self.calls == 3:
            raise Broken(where)
        return result
    return type(f"broken_{block_class.__name__}", (block_class,), {where: entry})


def source_graph(source):
    top = gr.top_block()
    top.connect(source, blocks.throttle(gr.sizeof_gr_complex, 1e6), blocks.null_sink(gr.sizeof_gr_complex))
    return top


def encoder_graph(encoder, items):
    top = gr.top_block()
    top.source, top.sinks = frame_source(items, repeat=True), [collector(N), collector(256)]
    top.connect(top.source, encoder)
    for port, sink in enumerate(top.sinks):
        top.connect((encoder, port), sink)
    return top


def ends(top, block, where):
    """Plain start and wait, as a GRC flowgraph does it; then the same under the runner."""
    debug = status_store(top, block)
    began = time.monotonic()
    failure = run_within(top, [block])
    assert time.monotonic() - began < 5
    assert time.monotonic() - failure.time < 5
    assert isinstance(failure.error, Broken) and failure.where == where and failure.block == block.name()
    return stored(debug)


@pytest.mark.parametrize("where", ["work", "start"])
def test_source(make_recording, noise, where):
    source = broken_in(sigmf_source, f"_{where}")(make_recording(noise(50_000)), repeat=True)
    assert any(m["status"] == "failed" for m in ends(source_graph(source), source, where))


def test_source_in_stop(make_recording, noise):
    source = broken_in(sigmf_source, "_stop")(make_recording(noise(50_000)))
    ends(source_graph(source), source, "stop")


@pytest.mark.parametrize("where", ["work", "start"])
def test_encoder(small_model, make_items, where):
    encoder = broken_in(spectrum_encoder, f"_{where}")(small_model, N)
    assert any(m["status"] == "failed" for m in ends(encoder_graph(encoder, make_items(50)), encoder, where))


def test_encoder_in_stop(small_model, make_items):
    encoder = broken_in(spectrum_encoder, "_stop")(small_model, N)
    top = encoder_graph(encoder, make_items(50))
    top.source.repeat = False
    ends(top, encoder, "stop")


class broken_handler(spectrum_encoder):
    @handler
    def handle_control(self, message):
        raise Broken("handler")


def test_encoder_in_a_handler(small_model, make_items):
    encoder = broken_handler(small_model, N)
    top = encoder_graph(encoder, make_items(50))
    encoder.to_basic_block()._post(pmt.intern("control"), to_pmt({"dropout_rate": 0.5}))
    assert any(m["status"] == "failed" for m in ends(top, encoder, "handle_control"))


def test_encoder_in_a_setter(small_model, make_items):
    encoder = spectrum_encoder(small_model, N)
    top = encoder_graph(encoder, make_items(50))
    top.start()
    assert not encoder.set_dropout_rate(None)  # float(None) is a TypeError: a bug of the caller, not a refusal
    top.wait()
    assert encoder.failure.where == "set_dropout_rate"


def detector_graph(detector, n_frames=None):
    """psd, residual and features of zeros at a modest pace, for ever or for n_frames."""
    top = gr.top_block()
    for port, vlen in enumerate((N, N, 256)):
        stages = [blocks.null_source(gr.sizeof_float * vlen), blocks.throttle(gr.sizeof_float * vlen, 2000)]
        if n_frames:
            stages.append(blocks.head(gr.sizeof_float * vlen, n_frames))
        top.connect(*stages)
        top.connect(stages[-1], (detector, port))
    return top


@pytest.mark.parametrize("where", ["work", "start", "stop"])
def test_detector(small_model, where):
    detector = broken_in(anomaly_detector, f"_{where}")(small_model, N)
    ends(detector_graph(detector, 100 if where == "stop" else None), detector, where)


def test_detector_in_a_setter(small_model):
    detector = anomaly_detector(small_model, N)
    top = detector_graph(detector)
    top.start()
    assert not detector.set_false_alarm_rate(None)
    top.wait()
    assert detector.failure.where == "set_false_alarm_rate"


def test_plain_wait_ends_too(small_model, make_items):
    """A flowgraph that GRC made has no runner: top_block.wait must return by itself."""
    encoder = broken_in(spectrum_encoder, "_work")(small_model, N)
    top = encoder_graph(encoder, make_items(50))
    top.start()
    top.wait()
    assert isinstance(encoder.failure.error, Broken)


def test_file_that_became_shorter(make_recording, noise):
    """A real dependency fails: the samples are cut off between the source's construction and its first read."""
    path = make_recording(noise(500_000))
    source = sigmf_source(path)
    path.with_suffix(".sigmf-data").write_bytes(b"\0" * 800)
    top = gr.top_block()
    top.connect(source, blocks.null_sink(gr.sizeof_gr_complex))
    failure = run_within(top, [source])
    assert isinstance(failure.error, RecordingError) and "shorter" in str(failure)


def test_file_that_is_cut_off_while_it_is_read(make_recording, noise):
    path = make_recording(noise(2_000_000))
    source = sigmf_source(path, repeat=True)
    top = source_graph(source)
    top.start()
    wait_for(lambda: source.nitems_written(0) > 100_000)
    with path.with_suffix(".sigmf-data").open("r+b") as file:
        file.truncate(4000)
    top.wait()
    assert isinstance(source.failure.error, RecordingError) and "shorter" in str(source.failure)


def test_file_that_is_gone(make_recording, noise):
    path = make_recording(noise(500_000))
    source = sigmf_source(path)
    path.with_suffix(".sigmf-data").unlink()
    failure = run_within(source_graph(source), [source])
    assert isinstance(failure.error, RecordingError) and "sigmf-data" in str(failure)


def test_work_that_returns_nothing_is_a_failure():
    class forgetful(SafeBlock, gr.sync_block):
        def __init__(self):
            gr.sync_block.__init__(self, "forgetful", [np.float32], None)
            self.init_safe_block()

        def _work(self, input_items, output_items):
            return None

    block, top = forgetful(), gr.top_block()
    top.connect(blocks.null_source(gr.sizeof_float), block)
    assert isinstance(run_within(top, [block]).error, TypeError)


def test_the_first_failure_counts(small_model):
    first, second = spectrum_encoder(small_model, N), spectrum_encoder(small_model, N)
    second.fail("work", Broken("earlier"))
    first.fail("work", Broken("later"))
    second.fail("stop", Broken("again"))
    assert first_failure([first, blocks.null_sink(4), second]) is second.failure
    assert str(second.failure) == "spectrum_encoder: work failed: Broken: earlier"
    assert first_failure([]) is None


def test_runner_stops_a_flowgraph_that_would_go_on():
    top = gr.top_block()
    top.connect(blocks.null_source(4), blocks.throttle(4, 1e5), blocks.null_sink(4))
    polls = iter([False, False, True])
    assert run_flowgraph(top, [], should_stop=lambda: next(polls)) is None


class stalled(gr.sync_block):
    """A source whose driver does not come back for a while."""

    def __init__(self):
        gr.sync_block.__init__(self, "stalled", None, [np.float32])

    def work(self, input_items, output_items):
        time.sleep(1.5)
        return 0


@pytest.mark.parametrize("fails", [False, True])
def test_runner_gives_up_on_a_block_that_hangs(small_model, fails):
    top = gr.top_block()
    top.source, top.sink, encoder = stalled(), blocks.null_sink(4), spectrum_encoder(small_model, N)
    top.connect(top.source, top.sink)
    if fails:
        encoder.fail("work", Broken("on purpose"))
    with pytest.raises(TimeoutError, match="did not end within 0.3 s") as caught:
        run_flowgraph(top, [encoder], should_stop=lambda: True, grace_s=0.3)
    if fails:  # the cause comes first
        assert str(caught.value).startswith("spectrum_encoder: work failed: Broken: on purpose; then the flowgraph")
        assert caught.value.__cause__ is encoder.failure.error
    time.sleep(2)  # lets the block's thread end before its flowgraph goes away


class late_publisher(SafeBlock, gr.sync_block):
    """Publishes while it stops, later than GNU Radio tells its neighbours that it is done."""

    def __init__(self):
        gr.sync_block.__init__(self, "late_publisher", [np.float32], None)
        self.init_safe_block()
        self.message_port_register_out(pmt.intern("anomalies"))

    def _work(self, input_items, output_items):
        return len(input_items[0])

    def _stop(self):
        time.sleep(self.delay)
        for number in range(20):
            self.message_port_pub(pmt.intern("anomalies"), to_pmt({"event_id": number}))


@pytest.mark.parametrize(("delay", "by_runner"), [(0.05, False), (0.05, True), (0.6, True)])
def test_what_is_published_in_stop_reaches_the_sinks(tmp_path, delay, by_runner):
    from gnuradio.spectrumencoder import event_log
    top, publisher, log = gr.top_block(), late_publisher(), event_log(str(tmp_path / "events.jsonl"))
    publisher.delay = delay
    top.connect(blocks.null_source(4), blocks.head(4, 1000), publisher)
    top.msg_connect((publisher, "anomalies"), (log, "events"))
    if by_runner:
        assert run_within(top, [publisher, log]) is None
    else:
        top.run()
    assert len((tmp_path / "events.jsonl").read_text().splitlines()) == 20
