# SPDX-License-Identifier: GPL-3.0-or-later
"""The vocabulary is one: keys.h and keys.py hold the same names and keys."""

from gnuradio.spectrumencoder import keys
from gnuradio.spectrumencoder.tokens.tokenize import native_module


def test_cpp_and_python_vocabularies_are_equal():
    assert native_module().keys() == keys.vocabulary()


def test_event_fields_are_keys():
    assert set(keys.EVENT_FIELDS) <= set(keys.vocabulary().values())
    assert len(keys.EVENT_FIELDS) == len(set(keys.EVENT_FIELDS))
