# SPDX-License-Identifier: GPL-3.0-or-later
"""One tone in each format that states rate, frequency and time: it opens by its name alone, with the tone at its true frequency,
time and level, and says where each value is from."""

import importlib.util

import numpy as np
import pmt
import pytest
import test_file_meta
import test_headers
import test_vita49
import test_wav
from gnuradio.spectrumencoder.recordings import open_recording
from gnuradio.spectrumencoder.recordings.sigmf_writer import write_recording

RATE, CENTER_HZ, START_S, OFFSET_HZ, FIRST = 2_400_000, 433_920_000, 1_682_944_215.25, 300_000, 9_000
N = 36_000
NOISE = np.random.default_rng(6).standard_normal((N, 2)).view(np.complex128)[:, 0] * 1e-3
IQ = (NOISE + 0.25 * np.exp(2j * np.pi * OFFSET_HZ / RATE * np.arange(N)) * (np.arange(N) >= FIRST)).astype(np.complex64)
PCM = np.round(IQ.view(np.float32) * 32768).astype("<i2")


def sigmf(folder):
    return write_recording(folder / "x", IQ, RATE, "ci16_le", description="tone", center_freq_hz=CENTER_HZ,
                           datetime="2023-05-01T12:30:15.25Z")


def wav(folder):
    return test_wav.write(folder / "x.wav", test_wav.fmt(rate=RATE), test_wav.auxi(CENTER_HZ),
                          test_wav.chunk(b"data", PCM.tobytes()))


def file_meta(folder):
    tags = [test_file_meta.tag(0, "rx_freq", pmt.from_double(CENTER_HZ)), test_file_meta.tag(0, "rx_rate", pmt.from_double(RATE)),
            test_file_meta.tag(0, "rx_time", test_file_meta.time_pmt(int(START_S), 0.25))]
    return test_file_meta.write(folder / "x.dat", tags, items=IQ)


def digital_rf(folder):
    if importlib.util.find_spec("digital_rf") is None:
        pytest.skip("needs digital_rf")
    import test_digital_rf
    first = round(START_S * RATE)
    path = test_digital_rf.write(folder, [(0, IQ[:, None])], rate=(RATE, 1), start=first, continuous=True)
    (path / "metadata").mkdir()
    metadata = test_digital_rf.drf.DigitalMetadataWriter(str(path / "metadata"), 3600, 60, RATE, 1, "metadata")
    metadata.write(first, {"center_frequencies": np.array([[CENTER_HZ]], float)})
    return path


def blue(folder):
    return test_headers.blue(folder / "x.tmp", PCM.tobytes(), keywords=test_headers.keyword("<", "RF_FREQ", "D", CENTER_HZ))


def sdriq(folder):
    return test_headers.sdriq(folder / "x.sdriq", PCM.tobytes(), frequency=CENTER_HZ)


def vita49(folder):
    payload = test_vita49.payloads(IQ)
    packets = [test_vita49.data_packet(k, p, utc=int(START_S) + (k * 360 + RATE // 4) // RATE,
                                       fraction=(k * 360 + RATE // 4) % RATE * 10**12 // RATE) for k, p in enumerate(payload)]
    return test_vita49.pcap(folder / "x.pcap", [test_vita49.context_packet(rf_hz=CENTER_HZ), *packets])


@pytest.mark.parametrize("write", [sigmf, wav, file_meta, digital_rf, blue, sdriq, vita49])
def test_the_tone_is_at_its_frequency_time_and_level(tmp_path, write):
    recording = open_recording(write(tmp_path))
    assert (recording.samp_rate, recording.frequency_hz, recording.n_samples) == (RATE, CENTER_HZ, N)
    assert recording.captures[0].posix_time == pytest.approx(START_S, abs=1e-6) and len(recording.captures) == 1
    iq = recording.read()
    spectrum = np.abs(np.fft.fft(iq[FIRST:])) / (N - FIRST)
    peak = int(np.argmax(spectrum))
    assert recording.frequency_hz + np.fft.fftfreq(N - FIRST, 1 / RATE)[peak] == pytest.approx(CENTER_HZ + OFFSET_HZ, abs=50)
    assert 20 * np.log10(spectrum[peak]) == pytest.approx(20 * np.log10(0.25), abs=0.05)
    assert int(np.argmax(np.abs(iq) > 0.1)) == FIRST
    assert all(recording.origins[key] not in ("", "unknown", "name", "stated")
               for key in ("samp_rate", "frequency", "time", "datatype", "channels"))
    assert recording.notes == []
