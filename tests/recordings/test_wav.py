# SPDX-License-Identifier: GPL-3.0-or-later
"""WAV I/Q: files of GNU Radio, SciPy, libsndfile (soundfile), sox and Python's wave; chunks of SDR programs by their layout.

HDSDR, SDR#, SDRuno, SDR Console and kiwirecorder do not run here: their chunks are built of the published layouts (SpectraVue
manual for `auxi`; kiwirecorder's source for `kiwi`), with the samples between them.
"""

import shutil
import struct
import subprocess
import wave

import numpy as np
import pytest
from gnuradio.spectrumencoder.recordings import RecordingError, open_recording
from gnuradio.spectrumencoder.recordings.wav import is_wav, open_wav

RATE, N = 48_000, 4800
IQ = (0.25 * np.exp(2j * np.pi * 7000 / RATE * np.arange(N))).astype(np.complex64)  # +7 kHz
PAIRS = IQ.view(np.float32).reshape(-1, 2)
PCM16 = np.round(PAIRS * 32768).astype("<i2")
START = (1682944215, 0.25)  # 2023-05-01 12:30:15.250


def chunk(name, body, *, size=None, pad=True):
    return name + struct.pack("<I", len(body) if size is None else size) + body + (b"\0" if pad and len(body) % 2 else b"")


def fmt(tag=1, bits=16, n_channels=2, length=16, rate=RATE, width=None):
    align = n_channels * (width or -(-bits // 8))
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, n_channels, rate, rate * align, align, bits) + bytes(length - 16))


def extensible(tag, bits, width, n_channels=2):
    body = fmt(0xFFFE, bits, n_channels, 16, width=width)[8:24]
    return chunk(b"fmt ", body + struct.pack("<HHIH", 22, bits, 3, tag) + bytes.fromhex("000000001000800000aa00389b71"))


def write(path, *chunks, container=b"RIFF"):
    body = b"WAVE" + b"".join(chunks)
    path.write_bytes(container + struct.pack("<I", min(len(body), 0xFFFFFFFF)) + body)
    return path


def auxi(frequency_hz, times=(2023, 5, 1, 1, 12, 30, 15, 250)):
    numbers = struct.pack("<9I", frequency_hz % 2**32, RATE, 0, RATE, 0, 0, 0, 0, 0)
    return chunk(b"auxi", struct.pack("<16H", *times, *times) + numbers)


def tone_hz(recording):
    iq = recording.read()
    return np.fft.fftfreq(len(iq), 1 / recording.samp_rate)[np.argmax(np.abs(np.fft.fft(iq)))]


def check(recording, atol=1 / 32768):
    assert recording.samp_rate == RATE and recording.n_samples == N
    np.testing.assert_allclose(recording.read(), IQ, atol=atol)
    assert tone_hz(recording) == 7000  # not its mirror
    np.testing.assert_array_equal(recording.read(1234, 100), recording.read()[1234:1334])


@pytest.mark.parametrize(("subtype", "kind", "atol"), [
    ("PCM_U8", "WAV", 2 / 127), ("PCM_16", "WAV", 2 / 32768), ("PCM_24", "WAV", 2**-22), ("PCM_32", "WAV", 2**-22),
    ("FLOAT", "WAV", 0), ("DOUBLE", "WAV", 0), ("PCM_24", "WAVEX", 2**-22), ("FLOAT", "WAVEX", 0),
    ("PCM_16", "RF64", 2 / 32768), ("FLOAT", "RF64", 0)])
def test_what_libsndfile_writes(tmp_path, subtype, kind, atol):
    soundfile = pytest.importorskip("soundfile")
    soundfile.write(tmp_path / "x.wav", PAIRS, RATE, subtype, format=kind)
    head = (tmp_path / "x.wav").read_bytes()[:4096]
    assert is_wav(tmp_path / "x.wav", head) and head[:4] == (b"RF64" if kind == "RF64" else b"RIFF")
    recording = open_wav(tmp_path / "x.wav")
    check(recording, atol)
    assert recording.notes == [] and recording.origins["samp_rate"] == "fmt chunk"
    assert recording.captures[0].frequency_hz is None and recording.captures[0].time_parts is None


@pytest.mark.parametrize("dtype", ["<i2", "<i4", "<f4", "<f8", "u1"])
def test_what_scipy_writes(tmp_path, dtype):
    wavfile = pytest.importorskip("scipy.io.wavfile")
    kind = np.dtype(dtype)
    scaled = {"f": PAIRS, "i": np.round(PAIRS * 2.0 ** (8 * kind.itemsize - 1)), "u": np.round(PAIRS * 128 + 128)}[kind.kind]
    wavfile.write(tmp_path / "x.wav", RATE, scaled.astype(kind))
    check(open_wav(tmp_path / "x.wav"), 2 / 127 if dtype == "u1" else 1 / 32768)


@pytest.mark.parametrize("arguments", [("-b", "8", "-e", "unsigned"), ("-b", "16"), ("-b", "24"), ("-b", "32"),
                                       ("-e", "float", "-b", "32"), ("-e", "float", "-b", "64")])
def test_what_sox_writes(tmp_path, arguments):
    if shutil.which("sox") is None:
        pytest.skip("needs sox")
    PAIRS.astype("<f4").tofile(tmp_path / "x.f32")
    subprocess.run(["sox", "-D", "-t", "f32", "-r", str(RATE), "-c", "2", tmp_path / "x.f32", *arguments, tmp_path / "x.wav"],
                   check=True)
    check(open_wav(tmp_path / "x.wav"), 2 / 127 if "8" in arguments else 1 / 32768)


def test_what_gnu_radio_writes(tmp_path):
    from gnuradio import blocks, gr
    top = gr.top_block()
    source = blocks.vector_source_c(IQ.tolist())
    parts = blocks.complex_to_float()
    sink = blocks.wavfile_sink(str(tmp_path / "x.wav"), 2, RATE, blocks.FORMAT_WAV, blocks.FORMAT_PCM_16, False)
    top.connect(source, parts)
    top.connect((parts, 0), (sink, 0))
    top.connect((parts, 1), (sink, 1))
    top.run()
    sink.close()
    check(open_wav(tmp_path / "x.wav"), 2 / 32768)


def test_what_pythons_wave_writes(tmp_path):
    with wave.open(str(tmp_path / "x.wav"), "wb") as file:
        file.setparams((2, 2, RATE, 0, "NONE", ""))
        file.writeframes(PCM16.tobytes())
    check(open_wav(tmp_path / "x.wav"))


@pytest.mark.parametrize(("header", "extra"), [
    (fmt(length=18), b""), (fmt(3, 32, length=18), chunk(b"fact", struct.pack("<I", N))), (fmt(3, 32), b""),
    (extensible(1, 16, 2), b""), (extensible(3, 32, 4), b""), (fmt(), chunk(b"LIST", b"INFOINAM\x03\0\0\0ab\0"))])
def test_samples_begin_where_the_data_chunk_does(tmp_path, header, extra):
    data = PCM16.tobytes() if struct.unpack_from("<H", header, 22)[0] == 16 else PAIRS.astype("<f4").tobytes()
    check(open_wav(write(tmp_path / "x.wav", header, extra, chunk(b"data", data), chunk(b"LIST", b"INFO"))))


def test_metadata_of_24_bits_are_valid_sigmf(tmp_path):
    """SigMF has no name for them, so that no dataset is named; of other WAV files it is, with the bytes before it."""
    import sigmf
    for bits, datatype in ((24, "ci32_le"), (16, "ci16_le")):
        data = np.round(PAIRS * 2**23).astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3] if bits == 24 else PCM16
        path = write(tmp_path / f"x{bits}.wav", fmt(bits=bits), auxi(433_920_000), chunk(b"data", data.tobytes()))
        meta = open_wav(path).sigmf_meta(tmp_path / "x-events.sigmf-meta")
        assert meta["global"]["core:datatype"] == datatype and ("core:dataset" in meta["global"]) == (bits == 16)
        sigmf.SigMFFile(metadata=meta).validate()


def test_many_blocks_are_not_described_one_by_one(tmp_path):
    meta = open_wav(kiwi_wav(tmp_path / "x.wav", gps(131433.25, 1200))[0]).sigmf_meta(tmp_path / "y.sigmf-meta")
    assert len(meta["captures"]) == 1 and meta["global"]["core:metadata_only"]


def test_24_bits_in_containers_of_32_fill_the_upper_bits(tmp_path):
    data = (np.round(PAIRS * 2**23).astype("<i4") << 8).tobytes()
    check(open_wav(write(tmp_path / "x.wav", extensible(1, 24, 4), chunk(b"data", data))))


def test_auxi_of_hdsdr_states_frequency_and_time(tmp_path):
    recording = open_wav(write(tmp_path / "x.wav", fmt(), auxi(433_920_000), chunk(b"data", PCM16.tobytes())))
    check(recording)
    assert recording.captures[0].frequency_hz == 433.92e6 and recording.captures[0].time_parts == START
    assert recording.origins["frequency"] == recording.origins["time"] == "auxi chunk"


@pytest.mark.parametrize(("name", "frequency_hz"), [
    ("HDSDR_20230501_123015Z_5760100kHz_RF.wav", 5_760_100_500),
    ("SDRSharp_20230501_123015Z_10368123456Hz_IQ.wav", 10_368_123_456), ("x_5.7601GHz_48ksps.wav", 5_760_100_000)])
def test_a_frequency_beyond_32_bits_is_completed_by_the_name(tmp_path, name, frequency_hz):
    recording = open_wav(write(tmp_path / name, fmt(), auxi(frequency_hz), chunk(b"data", PCM16.tobytes())))
    assert recording.captures[0].frequency_hz == frequency_hz
    assert "32 bits" in recording.notes[0] and recording.origins["frequency"] == "auxi chunk and name"


def test_a_name_that_contradicts_auxi_does_not_change_it(tmp_path):
    path = tmp_path / "HDSDR_20230501_123015Z_5000000kHz_RF.wav"
    recording = open_wav(write(path, fmt(), auxi(433_920_000), chunk(b"data", PCM16.tobytes())))
    assert recording.captures[0].frequency_hz == 433.92e6 and recording.notes == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16"])
def test_auxi_of_sdr_console_is_xml(tmp_path, encoding):
    xml = ('<?xml version="1.0"?><SDR-XML-Root><Definition CurrentTimeUTC="01-05-2023 12:30:15" RadioCenterFreq="10489750000" '
           'SampleRate="48000" UTCSeconds="1682944215"></Definition></SDR-XML-Root>')
    xml_chunk = chunk(b"auxi", xml.encode(encoding) + b"\0\0")
    recording = open_wav(write(tmp_path / "x.wav", fmt(), xml_chunk, chunk(b"data", PCM16.tobytes())))
    check(recording)
    assert recording.captures[0].frequency_hz == 10_489_750_000 and recording.captures[0].time_parts == (1682944215, 0.0)


@pytest.mark.parametrize("times", [(0,) * 8, (2023, 13, 1, 1, 0, 0, 0, 0), (2023, 2, 0, 30, 0, 0, 0, 0), (65535,) * 8,
                                   (1601, 1, 1, 1, 0, 0, 0, 0)])
def test_a_time_that_is_none_is_not_stated(tmp_path, times):
    recording = open_wav(write(tmp_path / "x.wav", fmt(), auxi(433_920_000, times), chunk(b"data", PCM16.tobytes())))
    assert recording.captures[0].time_parts is None and "time" not in recording.origins


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_data_chunk_without_a_size_reaches_to_the_end(tmp_path, size):
    recording = open_wav(write(tmp_path / "x.wav", fmt(), chunk(b"data", PCM16.tobytes(), size=size)))
    check(recording)
    assert "states no size" in recording.notes[0]


def sparse(path, size, header):
    """A file of `size` bytes with a header; its samples are a hole, which takes no place on the disk."""
    path.write_bytes(header)
    with path.open("r+b") as file:
        file.truncate(size)
    return path


@pytest.mark.parametrize("stated", ["modulo 2^32", "none", "all ones"])
def test_more_than_4_gib_without_rf64(tmp_path, stated):
    n_bytes = 2**32 + 4 * 25_000
    size = {"modulo 2^32": n_bytes % 2**32, "none": 0, "all ones": 0xFFFFFFFF}[stated]
    head = b"RIFF" + struct.pack("<I", 0) + b"WAVE" + fmt() + b"data" + struct.pack("<I", size)
    recording = open_wav(sparse(tmp_path / "x.wav", len(head) + n_bytes, head))
    assert recording.n_samples == n_bytes // 4 and len(recording.notes) == 1
    assert len(recording.read(recording.n_samples - 10)) == 10


@pytest.mark.parametrize("container", [b"RF64", b"BW64"])
def test_more_than_4_gib_with_ds64(tmp_path, container):
    n_bytes = 2**32 + 400
    ds64 = chunk(b"ds64", struct.pack("<QQQI", n_bytes + 72, n_bytes, n_bytes // 4, 0))
    head = container + b"\xff" * 4 + b"WAVE" + ds64 + fmt() + b"data" + b"\xff" * 4
    recording = open_wav(sparse(tmp_path / "x.wav", len(head) + n_bytes + 100, head))
    assert recording.n_samples == n_bytes // 4 and recording.notes == []


def test_a_recording_that_was_cut_off_gives_what_is_there(tmp_path):
    path = write(tmp_path / "x.wav", fmt(), chunk(b"data", PCM16.tobytes()))
    path.write_bytes(path.read_bytes()[:-401])  # part of a sample is left
    recording = open_wav(path)
    assert recording.n_samples == N - 101 and "cut off" in recording.notes[0]
    np.testing.assert_array_equal(recording.read(), PCM16[:-101].astype(np.float32).view(np.complex64)[:, 0] / 32768)


@pytest.mark.parametrize("pad", [True, False])
def test_odd_chunks_with_and_without_padding(tmp_path, pad):
    note = chunk(b"note", b"abc", pad=pad)
    check(open_wav(write(tmp_path / "x.wav", note, fmt(), note, chunk(b"data", PCM16.tobytes()))))


def test_several_data_chunks_follow_each_other(tmp_path):
    data = PCM16.tobytes()
    parts = [chunk(b"data", data[:4000]), chunk(b"LIST", b"INFO"), chunk(b"data", data[4000:4004]), chunk(b"data", data[4004:])]
    check(open_wav(write(tmp_path / "x.wav", fmt(), *parts)))


def kiwi_wav(path, blocks, rate=12_000, n=512, solution=3):
    """As kiwirecorder --kiwi-wav writes: blocks are (gps seconds of the week, nanoseconds)."""
    rng = np.random.default_rng(5)
    samples = rng.integers(-9000, 9000, (len(blocks) * n, 2)).astype("<i2")
    parts = []
    for k, (seconds, nanoseconds) in enumerate(blocks):
        parts += [chunk(b"kiwi", struct.pack("<BBII", solution, 0, seconds, nanoseconds)),
                  chunk(b"data", samples[k * n:(k + 1) * n].tobytes())]
    return write(path, fmt(rate=rate), *parts), samples.astype(np.float32).view(np.complex64)[:, 0] / 32768


def gps(first_s, n_blocks, lost_after=None, lost_s=0.0):
    times = [first_s + k * 512 / 12_000 + (lost_s if lost_after is not None and k > lost_after else 0) for k in range(n_blocks)]
    return [(int(t), int(t % 1 * 1e9)) for t in times]


def test_a_kiwisdr_states_the_time_of_each_block(tmp_path):
    # 2023-05-01 12:30:15 UTC is a Monday: 131415 s into the GPS week, and 18 leap seconds
    path, iq = kiwi_wav(tmp_path / "20230501T123017Z_7500000_site_iq.wav", gps(131433.25, 400, lost_after=249, lost_s=2.5))
    recording = open_wav(path)
    np.testing.assert_array_equal(recording.read(), iq)
    np.testing.assert_array_equal(recording.read(511, 70_000), iq[511:70_511])
    assert [c.sample_start for c in recording.captures] == [0, 250 * 512]
    assert recording.captures[0].posix_time == pytest.approx(START[0] + START[1], abs=1e-6)
    assert recording.captures[1].posix_time == pytest.approx(START[0] + START[1] + 250 * 512 / 12_000 + 2.5, abs=1e-6)
    assert any("1 gaps" in note and "2.500 s" in note for note in recording.notes)


def test_a_kiwisdr_at_the_turn_of_the_week(tmp_path):
    blocks = [(s % 604800, ns) for s, ns in gps(604799, 60)]
    recording = open_wav(kiwi_wav(tmp_path / "20230506T235943Z_7500000_iq.wav", blocks)[0])
    assert len(recording.captures) == 1
    assert recording.captures[0].posix_time == pytest.approx(1683417599 - 18, abs=1e-6)  # 2023-05-06 23:59:41


def test_a_kiwisdr_without_a_date_or_without_gps(tmp_path):
    undated = open_wav(kiwi_wav(tmp_path / "x.wav", gps(131433.25, 60, lost_after=20, lost_s=1))[0])
    assert [c.time_parts for c in undated.captures] == [None, None] and any("--start" in note for note in undated.notes)
    no_gps = open_wav(kiwi_wav(tmp_path / "20230501T123017Z_1_iq.wav", [(0, 0)] * 20)[0])
    assert len(no_gps.captures) == 1 and no_gps.captures[0].time_parts is None and "no GPS" in no_gps.notes[0]


@pytest.mark.parametrize("missing", [0, 7])
def test_a_block_without_a_kiwi_chunk(tmp_path, missing):
    path, iq = kiwi_wav(tmp_path / "20230501T123017Z_7500000_site_iq.wav", gps(131433.25, 20))
    data = path.read_bytes().split(b"kiwi")
    path.write_bytes(b"kiwi".join(data[:missing + 1]) + b"kiwx" + b"kiwi".join(data[missing + 1:]))
    recording = open_wav(path)
    np.testing.assert_array_equal(recording.read(), iq)
    assert [c.sample_start for c in recording.captures] == ([0, 512] if missing == 0 else [0])
    assert recording.captures[-1].time_parts is not None


def test_one_channel_is_real_samples(tmp_path):
    recording = open_wav(write(tmp_path / "x.wav", fmt(n_channels=1), chunk(b"data", PCM16[:, 0].tobytes())))
    assert recording.datatype == "ri16_le" and "real samples" in recording.notes[0]
    np.testing.assert_allclose(recording.read(), IQ.real, atol=1 / 32768)


def test_pairs_of_channels_are_channels(tmp_path):
    four = np.hstack([PCM16, PCM16[::-1]])
    path = write(tmp_path / "x.wav", fmt(n_channels=4), chunk(b"data", four.tobytes()))
    first, second = open_wav(path), open_wav(path, channel=1)
    check(first)
    np.testing.assert_allclose(second.read(), IQ[::-1], atol=1 / 32768)
    assert any("1 of 2 channels is read" in note for note in open_recording(path).notes)
    assert first.n_channels == 2 and second.notes == []
    with pytest.raises(RecordingError, match="channel 2 is asked for; the file has 2"):
        open_wav(path, channel=2)


@pytest.mark.parametrize(("chunks", "says"), [
    ([fmt(7, 8), chunk(b"data", bytes(100))], "mu-law"), ([fmt(n_channels=3), chunk(b"data", bytes(60))], "3 channels"),
    ([fmt(n_channels=0), chunk(b"data", bytes(60))], "0 channels"), ([fmt(3, 16), chunk(b"data", bytes(60))], "float of 16 bits"),
    ([chunk(b"data", bytes(60))], "fmt chunk is missing"), ([fmt()], "data chunk is missing"),
    ([fmt(), chunk(b"data", b"")], "no whole sample"), ([chunk(b"fmt ", b"abc"), chunk(b"data", bytes(8))], "chunk has 3 bytes"),
    ([chunk(b"odd ", b"", size=10**9), fmt()], "states 1000000000 bytes")])
def test_what_is_no_iq_is_refused_in_one_line(tmp_path, chunks, says):
    with pytest.raises(RecordingError, match=says) as caught:
        open_wav(write(tmp_path / "x.wav", *chunks))
    assert "\n" not in str(caught.value)


def test_the_door_knows_wav_by_its_content(tmp_path):
    path = write(tmp_path / "x.bin", fmt(), auxi(433_920_000), chunk(b"data", PCM16.tobytes()))
    recording = open_recording(path)
    check(recording)
    assert recording.format_name == "WAV" and recording.data_paths == [path]
    with pytest.raises(RecordingError, match="is WAV, which states its own data type"):
        open_recording(path, rate=2.4e6, datatype="ci16_le")


def test_a_file_that_only_bears_the_name_is_refused(tmp_path):
    (tmp_path / "x.wav").write_bytes(PCM16.tobytes())
    assert not is_wav(tmp_path / "x.wav", PCM16.tobytes()[:4096])
    with pytest.raises(RecordingError, match="is not WAV"):
        open_wav(tmp_path / "x.wav")
    with pytest.raises(RecordingError, match="cannot be read"):
        open_wav(tmp_path / "none.wav")
