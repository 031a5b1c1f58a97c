# SPDX-License-Identifier: GPL-3.0-or-later
"""VITA-49: packets built of their published layout (ANSI/VITA 49.0 and 49.2), in pcap and pcapng files built of theirs. No
program that writes them can be had here.
"""

import struct

import numpy as np
import pytest
from gnuradio.spectrumencoder.recordings import RecordingError, open_recording

RATE, N, T0 = 2_400_000, 360, 1_700_000_000  # N: samples of a packet
IQ = (0.25 * np.exp(2j * np.pi * 0.1 * np.arange(100 * N))).astype(np.complex64)
CI16, CI8, CF32 = 0x2000_03CF << 32, 0x2000_01C7 << 32, 0x2E00_07DF << 32  # complex; bits less 1


def data_packet(k, payload, *, stream=0x11, utc=None, fraction=None, fraction_kind=2, whole_kind=1, trailer=False,
                class_id=False):
    first = k * N
    if fraction is None:
        utc, fraction = T0 + first // RATE, first % RATE * 10**12 // RATE if fraction_kind == 2 else first % RATE
    body = struct.pack(">I", stream) + (bytes(8) if class_id else b"")
    body += struct.pack(">I", utc) if whole_kind else b""
    body += struct.pack(">Q", fraction) if fraction_kind else b""
    body += payload + (bytes(4) if trailer else b"")
    word = 1 << 28 | class_id << 27 | trailer << 26 | whole_kind << 22 | fraction_kind << 20 | (k % 16) << 16
    return struct.pack(">I", word | (4 + len(body)) // 4) + body


def context_packet(k=0, *, stream=0x11, rate=RATE, rf_hz=433.92e6, rf_offset_hz=None, if_hz=None, payload=CI16, extra=0):
    fields = [(29, struct.pack(">q", int(rate * 0.8 * 2**20)) if rate else None), (28, _hz(if_hz)), (27, _hz(rf_hz)),
              (26, _hz(rf_offset_hz)), (23, struct.pack(">i", 5)), (21, _hz(rate)),
              (15, struct.pack(">Q", payload) if payload else None)]
    present = [(bit, value) for bit, value in fields if value is not None]
    indicator = sum(1 << bit for bit, _ in present) | extra
    body = struct.pack(">II", stream, indicator) + (bytes(4) if extra else b"") + b"".join(value for _, value in present)
    return struct.pack(">I", 4 << 28 | (k % 16) << 16 | (4 + len(body)) // 4) + body


def _hz(value):
    return None if value is None else struct.pack(">q", round(value * 2**20))


def payloads(iq=IQ, dtype=">i2"):
    scale = {">i2": 32768, "i1": 128, ">f4": 1}[dtype]
    values = iq.view(np.float32) * scale
    values = (np.round(values) if dtype != ">f4" else values).astype(dtype)
    return [values[2 * k * N:2 * (k + 1) * N].tobytes() for k in range(len(iq) // N)]


def stream_of(**arguments):
    return [data_packet(k, payload, **arguments) for k, payload in enumerate(payloads())]


def udp(payload, version=4):
    datagram = struct.pack(">HHHH", 5000, 4991, 8 + len(payload), 0) + payload
    if version == 6:
        return struct.pack(">IHBB", 6 << 28, len(datagram), 17, 64) + bytes(32) + datagram
    return struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(datagram), 1, 0x4000, 64, 17, 0) + bytes(8) + datagram


def frame(payload, link, version=4):
    kind = struct.pack(">H", 0x86DD if version == 6 else 0x0800)
    return {1: bytes(12) + kind, "vlan": bytes(12) + b"\x81\x00\x00\x05" + kind, 113: bytes(14) + kind,
            276: kind + bytes(18), 101: b"", 0: b"\x02\0\0\0"}[link] + udp(payload, version)


def pcap(path, packets, *, link=1, order="<", magic=0xA1B2C3D4, version=4):
    number = 1 if link == "vlan" else link
    data = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, number)
    for packet in packets:
        data += struct.pack(order + "IIII", 0, 0, *[len(frame(packet, link, version))] * 2) + frame(packet, link, version)
    path.write_bytes(data)
    return path


def pcapng(path, packets, *, order="<", simple=False):
    def block(kind, body):
        body += bytes(-len(body) % 4)
        return struct.pack(order + "II", kind, len(body) + 12) + body + struct.pack(order + "I", len(body) + 12)
    data = block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1)) + block(1, struct.pack(order + "HHI", 101, 0, 0))
    data += block(1, struct.pack(order + "HHI", 1, 0, 0)) if not simple else b""
    for packet in packets:
        body = frame(packet, 101 if simple else 1)
        data += block(3, struct.pack(order + "I", len(body)) + body) if simple else \
            block(6, struct.pack(order + "IIIII", 1, 0, 0, len(body), len(body)) + body)
    path.write_bytes(data)
    return path


def raw(path, packets):
    path.write_bytes(b"".join(packets))
    return path


def vrl(path, packets):
    """Frames of ten packets each: VRLP, count and size, packets, VEND."""
    data = b""
    for k in range(0, len(packets), 10):
        inside = b"".join(packets[k:k + 10])
        data += b"VRLP" + struct.pack(">I", (k // 10 % 4096) << 20 | (len(inside) + 12) // 4) + inside + b"VEND"
    path.write_bytes(data)
    return path


def check(recording, atol=1 / 32768):
    assert recording.format_name == "VITA-49" and recording.samp_rate == RATE and recording.frequency_hz == 433.92e6
    assert [(c.sample_start, c.time_parts) for c in recording.captures] == [(0, (T0, 0.0))]
    np.testing.assert_allclose(recording.read(), IQ[:recording.n_samples], atol=atol)
    np.testing.assert_array_equal(recording.read(500, 20_000), recording.read()[500:20_500])
    assert recording.n_samples == len(IQ) and recording.notes == []


@pytest.mark.parametrize("write", [raw, vrl, pcap, pcapng])
def test_containers(tmp_path, write):
    check(open_recording(write(tmp_path / "x.bin", [context_packet(), *stream_of()])))


@pytest.mark.parametrize("arguments", [
    {"link": 1, "version": 6}, {"link": "vlan"}, {"link": 113}, {"link": 276}, {"link": 101, "version": 6}, {"link": 0},
    {"order": ">"}, {"magic": 0xA1B23C4D}])
def test_pcap_of_other_links_and_orders(tmp_path, arguments):
    check(open_recording(pcap(tmp_path / "x.pcap", [context_packet(), *stream_of()], **arguments)))


@pytest.mark.parametrize("arguments", [{"order": ">"}, {"simple": True}])
def test_pcapng(tmp_path, arguments):
    check(open_recording(pcapng(tmp_path / "x.pcapng", [context_packet(), *stream_of()], **arguments)))


@pytest.mark.parametrize("arguments", [{"trailer": True}, {"class_id": True}, {"fraction_kind": 1}])
def test_headers(tmp_path, arguments):
    check(open_recording(raw(tmp_path / "x.vrt", [context_packet(), *stream_of(**arguments)])))


@pytest.mark.parametrize(("form", "dtype", "datatype", "atol"), [(CI8, "i1", "ci8", 1 / 100), (CF32, ">f4", "cf32_be", 0)])
def test_payloads(tmp_path, form, dtype, datatype, atol):
    packets = [context_packet(payload=form)] + [data_packet(k, payload) for k, payload in enumerate(payloads(dtype=dtype))]
    recording = open_recording(raw(tmp_path / "x.vrt", packets))
    assert recording.datatype == datatype
    check(recording, atol)


@pytest.mark.parametrize("form", [0xA000_03CF << 32 | 1 << 16, 0x4000_03CF << 32, 0x2010_03CF << 32, 0x2000_02CB << 32])
def test_payloads_that_are_not_read(tmp_path, form):
    with pytest.raises(RecordingError, match="payload format 0x.* is not read"):
        open_recording(raw(tmp_path / "x.vrt", [context_packet(payload=form), *stream_of()]))


def test_the_frequency_is_reference_and_offset_less_the_if(tmp_path):
    packets = [context_packet(rf_hz=2.4e9, rf_offset_hz=5e6, if_hz=1e6, extra=1 << 7), *stream_of()]
    assert open_recording(raw(tmp_path / "x.vrt", packets)).frequency_hz == 2.404e9


@pytest.mark.parametrize("fraction_kind", [1, 2])
@pytest.mark.parametrize("lost", [range(40, 43), range(40, 56)])  # 16 packets: the count does not show it, the time does
def test_lost_packets_begin_a_capture(tmp_path, lost, fraction_kind):
    packets = [packet for k, packet in enumerate(stream_of(fraction_kind=fraction_kind)) if k not in lost]
    recording = open_recording(pcap(tmp_path / "x.pcap", [context_packet(), *packets]))
    np.testing.assert_allclose(recording.read(), np.delete(IQ, np.s_[40 * N:(lost[-1] + 1) * N]), atol=1 / 32768)
    assert [c.sample_start for c in recording.captures] == [0, 40 * N]
    assert recording.captures[1].posix_time == pytest.approx(T0 + (lost[-1] + 1) * N / RATE, abs=1e-6)
    assert recording.notes == ["packets are missing at 1 place; a capture begins after each"]


def test_a_retune_begins_a_capture_and_another_rate_ends_the_recording(tmp_path):
    packets = stream_of()
    packets = [*packets[:10], context_packet(), *packets[10:30], context_packet(1, rf_hz=868e6), *packets[30:60],
               context_packet(2, rf_hz=868e6), context_packet(3, rate=1e6), *packets[60:]]
    recording = open_recording(raw(tmp_path / "x.vrt", packets))
    assert [(c.sample_start, c.frequency_hz) for c in recording.captures] == [(0, 433.92e6), (30 * N, 868e6)]
    assert recording.n_samples == 60 * N and "rate changes from 2400000 to 1000000 Hz" in recording.notes[0]


def test_streams_are_channels(tmp_path):
    other = [data_packet(k, payload, stream=0x22) for k, payload in enumerate(payloads(IQ[::-1].copy()))]
    packets = [context_packet(), context_packet(stream=0x22, rf_hz=868e6)]
    packets += [packet for pair in zip(stream_of(), other, strict=True) for packet in pair]
    path = pcap(tmp_path / "x.pcap", packets)
    first, second = open_recording(path), open_recording(path, channel=1)
    np.testing.assert_allclose(first.read(), IQ, atol=1 / 32768)
    np.testing.assert_allclose(second.read(), IQ[::-1], atol=1 / 32768)
    assert (first.frequency_hz, second.frequency_hz) == (433.92e6, 868e6) and second.channel == 1
    assert any("1 of 2 channels is read" in note for note in first.notes) and second.origins["channels"] == "stream 0x00000022"
    with pytest.raises(RecordingError, match="channel 2"):
        open_recording(path, channel=2)


def test_without_context_the_times_show_the_rate(tmp_path):
    recording = open_recording(raw(tmp_path / "x.vrt", stream_of()))
    assert recording.samp_rate == RATE and recording.origins["samp_rate"] == "timestamps" and recording.frequency_hz is None
    assert "is assumed" in recording.notes[0]
    with pytest.raises(RecordingError, match="rate"):
        open_recording(raw(tmp_path / "y.vrt", stream_of(fraction_kind=0)))


def test_times_that_are_not_utc(tmp_path):
    utc = T0 - 315964800 + 18
    gps = [data_packet(k, p, utc=utc, fraction=k * N * 10**12 // RATE, whole_kind=2) for k, p in enumerate(payloads())]
    check(open_recording(raw(tmp_path / "x.vrt", [context_packet(), *gps])))
    counted = open_recording(raw(tmp_path / "z.vrt", [context_packet(rate=None), *stream_of(fraction_kind=1)]), rate=RATE)
    assert counted.captures[0].time_parts is None and any("--start" in note for note in counted.notes)
    seconds = open_recording(raw(tmp_path / "s.vrt", [context_packet(), *stream_of(fraction_kind=0)]))
    assert seconds.captures[0].time_parts == (T0, 0.0) and "whole seconds" in seconds.notes[0]
    other = open_recording(raw(tmp_path / "y.vrt", [context_packet(), *stream_of(whole_kind=3)]))
    assert other.captures[0].time_parts is None and "--start" in other.notes[0]


def test_a_capture_without_signal_data_is_refused_in_one_line(tmp_path):
    for packets in ([b"hello world, this is something else", b""], [context_packet()]):
        with pytest.raises(RecordingError, match="no VITA-49 packet with signal data") as caught:
            open_recording(pcap(tmp_path / "x.pcap", packets))
        assert "\n" not in str(caught.value)


def test_samples_are_not_taken_for_packets(tmp_path):
    for seed in range(200):
        data = np.random.default_rng(seed).integers(0, 40, 4000, np.uint8)
        (tmp_path / "x.raw").write_bytes(data.tobytes())
        with pytest.raises(RecordingError, match="if it is raw IQ"):
            open_recording(tmp_path / "x.raw")
