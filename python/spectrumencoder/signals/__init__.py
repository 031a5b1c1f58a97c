# SPDX-License-Identifier: GPL-3.0-or-later
"""What is on the air: boxes in frequency and time, each with a class, and the signals that they are bursts of.

The door is `signal_list.SignalList`. Nothing is learned before: a signal that is always there is one, too.

| file | |
|---|---|
| `background` | the noise under the signals, from the first frames on |
| `segment` | one look at the band: runs of bins that hold power, their edges, and their class |
| `link` | runs of successive frames to bursts |
| `emission` | a burst as a row: place, width, level, class |
| `signal_list` | bursts to signals; messages, and the table |
| `watch` | the lists of all tunings of a stream as one: numbers, times, bursts |
| `inventory` | the hops of a scan put together: each signal once |
| `listing` | the inventory as a table, CSV, Markdown |
"""
