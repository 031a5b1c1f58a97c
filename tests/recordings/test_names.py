# SPDX-License-Identifier: GPL-3.0-or-later
"""What names of files say, and what they do not say for certain."""

import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from gnuradio.spectrumencoder.recordings import RecordingArgumentError, find_recordings, open_recording
from gnuradio.spectrumencoder.recordings.names import parse_name

MAY = (int(datetime(2023, 5, 1, 12, 30, 15, tzinfo=UTC).timestamp()), 0.0)
CF, CI, CU = "cf32_le", "ci16_le", "cu8"


@pytest.mark.parametrize(("name", "says"), [
    ("gqrx_20230501_123015_433920000_2400000_fc.raw", (CF, 2.4e6, 433.92e6, MAY)),
    ("old gqrx_20230501_123015_433920000_2400000_fc (1).raw", (CF, 2.4e6, 433.92e6, MAY)),
    ("sigdigger_20230501_123015Z_2560000_433500000_float32_iq.raw", (CF, 2.56e6, 433.5e6, MAY)),
    ("sigdigger_2560000_433500000_float32_iq.raw", (CF, 2.56e6, 433.5e6, None)),
    ("2023-05-01_12-30-15_16000000SPS_2274000000Hz.s8", ("ci8", 16e6, 2.274e9, MAY)),
    ("2023-05-01_12-30-15-534_16000000SPS_2274000000Hz.s16", (CI, 16e6, 2.274e9, (MAY[0], 0.534))),
    ("2023-05-01_12-30-15-1682944215.534000_16000000SPS_2274000000Hz.f32", (CF, 16e6, 2.274e9, (MAY[0], 0.534))),
    ("2023-05-01_12-30-15_2400000SPS_100000000Hz.wav", (None, 2.4e6, 1e8, MAY)),
    ("name-f4.339200e+08-s2.400000e+06-t20230501123015.cfile", (CF, 2.4e6, 433.92e6, None)),
    ("g001_433.92M_2400k.cu8", (CU, 2.4e6, 433.92e6, None)), ("G001_433.92M_250K.CS16", (CI, 250e3, 433.92e6, None)),
    ("x_433920000Hz_250ksps.cs8", ("ci8", 250e3, 433.92e6, None)), ("x_433.92MHz_1.024Msps.cf32", (CF, 1.024e6, 433.92e6, None)),
    ("x_868.3M_1000k_cf32.iq", (CF, 1e6, 868.3e6, None)),
    ("SDRSharp_20230501_123015Z_315030000Hz_IQ.wav", (None, None, 315.03e6, MAY)),
    ("HDSDR_20230501_123015Z_7100kHz_RF.wav", (None, None, 7.1e6, MAY)),
    ("SDRuno_20230501_123015Z_88110kHz.wav", (None, None, 88.11e6, MAY)),
    ("SDRconnect_IQ_20230501_123015_855000000HZ.wav", (None, None, 855e6, None)),
    ("baseband_433920000Hz_12-30-15_01-05-2023.wav", (None, None, 433.92e6, None)),
    ("01-May-2023 123015.250 436.665MHz 000.wav", (None, None, 436.665e6, None)),
    ("20230501T123015Z_7100000_home_iq.wav", (None, None, 7.1e6, MAY)),
    ("BBD_0001.C16", (CI, None, None, None)), ("BBD_0001.C8", ("ci8", None, None, None)),
    ("iridium.hackrf", ("ci8", None, None, None)), ("x.rtl", (CU, None, None, None)), ("x.sc16", (CI, None, None, None)),
    ("x.fc32", (CF, None, None, None)), ("x.cfile", (CF, None, None, None)), ("x.cs32", ("ci32_le", None, None, None)),
    ("x.cf64", ("cf64_le", None, None, None)), ("x.ci16_be", ("ci16_be", None, None, None))])
def test_what_a_name_says(name, says):
    assert parse_name(Path("some_100MHz_folder_1Msps") / name) == says


@pytest.mark.parametrize("name", [
    "x.iq", "x.raw", "x.bin", "x.dat", "x.s16", "x.f32", "x", "lte_10MHz.bin", "lora_125k.bin", "band_40M.bin", "4711_868.raw",
    "rtl_sdr.iq", "hackrf.iq", "433920000_2400000.raw", "20230501123015.raw", "cf32_cu8.iq", "r.f32", "real_ri16_le.bin",
    "SDRSharp_20230501_123015Z_145475000Hz_AF.wav", "gqrx_20231301_123015_0_0_fc.txt.wav"])
def test_what_is_not_certain_is_not_believed(name):
    assert parse_name(Path(name)) == (None, None, None, None)


@pytest.mark.parametrize(("name", "says"), [
    ("x_433.92M_868.3M_250k.cu8", (CU, 250e3, None, None)), ("x_433.92M_250k_1000k.cu8", (CU, None, None, None)),
    ("lora_868MHz_125k.cu8", (CU, None, None, None)), ("x_20M_2.4Msps.cu8", (CU, 2.4e6, None, None)),
    ("433.92MHz_2.4MHz.cu8", (CU, None, None, None)), ("SDRSharp_20230501_123015Z_0Hz_IQ.wav", (None, None, None, MAY)),
    ("gqrx_20231301_123015_433920000_2400000_fc.raw", (CF, 2.4e6, 433.92e6, None))])
def test_two_numbers_of_a_kind_cancel_each_other(name, says):
    assert parse_name(Path(name)) == says


def test_raw_iq_whose_name_says_all_needs_no_option(tmp_path):
    iq = np.random.default_rng(1).standard_normal((500, 2), np.float32).view(np.complex64)[:, 0]
    path = tmp_path / "gqrx_20230501_123015_433920000_2400000_fc.raw"
    path.write_bytes(iq.tobytes())
    recording = open_recording(path)
    assert find_recordings(path) == [path]
    np.testing.assert_array_equal(recording.read(), iq)
    assert (recording.samp_rate, recording.frequency_hz, recording.captures[0].time_parts) == (2.4e6, 433.92e6, MAY)
    assert recording.origins == dict.fromkeys(("samp_rate", "frequency", "time", "datatype"), "name") | {"channels": "raw IQ"}
    assert recording.notes == ["data type, rate, time and frequency are taken from the file's name: cf32_le, 2400000 Hz, "
                               "2023-05-01T12:30:15.000000000Z, 433920000 Hz"]
    recording = open_recording(path, rate=1e6, freq=1e8, start=(5, 0.0), datatype="cf32_le")
    assert (recording.samp_rate, recording.frequency_hz, recording.captures[0].time_parts) == (1e6, 1e8, (5, 0.0))
    assert recording.notes == []
    (tmp_path / "x.iq").write_bytes(bytes(80))
    with pytest.raises(RecordingArgumentError, match="if it is raw IQ, give its rate in Hz and its datatype"):
        open_recording(tmp_path / "x.iq")
    (tmp_path / "x.cu8").write_bytes(bytes(80))
    with pytest.raises(RecordingArgumentError, match="give its rate in Hz$"):
        open_recording(tmp_path / "x.cu8")


def test_what_rtl_433_writes(tmp_path):
    """It saves a keyed carrier, 20 kHz above the middle, under a name of its own, and all as 16 bits under ours."""
    if shutil.which("rtl_433") is None:
        pytest.skip("needs rtl_433 (apt install rtl-433)")
    rng, t = np.random.default_rng(1), np.arange(250_000)
    keyed = ((t >= 60_000) & (t < 80_000) & (t % 500 < 250)) * 0.7 * np.exp(2j * np.pi * 20e3 / 250e3 * t)
    iq = 0.02 * (rng.normal(size=len(t)) + 1j * rng.normal(size=len(t))) + keyed
    raw = np.round(np.clip(np.stack([iq.real, iq.imag], axis=1) * 127.5 + 127.5, 0, 255)).astype(np.uint8)
    (tmp_path / "in_433.92M_250k.cu8").write_bytes(raw.tobytes())
    for options in (("-S", "all"), ("-w", "all_433.92M_250k.cs16")):
        subprocess.run(["rtl_433", "-r", "in_433.92M_250k.cu8", *options], cwd=tmp_path, capture_output=True, timeout=60,
                       check=True)
    for name, datatype in (("g001_433.92M_250k.cu8", "cu8"), ("all_433.92M_250k.cs16", "ci16_le")):
        recording = open_recording(tmp_path / name)
        assert (recording.datatype, recording.samp_rate, recording.frequency_hz) == (datatype, 250e3, 433.92e6)
        power = np.abs(np.fft.fft(recording.read(0, 200_000), 250_000)) ** 2
        assert np.argmax(power) == pytest.approx(20_000, abs=5)
    assert {path.name for path in find_recordings(tmp_path)} == {
        "all_433.92M_250k.cs16", "g001_433.92M_250k.cu8", "in_433.92M_250k.cu8"}
