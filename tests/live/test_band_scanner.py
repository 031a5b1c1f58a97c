# SPDX-License-Identifier: GPL-3.0-or-later
"""band_scanner: plans, sweeps, and a real scan over the test radio's FM band through gr-soapy."""

import time

import numpy as np
import pmt
import pytest
from gnuradio import blocks, gr, spectrumencoder
from gnuradio.spectrumencoder import keys
from gnuradio.spectrumencoder.blocks import radio_commands
from gnuradio.spectrumencoder.blocks.messages import metadata, to_pmt
from gnuradio.spectrumencoder.blocks.run_flowgraph import run_flowgraph
from gnuradio.spectrumencoder.blocks.soapy_radio import soapy_radio
from gnuradio.spectrumencoder.scan.scan_plan import ScanPlan, parse_ranges
from gnuradio.spectrumencoder.scan.sweep import LostRetune, Retune, Sweep, Sweeper

RATE, N = 2.4e6, 1024
BIN = RATE / N


# Plans

@pytest.mark.parametrize("text", ["", "88e6", "88e6:", "108e6:88e6", "a:b", "-5:5", "88e6:inf"])
def test_a_bad_range_says_how_one_is_written(text):
    with pytest.raises(ValueError, match="LOW:HIGH in Hz"):
        parse_ranges(text)


@pytest.mark.parametrize("name, value", [("usable", 0.0), ("usable", 1.1), ("overlap", 0.95), ("jitter", 0.5)])
def test_a_plan_refuses_what_is_out_of_range(name, value):
    with pytest.raises(ValueError, match=f"{name} {value:g} is outside"):
        ScanPlan([(88e6, 108e6)], RATE, N, **{name: value})


@pytest.mark.parametrize("settings", [{}, {"overlap": 0.5}, {"usable": 0.5}, {"jitter": 0.1}, {"jitter": 0.4, "overlap": 0.3}])
@pytest.mark.parametrize("width", [1e5, 1.9e6, 2.0e6, 5e6, 20e6])
def test_every_bin_is_covered_however_the_plan_is_shifted(settings, width):
    plan = ScanPlan([(88e6, 88e6 + width)], RATE, N, **settings).plans[0]
    for shift in (-plan.spare, 0, plan.spare):
        seen = np.zeros(plan.n_bins, bool)
        for center in plan.centers:
            seen[max(0, center + shift - plan.half):max(0, center + shift + plan.half)] = True
        assert seen.all()
    needed = int(np.ceil(plan.n_bins / (2 * (plan.half - plan.spare))))
    assert len(plan.centers) >= needed
    if not settings:
        assert len(plan.centers) <= needed + 1


# Sweeps, with spectra made here: a flat floor of -90 dBFS and a line at each emitter in view

class Sky:
    """What a radio sees: emitters (Hz) over a floor, and a spike in the middle of its band."""

    def __init__(self, *emitters, spike=False):
        self.emitters, self.spike = emitters, spike

    def psd(self, center):
        row = np.full(N, -90.0)
        for emitter in self.emitters:
            place = round((emitter - center) / BIN) + N // 2
            if 0 <= place < N:
                row[place] = -40.0
        if self.spike:
            row[N // 2 - 2:N // 2 + 3] = -20.0
        return row


def scan(sweeper, sky, n_frames, start_hz=100e6, delay=1, hop=4096, events=None):
    """Plays frames to a sweeper; a retune takes effect `delay` frames later. -> (sweeps, centres of the frames)."""
    center, pending, sweeps, centers = start_hz, [], [], []
    for number in range(n_frames):
        if pending and pending[0][0] <= number:
            center = pending.pop(0)[1]
        centers.append(center)
        for action in sweeper.take(sky.psd(center)[None], center, number * hop, hop):
            if isinstance(action, Sweep):
                sweeps.append(action)
            elif isinstance(action, Retune):
                pending.append((number + 1 + delay, action.center_hz))
        if events and number in events:
            sweeper.event(*events[number])
    return sweeps, np.array(centers)


@pytest.mark.parametrize("settings", [{}, {"overlap": 0.5}, {"jitter": 0.2}])
def test_every_emitter_is_in_its_bin_and_nothing_else_is(settings):
    emitters = [88e6 + BIN * k for k in (0, 5, 816, 817, 819, 820, 821, 4000, 8533)]
    sweeper = Sweeper(ScanPlan([(88e6, 108e6)], RATE, N, **settings), dwell_frames=2)
    sweeps, _ = scan(sweeper, Sky(*emitters), 200)
    assert len(sweeps) >= 3
    for sweep in sweeps:
        found = sweep.freq_start_hz + np.flatnonzero(sweep.row > -60) * sweep.bin_hz
        assert np.allclose(found, emitters, atol=1.0)
        assert sweep.row[sweep.row < -60].max() == pytest.approx(-90)


def test_the_spike_is_left_out_and_what_it_hides_is_seen_by_another_hop():
    plan = ScanPlan([(88e6, 108e6)], RATE, N, overlap=0.5)
    hidden = plan.plans[0].frequency_hz(plan.plans[0].centers[3])  # right under the spike of hop 3
    for dc_bins, expected in ((0, False), (5, True)):
        sweeps, _ = scan(Sweeper(plan, 1, dc_bins=dc_bins), Sky(hidden, spike=True), 100)
        lines = sweeps[0].freq_start_hz + np.flatnonzero(sweeps[0].row > -60) * BIN
        assert (len(lines) == 1 and abs(lines[0] - hidden) < 1) == expected


def test_a_hole_that_no_hop_sees_into_is_bridged():
    sweeps, _ = scan(Sweeper(ScanPlan([(88e6, 89e6)], RATE, N), 1, dc_bins=5), Sky(spike=True), 3, start_hz=88.5e6)
    assert sweeps[0].row.max() == pytest.approx(-90)


def test_a_range_of_one_hop_is_stared_at_without_retuning():
    sweeper = Sweeper(ScanPlan([(88e6, 89e6)], RATE, N), dwell_frames=4)
    sweeps, centers = scan(sweeper, Sky(), 40)
    assert len(set(centers[3:])) == 1 and len(sweeps) == (40 - 2) // 4
    assert {sweep.sample_count for sweep in sweeps} == {4 * 4096}


def test_several_ranges_give_a_row_each():
    sweeps, _ = scan(Sweeper(ScanPlan([(88e6, 92e6), (433e6, 434e6)], RATE, N), 2), Sky(90e6, 433.5e6), 60)
    assert [round(sweep.freq_start_hz / 1e6) for sweep in sweeps[:4]] == [88, 433, 88, 433]
    assert [sweep.number for sweep in sweeps[:4]] == [0, 0, 1, 1]
    assert [np.sum(sweep.row > -60) for sweep in sweeps[:2]] == [1, 1]


def test_an_event_holds_the_scanner_while_it_goes_on_and_no_longer_than_allowed():
    plan = ScanPlan([(88e6, 108e6)], RATE, N)
    where = plan.plans[0].frequency_hz(plan.plans[0].centers[0])
    free, _ = scan(Sweeper(plan, 5), Sky(), 200)
    held, centers = scan(Sweeper(plan, 5, hold_frames=20, max_hold_frames=30), Sky(), 200, events={4: ("open", where)})
    assert np.sum(np.abs(centers - where) < 1) >= 20 and held[0].held_hops == 1 and free[0].held_hops == 0
    updates = {number: ("update", where) for number in range(4, 150)}
    _, centers = scan(Sweeper(plan, 5, hold_frames=20, max_hold_frames=30), Sky(), 100, events=updates)
    assert 30 <= np.sum(np.abs(centers[:60] - where) < 1) <= 42


def test_an_event_that_comes_too_late_brings_the_scanner_back_and_the_row_stays_whole():
    plan = ScanPlan([(88e6, 108e6)], RATE, N)
    first = plan.plans[0].frequency_hz(plan.plans[0].centers[0])
    sweeps, centers = scan(Sweeper(plan, 5, hold_frames=20, max_hold_frames=30), Sky(88.5e6, 100e6), 300,
                           events={9: ("open", first - 9e5)})  # frame 9 is of the second hop, which does not see it
    visits = np.flatnonzero(np.abs(centers - first) < 1)
    assert np.any(np.diff(visits) > 1) and np.sum(visits < 60) >= 25
    assert np.sum(sweeps[0].row > -60) == 2 and sweeps[0].held_hops == 1


def test_a_retune_that_is_not_answered_is_sent_again():
    sweeper = Sweeper(ScanPlan([(88e6, 108e6)], RATE, N), 1)
    actions = [a for number in range(1200) for a in sweeper.take(np.full((1, N), -90.0), 200e6, number * 4096, 4096)]
    assert isinstance(actions[0], Retune) and isinstance(actions[1], LostRetune)
    lost = sum(isinstance(action, LostRetune) for action in actions)  # in 2.05 s
    assert lost == sweeper.n_lost_retunes == 2


# Commands

@pytest.mark.parametrize("version, forgets", [("3.10.5.1", True), ("v3.10.5-12-gabc", True), ("3.10.6.0", False),
                                              ("3.10.12", False), ("3.9.8", True), ("3.11.0git", False)])
def test_the_rate_goes_with_the_frequency_only_where_the_tag_would_be_missing(monkeypatch, version, forgets):
    monkeypatch.setattr(gr, "version", lambda: version)
    assert ("rate" in metadata(radio_commands.retune(1e8, 2e6))) == forgets
    assert metadata(radio_commands.retune(1e8, 2e6, "uhd")) == {"freq": 1e8, "tag": "now"}


# The real thing: test radio -> gr-soapy -> tokenizer -> scanner -> gr-soapy

class Scan:
    """A flowgraph that scans until the condition holds."""

    def __init__(self, args, settle_ms=5.0, average=4, start_hz=None, **settings):
        self.top = gr.top_block()
        self.radio = soapy_radio(f"driver=spectrumtest,{args}", freq=start_hz or 90e6, rate=RATE)
        self.tokenizer = spectrumencoder.fft_tokenizer(average=average, samp_rate=RATE, settle_ms=settle_ms, live=True)
        self.scanner = spectrumencoder.band_scanner(samp_rate=RATE, **settings)
        self.tokens, self.sweeps = blocks.null_sink(4 * self.tokenizer.item_size()), blocks.message_debug()
        self.commands, self.status = blocks.message_debug(), blocks.message_debug()
        self.top.connect(self.radio, self.tokenizer, self.tokens)
        self.top.connect((self.tokenizer, 1), self.scanner)
        self.top.msg_connect(self.scanner, keys.CMD, self.radio, keys.CMD)
        self.top.msg_connect(self.scanner, keys.CMD, self.commands, "store")
        self.top.msg_connect(self.scanner, keys.SWEEPS, self.sweeps, "store")
        self.top.msg_connect(self.scanner, keys.STATUS, self.status, "store")

    def run(self, until, seconds=25.0):
        deadline = time.monotonic() + seconds
        failure = run_flowgraph(self.top, [self.scanner, *self.radio.blocks], poll_s=0.02,
                                should_stop=lambda: until(self) or time.monotonic() > deadline)
        assert failure is None and time.monotonic() < deadline, failure

    def rows(self):
        """(fields, spectrum) of each sweep."""
        messages = [self.sweeps.get_message(i) for i in range(self.sweeps.num_messages())]
        return [(metadata(message), np.array(pmt.f32vector_elements(pmt.cdr(message)))) for message in messages]


def sweeps_done(count):
    return lambda scan: scan.sweeps.num_messages() >= count


def emitters_found(fields, row, above_db=12):
    """Frequencies of the local maxima that stand out of the floor, Hz."""
    peaks = [k for k in range(len(row)) if row[k] > np.median(row) + above_db and row[k] == row[max(0, k - 6):k + 7].max()]
    return [fields[keys.FREQ_START_HZ] + k * fields[keys.BIN_WIDTH_HZ] for k in peaks]


@pytest.mark.parametrize("more", [{}, {"overlap": 0.5, "dc_bins": 9}], ids=["plain", "with a spike at 0 Hz"])
def test_a_scan_of_the_fm_band_finds_every_emitter_within_a_bin_and_no_ghost(make_scene, more):
    # the last three lie at the seams of the plain plan, and one right in the middle of a hop
    plan = ScanPlan([(88e6, 108e6)], RATE, N).plans[0]
    seams = [plan.frequency_hz((a + b) / 2) for a, b in zip(plan.centers[2:5], plan.centers[3:6], strict=True)]
    emitters = sorted([88.1e6, 90.4e6, 93.33e6, 95.0e6, 99.99e6, 101.7e6, 104.2e6, 107.9e6, *seams])
    scene = make_scene(*[{"freq_hz": f, "power_dbfs": -35 - 3 * (k % 5)} for k, f in enumerate(emitters)])
    spike = ",dc_dbfs=-25" if more else ""
    scan = Scan(f"pace=1,retune_latency=2,scene={scene}{spike}", dwell_ms=40.0, settle_ms=30.0, **more)
    scan.run(sweeps_done(1))
    fields, row = scan.rows()[0]
    found = emitters_found(fields, row)
    assert len(found) == len(emitters), found
    assert np.abs(np.array(found) - emitters).max() <= fields[keys.BIN_WIDTH_HZ]
    assert fields[keys.HOPS] == len(scan.scanner.sweeper.plan.plans[0].centers)


def test_the_sweep_takes_what_dwell_and_settle_add_up_to(make_scene):
    dwell_ms, settle_ms = 200.0, 10.0
    scan = Scan(f"pace=1,scene={make_scene()}", dwell_ms=dwell_ms, settle_ms=settle_ms, ranges="88e6:96e6")
    scan.run(sweeps_done(4))
    fields, _ = min(scan.rows()[1:], key=lambda row: row[0][keys.SAMPLE_COUNT])  # a busy machine retunes late at times
    expected_s = fields[keys.HOPS] * (dwell_ms + settle_ms) * 1e-3 - settle_ms * 1e-3  # the first retune lies before the sweep
    assert fields[keys.SAMPLE_COUNT] / RATE == pytest.approx(expected_s, rel=0.1)
    assert fields[keys.DWELL_SAMPLES] / RATE == pytest.approx(fields[keys.HOPS] * dwell_ms * 1e-3, rel=0.02)
    assert fields[keys.TIMESTAMP_END] - fields[keys.TIMESTAMP] == pytest.approx(fields[keys.SAMPLE_COUNT] / RATE)


def test_ranges_dwell_and_pause_change_while_it_runs(make_scene):
    scan = Scan(f"pace=1,scene={make_scene()}", dwell_ms=20.0, ranges="88e6:92e6", settle_ms=2.0)
    log = []

    def drive(scan):
        if not log and scan.sweeps.num_messages() >= 1:
            assert scan.scanner.set_pause(True)
            log.append((scan.commands.num_messages(), time.monotonic()))
        elif len(log) == 1 and time.monotonic() - log[0][1] > 0.5:
            log.append(scan.commands.num_messages())
            assert scan.scanner.set_ranges("433e6:434e6") and scan.scanner.set_dwell_ms(50.0) and scan.scanner.set_pause(False)
            assert not scan.scanner.set_ranges("nonsense") and not scan.scanner.set_dwell_ms(-1)
        return len(log) == 2 and scan.rows()[-1][0][keys.FREQ_START_HZ] == 433e6
    scan.run(drive)
    assert log[1] - log[0][0] <= 1  # one may have been on its way
    assert scan.rows()[-1][0][keys.DWELL_SAMPLES] == pytest.approx(0.05 * RATE, rel=0.04)
    refused = [metadata(scan.status.get_message(i)) for i in range(scan.status.num_messages())]
    assert sum(status[keys.STATUS_STATE] == "refused" for status in refused) == 2


def test_an_event_holds_a_running_scanner_until_it_has_been_quiet_for_a_while(make_scene):
    scan = Scan(f"pace=1,scene={make_scene()}", dwell_ms=20.0, ranges="88e6:92e6", settle_ms=2.0, hold_ms=600.0)
    log = []

    def drive(scan):
        if not log and scan.sweeps.num_messages() >= 1:
            event = {keys.STATE: "open", keys.FREQ_CENTER_HZ: scan.scanner.sweeper.target_hz}
            scan.scanner.to_basic_block()._post(pmt.intern(keys.EVENTS), to_pmt(event))
            log.append(None)
        return bool(log) and scan.rows()[-1][0][keys.HELD_HOPS] == 1
    scan.run(drive)
    fields, _ = scan.rows()[-1]
    assert fields[keys.SAMPLE_COUNT] / RATE > 0.6
    assert all(row[0][keys.HELD_HOPS] == 0 for row in scan.rows()[:-1])


def test_a_command_out_of_range_is_refused_and_the_samples_go_on(make_scene):
    scan = Scan(f"pace=1,scene={make_scene()}", ranges="88e6:89e6", dwell_ms=20.0)
    sent = []

    def drive(scan):
        if not sent and scan.sweeps.num_messages() >= 1:
            for command in ({"freq": 9e9}, {"rate": 1.0}, {"gain": "much"}, {"master_clock_rate": 1e6}):
                scan.radio._guard.to_basic_block()._post(pmt.intern(keys.CMD), to_pmt(command))
            sent.append(scan.radio.n_samples)
        return bool(sent) and scan.radio.n_samples > sent[0] + RATE / 2
    scan.run(drive)
    assert scan.radio._guard.n_refused == 4


@pytest.mark.parametrize("argument, value", [("dwell_ms", 0), ("hold_ms", -1), ("dc_bins", 2000), ("radio", "hackrf"),
                                             ("ranges", "x"), ("usable", 2.0), ("samp_rate", 0.0)])
def test_the_block_refuses_what_is_out_of_range(argument, value):
    with pytest.raises(ValueError, match=argument if argument != "ranges" else "range"):
        spectrumencoder.band_scanner(**{argument: value})
