# SPDX-License-Identifier: GPL-3.0-or-later
"""``--tracks`` and ``--sweeps`` go on after the lines of earlier runs, and turn over by their size, as ``--events`` does."""

import json

import pytest
from gnuradio.spectrumencoder.cli.main import main


# a scan needs a radio with a clock: without one, two seconds are over before the first retune has come to it
@pytest.mark.parametrize(("option", "where", "pace"), [("--tracks", ("--freq", "100M"), 0),
                                                       ("--sweeps", ("--scan", "99.8M:100.2M"), 1)])
def test_a_second_run_goes_on_and_turns_over(small_model, make_scene, tmp_path, capsys, option, where, pace):
    scene = make_scene({"freq_hz": 100.03e6, "period_s": 0.4, "on_s": 0.1}, {"freq_hz": 99.9e6})
    file = tmp_path / "lines.jsonl"

    def run(*more):
        status = main(["run", f"soapy:driver=spectrumtest,pace={pace},scene={scene}", *where, "--rate", "250k", "--duration", "2",
                       "--model", str(small_model), "--learn", "0", "--dwell-ms", "40", option, str(file), *more])
        said = capsys.readouterr()
        assert status == 0, said.err
        return file.read_text(), said.err
    first, said = run()
    assert first.splitlines() and "earlier runs" not in said
    second, said = run()
    assert second.startswith(first) and len(second) > len(first) and all(map(json.loads, second.splitlines()))
    assert f"{file} holds lines of earlier runs" in said
    run("--events-max", "0.0005")
    assert file.with_name("lines.jsonl.1").is_file()
