# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of ``anomaly_display``: ``feed`` collects on the scheduler's threads, ``widget`` keeps and draws on Qt's.

``plots``, ``table``, ``controls`` and ``widget`` need PyQt5 and pyqtgraph; the others do not use Qt.
"""
