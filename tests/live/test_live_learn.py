# SPDX-License-Identifier: GPL-3.0-or-later
"""The live example of the README, on the test radio at full speed."""

import json
import re

from gnuradio.spectrumencoder.cli.main import main


def test_run_learn_finds_the_carrier_that_appears(model_file, tmp_path, capsys):
    status = main(["run", "soapy:driver=spectrumtest,pace=0", "--freq", "434M", "--rate", "2.4M", "--learn", "20", "--duration", "45",
                   "--model", str(model_file), "--events", str(tmp_path / "e.jsonl"), "--json", str(tmp_path / "s.json")])
    said = capsys.readouterr()
    assert status == 0, said.err
    assert re.match(r"learned 20(\.\d)? s of signal, heard \d emitters\n", said.out)
    assert re.search(r"Z  new  433\.50\d+ MHz  .*  emitter \d+\n", said.out)
    opened = [event for event in map(json.loads, (tmp_path / "e.jsonl").read_text().splitlines()) if event["state"] == "open"]
    assert len([e for e in opened if e["alert"] == "new" and abs(e["freq_center_hz"] - 433.5e6) < 5e3]) == 1
    (run,) = json.loads((tmp_path / "s.json").read_text())["recordings"]
    assert run["learned"] and run["alerts"]["new"] == 1 and run["emitters"] >= 3
