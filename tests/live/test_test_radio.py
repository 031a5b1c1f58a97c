# SPDX-License-Identifier: GPL-3.0-or-later
"""The test radio itself, through SoapySDR: what it plays, how it keeps time, and how it fails."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

RATE = 2.4e6


def test_it_is_found_without_a_path():
    code = ("import gnuradio.spectrumencoder, SoapySDR\n"
            "print([dict(d)['driver'] for d in SoapySDR.Device.enumerate('driver=spectrumtest')])")
    environment = {k: v for k, v in os.environ.items() if k != "SOAPY_SDR_PLUGIN_PATH"}
    said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert said.stdout.strip().endswith("['spectrumtest']"), said.stdout + said.stderr


def test_samples_follow_from_the_seed_and_not_from_how_they_are_read(open_radio):
    first = open_radio("pace=0,seed=3").read(200_000)
    assert np.array_equal(first, open_radio("pace=0,seed=3,dc_dbfs=-200").read(200_000, chunk=3001))
    assert not np.array_equal(first, open_radio("pace=0,seed=4").read(200_000))


@pytest.mark.parametrize("center", [99.5e6, 100e6, 100.6e6])
def test_emitters_stay_at_their_frequencies_when_the_radio_is_retuned(open_radio, make_scene, spectrum, center):
    scene = make_scene({"freq_hz": 100.2e6, "power_dbfs": -30})
    frequencies, power = spectrum(open_radio(f"pace=0,scene={scene}", center).read(300_000), RATE, center)
    assert abs(frequencies[power.argmax()] - 100.2e6) <= RATE / 1024
    assert power.max() == pytest.approx(-30, abs=1.2)  # scalloping of the window


def test_an_emitter_outside_the_band_is_not_received(open_radio, make_scene, spectrum):
    scene = make_scene({"freq_hz": 102e6, "power_dbfs": -10})
    _, power = spectrum(open_radio(f"pace=0,scene={scene}", 100e6).read(300_000), RATE)
    assert power.max() < power.mean() + 3


@pytest.mark.parametrize("emitter, width", [({"type": "noise", "bandwidth_hz": 300e3}, 300e3), ({"type": "fm"}, 180e3)])
def test_wide_emitters_have_their_power_in_their_band(open_radio, make_scene, spectrum, emitter, width):
    scene = make_scene(emitter | {"freq_hz": 100.3e6, "power_dbfs": -20}, noise_dbfs_hz=-160)
    frequencies, power = spectrum(open_radio(f"pace=0,scene={scene}").read(1_000_000), RATE, 100e6)
    inside = abs(frequencies - 100.3e6) < 0.55 * width
    linear = 10 ** (power / 10) / 1.7268  # noise bandwidth of the window in bins
    assert 10 * np.log10(linear[inside].sum()) == pytest.approx(-20, abs=0.3)
    assert linear[~inside].sum() < 0.01 * linear.sum()


def test_pulses_are_on_when_the_scene_says_so(open_radio, make_scene):
    scene = make_scene({"freq_hz": 100e6, "power_dbfs": -20, "period_s": 0.1, "on_s": 0.01, "start_s": 0.05, "stop_s": 0.25})
    power = np.abs(open_radio(f"pace=0,scene={scene}").read(int(0.4 * RATE))) ** 2
    on = power.reshape(-1, 2400).mean(axis=1) > 1e-3  # one value per millisecond
    expected = np.zeros(400, bool)
    expected[100:110] = expected[200:210] = True
    assert np.array_equal(on, expected)


def test_a_recording_is_played_in_a_loop(open_radio, write_sigmf, tmp_path):
    rng = np.random.default_rng(0)
    raw = rng.integers(-20000, 20000, 2 * 10_000, np.int16)
    path = write_sigmf(tmp_path, "r", raw.tobytes(), 250e3, datatype="ci16_le", freq_hz=868e6)
    radio = open_radio(f"pace=0,file={path}", 868e6)
    expected = (raw.astype(np.float32) / 32768).view(np.complex64)
    assert np.array_equal(radio.read(25_000), np.concatenate([expected, expected, expected[:5000]]))
    assert radio.device.getSampleRate(radio.soapy.SOAPY_SDR_RX, 0) == 250e3
    with pytest.raises(ValueError, match="frequency 9e"):
        radio.device.setFrequency(radio.soapy.SOAPY_SDR_RX, 0, 900e6)


def test_retune_latency_gives_stale_samples_first(open_radio, make_scene, spectrum):
    scene = make_scene({"freq_hz": 100e6})
    radio = open_radio(f"pace=0,retune_latency=20,scene={scene}", 100.5e6)
    radio.read(24_000)
    radio.device.setFrequency(radio.soapy.SOAPY_SDR_RX, 0, 99.5e6)
    after = radio.read(96_000)
    stale, fresh = spectrum(after[:47_000], RATE), spectrum(after[48_100:], RATE)
    assert stale[0][stale[1].argmax()] == pytest.approx(-0.5e6, abs=RATE / 1024)
    assert fresh[0][fresh[1].argmax()] == pytest.approx(+0.5e6, abs=RATE / 1024)


def test_gain_agc_antenna_dc_and_crystal_error_act(open_radio, make_scene, spectrum):
    scene = make_scene({"freq_hz": 100.1e6, "power_dbfs": -30})
    radio = open_radio(f"pace=0,ppm=40,scene={scene}")
    rx = radio.soapy.SOAPY_SDR_RX

    def level_and_place():
        frequencies, power = spectrum(radio.read(300_000), RATE, 100e6)
        return power.max(), frequencies[power.argmax()]
    reference, place = level_and_place()
    assert place == pytest.approx(100.1e6 - 4000, abs=RATE / 1024)  # 40 ppm of 100 MHz
    radio.device.setFrequencyCorrection(rx, 0, 40.0)
    assert level_and_place()[1] == pytest.approx(100.1e6, abs=RATE / 1024)
    radio.device.setGain(rx, 0, 30.0)
    assert level_and_place()[0] - reference == pytest.approx(10, abs=1.5)
    radio.device.setGainMode(rx, 0, True)
    assert 10 * np.log10(np.mean(np.abs(radio.read(100_000)) ** 2)) == pytest.approx(-20, abs=0.5)
    radio.device.setGainMode(rx, 0, False)
    radio.device.setAntenna(rx, 0, "DUMMY")
    assert level_and_place()[0] < -60
    radio.device.writeSetting("dc_dbfs", "-10")
    assert level_and_place() == (pytest.approx(-10, abs=0.1), 100e6)


def test_a_paced_radio_keeps_the_time_of_the_clock_and_overflows_when_read_late(open_radio):
    radio = open_radio("pace=1,buffer_ms=50,hwtime=1")
    began = time.monotonic()
    radio.read(int(0.3 * RATE))
    assert time.monotonic() - began == pytest.approx(0.3, abs=0.05)
    assert radio.codes == []
    _, before = radio.read_once()
    time.sleep(0.15)
    radio.read_once()
    assert radio.codes == [radio.soapy.SOAPY_SDR_OVERFLOW]
    _, after = radio.read_once()
    lost = (after.timeNs - before.timeNs) * 1e-9 - 8192 / RATE
    assert lost == pytest.approx(0.15, abs=0.05)


@pytest.mark.parametrize("fault, code", [("overflow_every=3", "OVERFLOW"), ("timeout_every=3", "TIMEOUT")])
def test_faults_that_come_again(open_radio, fault, code):
    radio = open_radio(f"pace=0,{fault}")
    for _ in range(9):
        radio.read_once()
    assert radio.codes == [getattr(radio.soapy, f"SOAPY_SDR_{code}")] * 3


def test_an_error_stays_and_an_unplugged_radio_throws(open_radio):
    radio = open_radio("pace=0,error_after=4")
    for _ in range(8):
        radio.read_once()
    assert radio.codes == [radio.soapy.SOAPY_SDR_STREAM_ERROR] * 4
    radio = open_radio("pace=0,unplug_after=2")
    radio.read_once(), radio.read_once()
    with pytest.raises(RuntimeError, match="the device is gone"):
        radio.read_once()
    with pytest.raises(RuntimeError, match="the device is gone"):
        radio.device.setFrequency(radio.soapy.SOAPY_SDR_RX, 0, 101e6)


@pytest.mark.parametrize("args, said", [
    ("scene=/nowhere.json", "cannot be read"), ("pace=yes", "pace=yes is not a number from 0 to 1"),
    ("rate=1e9", "not a number from 48000 to 2e"), ("file=/nowhere.sigmf-meta", "cannot be read"),
    ("overflow_every=-1", "not a number"), ("file=x,scene=none", "exclude each other")])
def test_bad_arguments_are_refused_in_one_line(open_radio, args, said):
    with pytest.raises(ValueError, match=said):
        open_radio(args)


@pytest.mark.parametrize("scene, said", [
    ("nonsense", "not JSON"), ('{"emitters": [{"type": "laser"}]}', "tone, noise or fm"),
    ('{"emitters": [{"type": "tone", "power_dbfs": -3}]}', "freq_hz is missing"),
    ('{"emitters": [{"type": "tone", "power_dbfs": 3, "freq_hz": 1e8}]}', "power_dbfs 3 is not a number from -200 to 0"),
    ('{"emitters": [{"type": "tone", "power_dbfs": -3, "freq_hz": 1e8, "width": 3}]}', "unknown field width"),
    ('{"emitters": [{"type": "tone", "power_dbfs": -3, "freq_hz": 1e8, "on_s": 3}]}', "period_s and on_s go together"),
    ("[]", "not a JSON object")])
def test_bad_scenes_are_refused_in_one_line(open_radio, tmp_path, scene, said):
    path = tmp_path / "bad.json"
    path.write_text(scene)
    with pytest.raises(ValueError, match=said):
        open_radio(f"scene={path}")


def test_two_and_a_half_megasamples_take_a_small_share_of_a_core(open_radio):
    radio = open_radio("pace=0")  # the built-in scene at 100 MHz: three stations
    began = time.process_time()
    radio.read(int(2 * RATE))
    assert time.process_time() - began < 0.6  # 2 s of signal; measured 0.06
