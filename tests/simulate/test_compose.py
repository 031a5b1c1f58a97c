# SPDX-License-Identifier: GPL-3.0-or-later
"""`dataset compose`: plans that are read or refused, and bands whose truth is where the samples are."""

import json
from dataclasses import replace

import numpy as np
import pytest
from gnuradio.spectrumencoder.cli.main import main
from gnuradio.spectrumencoder.recordings import open_recording
from gnuradio.spectrumencoder.simulate.compose.band import TILE, Band
from gnuradio.spectrumencoder.simulate.compose.checks import PlanError
from gnuradio.spectrumencoder.simulate.compose.cuts import Library, without_flicker
from gnuradio.spectrumencoder.simulate.compose.plan import plan_of, read_plan, shipped_plans
from gnuradio.spectrumencoder.simulate.compose.timing import windows
from gnuradio.spectrumencoder.simulate.compose.writing import compose
from gnuradio.spectrumencoder.simulate.signal import mix, power_spectrum

RATE = 1e6
NOISE_DBFS = -40.0
PLAIN = {"noise_dbfs": NOISE_DBFS, "passband": 1.0, "ripple_db": 0.0, "tilt_db": 0.0}
EMITTER, SNR, INR = "spectrumencoder:emitter", "spectrumencoder:snr_db", "spectrumencoder:inr_db"


@pytest.fixture(scope="module")
def recordings(tmp_path_factory, write_sigmf):
    """Three recordings of one device at 250 kS/s: noise-like bursts of 20 kHz and 30 ms at 40 kHz, and an offset."""
    folder = tmp_path_factory.mktemp("device")
    rate, n = 250e3, 50_000
    for number in range(3):
        rng = np.random.default_rng(number)
        white = rng.standard_normal((n, 2)) @ np.array([1, 1j])
        spectrum = np.fft.fft(white)
        spectrum[np.abs(np.fft.fftfreq(n, 1 / rate)) > 10e3] = 0
        signal = mix(np.fft.ifft(spectrum).astype(np.complex64), 40e3, rate)
        marks = [(5_000, 7500), (35_000, 7500)]
        iq = (rng.standard_normal((n, 2)) @ np.array([1, 1j])) * 0.002 + 0.05
        for start, count in marks:
            iq[start:start + count] += signal[start:start + count] * 0.5
        note = {"core:sample_start": 0, "core:sample_count": n, "core:comment": "whole file; family=ism; class=ISM-sensor-FSK"}
        write_sigmf(folder, f"device_{number:02d}", iq, rate, annotations=[
            note, *({"core:sample_start": a, "core:sample_count": c} for a, c in marks)])
    return folder


def plan(**more):
    return plan_of({"about": "A test.", "rate_hz": RATE, "freq_hz": 433.9e6, "seconds": 2.0, "datatype": "cf32_le",
                    "receiver": PLAIN | {"iq_image_db": -60, "dc_dbfs": -80}} | more)


def device(**more):
    return {"id": "device", "recordings": "device_*", "at_s": [0.2, 0.7, 1.3], "offset_hz": 150e3, "snr_db": 20} | more


def samples(band):
    return np.concatenate(list(band.stream()))


def decibel(power):
    return 10 * np.log10(power)


def band_power(iq, low_hz, high_hz, rate=RATE):
    psd = power_spectrum(iq, 1024)
    freq = (np.arange(len(psd)) - len(psd) // 2) * rate / len(psd)
    return psd[(freq >= low_hz) & (freq <= high_hz)].sum()


def boxes(band, word):
    """(start, count, low offset, high offset, annotation) of the truth with a label that begins with the word."""
    return [(a["core:sample_start"], a["core:sample_count"], a["core:freq_lower_edge"] - band.plan.freq_hz,
             a["core:freq_upper_edge"] - band.plan.freq_hz, a) for a in band.truth if a["core:label"].startswith(word)]


def test_a_burst_is_where_its_box_is_at_the_stated_level(recordings):
    band = Band(plan(emitters=[device(burst_db=2, burst_hz=3e3, device_db=1)]), [recordings])
    iq, found = samples(band), boxes(band, "ISM-sensor-FSK")
    assert len(found) == 3 and len(iq) == 2 * RATE
    density = 10 ** (NOISE_DBFS / 10) / RATE
    for start, count, low, high, note in found:
        assert count == pytest.approx(0.03 * RATE, abs=2)
        assert 17e3 < high - low < 24e3 and abs((low + high) / 2 - 150e3) < 12e3
        inside = band_power(iq[start:start + count], low - 1e3, high + 1e3)
        level = decibel(inside / (density * (high - low)) - 1)
        assert level == pytest.approx(note[SNR], abs=1)
        for aside in (iq[start - count:start - 500], iq[start + count + 500:start + 2 * count]):
            assert decibel(band_power(aside, low, high) / (density * (high - low))) < 1.5
        for edge in (low - 20e3, high + 5e3):  # neither the recording's own noise nor its offset comes along
            assert decibel(band_power(iq[start:start + count], edge, edge + 15e3) / (density * 15e3)) < 1.5
        assert note[EMITTER] == "device" and note["spectrumencoder:source"].startswith("device_")
    assert len({round(note[SNR], 1) for *_, note in found}) == 3


def test_the_same_seed_gives_the_same_bytes_in_any_blocks(recordings, tmp_path):
    what = plan(emitters=[device(at_s=[0.05, 0.3])], datatype="ci8", seconds=0.5,
                anomalies=[{"kind": "tone", "at_s": 0.2, "length_s": 0.1}],
                receiver={"noise_dbfs": -30, "gain_drift_db": 1, "impulses": {"interval_s": 0.02}, "losses": {"at_s": 0.4}})
    made = [compose(what, [recordings], tmp_path / name, block=block).path
            for name, block in (("a", TILE), ("b", 1000), ("c", 300_000))]
    data = [path.with_suffix(".sigmf-data").read_bytes() for path in made]
    assert data[0] == data[1] == data[2] and len(data[0]) == 2 * what.n_samples
    assert made[0].read_text() == made[1].read_text()
    other = compose(replace(what, seed=1), [recordings], tmp_path / "d").path
    assert other.with_suffix(".sigmf-data").read_bytes() != data[0]


def test_a_longer_recording_begins_as_a_shorter_one(recordings):
    what = plan(emitters=[{k: v for k, v in device(interval_s=0.2, burst_db=3, burst_hz=2e3).items() if k != "at_s"}],
                anomalies=[{"kind": "tone", "interval_s": 0.4, "length_s": 0.05}, {"kind": "chirp", "interval_s": 0.5}],
                receiver=PLAIN | {"impulses": {"interval_s": 0.01}, "gain_steps": {"interval_s": 0.3, "hold_s": 0.1}})
    short, long = Band(replace(what, seconds=1.0), [recordings]), Band(what, [recordings])
    early, shorter = ([note for note in band.truth if 0 < note["core:sample_start"] < 500_000] for band in (long, short))
    assert len(early) > 3 and early == shorter
    assert np.array_equal(samples(long)[:500_000], samples(short)[:500_000])


def test_a_stretch_is_the_same_by_itself(recordings):
    band = Band(plan(emitters=[device()]), [recordings])
    whole = band.quiet(0, 4 * TILE)
    assert np.array_equal(band.quiet(TILE + 5, TILE), whole[TILE + 5:2 * TILE + 5])


@pytest.mark.parametrize(("kind", "width"), [("tone", None), ("scont", 40e3), ("chirp", 30e3), ("recording", None)])
def test_an_anomaly_has_its_inr_in_its_box_and_nobody_else_there(recordings, kind, width):
    what = {"kind": kind, "inr_db": 15, "length_s": 0.2, "at_s": [0.5, 1.5]} | ({"width_hz": width} if width else {})
    if kind == "recording":
        what["recordings"] = "device_01"
    band = Band(plan(emitters=[device(at_s=[0.1])], anomalies=[what]), [recordings])
    iq, found = samples(band), boxes(band, "anomaly: " + kind)
    assert len(found) == 2
    for start, count, low, high, note in found:
        room = RATE / 1024
        inside = band_power(iq[start:start + count], low - room, high + room)
        before = band_power(iq[start - count:start], low - room, high + room)
        noise = 10 ** (NOISE_DBFS / 10) / RATE * (high - low)
        assert decibel((inside - before) / noise) == pytest.approx(note[INR], abs=1)
        assert high < 135e3 or low > 165e3
    assert len({note[EMITTER] for *_, note in found}) == 2


def test_every_kind_of_anomaly_that_the_simulator_adds_can_be_asked_for(recordings):
    for kind in ("pulse", "wpulse", "wideband", "hopper", "jam_swept", "jam_pulsed", "jam_broadband", "stealth"):
        level = -3 if kind == "stealth" else 12
        band = Band(plan(anomalies=[{"kind": kind, "inr_db": level, "length_s": 0.1, "at_s": 0.5}]), [])
        found = boxes(band, "anomaly: " + kind)
        assert found and len({note[EMITTER] for *_, note in found}) == 1
        iq = samples(band)
        start, stop = found[0][0], found[-1][0] + found[-1][1]
        changed = np.abs(iq - np.concatenate(list(Band(plan(), []).stream()))) > 1e-4
        assert changed[start:stop].mean() > 0.2 and not changed[:start - 300].any() and not changed[stop + 300:].any()


def test_a_missing_carrier_is_missing():
    what = plan(emitters=[{"id": "channel", "waveform": "band_noise", "params": {"bandwidth_hz": 60e3}, "continuous": True,
                           "offset_hz": 200e3, "snr_db": 15}],
                anomalies=[{"kind": "missing", "at_s": 1.0, "length_s": 0.5, "inr_db": 15}])
    band = Band(what, [])
    iq, (start, count, low, high, _) = samples(band), boxes(band, "anomaly: missing")[0]
    assert abs((low + high) / 2 - 200e3) < 10e3
    assert decibel(band_power(iq[:start], low, high) / band_power(iq[start + 500:start + count - 500], low, high)) > 10


def test_continuous_signals_keep_their_level_and_their_life():
    what = plan(emitters=[
        {"id": "carrier", "waveform": "tone", "continuous": True, "offset_hz": -200e3, "snr_db": 30, "from_s": 0.5,
         "until_s": 1.5},
        {"id": "channel", "waveform": "ofdm_lte", "params": {"n_rb": 6, "load": 1.0, "tdd": 0}, "continuous": True,
         "length_s": 0.05, "offset_hz": 0, "snr_db": 10}], rate_hz=2e6)
    band = Band(what, [])
    iq = samples(band)
    (start, count, low, high, _), = boxes(band, "tone")
    assert (start, count) == (1_000_000, 2_000_000)
    assert high - low == pytest.approx(2e6 / 1024)
    parts = [iq[a:b] * np.exp(2j * np.pi * 0.1 * np.arange(a, b)) for a, b in ((0, 900_000), (1_100_000, 2_900_000))]
    off, on = (np.abs(part.mean()) ** 2 for part in parts)
    noise = 10 ** (NOISE_DBFS / 10) / 1024
    assert decibel(on / noise) == pytest.approx(30, abs=0.5) and decibel(off / noise) < 0
    (_, count, low, high, note), = boxes(band, "LTE")
    assert count == what.n_samples and 0.9e6 < high - low < 1.3e6
    levels = [decibel(band_power(part, low, high, 2e6)) for part in np.array_split(iq, 20)]
    assert np.ptp(levels) < 1.5  # also where pieces blend
    assert np.mean(levels) == pytest.approx(NOISE_DBFS + decibel((high - low) / 2e6) + decibel(1 + 10), abs=1)


def test_losses_are_zeros_steps_are_steps_and_the_converter_clips(recordings):
    what = plan(seconds=1.0, datatype="ci8", receiver=PLAIN | {
        "noise_dbfs": -20, "losses": {"at_s": [0.2], "length_s": 0.05},
        "gain_steps": {"at_s": [0.5, 0.7], "step_db": [20, 20], "hold_s": 0.1}, "dc_dbfs": -25})
    band = Band(what, [])
    iq = samples(band)
    assert not iq[200_000:250_000].any() and np.count_nonzero(iq[250_000:]) > 0.9 * 750_000
    before, during = (np.mean(np.abs(iq[a:b]) ** 2) for a, b in ((300_000, 490_000), (510_000, 590_000)))
    assert decibel(during / before) == pytest.approx(20, abs=1.5)
    labels = [(a["core:label"], a["core:sample_start"], a["core:sample_count"]) for a in band.truth]
    assert labels == [("receiver: loss", 200_000, 50_000), ("receiver: gain step", 500_000, 100_000),
                      ("receiver: gain step", 700_000, 100_000)]


def test_clipping_bits_image_and_dc_are_in_the_file(recordings, tmp_path):
    what = plan(seconds=0.5, datatype="ci16_le", emitters=[{"id": "tone", "waveform": "tone", "continuous": True, "snr_db": 70,
                                                            "offset_hz": 100e3}],
                receiver=PLAIN | {"iq_image_db": -30, "dc_dbfs": -30, "bits": 8})
    path = compose(what, [], tmp_path / "strong").path
    raw = np.fromfile(path.with_suffix(".sigmf-data"), "<i2")
    assert raw.min() == -32768 and raw.max() == 127 * 256 and not (raw % 256).any()
    weak = replace(what, emitters=(replace(what.emitters[0], snr_db=50),))
    iq = open_recording(compose(weak, [], tmp_path / "weak").path).read()
    image = band_power(iq, -105e3, -95e3) / band_power(iq, 95e3, 105e3)
    assert decibel(image) == pytest.approx(-30, abs=1)
    assert 20 * np.log10(np.abs(iq.mean())) == pytest.approx(-30, abs=1)


def test_the_filter_shapes_the_noise_and_impulses_stand_out():
    what = plan(receiver=PLAIN | {"passband": 0.6, "stop_db": 40, "impulses": {"at_s": [1.0], "level_db": 30, "length_s": 3e-6}})
    iq = samples(Band(what, []))
    assert decibel(band_power(iq[:900_000], -100e3, 100e3) / band_power(iq[:900_000], 400e3, 490e3) * 90 / 200) > 30
    peak = int(np.argmax(np.abs(iq)))
    assert abs(peak - 1_000_000) < 20 and 20 * np.log10(np.abs(iq[peak])) > NOISE_DBFS + 15


def test_intervals_duty_and_days(recordings):
    def minute(**more):
        emitter = {key: value for key, value in device(**more).items() if key != "at_s"}
        return Band(plan(seconds=60.0, emitters=[emitter]), [recordings])

    assert 90 < minute(interval_s=0.5).n_bursts < 150
    regular = minute(interval_s=0.5, timing="periodic")
    gaps = np.diff([start for start, *_ in boxes(regular, "ISM")]) / RATE
    assert gaps.mean() == pytest.approx(0.5, rel=0.02) and gaps.std() < 0.02
    busy = minute(duty=0.3)
    assert sum(count for _, count, *_ in boxes(busy, "ISM")) / busy.plan.n_samples == pytest.approx(0.3, abs=0.06)
    what = plan(start="2026-01-01T23:00:00Z", emitters=[device(daily=["22:00-01:00", "08:00-09:00"], until_s=40e3)])
    assert windows(what.emitters[0], what.start, 86400) == [(0, 7200), (32400, 36000)]


def test_several_devices_have_names_levels_and_places_of_their_own(recordings):
    band = Band(plan(emitters=[device(count=3, device_db=5, device_hz=20e3, at_s=[0.2, 0.9])]), [recordings])
    rows = {name: {(round(note[SNR], 1), round((low + high) / 2)) for *_, low, high, note in boxes(band, "ISM")
                   if note[EMITTER] == name} for name in ("device-1", "device-2", "device-3")}
    assert all(len(row) == 1 for row in rows.values()) and len({min(row) for row in rows.values()}) == 3


@pytest.mark.parametrize(("change", "words"), [
    ({"speed": 3}, ["speed = 3", "no such key", "rate_hz"]),
    ({"rate_hz": "fast"}, ["rate_hz = 'fast'", "a number from 10000"]),
    ({"datatype": "ci4"}, ["datatype = 'ci4'", "ci8"]),
    ({"start": "noon"}, ["start = 'noon'", "2026-01-01T06:00:00Z"]),
    ({"receiver": {"gain": 3}}, ["receiver gain = 3", "passband"]),
    ({"receiver": {"losses": {"length_s": 1}}}, ["receiver.losses", "no time", "interval_s"]),
    ({"emitters": 3}, ["emitters = 3", "[[emitters]]"]),
    ({"emitters": [{"id": "a", "at_s": 1}]}, ["emitters[0] 'a'", "recordings or a waveform"]),
    ({"emitters": [device(interval_s=2)]}, ["emitters[0]", "interval_s and at_s", "give one of"]),
    ({"emitters": [device(), device()]}, ["'device'", "twice"]),
    ({"emitters": [device(offset_hz=600e3)]}, ["offset_hz = 600000", "-500000 to 500000"]),
    ({"emitters": [device(daily="8-9")]}, ["emitters[0] daily = '8-9'", "06:30-08:00"]),
    ({"emitters": [{"id": "a", "at_s": 1, "waveform": "tone", "params": {"bits": 1}}]}, ["params = {'bits': 1}", "phase"]),
    ({"anomalies": [{"kind": "ghost", "at_s": 1}]}, ["anomalies[0] kind = 'ghost'", "tone"]),
    ({"anomalies": [{"kind": "tone", "at_s": 1, "inr_db": [9, 3]}]}, ["inr_db = [9, 3]", "[lowest, highest]"]),
    ({"anomalies": [{"kind": "recording", "at_s": 1}]}, ["kind = 'recording'", "needs recordings"]),
])
def test_a_wrong_plan_is_refused_in_one_line(change, words):
    with pytest.raises(PlanError) as error:
        plan(**change)
    assert all(word in str(error.value) for word in words) and "\n" not in str(error.value), error.value


def test_a_pattern_that_matches_nothing_and_a_full_band_are_refused(recordings):
    with pytest.raises(PlanError, match=r"emitters\[0\] 'device' recordings = 'sensor_\*': matches none of the 3 recordings"):
        Band(plan(emitters=[device(recordings="sensor_*")]), [recordings])
    full = {"id": "all", "waveform": "band_noise", "params": {"bandwidth_hz": 880e3, "rolloff": 0.05}, "continuous": True,
            "snr_db": 10}
    with pytest.raises(PlanError, match=r"anomalies\[0\] scont at 0.500 s: emitters take 8\d% of the rate"):
        Band(plan(emitters=[full], anomalies=[{"kind": "scont", "width_hz": 200e3, "at_s": 0.5}]), [])


def test_the_command_writes_reads_and_refuses(recordings, tmp_path, capsys):
    file = tmp_path / "field.toml"
    file.write_text('about = "Two sensors."\nrate_hz = 1e6\nfreq_hz = 433.9e6\ndatatype = "cu8"\nseconds = 9\n'
                    '[[emitters]]\nid = "one"\nrecordings = "device_*"\nat_s = [0.1, 0.3]\nsnr_db = 20\n')
    arguments = ["dataset", "compose", str(file), "--corpus", str(recordings), "--out", str(tmp_path / "band.sigmf-meta")]
    assert main([*arguments, "--seconds", "0.5", "--seed", "4"]) == 0
    assert "2 bursts" in capsys.readouterr().out
    recording = open_recording(tmp_path / "band.sigmf-meta")
    assert recording.verify() and recording.n_samples == 500_000 and recording.datatype == "cu8"
    meta = json.loads((tmp_path / "band.sigmf-meta").read_text())
    assert [a.get(EMITTER) for a in meta["annotations"]] == [None, "one", "one"]
    assert meta["global"]["core:extensions"][0]["name"] == "spectrumencoder" and "seed 4" in meta["global"]["core:description"]
    file.write_text(file.read_text().replace("snr_db", "loudness"))
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "field.toml" in error and "loudness = 20" in error and "snr_db" in error
    assert main(["dataset", "compose", "nowhere", "--out", str(tmp_path / "x")]) == 2
    assert "sparse_433" in capsys.readouterr().err


def test_shipped_plans_are_valid():
    assert shipped_plans() == ["carriers", "cellular", "dense", "nearly_empty", "sparse_433", "sparse_868"]
    for name in shipped_plans():
        what = read_plan(name)
        assert what.name == name and what.emitters and what.n_samples > 1e8


def test_a_shipped_plan_with_real_recordings(corpus):
    what = replace(read_plan("nearly_empty"), seconds=1.0)
    remote = replace(what.emitters[-1], interval_s=None, at_s=(0.2,), snr_db=20.0, burst_db=0.0)
    band = Band(replace(what, emitters=(remote,)), [corpus])
    iq, (start, count, low, high, _) = samples(band), boxes(band, "ISM-sensor-OOK")[0]
    inside = band_power(iq[start:start + count], low, high, 2.4e6)
    assert decibel(inside / band_power(iq[:start], low, high, 2.4e6)) == pytest.approx(20, abs=1.5)


def test_cuts_of_real_recordings_are_narrower_than_their_recordings(corpus):
    library = Library([corpus], 2.4e6)
    for pattern, widest in (("ism_rtl-433-danfoss*", 120e3), ("ism_rtl-433-dsc*", 40e3), ("ism_LoRa_1[5-9]*", 520e3)):
        cuts = library.of_recordings((pattern,), "test")
        assert cuts and all(2e3 < c.width_hz < widest and c.power > 0 for c in cuts)


def test_flicker_of_a_recording_goes_and_its_wide_signal_stays():
    rng = np.random.default_rng(3)
    wide = (rng.standard_normal((1 << 17, 2)) @ np.array([1, 1j])).astype(np.complex64)
    line = 3 * np.exp(2j * np.pi * 0.002 * np.arange(len(wide))).astype(np.complex64)
    cleaned = without_flicker(wide + line)
    assert abs(np.vdot(line, cleaned)) < 0.1 * abs(np.vdot(line, line))
    assert np.mean(np.abs(cleaned - wide) ** 2) < 0.03 * np.mean(np.abs(wide) ** 2)
    assert np.mean(np.abs(without_flicker(wide) - wide) ** 2) < 0.002 * np.mean(np.abs(wide) ** 2)


def test_an_lnb_drifts_and_the_truth_follows(recordings):
    drift, rate = {"lnb_drift_hz": 40e3, "lnb_drift_s": 4.0}, RATE
    tone = [{"id": "tone", "waveform": "tone", "continuous": True, "offset_hz": 100e3, "snr_db": 60}]
    still, moved = (Band(plan(seconds=4.0, emitters=tone, receiver=PLAIN | more), []) for more in ({}, drift))
    size = 1 << 14

    def peaks(band):
        iq = samples(band)
        return np.array([np.argmax(power_spectrum(iq[a:a + size], size)) * rate / size - rate / 2
                         for a in range(0, len(iq) - size, 4 * size)])

    before, after = peaks(still), peaks(moved)
    np.testing.assert_allclose(before, 100e3, atol=100)
    expected = 100e3 + moved.receiving.drift_hz(np.arange(0, len(after)) * 4 * size + size / 2)
    np.testing.assert_allclose(after, expected, atol=400)  # 16 ms of a drift of up to 31 kHz/s
    assert np.ptp(after) == pytest.approx(40e3, rel=0.05)
    row, = (r for r in moved.truth if r["core:label"] == "tone")
    assert row["core:freq_lower_edge"] == pytest.approx(433.98e6, abs=2e3)
    assert row["core:freq_upper_edge"] == pytest.approx(434.02e6, abs=2e3)
    assert [r["core:label"] for r in moved.truth if r["core:label"].startswith("receiver")] == ["receiver: LNB drift"]


def test_drift_of_a_burst_is_that_of_its_time(recordings):
    band = Band(plan(seconds=4.0, emitters=[device()], receiver=PLAIN | {"lnb_drift_hz": 40e3, "lnb_drift_s": 4.0}), [recordings])
    still = Band(plan(seconds=4.0, emitters=[device()]), [recordings])
    bursts, at_rest = ([r for r in b.truth if EMITTER in r] for b in (band, still))
    for row, rest in zip(bursts, at_rest, strict=True):
        middle = np.array([row["core:sample_start"] + row["core:sample_count"] / 2])
        shift = (row["core:freq_lower_edge"] + row["core:freq_upper_edge"] - rest["core:freq_lower_edge"]
                 - rest["core:freq_upper_edge"]) / 2
        assert shift == pytest.approx(band.receiving.drift_hz(middle)[0], abs=200)
