# SPDX-License-Identifier: GPL-3.0-or-later
"""The form of the pages: width, length, links with their anchors, rooms that exist, configurations that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
MAX_COLUMNS = 130
MAX_LINES = {"README.md": 90, "docs/architecture.md": 120}


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def without_code(page: Path) -> str:
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", without_code(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_width(page):
    wide = [f"line {number} has {len(line)}" for number, line in enumerate(page.read_text().splitlines(), 1)
            if len(line) > MAX_COLUMNS]
    assert not wide, f"{name(page)}, more than {MAX_COLUMNS}: {wide}"


@pytest.mark.parametrize("page", sorted(MAX_LINES))
def test_length(page):
    assert len((ROOT / page).read_text().splitlines()) <= MAX_LINES[page]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_and_anchors(page):
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#?([^)]*)\)", without_code(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{name(page)} links to {target}, which is not there"
        if anchor:
            assert anchor in anchors(path), f"{name(page)} links to {target}#{anchor}; there are {sorted(anchors(path))}"


def test_every_page_is_reached():
    """From the README, by links."""
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        waiting += [path for target in re.findall(r"\]\(([^)#\s]+)", without_code(page)) if not re.match(r"[a-z]+:", target)
                    for path in [(page.parent / target).resolve()] if path.is_file()]
    lost = [name(page) for page in PAGES if page not in seen]
    assert not lost, f"no page leads to {lost}"


def test_rooms_of_the_map():
    """The table of rooms names every folder of the package, and only those that exist."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    table = text[text.index("| room | is for |"):text.index("Outside the package")]
    package = ROOT / "python" / "spectrumencoder"
    folders = {path.parent.name for path in package.glob("*/__init__.py")}
    named = "".join(re.findall(r"^\|([^|]*)\|", table, re.MULTILINE))  # first column
    assert set(re.findall(r"`(\w+)/`", named)) == folders
    assert all((package / module).exists() for module in re.findall(r"`(\w+\.py)`", named)), named


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_named_files_exist(page):
    """Configurations and tools that a page names."""
    for path in re.findall(r"\b(?:recipes|tools|examples|models)/[\w/.-]+\.(?:toml|py|sh|md|grc|sigmf-meta)\b", page.read_text()):
        assert (ROOT / path).exists(), f"{name(page)} names {path}"
