// SPDX-License-Identifier: GPL-3.0-or-later
// Mouse and fingers on the waterfall: drag moves, wheel and two fingers zoom, a click chooses a box.

export function listen(root, view, boxes, actions) {
  const held = new Map();
  let moved = 0, pinch = null;
  const at = event => {
    const box = root.getBoundingClientRect();
    return {x: event.clientX - box.left, y: event.clientY - box.top};
  };
  const hzPerPixel = () => (view.high - view.low) / root.clientWidth;

  root.addEventListener("pointerdown", event => {
    held.set(event.pointerId, at(event));
    root.setPointerCapture(event.pointerId);
    moved = 0;
    pinch = null;
  });
  root.addEventListener("pointermove", event => {
    const place = at(event), before = held.get(event.pointerId);
    if (event.pointerType === "mouse" || !before) boxes.pointer = place;
    if (before) {
      held.set(event.pointerId, place);
      if (held.size === 2) zoomByFingers();
      else drag(before, place, event.pointerType);
    }
    actions.redraw();
  });
  const drag = (before, place, kind) => {
    moved += Math.abs(place.x - before.x) + Math.abs(place.y - before.y);
    if (moved < 5) return;
    if (!view.whole) view.pan((before.x - place.x) * hzPerPixel());
    // A drag down shows what is newer; with a finger the page scrolls instead
    const seconds = (place.y - before.y) / root.clientHeight * view.span;
    if (kind === "mouse" && seconds && (view.paused || Math.abs(seconds) > 0)) view.scrollTo(view.endS + seconds);
  };
  const zoomByFingers = () => {
    const [a, b] = [...held.values()], away = Math.max(20, Math.abs(a.x - b.x)), middle = (a.x + b.x) / 2;
    if (pinch) view.zoom(pinch / away, view.low + middle * hzPerPixel());
    pinch = away;
    moved = 99;
  };
  const release = event => {
    if (held.delete(event.pointerId) && moved < 5 && event.type === "pointerup") {
      boxes.pointer = at(event);
      const box = boxes.under(boxes.pointer);
      if (box?.kind === "alert") actions.select(box.row.event_id);
      actions.redraw();
    }
  };
  root.addEventListener("pointerup", release);
  root.addEventListener("pointercancel", release);
  root.addEventListener("pointerleave", () => { boxes.pointer = null; actions.redraw(); });
  root.addEventListener("dblclick", () => view.showWhole());
  root.addEventListener("wheel", event => {
    event.preventDefault();
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) view.scroll((event.deltaY || event.deltaX) / 400 * -view.span);
    else view.zoom(Math.exp(event.deltaY / 400), view.low + at(event).x * hzPerPixel());
  }, {passive: false});
}

// Keys of the page; a field that is edited keeps its own.
export function keys(view, actions) {
  document.addEventListener("keydown", event => {
    if (event.target.matches("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const step = 0.1 * (view.high - view.low);
    const table = {
      " ": () => actions.pause(), ArrowLeft: () => view.pan(-step), ArrowRight: () => view.pan(step), "+": () => view.zoom(0.7),
      "=": () => view.zoom(0.7), "-": () => view.zoom(1 / 0.7), 0: () => view.showWhole(), ArrowDown: () => view.scroll(-0.2 * view.span),
      ArrowUp: () => view.scroll(0.2 * view.span), End: () => view.pause(false), m: actions.maxHold, j: () => actions.step(1),
      k: () => actions.step(-1), a: actions.acceptSelected, i: actions.ignoreSelected, n: actions.nameSelected, "?": actions.help,
      1: () => actions.tab("band"), 2: () => actions.tab("alerts"), 3: () => actions.tab("emitters"), 4: () => actions.tab("run"),
    };
    if (event.key === " " && event.target.matches("button, a")) return;
    const action = table[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}
