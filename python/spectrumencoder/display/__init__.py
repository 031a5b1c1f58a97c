# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``anomaly_display`` shows: collected on the scheduler's threads (``feed``), kept and drawn on Qt's (``widget``).

``plots``, ``table``, ``controls`` and ``widget`` need PyQt5 and pyqtgraph; the others know no Qt.
"""
