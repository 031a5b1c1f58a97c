# SPDX-License-Identifier: GPL-3.0-or-later
"""`spectrumencoder band`: what it shows, what it changes, and its errors."""

import json
import sys
from pathlib import Path

import pytest
from gnuradio.spectrumencoder.cli.main import main
from gnuradio.spectrumencoder.emitters.band_file import load

sys.path.append(str(Path(__file__).resolve().parents[1] / "emitters"))
from bands import band_of


@pytest.fixture
def file(tmp_path):
    band_of(30, 2).save(tmp_path / "my.band")
    return tmp_path / "my.band"


@pytest.fixture
def band(capsys):
    """band(words...) -> (exit status, stdout, stderr)."""
    def run(*words):
        status = main(["band", *map(str, words)])
        said = capsys.readouterr()
        return status, said.out, said.err
    return run


def test_it_shows_twenty_emitters_in_order_of_frequency_and_says_how_many_more(band, file):
    status, out, _ = band("show", file)
    lines = out.splitlines()
    assert status == 0 and lines[0] == f"{file}: 120 s learned, 30 emitters, 2 tunings, model base"
    assert len(lines) == 23 and lines[-1].strip() == "and 10 more"
    places = [float(line.split()[1]) for line in lines[2:22]]
    assert places == sorted(places)
    assert lines[2].split() == ["1", "433.0750", "MHz", "56.3", "kHz", "-60.0", "dBFS", "16", "dB", "3", "LoRa",
                                "(new)"]
    assert len(band("show", file, "--all")[1].splitlines()) == 32


def test_the_json_has_every_emitter(band, file, tmp_path):
    assert band("show", file, "--json", tmp_path / "b.json")[0] == 0
    written = json.loads((tmp_path / "b.json").read_text())
    assert [row["emitter_id"] for row in written["emitters"]] == list(range(1, 31))
    row = written["emitters"][4]
    assert row["bursts"] == 3 and row["label"] == "LoRa" and row["hop_set_hz"] == [433e6, 433.2e6]
    assert (row["first_heard"], row["last_heard"]) == (1.7e9, 1.7e9 + 9.6)
    assert written["learned_s"] == 120.0 and written["complete"] and len(written["tunings"]) == 2


def test_decisions_are_in_the_file(band, file):
    assert band("accept", file, 3)[:2] == (0, f"emitter 3 belongs to {file}\n")
    assert band("name", file, 4, "garden gate")[0] == band("rename", file, 5, "pump")[0] == 0
    status, out, _ = band("ignore", file, "433.5M:433600k")
    assert status == 0 and out == f"{file}: 433.5000 to 433.6000 MHz are ignored\n"
    assert band("ignore", file, 7)[0] == 0
    registry = load(file).registry
    assert registry.emitters[3].accepted and registry.emitters[3].belongs and not registry.emitters[2].accepted
    assert (registry.emitters[4].name, registry.emitters[5].name) == ("garden gate", "pump")
    assert registry.ignored[0] == (433.5e6, 433.6e6)
    low, high = registry.ignored[1]
    assert low <= registry.emitters[7].low_hz < registry.emitters[7].high_hz <= high
    assert registry.is_ignored(registry.emitters[7].low_hz, registry.emitters[7].high_hz)
    out = band("show", file, "--all")[1]
    assert "garden gate" in out and "(accepted)" in out and "ignored: 433.5000 to 433.6000 MHz" in out
    assert band("unignore", file, "433.55M:433.56M")[0] == 0
    assert load(file).registry.ignored == [(low, high)]
    assert band("name", file, 4, "")[0] == 0 and load(file).registry.emitters[4].name == ""


@pytest.mark.parametrize(("words", "status", "says"), [
    (("accept", 99), 1, "there is no emitter 99; there are 1 to 30"), (("name", 0, "x"), 1, "there is no emitter 0"),
    (("name", 1, "a\nb"), 1, "is not one line of 100 characters"), (("ignore", "1e6:1e5"), 1, "with LOW below HIGH"),
    (("ignore", "gate"), 2, "neither LOW:HIGH in Hz, such as 433.9M:434M, nor the number"),
    (("ignore", "1.5"), 2, "neither LOW:HIGH"), (("ignore", 99), 1, "there is no emitter 99"),
    (("unignore", "1M:2M"), 1, "no ignored range overlaps 1000000:2000000 Hz; ignored are none"),
    (("ignore", "434.5:434.52"), 2, "434.5:434.52 is 434.5 to 434.52 Hz; did you mean 434.5M:434.52M?"),
    (("unignore", 3), 2, "is not LOW:HIGH in Hz"), (("accept", "x"), 2, "x")])
def test_what_cannot_be_decided_is_one_line_and_changes_nothing(band, file, words, status, says):
    before = file.read_bytes()
    result = band(words[0], file, *words[1:])
    assert result[0] == status and says in result[2] and result[2].count("\n") == 1 and result[2].startswith("error: ")
    assert file.read_bytes() == before


def test_low_frequencies_are_right_if_the_centre_is_not_known(band, file):
    known = load(file)
    known.tunings[0].freq_hz = 0.0
    known.save(file)
    assert band("ignore", file, "434.5:2000")[0] == 0 and load(file).registry.ignored[-1] == (434.5, 2000.0)


def test_a_damaged_or_missing_file_is_one_line(band, file, model_file, tmp_path):
    file.write_bytes(file.read_bytes()[:1000])
    for words, says in ((("show", file), "is no band file, or damaged"), (("accept", file, 1), "is no band file, or damaged"),
                        (("show", tmp_path / "none"), "there is no band file"), (("show", model_file), "--detector boxes")):
        status, _, err = band(*words)
        assert status == 1 and says in err and err.count("\n") == 1
