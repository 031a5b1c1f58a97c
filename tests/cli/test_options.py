# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that come from settings.py: by the short name and the block's, with the row's default and range."""

import json

import pytest
import typer
from gnuradio.spectrumencoder.cli.main import program
from gnuradio.spectrumencoder.cli.options import forgotten_unit, hz, hz_ranges, option_names, rate_hz, scan_ranges
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
        done = call("run", samples, *options, "--detector", "boxes", "--threshold-mode", "fixed", "--threshold", 1e-3, "--hold",
                    1, "--json", summary, "--events", tmp_path / f"{number}.jsonl")
        assert done.returncode == 0, done.stderr
        events = [json.loads(line) for line in (tmp_path / f"{number}.jsonl").read_text().splitlines()]
        kept = [{key: event[key] for key in ("event_id", "dropout_rate", "threshold", "anomaly_score")} for event in events]
        results.append((json.loads(summary.read_text())["false_alarm_rate"], kept))
    assert results[0] == results[1]
    assert results[0][0] == 0.05 and {event["threshold"] for event in results[0][1]} == {1e-3}
    assert {event["dropout_rate"] for event in results[0][1]} == {0.5}


@pytest.mark.parametrize(("text", "value"), [
    ("433.92M", 433.92e6), ("2400k", 2.4e6), ("2.4e6", 2.4e6), ("2400000", 2.4e6), ("1.09G", 1.09e9), ("-300k", -3e5),
    (2e6, 2e6)])
def test_a_frequency_may_have_a_prefix(text, value):
    assert hz(text) == value


@pytest.mark.parametrize("text", ["2.4X", "2.4 M", "2.4m", "M", "", "2e3M", "2.4MHz", "inf", "nan", "fast"])
def test_any_other_text_is_no_frequency(text):
    with pytest.raises(typer.BadParameter, match="is not a number of Hz; write it like 2400000, 2.4e6, 2400k or 2.4M"):
        hz(text)


def test_the_ends_of_a_range_may_have_a_prefix():
    assert hz_ranges("88M:108M, 433.05M:434790k") == "88000000.0:108000000.0,433050000.0:434790000.0"
    assert hz_ranges("88M:fast") == "88000000.0:fast" and hz_ranges("") == ""


@pytest.mark.parametrize(("rate", "freq", "lines"), [
    (2.4, 433.92, ["--rate 2.4 is 2.4 samples per second; did you mean 2.4M?",
                   "--freq 433.92 is 433.92 Hz; did you mean 433.92M?"]),
    (250, 2.4, ["--rate 250 is 250 samples per second; did you mean 250k?", "--freq 2.4 is 2.4 Hz; did you mean 2.4G?"]),
    (1e3, 1e4, []), (None, None, []), (0, 0, [])])
def test_a_forgotten_unit_is_asked_about(rate, freq, lines):
    assert forgotten_unit(rate, freq) == lines


def test_raw_samples_with_a_prefix_and_without_the_unit(call, the_line, noise, model_file, tmp_path):
    samples = tmp_path / "noise.cf32"
    samples.write_bytes(noise(50_000).tobytes())
    known = ("run", samples, "--format", "cf32_le", "--model", model_file)
    done = call(*known, "--rate", "2.4M", "--freq", "433.92M", "--detector", "boxes", "--threshold-mode", "fixed",
                "--events", tmp_path / "e.jsonl")
    assert done.returncode == 0 and "did you mean" not in done.stderr, done.stderr
    first = json.loads((tmp_path / "e.jsonl").read_text().splitlines()[0])
    assert first["band"] == "ism" and abs(first["freq_center_hz"] - 433.92e6) < 1.2e6
    assert "note: --rate 2.4 is 2.4 samples per second; did you mean 2.4M?" in call(*known, "--rate", "2.4").stderr
    assert "did you mean" not in call(*known, "--rate", "2.4", "--quiet").stderr
    assert "'2.4X' is not a number of Hz; write it like" in the_line(call(*known, "--rate", "2.4X"), 2)


def test_every_option_in_hz_takes_a_prefix():
    """By its help text or metavar: an option that says Hz goes through the one parser."""
    def commands(group, path=()):
        for name, command in group.commands.items():
            yield from commands(command, (*path, name)) if hasattr(command, "commands") else [((*path, name), command)]

    found = {}
    for path, command in commands(program([])):
        for parameter in command.params:
            words = f"{getattr(parameter, 'help', '') or ''} {parameter.metavar or ''}"
            if parameter.name in ("rate", "freq") or ("Hz" in words and "--rate HZ" not in words):
                found[" ".join((*path, parameter.name))] = getattr(parameter.type, "func", None)
    assert {"run rate", "run freq", "run bandwidth", "run scan", "calibrate rate", "calibrate bandwidth", "dataset synth rate",
            "dataset synth offset", "bench pipeline rate"} <= set(found)
    assert {name for name, parser in found.items() if parser not in (hz, rate_hz, hz_ranges, scan_ranges)} == set()


@pytest.mark.parametrize("arguments, says", [
    (["--hold", "0"], "hold 0 is outside [1, 1000000] frames"), (["--dropout", "1"], "1.0 is outside [0, 1)"),
    (["--false-alarm-rate", "0"], "outside [1e-6, 0.5]"), (["--encoded-group", "0"], "0 is outside [16, 64]"),
    (["--detector", "boxes", "--threshold", "0.1"], "--threshold 0.1 is for --threshold-mode fixed"),
    (["--confidence", "0.8"], "base is one model alone"),
    (["--threshold", "0.1"], "--threshold is for --detector boxes"), (["--pfa", "0.1"], "--pfa is for --detector boxes"),
    (["--detector", "boxes", "--learn", "5"], "--learn is for --detector emitters"),
    (["--detector", "boxes", "--band-file", "x.band"], "--band-file is for --detector emitters"),
    (["--belongs-after", "0"], "belongs_after 0 is outside [1, inf) bursts"),
    (["--detector", "max-hold"], "detector 'max-hold' is not one of emitters, boxes"),
    (["--detector", "boxes", "--threshold-mode", "soft"], "not one of calibrated, quantile, fixed"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else None)
def test_out_of_range_or_without_effect(call, the_line, write_sigmf, noise, model_file, tmp_path, arguments, says):
    assert says in the_line(call("run", write_sigmf(tmp_path, "noise", noise(20_000)), *arguments), 2)


def test_what_is_on_by_another_option_has_the_default_of_the_command_line():
    assert (SETTINGS["encoded_group"].default, SETTINGS["encoded_group"].option_default) == (0, 32)
    assert (SETTINGS["settle_ms"].default, SETTINGS["settle_ms"].option_default) == (0.0, 10.0)


@pytest.mark.parametrize("command", ["run", "survey"])
def test_a_picture_of_another_format_is_refused_before_the_run_begins(call, the_line, demo_scene, tmp_path, command):
    events = ["--events", tmp_path / "e.jsonl"] if command == "run" else []
    done = call(command, demo_scene, "--plot", tmp_path / "p.jpg", *events)
    line = the_line(done, 2)
    assert "p.jpg: pictures are PNG, PDF or SVG" in line and done.stdout == "" and not (tmp_path / "e.jsonl").exists()
