# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames in, events out: scores, conformal tables, regions in frequency, events in time. NumPy only, no GNU Radio."""
