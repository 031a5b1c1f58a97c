# SPDX-License-Identifier: GPL-3.0-or-later
"""Home Assistant's discovery message, held against what its documentation requires, and the figures that it points at."""

import json
import re

import pytest
from gnuradio.spectrumencoder.push import discovery
from gnuradio.spectrumencoder.push.run_state import RunState
from push_servers import event

# https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload, and components/mqtt/schemas.py of its core, which
# refuses any other key at the root
ROOT_REQUIRED, ROOT_ALLOWED = {"device", "origin", "components"}, {"state_topic", "availability_topic", "qos"}
STATE_CLASSES, CATEGORIES = {"measurement", "total", "total_increasing"}, {"config", "diagnostic"}


@pytest.mark.parametrize("prefix", ["attic", "spectrumencoder/my box.é"])
def test_the_message_has_what_is_required_and_nothing_that_is_refused(prefix):
    found = json.loads(json.dumps(discovery.payload(prefix, "Monitor")))
    assert re.fullmatch(r"homeassistant/device/[a-zA-Z0-9_-]+/config", discovery.topic("homeassistant", prefix))
    assert ROOT_REQUIRED <= found.keys() <= ROOT_REQUIRED | ROOT_ALLOWED
    assert found["device"]["identifiers"] and found["device"]["name"] == "Monitor" and found["origin"]["name"]
    assert found["availability_topic"] == f"{prefix}/availability"  # online and offline are the defaults of its payloads
    ids = [one["unique_id"] for one in found["components"].values()]
    assert len(set(ids)) == len(ids) and all(re.fullmatch("[a-zA-Z0-9_-]+", one) for one in ids)
    for one in found["components"].values():
        assert one["platform"] in ("sensor", "binary_sensor") and one["name"] and one.get("state_topic", found["state_topic"])
        assert one.get("state_class", "measurement") in STATE_CLASSES and one.get("entity_category", "config") in CATEGORIES
        assert ("state_class" in one) == ("unit_of_measurement" in one)
    assert found["components"]["problem"]["platform"] == "binary_sensor"
    assert found["components"]["problem"]["device_class"] == "problem"


def rendered(template, content):
    jinja2 = pytest.importorskip("jinja2")
    return jinja2.Environment().from_string(template).render(value_json=content)


def test_its_templates_read_the_figures_that_are_published():
    state = RunState()
    for number in range(3):
        state.take_event(event(number), 1000.0 * number)
    state.take_event(event(9, is_anomaly=False), 2000.0)
    state.take_health({"frames_per_s": 146.52, "frames": 10, "overflows": 1}, 2000.0)
    state.take_noise(-87.04)
    parts = discovery.payload("attic", "Monitor")["components"]
    figures = state.figures(5, 2, 1, 2001.0)
    values = {name: rendered(part["value_template"], figures | {"text": "x" * 300}) for name, part in parts.items()}
    assert values == {"last_alert": "x" * 255, "alerts_hour": "3", "emitters": "5", "noise": "-87.0", "frames": "146.5",
                      "problem": "ON"}
    assert figures["problem"] == "overflows" and figures["waiting"] == 2 and figures["dropped"] == 1
    later = state.figures(None, 0, 0, 4800.0)
    assert later["alerts_hour"] == 1 and later["problem"] == ""
    assert rendered(parts["problem"]["value_template"], later) == "OFF"
    assert rendered(parts["emitters"]["value_template"], later) == "None"  # which Home Assistant shows as unknown
    json.dumps(RunState().figures(None, 0, 0), allow_nan=False)
