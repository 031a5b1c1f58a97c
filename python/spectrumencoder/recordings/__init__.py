# SPDX-License-Identifier: GPL-3.0-or-later
"""Recordings in files: SigMF and raw IQ, read and written. No GNU Radio in here."""
