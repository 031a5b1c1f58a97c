# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames in, emitters and alerts out."""
