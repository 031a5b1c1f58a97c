# SPDX-License-Identifier: GPL-3.0-or-later
"""What the hub makes of it: sensors, alerts side by side, who else hears it, bearings to tracks, histories, the link budget."""

import functools
import json
import math
import subprocess
import time

import numpy as np
import pytest
from gnuradio.spectrumencoder import keys
from gnuradio.spectrumencoder.encoder.model_file import find_model, load
from gnuradio.spectrumencoder.encoder.pdu import unpack
from gnuradio.spectrumencoder.encoder.quantise import Codec, Group
from gnuradio.spectrumencoder.hub import together
from gnuradio.spectrumencoder.hub.bearings import Joiner
from gnuradio.spectrumencoder.hub.budget import Budget
from gnuradio.spectrumencoder.hub.message import ABOUT, ALERT, HEALTH, REPORT, SPECTRA, json_bytes
from gnuradio.spectrumencoder.hub.server import Hub
from hub_rig import alert, until

RATE, HOP, N = 2.4e6, 16 * 1024, 1024
T0 = 1_800_000_000.0


@pytest.fixture(scope="session")
def codec():
    return Codec(load(find_model("base")))


@functools.cache
def pdu_of(codec, tone_hz=None, center_hz=433.92e6, start_s=T0, frames=32, average=16):
    """The PDU of noise at -100 dBFS, with a tone 25 dB over it."""
    rng = np.random.default_rng(1)
    level = 10 * np.log10(rng.gamma(average, 1 / average, (frames, N)))
    if tone_hz is not None:
        place = round((tone_hz - center_hz) / (RATE / N)) + N // 2
        level[:, place - 1:place + 2] = 25.0
    config = codec.file.config(codec.file.variants[0])
    group = Group(np.zeros((frames, config.latents, config.latent_width), np.float32), level.astype(np.float32),
                  np.full(frames, -100.0), (average,) * frames, codec.file.variants[0], codec.bands[0], 0, HOP, RATE, center_hz,
                  start_s, np.zeros(frames, int), np.full(frames, 0.5))
    return codec.encode(group, refine=0)


@pytest.fixture
def whole_hub(tmp_path):
    running = []

    def start(**more):
        lines = []
        one = Hub("tcp://127.0.0.1:*", tmp_path / "hub.db", say=lines.append, **more)
        one.port, one.lines_said = int(one.receiver.address.rpartition(":")[2]), lines
        running.append(one)
        return one
    yield start
    for one in running:
        one.close()


def about(latitude, longitude):
    return {"about": {keys.SENSOR: "x", keys.LATITUDE: latitude, keys.LONGITUDE: longitude}}


def test_three_sensors_their_alerts_levels_histories_and_budget(whole_hub, sensor, codec, tmp_path):
    hub = whole_hub(history=tmp_path / "histories")
    roof, attic, garage = (sensor(hub.port, name, **about(47.0 + n / 100, 8.0))
                           for n, name in enumerate(("roof", "attic", "garage")))
    for one, tone in ((roof, 433.5e6), (attic, 433.5e6), (garage, None)):
        for part in range(2):
            one.send(SPECTRA, pdu_of(codec, tone, start_s=T0 + part * 32 * HOP / RATE))
    roof.send(ALERT, alert(1, 433.5e6, T0 + 0.2, snr_db=20.0))
    attic.send(ALERT, alert(7, 433.503e6, T0 + 1.0, snr_db=11.0))
    garage.send(ALERT, alert(3, 433.9e6, T0 + 1.0))
    garage.send(ALERT, alert(4, 433.5e6, T0 + 60.0))
    until(lambda: hub.site.decoder.n_decoded == 6 and hub.receiver.n_stored == 13)
    overview = hub.overview()
    also = {(row[keys.SENSOR], row[keys.EVENT_ID]): row["also"] for row in overview["alerts"]}
    assert also == {("roof", "e1"): {"attic": {"event_id": "e7", "snr_db": 11.0}}, ("garage", "e3"): {}, ("garage", "e4"): {},
                    ("attic", "e7"): {"roof": {"event_id": "e1", "snr_db": 20.0}}}
    hears = {row[keys.SENSOR]: row for row in hub.site.who_hears("garage", "e3")}
    assert {name: row["hears"] for name, row in hears.items()} == {"roof": "nothing", "attic": "nothing"}
    hears = {row[keys.SENSOR]: row for row in hub.site.who_hears("roof", "e1")}
    assert hears["attic"]["hears"] == "alert" and hears["attic"]["level_db"] == pytest.approx(25.0, abs=2.0)
    assert hears["garage"]["hears"] == "nothing" and hears["garage"]["level_db"] < together.HEARD_DB
    hears = {row[keys.SENSOR]: row["hears"] for row in hub.site.who_hears("garage", "e4")}
    assert hears == {"roof": "no data", "attic": "no data"}
    row = next(row for row in overview["sensors"] if row[keys.SENSOR] == "roof")
    size = len(pdu_of(codec, 433.5e6))
    assert row["here"] and row[keys.LATITUDE] == 47.0 and len(row["levels"]) == 128
    assert row["budget"]["spectra"] == 64 and row["budget"][keys.FRAME_AVERAGE] == 16 and row["budget"]["encoded_group"] == 32
    assert size <= 32 * row["budget"]["bytes_per_spectrum"] <= size + 48
    json.dumps(overview, allow_nan=False)
    hub.close()
    from gnuradio.spectrumencoder.history import Reader
    with Reader(tmp_path / "histories" / "roof.db") as history:
        assert [row[keys.EVENT_ID] for row in history.alerts(0, T0 + 1e6, 10)] == ["e1"]
        busy = {row[keys.FREQ_START_HZ] + row[keys.CHANNEL_HZ] * place for row in history.occupancy(0, T0 + 1e6)
                for place, share in enumerate(row[keys.OCCUPANCY]) if share > 0.9}
        assert busy and all(abs(freq_hz - 433.5e6) < 40e3 for freq_hz in busy)


def test_a_hub_that_restarts_knows_its_sensors_and_alerts(whole_hub, sensor):
    first = whole_hub()
    one = sensor(first.port, **about(47.0, 8.0))
    one.send(ALERT, alert(1))
    until(lambda: not one.n_waiting)
    first.close()
    second = whole_hub()
    overview = second.overview()
    assert [row[keys.EVENT_ID] for row in overview["alerts"]] == ["e1"] and overview["sensors"][0][keys.LATITUDE] == 47.0


def test_bearings_of_two_sensors_and_reports_of_a_program_become_tracks(whole_hub, sensor, tmp_path, program):
    hub = whole_hub()
    roof, attic = sensor(hub.port, "roof", **about(47.0, 8.0)), sensor(hub.port, "attic", **about(47.0, 8.02))
    east_m = 0.02 * 111_320 * math.cos(math.radians(47.0))
    for step in range(6):
        time_s, north_m = T0 + step, 2000.0 + 20 * step  # half way between them, and going north
        for one, azimuth in ((roof, math.degrees(math.atan2(east_m / 2, north_m))),
                             (attic, math.degrees(math.atan2(-east_m / 2, north_m)))):
            one.send(REPORT, json_bytes({"timestamp": time_s, "freq_center_hz": 433.5e6, "identity": "fox",
                                         "bearing": {"azimuth": azimuth % 360, "az_error": 0.5}}))
    until(lambda: hub.overview()["tracks"])
    track, = hub.overview()["tracks"]
    assert track[keys.LATITUDE] == pytest.approx(47.0 + 2100 / 111_200, abs=0.003)
    assert track[keys.LONGITUDE] == pytest.approx(8.01, abs=0.003)
    bus = [{"timestamp": T0 + 6 + n, "latitude": 47.01, "longitude": 8.05 + n * 1e-4, "identity": "bus"} for n in range(5)]
    lines = "".join(json.dumps(one) + "\n" for one in bus) + "no json\n"
    done = subprocess.run([*program, "hub", "send", f"tcp://127.0.0.1:{hub.port}", "--sensor", "finder", "--hub-spool",
                           tmp_path / "f.spool"], input=lines, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and json.loads(done.stdout) == {"sent": 5, "left_out": 1, "waiting": 0}, done.stderr
    until(lambda: {track.get(keys.IDENTITY) for track in hub.overview()["tracks"]} == {"fox", "bus"})
    roof.send(REPORT, json_bytes({"bearing": {"azimuth": 3.0}}))
    roof.send(REPORT, json_bytes({"timestamp": T0, "latitude": 200.0, "longitude": 0.0}))
    until(lambda: hub.site.refused_reports == {"bearing": 1, "range": 1})


def test_one_bearing_alone_gives_nothing_and_two_are_joined_by_frequency_time_and_identity():
    joiner, place = Joiner(), {keys.LATITUDE: 47.0, keys.LONGITUDE: 8.0}

    def bearing(time_s, freq_hz, **more):
        return {"timestamp": time_s, "freq_center_hz": freq_hz, "bearing": {"azimuth": 1.0}, **more}
    assert not joiner.add("a", {"timestamp": 1.0, "latitude": 1.0, "longitude": 2.0}, place, 0.0)
    assert joiner.add("a", bearing(10.0, 433.5e6), place, 0.0) and joiner.add("b", bearing(10.5, 433.503e6), place, 0.1)
    assert joiner.add("b", bearing(12.5, 433.5e6), place, 0.1) and joiner.add("b", bearing(10.0, 434e6), place, 0.1)
    assert joiner.add("c", bearing(10.0, 433.5e6, identity="x"), place, 0.1)
    assert joiner.due(0.2, 3) == []
    report, = joiner.due(1.2, 3)
    assert len(report["receivers"]) == 2 and report["timestamp"] == 10.0 and joiner.n_alone == 3
    with pytest.raises(ValueError, match="without a place"):
        joiner.add("a", bearing(1.0, 1.0), {}, 0.0)


def test_boxes_meet_within_the_tolerances_of_crystals_and_clocks():
    def of(freq_hz, time_s, **more):
        return {"freq_center_hz": freq_hz, "bandwidth_hz": 10e3, "timestamp": time_s, "snr_db": 3.0, **more}

    def same(*others):
        return together.same("a", together.box_of(of(433.5e6, 100.0)), [(together.box_of(one), {"sensor": "b"} | one)
                                                                         for one in others])
    assert same(of(433.526e6, 103.9))
    for other in (of(433.53e6, 100.0), of(433.5e6, 104.1), of(433.5e6, 100.0, freq_relative=True), {"timestamp": 100.0},
                  of(433.5e6, 100.0, sensor="a")):
        assert not same(other)
    assert same(of(433.5e6, 50.0, last_heard=99.0), of(433.5e6, 99.0, snr_db=9.0))["b"]["snr_db"] == 9.0


def test_a_budget_forgets_after_a_minute_and_takes_no_backlog_for_a_rate(codec):
    budget, data = Budget(), pdu_of(codec)
    header = unpack(data)[0]
    for second in range(120):
        budget.add(1000.0 + second, SPECTRA, 1000, header)
        budget.add(1000.0 + second, ALERT, 200)
    table = budget.table(1120.0)
    assert table["bytes_per_s"] == pytest.approx(1200, rel=0.03) and table["by_kind"]["alert"] == pytest.approx(200, rel=0.03)
    assert table["bytes_per_spectrum"] == pytest.approx(1000 / 32) and table["spectra"] == 120 * 32
    assert budget.table(2000.0)["bytes_per_s"] == 0.0


def test_a_sensor_that_was_cut_off_catches_up_with_an_hour_from_its_spool(whole_hub, sensor, codec):
    """An hour of a sensor at 2.4 MS/s with K = 64: 0.57 PDUs a second."""
    hub, data = whole_hub(), pdu_of(codec)
    one = sensor(1, "roof")  # nobody listens there
    for _ in range(2060):
        one.send(SPECTRA, data)
    until(lambda: one.sent["spectra"] == 2060)
    one.close(0.0)
    again = sensor(hub.port, "roof")
    live_s = time.time()
    again.send(ALERT, alert(1))
    until(lambda: not again.n_waiting)
    kinds = [row.kind for row in sorted(hub.receiver._store.messages(SPECTRA, limit=5000) + hub.receiver._store.messages(ALERT)
                                        + hub.receiver._store.messages(ABOUT))]
    assert kinds == [ABOUT, *[SPECTRA] * 2060, ABOUT, ALERT] and time.time() - live_s < 30
    assert not hub.receiver.lost["roof"]


def test_a_decoder_that_is_killed_comes_back(whole_hub, sensor, codec):
    hub = whole_hub()
    one = sensor(hub.port)
    one.send(SPECTRA, pdu_of(codec))
    until(lambda: hub.site.decoder.n_decoded == 1)
    for process in hub.site.decoder._pool._processes.values():
        process.kill()
    until(lambda: not process.is_alive())
    for _ in range(3):
        one.send(SPECTRA, pdu_of(codec))
    until(lambda: hub.site.decoder.n_decoded >= 2)
    assert hub.site.decoder.n_decoded + hub.site.decoder.n_failed <= 4 and not hub.failure


def test_a_sensor_that_sends_odd_fields_breaks_no_page(whole_hub, sensor, tmp_path):
    hub = whole_hub(history=tmp_path / "histories")
    one = sensor(hub.port)
    odd = {"timestamp": "x", "freq_center_hz": [1], "bandwidth_hz": -5, "snr_db": "9", "label": "l" * 10_000, "state": {"a": 1},
           "possible_threats": {"a" * 5000: 1}, "last_heard": 1e300, "unknown": "z" * 100_000}
    for number in range(3):
        one.send(ALERT, json_bytes(odd | {"event_id": f"e{number}"}))
        one.send(ALERT, alert(10 + number))
    one.send(ABOUT, json_bytes({"latitude": "n", "longitude": True, "rx_rate": -1, "fft_size": "big", "source": "s" * 5000,
                                "here": False, "budget": None, "sensor": "attic"}))
    one.send(HEALTH, json_bytes({f"k{number}": "v" * 1000 for number in range(1000)}))
    one.send(REPORT, json_bytes({"receivers": 7}))
    until(lambda: not one.n_waiting and hub.site.refused_reports)
    overview = hub.overview()
    assert len(json.dumps(overview)) < 40_000 and len(overview["alerts"]) == 6
    row, = overview["sensors"]
    assert row[keys.SENSOR] == "roof" and row["here"] and row["budget"]["messages"] == 10
    assert not hub.site.stations["roof"].position
    assert not hub.failure
