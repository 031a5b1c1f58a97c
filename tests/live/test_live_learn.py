# SPDX-License-Identifier: GPL-3.0-or-later
"""The live example of the README, on the test radio at full speed."""

import json
import re

from gnuradio.spectrumencoder.cli.main import main
from gnuradio.spectrumencoder.emitters.band_file import load


def test_run_learn_finds_the_carrier_that_appears(model_file, tmp_path, capsys):
    # the seed makes it a radio of its own: SoapySDR gives two openings with the same arguments one device, and its scene goes on
    status = main(["run", "soapy:driver=spectrumtest,pace=0,seed=0", "--freq", "434M", "--rate", "2.4M", "--learn", "20",
                   "--duration", "45", "--model", str(model_file), "--events", str(tmp_path / "e.jsonl"),
                   "--json", str(tmp_path / "s.json")])
    said = capsys.readouterr()
    assert status == 0, said.err
    assert re.search(r"^on the air after 1\.\d+ s: \d+ signals?\n(?:.*\n)+learned 20(\.\d)? s of signal, heard \d emitters\n",
                     said.out)
    assert re.search(r"Z  new  433\.50\d+ MHz  .*  emitter \d+\n", said.out)
    opened = [event for event in map(json.loads, (tmp_path / "e.jsonl").read_text().splitlines()) if event["state"] == "open"]
    assert len([e for e in opened if e["alert"] == "new" and abs(e["freq_center_hz"] - 433.5e6) < 5e3]) == 1
    (run,) = json.loads((tmp_path / "s.json").read_text())["recordings"]
    assert run["learned"] and run["alerts"]["new"] == 1 and run["emitters"] >= 3


def test_a_scan_is_learned_and_what_is_new_in_it_is_found(make_scene, model_file, tmp_path, capsys):
    stations = [{"freq_hz": freq_hz} for freq_hz in (90.0e6, 93.0e6)]
    usual = make_scene(*stations, name="usual")
    later = make_scene(*stations, {"freq_hz": 94.5e6, "start_s": 4}, name="later")
    common = ("--rate", "2.4M", "--scan", "88M:96M", "--model", str(model_file))
    file = tmp_path / "hops.band"
    status = main(["calibrate", f"soapy:driver=spectrumtest,pace=0,scene={usual}", *common, "--duration", "8",
                   "--out", str(file)])
    said = capsys.readouterr()
    assert status == 0 and "heard 2 emitters" in said.out and not list(tmp_path.glob(".calibrate*")), said
    band = load(file)
    assert band.complete and len(band.tunings) == 5
    status = main(["run", f"soapy:driver=spectrumtest,pace=0,scene={later}", *common, "--duration", "10",
                   "--band-file", str(file)])
    said = capsys.readouterr()
    alerts = [line for line in said.out.splitlines() if "Z  " in line]
    assert status == 0 and len(alerts) == 1 and re.search(r"  new  94\.(49|50)", alerts[0]), said
