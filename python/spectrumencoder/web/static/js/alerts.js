// SPDX-License-Identifier: GPL-3.0-or-later
// The list of alerts, open ones first, and what an operator decides on them.

import {alertColor} from "./palette.js";
import {renameForm} from "./rename.js";
import {age, clock, count, decibels, element, moment, place, what, width} from "./format.js";

export const KINDS = {new: "New", gone: "Gone", louder: "Louder", moved: "Moved", changed: "Changed", burst: "Burst",
  "raised floor": "Raised floor", receiver: "Receiver"};

export class Alerts {
  constructor(root, store, actions) {
    Object.assign(this, {root, store, actions, items: new Map(), selected: null});
    root.addEventListener("click", event => {
      const item = event.target.closest("li[data-id]");
      if (item && !event.target.closest("button, input, a")) this.actions.select(item.dataset.id);
    });
  }

  draw() {
    const alerts = this.store.sortedAlerts(), wanted = new Set(alerts.map(alert => alert.event_id));
    for (const [id, item] of this.items) if (!wanted.has(id)) { item.remove(); this.items.delete(id); }
    let before = null;
    for (const alert of alerts) {
      let item = this.items.get(alert.event_id);
      if (!item) {
        item = element("li", {"data-id": alert.event_id, tabindex: 0});
        item.addEventListener("focus", () => this.actions.select(alert.event_id, false));
        this.items.set(alert.event_id, item);
      }
      this.fill(item, alert);
      const place = before ? before.nextSibling : this.root.firstChild;
      if (place !== item) this.root.insertBefore(item, place);
      before = item;
    }
    const open = alerts.filter(alert => alert.state !== "close").length;
    return {open, total: alerts.length};
  }

  fill(item, alert) {
    const emitter = this.store.emitters.get(alert.emitter_id), hasSnippet = this.store.snippets.has(alert.event_id);
    const accepted = !!emitter?.accepted, name = emitter?.name ?? emitter?.emitter_name;
    const ignored = (this.store.state.ignored || []).some(([low, high]) => low <= alert.freq_center_hz && alert.freq_center_hz <= high);
    const fields = {...alert, emitter_name: emitter?.emitter_name || alert.emitter_name};
    const key = JSON.stringify([alert.state, alert.timestamp, alert.sample_count, alert.bursts, alert.label, fields.emitter_name, name,
      accepted, ignored, hasSnippet, Math.floor(this.store.now / 5)]);
    if (item.dataset.key === key || item.querySelector("form")) return;
    item.dataset.key = key;
    item.style.setProperty("--level", alertColor(alert));
    item.className = [alert.state === "close" ? "closed" : "open", accepted || ignored ? "settled" : "",
      this.selected === alert.event_id ? "selected" : ""].join(" ");
    const sure = alert.confidence != null && alert.label && !fields.emitter_name ? ` ${Math.round(100 * alert.confidence)} %` : "";
    const facts = [fields.emitter_name ? alert.label : null, width(alert.bandwidth_hz),
      alert.snr_db == null ? null : `SNR ${decibels(alert.snr_db)}`, alert.power_dbfs == null ? null : decibels(alert.power_dbfs, "dBFS"),
      alert.bursts > 1 ? `${count(alert.bursts)} bursts` : null];
    const mark = accepted ? "accepted" : ignored ? "ignored" : alert.state === "close" ? "closed" : "on";
    item.replaceChildren(
      element("div", {class: "line"}, element("span", {class: "kind"}, KINDS[alert.alert] || alert.alert || "Event"),
        element("b", {class: "num"}, place(alert)), element("span", {class: "grow"}),
        element("span", {class: `mark ${mark}`}, mark)),
      element("div", {class: "line"}, element("span", {class: "what"}, what(fields) + sure), element("span", {class: "grow"}),
        element("time", {class: "num muted", title: moment(alert.opened)}, `${this.store.now - alert.opened > 64800 ? moment(alert.opened).slice(0, 10) : clock(alert.opened)} · ${age(alert.opened, this.store.now)}`)),
      element("div", {class: "facts muted num"}, facts.filter(Boolean).join(" · ")),
      this.buttons(alert, emitter, {accepted, ignored, hasSnippet}));
  }

  buttons(alert, emitter, {accepted, ignored, hasSnippet}) {
    const known = alert.emitter_id != null && this.store.steered && !alert.past, act = this.actions;
    const button = (text, action, attributes = {}) => element("button", {class: "small", onclick: action, ...attributes}, text);
    return element("div", {class: "actions"},
      known && !accepted && button("Accept", () => act.accept(alert), {"data-do": "accept", title: "It belongs to this band (a)"}),
      known && !ignored && button("Ignore", () => act.ignore(alert), {"data-do": "ignore", title: "Nothing at this place alerts (i)"}),
      known && button("Name", event => this.rename(event.target.closest("li"), alert, emitter), {"data-do": "name", title: "Give it a name (n)"}),
      hasSnippet && button("Picture", () => act.picture(alert), {"data-do": "picture"}),
      hasSnippet && element("a", {class: "button small", href: act.archive(alert), download: ""}, "SigMF"));
  }

  rename(item, alert, emitter) {
    const done = () => { delete item.dataset.key; this.draw(); };
    item.querySelector(".actions").replaceWith(renameForm(emitter || alert, text => this.actions.name(alert, text), done));
    item.querySelector("input").focus();
  }

  select(id, scroll = true) {
    this.selected = id;
    for (const [key, item] of this.items) {
      item.classList.toggle("selected", key === id);
      if (key === id && scroll) item.scrollIntoView({block: "nearest"});
    }
  }

  step(by) {
    const ids = this.store.sortedAlerts().map(alert => alert.event_id);
    if (!ids.length) return;
    const at = ids.indexOf(this.selected);
    this.actions.select(ids[Math.min(ids.length - 1, Math.max(0, at < 0 ? 0 : at + by))]);
  }
}
