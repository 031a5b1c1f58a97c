# SPDX-License-Identifier: GPL-3.0-or-later
"""Scan plans and sweeps: ranges of frequency to hops of a radio, spectra to stitched rows. No GNU Radio in here."""
