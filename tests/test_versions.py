# SPDX-License-Identifier: GPL-3.0-or-later
"""One version, wherever it is written down; and packages that are named once for all ways to install them."""

import re
from pathlib import Path

from gnuradio.spectrumencoder.version import VERSION

ROOT = Path(__file__).resolve().parents[1]


def read(name: str) -> str:
    return (ROOT / name).read_text()


def test_every_package_has_the_version_of_the_library():
    cmake = dict(re.findall(r"set\(VERSION_(MAJOR|API|ABI) (\d+)\)", read("CMakeLists.txt")))
    version = ".".join(cmake[part] for part in ("MAJOR", "API", "ABI"))
    assert VERSION == version
    assert re.search(r"^version: (\S+)", read("MANIFEST.yml"), re.M)[1] == version
    assert re.match(r"gr-spectrumencoder \((\S+)\)", read("debian/changelog"))[1] == version
    assert re.search(r'set version = "(\S+)"', read(".conda/recipe/meta.yaml"))[1] == version


def names(requirements: str) -> set[str]:
    lines = [line.partition("#")[0].strip() for line in read(requirements).splitlines()]
    return {re.match(r"[\w-]+", line)[0].lower() for line in lines if line}


def test_the_debian_package_and_the_recipe_bring_what_a_run_requires():
    vendor = read("tools/vendor_packages")
    needed = set(re.findall(r'"([\w-]+)"', re.search(r"^NEEDED = \((.*)\)", vendor, re.M)[1]))
    recommended = {name for name in names("requirements.txt") if f"python3-{name}" in read("debian/control")}
    assert needed | recommended == names("requirements.txt")
    recipe = read(".conda/recipe/meta.yaml").replace("prometheus_client", "prometheus-client")
    assert [name for name in names("requirements.txt") if not re.search(rf"^    - {name}\b", recipe, re.M)] == []


def test_extras_are_those_of_the_requirements_files():
    from gnuradio.spectrumencoder.extras import EXTRAS
    for extra, packages in EXTRAS.items():
        listed = names(f"requirements-{extra}.txt")
        assert {name.lower() for name in packages.values()} - {"pyqt5"} == listed, extra  # PyQt5 is the distribution's
