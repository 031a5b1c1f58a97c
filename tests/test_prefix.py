# SPDX-License-Identifier: GPL-3.0-or-later
"""What the package finds beside itself in the prefix that it was installed into."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import gnuradio.spectrumencoder
import pytest

PACKAGE = Path(gnuradio.spectrumencoder.__file__).parent
VARIABLE = "SOAPY_SDR_PLUGIN_PATH"


@pytest.fixture
def installed(tmp_path):
    """installed(program) -> what it prints. The package's first files are in ``tmp_path/lib``, imported as spectrumencoder."""
    folder = tmp_path / "lib" / "python3" / "dist-packages" / "spectrumencoder"
    folder.mkdir(parents=True)
    for name in ("__init__.py", "soapy_path.py", "vendored.py"):
        shutil.copy(PACKAGE / name, folder)

    def run(program):
        environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
        done = subprocess.run([sys.executable, "-c", f"import sys; sys.path.insert(0, {str(folder.parent)!r})\n"
                               f"import spectrumencoder\n{program}"], capture_output=True, text=True, timeout=60,
                              env=environment, check=True)
        return done.stdout.strip()
    return run


@pytest.mark.parametrize("place", ["SoapySDR/modules0.8", "x86_64-linux-gnu/SoapySDR/modules0.8"])
def test_the_test_radio_is_found_where_a_prefix_and_a_distribution_have_it(installed, tmp_path, place):
    folder = tmp_path / "lib" / place
    folder.mkdir(parents=True)
    show = "from spectrumencoder.soapy_path import module_folder; print(module_folder())"
    assert installed(show) == "None", "a folder without the module is none"
    (folder / "libspectrumtestSupport.so").touch()
    assert installed(show) == str(folder)


def test_packages_that_came_along_are_imported_after_all_others_but_first_by_our_program(installed, tmp_path):
    vendor = tmp_path / "lib" / "gr-spectrumencoder" / "vendor"
    vendor.mkdir(parents=True)
    (vendor / "came_along.py").write_text("WHERE = 'vendor'\n")
    (vendor / "quopri.py").write_text("WHERE = 'vendor'\n")  # a name of the standard library that nothing has imported yet
    assert installed("import came_along, quopri; print(came_along.WHERE, hasattr(quopri, 'WHERE'))") == "vendor False"
    assert installed("spectrumencoder.vendored.add_vendored(first=True); import quopri; print(quopri.WHERE)") == "vendor"
