# SPDX-License-Identifier: GPL-3.0-or-later
"""The strongest signal of each recording: counted by class and by system, on the mini corpus through the command."""

import json

from gnuradio.spectrumencoder.cli.main import main
from gnuradio.spectrumencoder.evaluate.signals.strongest import SYSTEMS, report, summary


def row(recording, cls, *called):
    return {"recording": recording, "class": cls, **dict(zip(SYSTEMS, called, strict=True))}


def test_shares_are_of_recordings_of_a_class_and_of_none():
    result = summary([row("a_1_x", "BLE", "BLE", "LoRa", "BLE"), row("b_1_x", "BLE", None, "BLE", "LTE"),
                      row("c_1_x", "unknown signal", "unknown signal", "BLE", "BLE")])
    assert [result["known"][system]["mean"] for system in SYSTEMS] == [0.5, 0.5, 0.5]
    assert [result["unknown"][system]["mean"] for system in SYSTEMS] == [1.0, 0.0, 0.0]
    assert result["known"]["recordings"] == 2 and result["unknown"]["recordings"] == 1


def test_the_command_judges_recordings_that_no_model_has_seen(mini_corpus, model_file, tmp_path, capsys):
    status = main(["evaluate", "strongest", "--corpus", str(mini_corpus), "--model", str(model_file),
                   "--json", str(tmp_path / "s.json"), "--markdown", str(tmp_path / "s.md")])
    assert status == 0, capsys.readouterr().err
    result = json.loads((tmp_path / "s.json").read_text())
    assert {"recording", "class", *SYSTEMS} == set(result["rows"][0])
    assert result["known"]["recordings"] + result["unknown"]["recordings"] == len(result["rows"]) > 0
    assert all(r["frames"] in ("BLE", "LoRa", "LTE", "ADS-B", "802.15.4", "WiFi-OFDM", "ISM-sensor-OOK", "ISM-sensor-FSK")
               for r in result["rows"])
    assert report(result, result["command"]) in (tmp_path / "s.md").read_text()
