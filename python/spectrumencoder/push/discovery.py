# SPDX-License-Identifier: GPL-3.0-or-later
"""Home Assistant's MQTT discovery: one message that describes the monitor as a device with its sensors.

The form is that of a device discovery payload: https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from .. import keys
from ..version import VERSION


class Topics(NamedTuple):
    """The topics below a prefix. Retained: availability, state and last_alert."""

    events: str
    availability: str
    state: str
    last_alert: str

    @classmethod
    def below(cls, prefix: str) -> Topics:
        return cls(*(f"{prefix}/{name}" for name in cls._fields))


def device_id(prefix: str) -> str:
    """The id of the device: letters, digits, _ and -, as discovery topics allow."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", prefix)


def topic(discovery: str, prefix: str) -> str:
    """The topic of the discovery message."""
    return f"{discovery}/device/{device_id(prefix)}/config"


def payload(prefix: str, name: str) -> dict[str, Any]:
    """The discovery message. name: of the device, for people."""
    device, topics = device_id(prefix), Topics.below(prefix)
    sensors = {
        "last_alert": {"name": "Last alert", "icon": "mdi:radio-tower", "state_topic": topics.last_alert,
                       "value_template": "{{ value_json.text[:255] }}", "json_attributes_topic": topics.last_alert},
        "alerts_hour": _figure("Alerts in the last hour", keys.ALERTS_HOUR, "alerts", "mdi:bell-alert"),
        "emitters": _figure("Emitters known", keys.EMITTERS, "emitters", "mdi:access-point"),
        "noise": _figure("Noise", keys.FLOOR_DBFS, "dBFS", "mdi:waveform") | {"entity_category": "diagnostic",
                                                                              "suggested_display_precision": 1},
        "frames": _figure("Spectra per second", keys.FRAMES_PER_S, "1/s", "mdi:speedometer") | {
            "entity_category": "diagnostic", "suggested_display_precision": 1},
        "problem": {"platform": "binary_sensor", "name": "Problem", "device_class": "problem",
                    "value_template": f"{{{{ 'ON' if value_json.{keys.PROBLEM} else 'OFF' }}}}",
                    "json_attributes_topic": topics.state},
    }
    return {
        "device": {"identifiers": [device], "name": name, "manufacturer": "gr-spectrumencoder", "model": "Spectrum monitor",
                   "sw_version": VERSION},
        "origin": {"name": "gr-spectrumencoder", "sw_version": VERSION},
        "state_topic": topics.state,
        "availability_topic": topics.availability,
        "qos": 1,
        "components": {key: {"platform": "sensor", "unique_id": f"{device}_{key}"} | sensor for key, sensor in sensors.items()},
    }


def _figure(name: str, key: str, unit: str, icon: str) -> dict[str, Any]:
    return {"name": name, "icon": icon, "unit_of_measurement": unit, "state_class": "measurement",
            "value_template": f"{{{{ value_json.{key} }}}}"}
