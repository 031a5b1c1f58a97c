# SPDX-License-Identifier: GPL-3.0-or-later
"""Sensors and a hub: many receivers send compressed spectra, alerts and health over ZeroMQ, one program keeps and shows them.

| file | is for |
|---|---|
| `message` | bytes of a message between sensor and hub |
| `certificates` | key files; the hub's list of sensors that it knows |
| `sender` | the sensor's end: sends from a spool on disk, in order, until the hub has acknowledged |
| `receiver` | the hub's end: checks, stores, acknowledges |
| `store` | the hub's file: what came, and up to which number of which run |
| `site` | what the hub knows now: sensors, alerts, spectra, link budget, tracks |
| `station`, `fields` | one sensor; what of its JSON is shown |
| `decoding`, `budget`, `histories` | spectra of PDUs; bytes a second; a history of each sensor |
| `server`, `page` | the whole hub; its page |
| `outlet` | a sensor as a user states it |
| `together` | who else hears it: the alerts and levels of other sensors at a frequency and time |
| `bearings` | bearings of several sensors, joined to one report for the tracker |

The room needs pyzmq (extra `hub`) and imports it when a socket is opened. It imports no GNU Radio.
"""
