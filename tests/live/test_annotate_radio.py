# SPDX-License-Identifier: GPL-3.0-or-later
"""``--annotate=FILE`` of a radio: valid SigMF without samples, with a capture for each tuning and each jump in time."""

import json
import time
from datetime import datetime

import pytest
import sigmf
from gnuradio.spectrumencoder import keys
from gnuradio.spectrumencoder.session.sinks import set_aside


def test_events_of_a_radio_are_annotations_of_valid_metadata(live_run, make_scene, tmp_path):
    scene = make_scene({"freq_hz": 100.03e6}, {"freq_hz": 99.98e6, "start_s": 2.0, "stop_s": 2.5})
    out, began = tmp_path / "night.sigmf-meta", time.time()
    out.write_text("{}")  # of an earlier run

    def retune(flowgraph):
        sent = []

        def look():
            if flowgraph.source.n_samples > 3.2 * 250e3 and not sent:
                sent.append(1)
                from gnuradio.spectrumencoder.blocks.messages import to_pmt
                flowgraph.source.block._guard.handle_cmd(to_pmt({"freq": 100.5e6}))
        flowgraph.on_poll.append(look)
    live_run(f"pace=1,hwtime=1,scene={scene}", duration=5.0, watch=retune,
             settings={"learn_s": 1.0, "annotate": str(out), "annotate_signals": True})
    meta = json.loads(out.read_text())
    assert (tmp_path / "night-1.sigmf-meta").read_text() == "{}"  # nothing of it is lost
    sigmf.SigMFFile(metadata=meta).validate()
    head = meta["global"]
    assert head["core:metadata_only"] and head["core:sample_rate"] == 250e3 and head["core:datatype"] == "cf32_le"
    tuned = [capture["core:frequency"] for capture in meta["captures"]]  # a busy machine loses samples: more captures
    assert tuned == sorted(tuned) and set(tuned) == {100e6, 100.5e6}
    first, second = (meta["captures"][number]["core:datetime"] for number in (0, tuned.index(100.5e6)))
    starts = [capture["core:sample_start"] for capture in meta["captures"]]
    assert first < second and starts[0] == 0 and starts == sorted(set(starts))
    assert abs(datetime.fromisoformat(first[:19] + "+00:00").timestamp() - began) < 30
    event = f"{keys.SIGMF_PREFIX}{keys.EVENT_ID}"
    (mark,) = [mark for mark in meta["annotations"] if event in mark and abs(mark["core:freq_lower_edge"] - 99.98e6) < 10e3]
    assert abs(mark["core:sample_start"] - 2.0 * 250e3) < 0.1 * 250e3
    assert abs(mark["core:sample_count"] - 0.5 * 250e3) < 0.1 * 250e3
    assert any(f"{keys.SIGMF_PREFIX}{keys.SIGNAL_ID}" in mark for mark in meta["annotations"])


@pytest.mark.parametrize("name", ["x", "x.sigmf-meta"])
def test_earlier_annotations_are_set_aside(tmp_path, name):
    for number in (1, 2):
        (tmp_path / "x.sigmf-meta").write_text(str(number))
        set_aside(tmp_path / name)
    assert [(tmp_path / f"x-{n}.sigmf-meta").read_text() for n in (1, 2)] == ["1", "2"]
    assert not (tmp_path / "x.sigmf-meta").exists()
