# SPDX-License-Identifier: GPL-3.0-or-later
"""The program: words in, exit status out. One command per file; all work is done by the packages beside."""
