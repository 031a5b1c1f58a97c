# SPDX-License-Identifier: GPL-3.0-or-later
"""From samples to frames of tokens: layout, kernel access, averaging, band plan."""
