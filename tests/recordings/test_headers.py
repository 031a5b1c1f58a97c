# SPDX-License-Identifier: GPL-3.0-or-later
"""BLUE, SDRangel's .sdriq and the PortaPack's captures. The programs cannot be had here: all files are built of the published
layouts (Midas BLUE format; SDRangel's readme of its file input; PortaPack Mayhem's wiki, "C16 format"). The sigmf package,
which reads little endian BLUE by itself, agrees on what it reads of them.
"""

import struct
import zlib

import numpy as np
import pytest
from gnuradio.spectrumencoder.recordings import RecordingError, find_recordings, open_recording

RATE, N = 2_400_000, 1000
IQ = (0.25 * np.exp(2j * np.pi * 0.1 * np.arange(N))).astype(np.complex64)
PAIRS = IQ.view(np.float32)
PCM16 = np.round(PAIRS * 32768).astype("<i2")
START = 1_682_944_215.25


def keyword(end, name, kind, value):
    body = struct.pack(end + {"D": "d", "L": "i", "F": "f"}[kind], value) if kind != "A" else value.encode()
    pad = -(8 + len(body) + len(name)) % 8
    return struct.pack(end + "ihb", 8 + len(body) + len(name) + pad, 8 + len(name) + pad, len(name)) + kind.encode() + body \
        + name.encode() + bytes(pad)


def blue(path, data, form="CI", *, end="<", data_end="<", kind=1000, keywords=b"", main=b"", xdelta=1 / RATE, detached=False,
         timecode=START + 631152000, size=None, xunits=1, subsize=0, ydelta=0.0, xstart=0.0):
    rep = {"<": b"EEEI", ">": b"IEEE"}
    head = bytearray(512)
    start = 0 if detached else 512
    extended = -(-(start + len(data)) // 512) if not detached else 1
    struct.pack_into(end + "4s4s4siiiiiddi2shd", head, 0, b"BLUE", rep[end], rep[data_end], int(detached), 0, 0,
                     extended if keywords else 0, len(keywords), start, len(data) if size is None else size, kind,
                     form.encode(), 0, timecode)
    struct.pack_into(end + "i", head, 160, len(main))
    head[164:164 + len(main)] = main
    struct.pack_into(end + "ddiidd", head, 256, xstart, xdelta, xunits, subsize, 0.0, ydelta)
    body = b"" if detached else data
    if keywords:
        body = body.ljust(extended * 512 - 512, b"\0") + keywords
    path.write_bytes(bytes(head) + body)
    if detached:
        path.with_suffix(".det").write_bytes(data)
    return path


@pytest.mark.parametrize("end", ["<", ">"])
@pytest.mark.parametrize("data_end", ["<", ">"])
@pytest.mark.parametrize(("form", "dtype", "scale"), [
    ("CB", "i1", 128), ("CI", "i2", 2**15), ("CL", "i4", 2.0**31), ("CF", "f4", 1), ("CD", "f8", 1), ("SI", "i2", 2**15),
    ("SF", "f4", 1)])
def test_blue_of_both_byte_orders(tmp_path, end, data_end, form, dtype, scale):
    values = PAIRS * scale if form[0] == "C" else IQ.real * scale
    data = (np.round(values) if dtype[0] == "i" else values).astype(data_end + dtype).tobytes()
    recording = open_recording(blue(tmp_path / "x.tmp", data, form, end=end, data_end=data_end,
                                    keywords=keyword(end, "RF_FREQ", "D", 433.92e6)))
    assert recording.format_name == "BLUE" and recording.samp_rate == RATE and recording.n_samples == N
    np.testing.assert_allclose(recording.read(), IQ if form[0] == "C" else IQ.real, atol=1 / 100 if scale == 128 else 1 / 32768)
    assert recording.frequency_hz == 433.92e6 and recording.captures[0].posix_time == pytest.approx(START, abs=1e-6)
    assert recording.origins["frequency"] == "keyword RF_FREQ" and recording.notes == []


def test_blue_is_what_the_sigmf_package_makes_of_it(tmp_path):
    convert = pytest.importorskip("sigmf.convert.blue")
    keywords = keyword("<", "RF_FREQ", "D", 433.92e6) + keyword("<", "NOTE", "A", "abc")
    path = blue(tmp_path / "x.tmp", PCM16.tobytes(), keywords=keywords)
    other = convert.blue_to_sigmf(str(path))
    recording = open_recording(path)
    assert other.get_global_field("core:datatype") == recording.datatype
    assert other.get_global_field("core:sample_rate") == pytest.approx(recording.samp_rate)
    np.testing.assert_array_equal(other.read_samples(), recording.read())


def test_blue_keywords(tmp_path):
    def frequency(**arguments):
        return open_recording(blue(tmp_path / "x.tmp", PCM16.tobytes(), **arguments)).frequency_hz
    assert frequency() is None
    assert frequency(main=b"FREQ=100e6\0X=1\0") == 100e6
    extended = keyword("<", "COL_RF", "D", 2e9) + keyword("<", "CHAN_RF", "A", "2.1e9")
    assert frequency(main=b"FREQ=100e6\0", keywords=extended) == 2.1e9
    assert frequency(main=b"RF_FREQ=low\0FREQ=5\0") == 5


def test_blue_with_detached_samples_and_a_start_of_its_own(tmp_path):
    path = blue(tmp_path / "x.prm", PCM16.tobytes(), detached=True, xstart=1.5)
    recording = open_recording(path)
    np.testing.assert_allclose(recording.read(), IQ, atol=1 / 32768)
    assert recording.data_paths == [tmp_path / "x.det"]
    assert recording.captures[0].posix_time == pytest.approx(START + 1.5, abs=1e-6)
    (tmp_path / "x.det").unlink()
    with pytest.raises(RecordingError, match="put x.det beside it"):
        open_recording(path)


def test_blue_that_was_cut_off_or_states_no_size(tmp_path):
    cut = open_recording(blue(tmp_path / "x.tmp", PCM16.tobytes()[:-402], size=4 * N))
    assert cut.n_samples == N - 101 and "cut off" in cut.notes[0]
    assert open_recording(blue(tmp_path / "x.tmp", PCM16.tobytes(), size=0)).n_samples == N


def test_blue_frames_without_gaps_are_samples(tmp_path):
    path = blue(tmp_path / "x.tmp", PCM16.tobytes(), kind=2000, subsize=100, ydelta=100 / RATE)
    assert open_recording(path).n_samples == N
    with pytest.raises(RecordingError, match="do not follow each other"):
        open_recording(blue(tmp_path / "x.tmp", PCM16.tobytes(), kind=2000, subsize=100, ydelta=1.0))


@pytest.mark.parametrize(("arguments", "says"), [
    ({"kind": 3000}, "type 3000"), ({"form": "VF"}, "format 'VF'"), ({"form": "CX"}, "format 'CX'"), ({"xunits": 3}, "unit 3"),
    ({"xdelta": 0.0}, "sample rate"), ({"xdelta": float("nan")}, "sample rate")])
def test_blue_that_is_no_samples_in_time_is_refused(tmp_path, arguments, says):
    with pytest.raises(RecordingError, match=says):
        open_recording(blue(tmp_path / "x.tmp", PCM16.tobytes(), **arguments))


def test_blue_without_a_time(tmp_path):
    for timecode in (0.0, float("nan"), -5.0, 1e300):
        assert open_recording(blue(tmp_path / "x.tmp", PCM16.tobytes(), timecode=timecode)).captures[0].time_parts is None


def sdriq(path, data, *, start=1_682_944_215_250, bits=16, rate=RATE, frequency=5_760_000_000):
    head = struct.pack("<IQQII", rate, frequency, start, bits, 0)
    path.write_bytes(head + struct.pack("<I", zlib.crc32(head)) + data)
    return path


@pytest.mark.parametrize(("start", "time"), [(1_682_944_215_250, (1_682_944_215, 0.25)), (1_682_944_215, (1_682_944_215, 0.0)),
                                             (0, None), (2**64 - 1, None)])
def test_sdriq(tmp_path, start, time):
    recording = open_recording(sdriq(tmp_path / "x.sdriq", PCM16.tobytes(), start=start))
    assert recording.format_name == "sdriq" and recording.samp_rate == RATE and recording.frequency_hz == 5.76e9
    assert recording.captures[0].time_parts == time
    np.testing.assert_allclose(recording.read(), IQ, atol=1 / 32768)


def test_sdriq_of_24_bits(tmp_path):
    recording = open_recording(sdriq(tmp_path / "x.sdriq", np.round(PAIRS * 2**23).astype("<i4").tobytes(), bits=24))
    np.testing.assert_allclose(recording.read(), IQ, atol=2**-22)


def test_sdriq_that_is_damaged_is_refused(tmp_path):
    path = sdriq(tmp_path / "x.sdriq", PCM16.tobytes())
    path.write_bytes(path.read_bytes()[:3] + b"\x01" + path.read_bytes()[4:])
    with pytest.raises(RecordingError, match="is named like sdriq, but its content is not"):
        open_recording(path)
    for arguments in ({"bits": 8}, {"data": b""}, {"data": b"abc"}):
        with pytest.raises(RecordingError):
            open_recording(sdriq(path, **{"data": PCM16.tobytes(), **arguments}))


@pytest.mark.parametrize("text", [b"sample_rate=2400000\ncenter_frequency=433920000\n",
                                  b"center_frequency=433920000\r\nsample_rate=2400000\r\n"])
@pytest.mark.parametrize(("suffix", "dtype", "scale"), [(".C16", "<i2", 32768), (".c8", "i1", 128)])
def test_portapack(tmp_path, text, suffix, dtype, scale):
    path = tmp_path / f"BBD_0001{suffix}"
    np.round(PAIRS * scale).astype(dtype).tofile(path)
    path.with_suffix(".TXT").write_bytes(text)
    for name in (path, path.with_suffix(".TXT")):
        recording = open_recording(name)
        assert (recording.format_name, recording.samp_rate, recording.frequency_hz) == ("PortaPack", RATE, 433.92e6)
        np.testing.assert_allclose(recording.read(), IQ, atol=1 / scale)
    assert recording.origins["samp_rate"] == "BBD_0001.TXT" and recording.data_paths == [path]
    (tmp_path / "README.TXT").write_text("sample_rate=1\n")
    assert find_recordings(tmp_path) == [path]


def test_portapack_whose_text_is_of_no_use(tmp_path):
    path = tmp_path / "BBD_0001.C16"
    path.write_bytes(PCM16.tobytes())
    path.with_suffix(".TXT").write_text("hello\n")
    with pytest.raises(RecordingError, match="rate"):
        open_recording(path)
    path.with_suffix(".TXT").write_text("sample_rate=nan\ncenter_frequency=1e6\n")
    assert open_recording(path, rate=1e6).frequency_hz == 1e6
