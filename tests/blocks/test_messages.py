# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages: Python to PMT and back."""

import numpy as np
import pmt
import pytest
from gnuradio.spectrumencoder.blocks.messages import MalformedMessage, metadata, pdu, to_pmt, to_python

VALUES = {"text": "a", "whole": -3, "large": 2**63, "real": 0.5, "yes": True, "none": None, "nested": {"x": [1, 2.5, "b"]},
          "list": [{"name": "jamming", "probability": 0.25}]}


def test_there_and_back():
    assert to_python(to_pmt(VALUES)) == VALUES
    assert list(to_python(to_pmt(VALUES))) == list(VALUES)


def test_numpy_scalars():
    got = metadata(to_pmt({"f": np.float32(0.5), "i": np.int16(-2), "u": np.uint64(7), "b": np.bool_(True)}))
    assert got == {"f": 0.5, "i": -2, "u": 7, "b": True} and got["b"] is True


def test_a_pdu_gives_its_dict():
    message = pdu(VALUES, np.arange(3))
    assert pmt.is_pdu(message) and metadata(message) == VALUES
    assert to_python(pmt.cdr(message)) == [0.0, 1.0, 2.0]


def test_pmts_of_other_blocks():
    rx_time = pmt.make_tuple(pmt.from_uint64(5), pmt.from_double(0.25))
    assert to_python(rx_time) == [5, 0.25]
    assert to_python(pmt.init_c32vector(1, [1j])) == [1j]
    assert to_python(pmt.cons(pmt.intern("freq"), pmt.from_double(1e8))) == ["freq", 1e8]


@pytest.mark.parametrize("message", [pmt.intern("x"), pmt.from_long(1), pmt.PMT_NIL, pmt.PMT_T, pmt.make_dict(),
                                     pmt.cons(pmt.from_long(1), pmt.from_long(2)), pmt.init_u8vector(300, [0] * 300)])
def test_what_is_no_message_is_malformed(message):
    with pytest.raises(MalformedMessage, match="wants a PDU or a dict, got") as error:
        metadata(message)
    assert len(str(error.value)) < 100


def test_what_has_no_pmt_is_a_type_error():
    with pytest.raises(TypeError, match="no PMT for object"):
        to_pmt({"x": object()})
