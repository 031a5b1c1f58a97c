# SPDX-License-Identifier: GPL-3.0-or-later
"""What blocks say is in the vocabulary: no counter of a status message has a key of its own."""

from gnuradio.spectrumencoder import event_log, keys, spectrum_monitor


def test_every_counter_is_a_key(small_model, tmp_path):
    monitor = spectrum_monitor(small_model)
    for block in (monitor.encoder, monitor.detector, event_log(str(tmp_path / "events.jsonl"))):
        assert block.counters().keys() <= set(keys.vocabulary().values()), block.name()
