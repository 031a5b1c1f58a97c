# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that come from settings.py: by the short name and the block's, with the row's default and range."""

import json

import pytest
from gnuradio.spectrumencoder.cli.main import program
from gnuradio.spectrumencoder.cli.options import option_names
from gnuradio.spectrumencoder.settings import CALIBRATE, RUN, SETTINGS, of_command


@pytest.mark.parametrize("command", [RUN, CALIBRATE])
def test_every_setting_is_an_option_by_both_names(command):
    parameters = {parameter.name: parameter for parameter in program([]).commands[command].params}
    for row in of_command(command):
        assert parameters[row.key].opts == option_names(row)
        assert str(parameters[row.key].default) == str(row.option_default), row.key
    assert parameters["rate"].opts == ["--rate", "--samp-rate"]
    assert parameters["format"].opts == ["--format", "--datatype"]
    assert parameters["freq"].opts == ["--freq", "--center-freq"]


def test_the_blocks_names_give_what_the_short_ones_give(call, noise, model_file, tmp_path):
    samples = tmp_path / "noise.cf32"
    samples.write_bytes(noise(100_000).tobytes())
    results = []
    for number, options in enumerate((
            ("--rate", "1e6", "--format", "cf32_le", "--freq", "433e6", "--pfa", 0.05, "--dropout", 0.5, "--policy", "energy",
             "--rope", "static", "--false-events", 100),
            ("--samp-rate", "1e6", "--datatype", "cf32_le", "--center-freq", "433e6", "--false-alarm-rate", 0.05,
             "--dropout-rate", 0.5, "--dropout-policy", "energy", "--rope-mode", "static", "--false-events-per-hour", 100))):
        summary = tmp_path / f"{number}.json"
        done = call("run", samples, *options, "--threshold-mode", "fixed", "--threshold", 1e-3, "--hold", 1, "--json", summary,
                    "--events", tmp_path / f"{number}.jsonl")
        assert done.returncode == 0, done.stderr
        events = [json.loads(line) for line in (tmp_path / f"{number}.jsonl").read_text().splitlines()]
        kept = [{key: event[key] for key in ("event_id", "dropout_rate", "threshold", "anomaly_score")} for event in events]
        results.append((json.loads(summary.read_text())["false_alarm_rate"], kept))
    assert results[0] == results[1]
    assert results[0][0] == 0.05 and {event["threshold"] for event in results[0][1]} == {1e-3}
    assert {event["dropout_rate"] for event in results[0][1]} == {0.5}


@pytest.mark.parametrize("arguments, says", [
    (["--hold", "0"], "hold 0 is outside [1, 1000000] frames"), (["--dropout", "1"], "1.0 is outside [0, 1)"),
    (["--false-alarm-rate", "0"], "outside [1e-6, 0.5]"), (["--encoded-group", "0"], "0 is outside [16, 64]"),
    (["--threshold", "0.1"], "--threshold 0.1 is for --threshold-mode fixed"),
    (["--confidence", "0.8"], "base is one model alone"),
    (["--threshold-mode", "soft"], "not one of calibrated, quantile, fixed"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else None)
def test_out_of_range_or_without_effect(call, the_line, write_sigmf, noise, model_file, tmp_path, arguments, says):
    assert says in the_line(call("run", write_sigmf(tmp_path, "noise", noise(20_000)), *arguments), 2)


def test_what_is_on_by_another_option_has_the_default_of_the_command_line():
    assert (SETTINGS["encoded_group"].default, SETTINGS["encoded_group"].option_default) == (0, 32)
    assert (SETTINGS["settle_ms"].default, SETTINGS["settle_ms"].option_default) == (0.0, 10.0)
