# SPDX-License-Identifier: GPL-3.0-or-later
"""The command lines and Python snippets of README.md and docs/*.md, as a reader finds them."""

import re
import socket
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PROGRAMS = {"spectrumencoder", ".venv/bin/spectrumencoder", ".venv/bin/pip", "../.venv/bin/python", "make", "git", "sudo",
        "cmake", "cd",
            "tools/gpu_check.py", "torchrun", "dask", "SoapySDRUtil", "rtl_sdr", "ssh",
            "GRC_BLOCKS_PATH=../.venv/share/gnuradio/grc/blocks"}
DIAGRAM = re.compile("[─►▼│┌└]")


@dataclass(frozen=True)
class Fence:
    """A block between fences. language: "" if none is stated; line: number of its first line; text: what it holds."""

    page: str
    line: int
    language: str
    text: str

    @property
    def is_shell(self) -> bool:
        return not self.language and self.text.split()[0] in PROGRAMS

    def commands(self) -> list[str]:
        """Its command lines: continued ones joined, comments removed, one space between words."""
        lines: list[str] = []
        for line in self.text.splitlines():
            line = re.sub(r"\s+#\s.*$", "", line)
            if lines and (lines[-1].endswith("\\") or line.startswith(" ")):
                lines[-1] = lines[-1].rstrip("\\").rstrip() + " " + line.strip()
            elif line.strip():
                lines.append(line.strip())
        return [re.sub(r" +", " ", line) for line in lines]


def fences(page: Path) -> list[Fence]:
    """All blocks of a page, in order."""
    text = page.read_text()
    return [Fence(page.relative_to(ROOT).as_posix(), text[:found.start(2)].count("\n") + 1, found[1], found[2])
            for found in re.finditer(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)]


def command_lines() -> dict[str, list[str]]:
    """The command lines of each page."""
    return {page.relative_to(ROOT).as_posix(): [line for fence in fences(page) if fence.is_shell for line in fence.commands()]
            for page in PAGES}


def free_port() -> int:
    """A TCP port of this machine that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
