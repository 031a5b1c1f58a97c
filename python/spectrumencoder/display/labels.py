# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels of boxes in a picture of matplotlib, none of which overprints another one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

_PAD = 2.0  # points around a text
_GAP = 3.0  # points between a box and its label
_MAX_ROWS = 12  # heights of a label by which it may be moved away from its box


class Label(NamedTuple):
    """A text for the box x0..x1, y0..y1 in the units of the axes; color: of its border."""

    text: str
    x0: float
    x1: float
    y0: float
    y1: float
    color: str


def draw_labels(axes, labels: Iterable[Label], *, size: float = 8.0, unnamed: Iterable[tuple] = ()) -> int:
    """Draws labels beside their boxes, the first ones first; one without a free place is left out. Returns how many are drawn.

    A label keeps off the boxes of others, so that it is not taken for theirs. If it cannot, a line leads to its own, or it lies on that.

    The layout of the figure must be final: draw it once, then turn its layout engine off.

    Args:
        axes: of matplotlib, on a canvas that has a renderer. size: points. unnamed: (x0, x1, y0, y1) of boxes without a label.
    """
    from matplotlib.font_manager import FontProperties

    renderer = axes.figure.canvas.get_renderer()
    font, pixels = FontProperties(size=size), renderer.points_to_pixels(1.0)
    frame, taken = axes.get_window_extent(renderer).extents, []
    labels = list(labels)
    boxes = [_box(axes, label[1:5], frame) for label in labels]
    avoided = {*boxes, *(_box(axes, one, frame) for one in unnamed)}
    for label, box in zip(labels, boxes, strict=True):
        width, height = _size(renderer, label.text, font, pixels)
        free = [place for place in _places(box, width, height, _GAP * pixels, frame)
                if not any(_meet(place, other) for other in taken)]
        if not free:
            continue
        place = next((place for place in free if not any(_meet(place, other) for other in avoided if other != box)), None)
        doubtful, place = place is None, place or free[0]
        led = _far(place, box, _GAP * pixels) or doubtful and not _meet(place, box)
        taken.append(place)
        _draw(axes, label, [side / pixels for side in place], [side / pixels for side in box], size, led)
    return len(taken)


def _box(axes, place: tuple, frame) -> tuple[float, float, float, float]:
    """Left, bottom, right and top, in pixels within a frame, of a box x0, x1, y0, y1."""
    x0, x1, y0, y1 = place
    (left, one), (right, other) = axes.transData.transform([(x0, y0), (x1, y1)])
    return (max(min(left, right), frame[0]), max(min(one, other), frame[1]), min(max(left, right), frame[2]),
            min(max(one, other), frame[3]))


def _size(renderer, text: str, font, pixels: float) -> tuple[float, float]:
    """Width and height in pixels of a text of some lines, with what is around it."""
    lines = text.splitlines()
    sizes = [renderer.get_text_width_height_descent(line, font, False) for line in lines]
    height = max(size[1] for size in sizes) * (1.0 + 1.45 * (len(lines) - 1))
    return max(size[0] for size in sizes) + 2 * _PAD * pixels, height + 2 * _PAD * pixels


def _places(box, width: float, height: float, gap: float, frame):
    """Rectangles (left, bottom, right, top) in pixels within a frame, the nearest to the box first."""
    left, bottom, right, top = box
    for row in range(_MAX_ROWS):
        away = gap + row * (height + 1.0)
        for y in (top + away, bottom - away - height):
            for x in (left, right - width, 0.5 * (left + right - width)):
                x = min(max(x, frame[0] + 1.0), frame[2] - width - 1.0)
                if y >= frame[1] and y + height <= frame[3] and x >= frame[0]:
                    yield x, y, x + width, y + height
        if row == 0:
            for y in (top - gap - height, bottom + gap):  # within the box, at its ends
                if right - left > 0.25 * width and top - bottom > 3.0 * height:
                    x = min(max(left, frame[0] + 1.0), frame[2] - width - 1.0)
                    if x >= frame[0]:
                        yield x, y, x + width, y + height
            for x in (right + gap, left - gap - width):
                if x >= frame[0] and x + width <= frame[2]:
                    y = min(max(0.5 * (top + bottom - height), frame[1] + 1.0), frame[3] - height - 1.0)
                    yield x, y, x + width, y + height


def _meet(one, other) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _far(place, box, gap: float) -> bool:
    """Whether a label is so far from its box that a line must lead to it."""
    return max(place[1] - box[3], box[1] - place[3], place[0] - box[2], box[0] - place[2]) > 1.5 * gap


def _draw(axes, label: Label, place, box, size: float, led: bool):
    """Draws a label at a place in points, which are the same in a file of any resolution."""
    middle = 0.5 * (place[0] + place[2])
    above = place[1] >= box[3]
    target = min(max(middle, box[0]), box[2]), box[3] if above else box[1]
    axes.annotate(label.text, target, xytext=(place[0] + _PAD, place[1] + _PAD), xycoords="figure points",
                  textcoords="figure points", fontsize=size, color="white", va="bottom", ha="left", annotation_clip=False,
                  bbox={"facecolor": "black", "alpha": 0.65, "edgecolor": label.color, "linewidth": 0.6, "pad": 1.2 * _PAD},
                  arrowprops={"arrowstyle": "-", "color": label.color, "linewidth": 0.8} if led else None)
