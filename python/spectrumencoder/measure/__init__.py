# SPDX-License-Identifier: GPL-3.0-or-later
"""What experiments and benches share: paired intervals, kept rows, timing, tables, pages, figures, provenance."""
