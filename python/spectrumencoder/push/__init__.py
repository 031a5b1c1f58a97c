# SPDX-License-Identifier: GPL-3.0-or-later
"""Events to where a person or a house is: MQTT, and by apprise ntfy, e-mail, Telegram, webhooks and the rest.

`rules` say what a target gets, and when; `rules_file` reads them; `addresses` keep secrets out of sight; `outbox` puts events
into the spool without making the run wait; `mqtt_target` and `notify_target` send what waits there, each on a thread of its own;
`run_state` and `discovery` are what an MQTT broker retains; `message` words an event for a person."""
