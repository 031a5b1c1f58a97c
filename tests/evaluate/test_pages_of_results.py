# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages of docs/results: each is what its JSON gives, no line is too long, and words written by hand are kept."""

import importlib.util
from pathlib import Path

import pytest
from gnuradio.spectrumencoder.measure import page

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results"


def test_pages_are_what_their_json_gives(monkeypatch):
    monkeypatch.chdir(ROOT)
    spec = importlib.util.spec_from_file_location("remake_pages", ROOT / "tools" / "remake_pages.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    made = tool.pages()
    assert len(made) >= 13
    assert [str(path) for path, text in made.items() if path.read_text() != text] == []


@pytest.mark.parametrize("path", sorted(RESULTS.rglob("*.md")), ids=lambda path: path.relative_to(RESULTS).as_posix())
def test_no_line_of_a_results_page_is_too_long(path):
    assert [number for number, line in enumerate(path.read_text().splitlines(), 1) if len(line) > page.LINE] == []


def test_performance_is_a_page_that_one_reads():
    assert len((RESULTS / "performance.md").read_text().splitlines()) <= 200


def test_words_are_kept_when_a_page_is_made_again(tmp_path):
    path = tmp_path / "a.md"
    assert page.kept_words(path) == ""
    path.write_text(page.page("Title", "| a |\n", "Mine.\n\n## A heading of mine\n\nMore."))
    assert page.kept_words(path) == "Mine.\n\n## A heading of mine\n\nMore."
    path.write_text(page.page("Another title", "| b |\n", page.kept_words(path)))
    assert path.read_text().startswith(f"{page.LICENCE}\n# Another title\n\nMine.\n")
    assert path.read_text().endswith(f"More.\n\n{page.MARK}\n\n| b |\n") and "| a |" not in path.read_text()


def test_a_page_without_a_mark_has_no_words(tmp_path):
    (tmp_path / "a.md").write_text("# Title\n\nThe program's.\n")
    assert page.kept_words(tmp_path / "a.md") == ""


def test_a_wide_table_is_split_and_each_part_has_the_first_column():
    header, rows = ["name", *(f"column {n:02}" for n in range(20))], [["x", *("12.3 (11.2 to 13.4)" for _ in range(20))]]
    text = page.markdown_table(header, rows)
    parts = text.split("\n\n")
    assert len(parts) > 1 and all(part.startswith("| name | ") for part in parts)
    assert max(map(len, text.splitlines())) <= page.LINE
    assert text.count("12.3 (11.2 to 13.4)") == 20 and all(f"column {n:02}" in text for n in range(20))


def test_a_long_command_goes_on_in_the_next_line():
    command = "spectrumencoder evaluate speculative " + " ".join(f"--model models/folds/fold{n}.safetensors" for n in range(6))
    text = page.command_block(command)
    assert max(map(len, text.splitlines())) <= page.LINE
    assert " ".join(text.split("```\n")[1].replace("\\\n", " ").split()) == command
