# SPDX-License-Identifier: GPL-3.0-or-later
"""The version of the library and of all packages. ``tests/test_versions.py`` holds CMakeLists.txt and the packages against it."""

VERSION = "0.1.0"
