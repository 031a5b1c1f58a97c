# SPDX-License-Identifier: GPL-3.0-or-later
"""The detector in the field: bands composed of real recordings, what each detector finds there, and how often it is wrong.

``bands`` makes frames with truth, ``detectors`` lists who watches them (``places``, ``tails``, ``watchers``), ``alerts`` joins
exceedances, ``matching`` holds alerts against the truth, ``figures`` counts, ``run`` and ``report`` make the page.
"""
