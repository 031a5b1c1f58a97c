# SPDX-License-Identifier: GPL-3.0-or-later
"""The page in the browser: its server, what it may be asked, and who may ask.

* ``feed``: a source of news, as a page follows it. A run is one; a hub has one for each sensor.
* ``rows``: spectra as bytes, and those of the last ten minutes.
* ``access``: who is let in. ``address``: where the server listens.
* ``app``: the addresses of the page and what they answer. ``server``: the thread in which that runs.
* ``snippets``: the samples around an alert, for a picture and for download.
* ``listener``: a run with a page of its own.
* ``static/``: the page itself: ES modules without a build step, and uPlot.

Only ``app``, ``server`` and ``listener`` import the packages of the extra "web".
"""
