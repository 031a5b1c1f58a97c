# SPDX-License-Identifier: GPL-3.0-or-later
"""An alert states the class of its own box, by the tokens in it: whatever else is on in the same frames."""

import numpy as np
import pytest
from gnuradio.spectrumencoder import keys
from gnuradio.spectrumencoder.emitters.box_classes import BoxClasses
from gnuradio.spectrumencoder.emitters.watcher import EmitterDetector
from gnuradio.spectrumencoder.encoder import features as layout
from gnuradio.spectrumencoder.encoder.token_classes import columns
from streams import CONTRACT, FLOOR_DB, Feed, N, add, features_of, noise, opens

LABELS = ["noise", "LoRa", "LTE"]
M, COLUMNS = N // 8, len(columns(LABELS))
FRAMES, BURST = 100, 20  # of a scene, of its bursts
PLACES = {"LoRa": (60, 12), "LTE": (180, 30), "unknown signal": (228, 6)}  # middle and width, bins


def detector(**settings):
    return EmitterDetector(CONTRACT | {"labels": LABELS}, **{"learn_s": 8.0} | settings)


def quiet_tokens(count):
    """Token classes of noise (F, M, L + 2)."""
    tokens = np.zeros((count, M, COLUMNS), np.float32)
    tokens[:, :, 0] = 1.0
    return tokens


def say(tokens, first, count, name, share=0.9):
    """The tokens in the place of `name` say what it is, less sure at its edges, where half of them is noise."""
    middle, width = PLACES[name]
    low, high = int(middle - width / 2) // 8, int(middle + width / 2 - 1) // 8
    part = tokens[first:first + count, low:high + 1]
    part[:] = 0.0
    part[..., columns(LABELS).index(name)] = share
    part[..., 0] = 1.0 - share
    part[:, [0, -1], 0] += share / 2
    part[:, [0, -1], columns(LABELS).index(name)] -= share / 2


def scene(names, seed=0):
    """Noise, then bursts of these names that begin one after the other and are on together: (F, N) power over the floor and token
    classes (F, M (L + 2))."""
    rows, tokens = noise(FRAMES, np.random.default_rng(seed)), quiet_tokens(FRAMES)
    for number, name in enumerate(names):
        add(rows, 50 + 5 * number, BURST, PLACES[name][0], 18.0, PLACES[name][1])
        say(tokens, 50 + 5 * number, BURST, name)
    return rows, tokens.reshape(FRAMES, -1)


def give(feed, rows, tokens, batch=64):
    """Frames whose whole label is LTE for sure, whatever is in them."""
    features = features_of(len(rows))
    features[:, layout.PROBABILITIES][:, 2] = 0.97
    features[:, layout.K_ENCODED] = 32
    psd = (10.0 * np.log10(rows) + FLOOR_DB).astype(np.float32)
    return feed.give_db(psd, features=features, token_classes=tokens, batch=batch)


def learned(with_tokens=True):
    feed = Feed(detector=detector())
    rows = feed.noise(10.0)
    give(feed, rows, quiet_tokens(len(rows)).reshape(len(rows), -1) if with_tokens else None)
    assert not feed.detector.learning
    return feed


def by_place(said):
    """Label and confidence of the alerts, by the place that each is at."""
    bins = {name: (middle - N // 2) * 50 * 16 for name, (middle, _) in PLACES.items()}
    return {min(bins, key=lambda name: abs(433e6 + bins[name] - m[keys.FREQ_CENTER_HZ])): (
        m.get(keys.LABEL), m.get(keys.CONFIDENCE)) for m in said}


def test_three_emitters_in_the_same_frames_have_their_own_classes():
    feed = learned()
    said = give(feed, *scene(PLACES)) + feed.flush()
    found = by_place(opens(said, "new"))
    assert {place: label for place, (label, _) in found.items()} == {name: name for name in PLACES}
    assert all(confidence == pytest.approx(1.0) for _, confidence in found.values())  # the share of noise does not count
    assert {m[keys.LABEL] for m in said if m[keys.STATE] == "close"} == set(PLACES)
    assert {emitter.label for emitter in feed.detector.registry.emitters.values()} == set(PLACES)


def test_a_class_that_cannot_be_at_the_frequency_is_not_said():
    boxes = BoxClasses(["noise", "LoRa", "BLE"], 32)
    mean = np.array([0.5, 0.1, 0.38, 0.02])
    assert boxes.shares(mean, 2.44e9) == pytest.approx({"LoRa": 0.2, "BLE": 0.76})
    assert boxes.shares(mean, 433.9e6) == pytest.approx({"LoRa": 0.1 / 0.158, "unknown signal": 0.058 / 0.158})
    assert boxes.shares(mean, None) == pytest.approx({"LoRa": 0.2, "BLE": 0.76})


def test_without_an_answer_of_the_tokens_the_frames_label_counts_as_before():
    rows, tokens = scene(PLACES)
    for none in (None, np.full_like(tokens, np.nan)):
        feed = learned(with_tokens=none is not None)
        found = by_place(opens(give(feed, rows, none), "new"))
        assert {label for label, _ in found.values()} == {"LTE"}
        assert all(confidence == pytest.approx(0.97) for _, confidence in found.values())


def test_token_classes_are_given_always_or_never():
    feed = learned()
    with pytest.raises(ValueError, match="came with the first frames, and not so with these; give them with all frames or with"):
        give(feed, feed.noise(1.0), None)
    feed.detector.reset()
    give(feed, feed.noise(1.0), None)


def test_a_skipped_frame_has_no_say():
    rows, tokens = scene(["LoRa"])
    tokens[55:60] = np.nan
    feed = learned()
    assert by_place(opens(give(feed, rows, tokens), "new")) == {"LoRa": ("LoRa", pytest.approx(1.0))}


def test_an_unsure_box_has_its_best_class_and_says_how_sure_it_is():
    rows, tokens = scene(["LoRa"])
    part = tokens.reshape(FRAMES, M, COLUMNS)[50:50 + BURST]
    part[..., 2] += 0.8 * part[..., 1]
    part[..., 3] += 0.6 * part[..., 1]
    feed = learned()
    assert by_place(opens(give(feed, rows, tokens), "new")) == {"LoRa": ("LoRa", pytest.approx(1.0 / 2.4, abs=1e-3))}


def test_the_answer_does_not_depend_on_batches():
    rows, tokens = scene(PLACES)
    said = []
    for batch in (64, 7, 1):
        feed = learned()
        said.append([{key: value for key, value in m.items() if key != keys.LATENCY_MS}
                     for m in give(feed, rows, tokens, batch) + feed.flush()])
    assert said[0] == said[1] == said[2] and said[0]


def test_a_steady_emitter_has_a_class_when_it_is_gone():
    feed = Feed(detector=detector(learn_s=20.0))
    for second in range(25):
        if second == 5:  # a copy goes on by itself
            feed.detector = feed.detector.copy()
        rows, tokens = feed.noise(1.0), quiet_tokens(50)
        add(rows, 0, 50, PLACES["LoRa"][0], 15.0, PLACES["LoRa"][1])
        say(tokens, 0, 50, "LoRa")
        give(feed, rows, tokens.reshape(50, -1))
    assert [(e.steady, e.label) for e in feed.detector.registry.emitters.values()] == [(True, "LoRa")]
    silent = feed.noise(8.0)
    gone, = opens(give(feed, silent, quiet_tokens(len(silent)).reshape(len(silent), -1)), "gone")
    assert (gone[keys.LABEL], gone[keys.CONFIDENCE]) == ("LoRa", pytest.approx(1.0))


def test_a_token_counts_by_the_bins_of_the_box_in_it():
    boxes = BoxClasses(LABELS, 32)
    tokens = np.zeros((4, 4))
    tokens[0, 1], tokens[1, 2], tokens[2:, 0] = 1.0, 1.0, 1.0
    np.testing.assert_allclose(boxes.mean(tokens, 6, 13), [0.0, 0.25, 0.75, 0.0])  # 2 bins, 6 bins
    np.testing.assert_allclose(boxes.mean(tokens, 9, 9), [0.0, 0.0, 1.0, 0.0])
    np.testing.assert_allclose(boxes.mean(tokens, 0, 31), tokens.mean(axis=0))
    assert boxes.shares(boxes.mean(tokens, 6, 20), None) == {"LoRa": 0.2, "LTE": 0.8}
    assert boxes.shares(boxes.mean(tokens, 16, 31), None) == {} == boxes.of_box(None, 0, 3, None)
