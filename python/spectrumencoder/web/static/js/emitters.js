// SPDX-License-Identifier: GPL-3.0-or-later
// The list of emitters: what the band's own are, with a line of their level.

import {renameForm} from "./rename.js";
import {age, count, element, moment, place, share, what, width} from "./format.js";

const MAX_SHOWN = 300;

export class Emitters {
  constructor(root, store, actions) {
    Object.assign(this, {root, store, actions, items: new Map(), words: ""});
  }

  find(text) {
    this.words = text.trim().toLowerCase();
    this.draw();
  }

  matches(row) {
    return !this.words || `${what(row)} ${place(row)} ${row.emitter_id} ${row.label || ""}`.toLowerCase().includes(this.words);
  }

  draw() {
    const rows = [...this.store.emitters.values()].filter(row => this.matches(row))
      .sort((a, b) => a.belongs - b.belongs || a.freq_center_hz - b.freq_center_hz).slice(0, MAX_SHOWN);
    const wanted = new Set(rows.map(row => row.emitter_id));
    for (const [id, item] of this.items) if (!wanted.has(id)) { item.remove(); this.items.delete(id); }
    let before = null;
    for (const row of rows) {
      let item = this.items.get(row.emitter_id);
      if (!item) this.items.set(row.emitter_id, item = element("tr", {"data-emitter": row.emitter_id}));
      this.fill(item, row);
      const place = before ? before.nextSibling : this.root.firstChild;
      if (place !== item) this.root.insertBefore(item, place);
      before = item;
    }
    return this.store.emitters.size;
  }

  fill(item, row) {
    const now = this.store.now, duty = this.store.dutyOf(row);
    const state = row.gone ? "gone" : !row.belongs ? "new" : row.accepted ? "accepted" : row.steady ? "steady" : "usual";
    const cells = [state, place(row), width(row.bandwidth_hz), what(row), row.emitter_name ? row.label : "", age(row.last_heard, now),
      age(row.first_heard, now), row.steady ? "steady" : share(duty), count(row.bursts)];
    const key = JSON.stringify([cells, row.accepted, this.store.steered]);
    if (item.dataset.key !== key && !item.querySelector("form")) {
      item.dataset.key = key;
      const line = item.querySelector("canvas") || element("canvas", {class: "spark"});
      const cell = (content, name, attributes = {}) => element("td", {"data-label": name, ...attributes}, content);
      const button = (text, action, title) => element("button", {class: "small quiet", title, onclick: action}, text);
      item.replaceChildren(
        cell(element("span", {class: `mark ${state}`}, state), "State"),
        cell(element("span", {}, element("b", {class: "num"}, cells[1]), element("small", {class: "muted num"}, cells[2])), "Frequency", {class: "stack"}),
        cell(element("span", {}, element("span", {class: "what"}, cells[3]), element("small", {class: "muted"}, cells[4] || "")), "Name or class", {class: "stack"}),
        cell(line, "Level"),
        cell(cells[5], "Last heard", {class: "num", title: moment(row.last_heard)}),
        cell(cells[6], "First heard", {class: "num", title: moment(row.first_heard)}),
        cell(cells[7], "Duty", {class: "num r"}), cell(cells[8], "Bursts", {class: "num r"}),
        element("td", {class: "r"}, row.emitter_id != null ? element("span", {class: "actions"},
          this.store.steered && !row.belongs && button("Accept", () => this.actions.accept(row), "It belongs to this band"),
          this.store.steered && button("Name", () => this.rename(item, row), "Give it a name"),
          button("Show", () => this.actions.show(row), "Show its place in the waterfall")) : ""));
    }
  }

  rename(item, row) {
    const done = () => { delete item.dataset.key; this.draw(); };
    item.querySelector(".what").parentElement.replaceWith(renameForm(row, text => this.actions.name(row, text), done));
    item.querySelector("input").focus();
  }

  // The lines of the level, of those on the screen
  lines() {
    const ink = getComputedStyle(document.documentElement).getPropertyValue("--now").trim();
    for (const [id, item] of this.items) {
      const canvas = item.querySelector("canvas");
      if (canvas?.offsetParent) this.store.history.draw(canvas, id, this.store.rows.last?.t ?? 0, ink);
    }
  }
}
