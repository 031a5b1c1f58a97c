# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of each block: its ports, every parameter, a picture that is there, an example that runs; links of all pages."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from gnuradio import spectrumencoder
from gnuradio.spectrumencoder.settings import DETECTOR, ENCODER, TOKENIZER, TRACKER, of_monitor, of_stage

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


@pytest.mark.parametrize("name", sorted(spectrumencoder._BLOCKS))
def test_page_of_a_block(name):
    text = (DOCS / f"{name}.md").read_text()
    description = yaml.safe_load((ROOT / "grc" / f"spectrumencoder_{name}.block.yml").read_text())
    assert f"# {name}\n" in text and f"(pictures/block_{name}.png)" in text
    tables = "\n".join(line for line in text.splitlines() if line.startswith("|"))
    assert "| port | what |" in tables
    for port in description.get("inputs", []) + description["outputs"]:
        if port.get("id"):
            assert f"`{port['id']}`" in tables, port["id"]
    for parameter in description["parameters"]:
        if parameter["id"] != "gui_hint":
            assert f"`{parameter['id']}`" in tables, parameter["id"]
    assert "```python" in text and f".{name}(" in text, "no example"


@pytest.mark.parametrize(("name", "rows"), [
    ("fft_tokenizer", of_stage(TOKENIZER)), ("spectrum_encoder", of_stage(ENCODER)), ("anomaly_detector", of_stage(DETECTOR)),
    ("doma_tracker", of_stage(TRACKER)),
    ("spectrum_monitor", [row for row in of_monitor() if row.key not in ("fft_size", "stride", "window")])])  # the model's there
def test_defaults_on_the_page_are_the_settings(name, rows):
    defaults = {}
    for line in (DOCS / f"{name}.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        keys = re.fullmatch(r"(`\w+`(, )?)+", cells[1]) if len(cells) > 3 else None
        if keys:
            texts = re.split(r", (?![^(]*\))", cells[2])
            defaults = dict(zip(re.findall(r"\w+", cells[1]), texts, strict=False)) | defaults  # the first table counts
    for row in rows:
        if row.argument:
            text = re.sub(r" (s|\(the model.*\))$", "", defaults[row.key])
            assert (text.strip('"') if row.kind is str else ast.literal_eval(text)) == row.default, row.key


def test_flowgraphs_of_the_pages_run(tmp_path):
    """Every Python example that runs a flowgraph, as it stands, beside the examples folder."""
    codes = [code for name in sorted(spectrumencoder._BLOCKS)
             for code in re.findall(r"```python\n(.*?)```", (DOCS / f"{name}.md").read_text(), re.DOTALL) if "top.run()" in code]
    assert len(codes) >= 5
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    program = "".join(f"exec({code!r}, {{}})\nprint('ran')\n" for code in codes)
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0 and done.stdout.count("ran\n") == len(codes), done.stdout + done.stderr
    assert (tmp_path / "events.sigmf-meta").exists() and (tmp_path / "events.jsonl").exists()


@pytest.mark.parametrize("page", sorted(path.relative_to(ROOT).as_posix() for path in [*DOCS.rglob("*.md"), ROOT / "README.md"]))
def test_links_lead_somewhere(page):
    path = ROOT / page
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text()):
        if not re.match(r"[a-z]+:", target):
            assert (path.parent / target).exists(), target
