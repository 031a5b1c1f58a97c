# SPDX-License-Identifier: GPL-3.0-or-later
"""The bytes of a message: what was packed comes out, and no flipped bit passes."""

import pytest
from gnuradio.spectrumencoder.hub.message import (
    ALERT,
    SPECTRA,
    Message,
    MessageError,
    check_id,
    json_bytes,
    new_run,
    pack,
    read_json,
    unpack,
)


@pytest.mark.parametrize("message", [Message(ALERT, "roof-1", new_run(), 1, 1.5e9, b'{"a":1}'),
                                     Message(SPECTRA, "a", new_run(), 2**40, 0.0, bytes(3000), 2**40 - 7)])
def test_what_was_packed_comes_out(message):
    assert unpack(pack(message)) == message
    assert len(pack(message)) < len(message.payload) + 48


def test_no_flipped_bit_and_no_cut_passes():
    data = pack(Message(ALERT, "roof", new_run(), 300, 1.5e9, b'{"freq_center_hz":433920000.0}', 299))
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(MessageError):
            unpack(bytes(flipped))
    for size in range(len(data)):
        with pytest.raises(MessageError):
            unpack(data[:size])
    with pytest.raises(MessageError):
        unpack(data + b"\0")


@pytest.mark.parametrize("name", ["", "a/b", "../x", "ä", "a b", "x" * 33, "-a"])
def test_an_id_is_fit_for_a_file_name(name):
    with pytest.raises(ValueError, match="no id"):
        check_id(name)


def test_json_holds_no_infinity_and_must_be_an_object():
    assert read_json(json_bytes({"a": float("nan"), "b": [float("inf"), 1.5]})) == {"a": None, "b": [None, 1.5]}
    for payload in (b"[1]", b"{", b"\xff", b"[" * 100_000):
        with pytest.raises(MessageError):
            read_json(payload)
