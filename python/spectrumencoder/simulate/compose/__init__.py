# SPDX-License-Identifier: GPL-3.0-or-later
"""Field bands: recordings of any length, composed of real recordings by a plan. The door is `writing.compose`.

| file | |
|---|---|
| `checks` | checks of a plan's single values |
| `plan` | the plan: its tables, read from TOML |
| `cuts` | bursts cut out of recordings and filtered to their own band; the simulator's waveforms as bursts |
| `timing` | when an emitter, an anomaly or a disturbance is on |
| `emitters` | the bursts of all emitters over the whole recording, with their truth |
| `anomalies` | the anomalies, on frequencies that no emitter uses |
| `receiving` | the receiver: filter, image, DC line, gain, impulses, losses |
| `band` | samples of any stretch of the band |
| `writing` | the whole recording, with its truth, as SigMF |
| `plans/` | the plans that ship |
"""
