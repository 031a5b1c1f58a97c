# SPDX-License-Identifier: GPL-3.0-or-later
"""Each command line and Python snippet of README.md and docs/*.md does what its page says: run in order, in an empty folder.

`documented_promises` says what each line promises, and which cannot run in a test. The recordings are the bundled scene under the
pages' names, and radios are the test radio at full speed.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from documented_lines import DIAGRAM, PAGES, ROOT, command_lines, fences, free_port
from documented_promises import AFTER, LINES, NOT_RUN, OUTPUTS, SNIPPETS, SYNOPSES, Promise
from gnuradio.spectrumencoder.cli.main import main, program

LONGEST_S = 240  # of one line, on a busy machine
COMMANDS = command_lines()
ALERT = re.compile(r"^\d{4}-\d\d-\d\dT\S+Z  (?:new|gone|louder|changed|moved|raised floor)  ", re.MULTILINE)
pytestmark = pytest.mark.timeout(900)


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def recordings(tmp_path_factory, demo_scene) -> Path:
    """The recordings of the pages: the bundled scene, the same band without its anomaly, and a GNSS band."""
    folder = tmp_path_factory.mktemp("recordings")
    data = demo_scene.with_suffix(".sigmf-data")
    for copy in ("today", "capture"):
        shutil.copy(demo_scene, folder / f"{copy}.sigmf-meta")
        shutil.copy(data, folder / f"{copy}.sigmf-data")
    (folder / "capture.cu8").write_bytes(bytes(byte ^ 0x80 for byte in data.read_bytes()))
    gnss = ("--freq", "1575.42M", "--rate", "4M", "--seconds", "0.5")
    for made, options in (("quiet", ("--seconds", "1.5", "--noise-seed", "1001", "--anomaly", "none")),
                          ("genuine", (*gnss, "--anomaly", "none")),
                          ("spoofed", (*gnss, "--noise-seed", "9", "--anomaly", "spoof", "--inr", "20"))):
        assert main(["dataset", "synth", "--out", str(folder / made), *options]) == 0
    return folder


@pytest.fixture
def place(tmp_path, recordings) -> Path:
    """An empty folder with the recordings, the repository's folders that pages name, and the program in .venv/bin."""
    for recording in recordings.iterdir():
        (tmp_path / recording.name).symlink_to(recording)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    for folder in ("recipes", "models", "tools"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    (tmp_path / "build").mkdir()
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    blocks = tmp_path / ".venv" / "share" / "gnuradio" / "grc"
    blocks.mkdir(parents=True)
    (blocks / "blocks").symlink_to(ROOT / "grc")
    script = "import sys; from gnuradio.spectrumencoder.cli.main import main; sys.exit(main())"
    for word, words in (("spectrumencoder", f"-c '{script}'"), ("python", "")):
        (programs / word).write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n')
        (programs / word).chmod(0o755)
    return tmp_path


def fulfils(promise: Promise, folder: Path, said: str, line: str):
    """Holds files and output against a promise."""
    for file in promise.writes:
        found = list(folder.glob(file)) if "*" in file else [folder / file]
        assert found and all(one.exists() and one.stat().st_size for one in found), f"{line}: {file} is missing or empty\n{said}"
    for pattern in promise.says:
        assert re.search(pattern, said), f"{line}: it says nothing like {pattern!r}\n{said}"
    if promise.alerts is not None:
        number = len(ALERT.findall(said))
        assert promise.alerts[0] <= number <= promise.alerts[1], f"{line}: {number} alerts\n{said}"


def run(promise: Promise, line: str, folder: Path, programs: Path):
    """Runs a line as a reader would, in the shell, and holds it to its promise."""
    command = promise.command(line).replace("FREE_PORT", str(free_port())).replace("GRCC", shutil.which("grcc") or "grcc")
    done = subprocess.run(["bash", "-c", f'PATH="{programs}:$PATH"\n{command}'], cwd=folder, capture_output=True, text=True,
                          timeout=LONGEST_S, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == promise.status and "Traceback" not in said, f"{command}: status {done.returncode}\n{said}"
    fulfils(promise, folder, said, command)


@pytest.mark.parametrize("page", [page for page in COMMANDS if any(line in LINES or SYNOPSES.get(line) for line in
        COMMANDS[page])])
def test_command_lines_of_a_page(page, place):
    folder = place
    for line in COMMANDS[page]:
        if line.startswith("cd "):
            folder = place / line[3:]
        elif line in LINES:
            run(LINES[line], line, folder, place / ".venv" / "bin")
        for example, promise in SYNOPSES.get(line, ()):
            run(promise, example, folder, place / ".venv" / "bin")


@pytest.mark.parametrize("page", [name(page) for page in PAGES if any(one.language == "python" for one in fences(page))])
def test_snippets_of_a_page(page, place):
    codes = [one.text for one in fences(ROOT / page) if one.language == "python"]
    text, port = "\0".join(codes), free_port()
    for words, replacement in SNIPPETS.get(page, ()):
        assert words in text, f"{page}: {words!r} is no longer in a snippet: remove it from the table"
        text = text.replace(words, replacement)
    snippets = text.replace("FREE_PORT", str(port)).split("\0")
    shared = page == "docs/event_log.md"  # the second one listens to the first
    code = "names = {}\n" + "".join(f"exec({one!r}, {'names' if shared else '{}'})\nprint('ran')\n" for one in snippets)
    done = subprocess.run([sys.executable, "-c", code], cwd=place, capture_output=True, text=True, timeout=LONGEST_S,
        check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0 and done.stdout.count("ran\n") == len(codes), said
    fulfils(AFTER.get(page, Promise()), place, said, page)


def test_every_line_is_in_a_table_and_every_row_on_a_page():
    documented = {line for lines in COMMANDS.values() for line in lines}
    tables = [*LINES, *SYNOPSES, *NOT_RUN]
    assert len(tables) == len(set(tables)), "a line is in two tables"
    assert documented - set(tables) == set(), "lines of a page that no table has"
    assert set(tables) - documented == set(), "lines of a table that no page has"
    pages = {name(page) for page in PAGES}
    assert {*SNIPPETS, *AFTER} <= pages
    named = re.findall(r"tests/[\w/]+\.py", " ".join(NOT_RUN.values()))
    assert named and all((ROOT / path).exists() for path in named)


def test_no_block_without_a_language_is_left_out():
    """It is command lines, a diagram, or declared output."""
    for page in PAGES:
        for one in fences(page):
            if not one.language and not one.is_shell and not DIAGRAM.search(one.text):
                assert any((page_of, True) == (one.page, one.text.startswith(words)) for page_of, words in OUTPUTS), (one.page,
                    one.line)


def commands_of(line: str) -> list[tuple[list[str], typer.core.TyperCommand]]:
    """The commands that a documented line names: `bench a|b` names two."""
    words = line[line.index("spectrumencoder "):].split()[1:]
    found = [([], program([]))]
    for word in words:
        if not isinstance(found[0][1], typer.core.TyperGroup) or word.lstrip("[").startswith("-"):
            break
        found = [([*path, one], command.get_command(None, one)) for path, command in found for one in word.split("|")]
    return found


@pytest.mark.parametrize("line", [line for line in (*LINES, *SYNOPSES, *NOT_RUN)
                                  if re.search(r"(^|/| )spectrumencoder (?!COMMAND)", line)])
def test_options_of_a_line_exist(line):
    line = line.rpartition("| ")[2] if line.startswith("rtl_sdr") else line
    named = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", line[line.index("spectrumencoder "):])) - {"--help"}
    for path, command in commands_of(line):
        assert command is not None, f"no command {' '.join(path)}"
        options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        assert named <= options, f"{' '.join(path)} has no {sorted(named - options)}"


def test_files_that_lines_not_run_name_exist():
    for line in NOT_RUN:
        for path in re.findall(r"\b(?:recipes|models|tools)/[\w/.]+", line):
            assert (ROOT / path).exists(), path
