// SPDX-License-Identifier: GPL-3.0-or-later
// The run: its controls, ignored ranges, health and log.

import {clock, count, element, hz, seconds} from "./format.js";

export class Run {
  constructor(parts, store, actions) {
    Object.assign(this, {...parts, store, actions, inputs: {}, kind: ""});
  }

  // Controls that the run has; made anew if another run began
  make() {
    const {about} = this.store, kind = [about.source, about.is_radio, about.is_scan, this.store.ended !== null, this.store.steered].join();
    if (kind === this.kind) return;
    this.kind = kind;
    this.inputs = {};
    const rows = [];
    if (this.store.ended !== null) rows.push(element("p", {class: "muted"}, "The run has ended: nothing can be set."));
    else if (!this.store.steered) rows.push(element("p", {class: "muted"}, "It is steered where it runs, not from here."));
    else {
      rows.push(this.field("false_events_per_hour", "False alerts an hour", {min: 0.001, step: "any", title: "How many alerts an hour may be false; fewer of them miss more"}, ""));
      rows.push(this.field("dropout_rate", "Token dropout", {min: 0, max: 0.95, step: 0.05, title: "Share of the tokens that are left out; more is faster"}, ""));
      if (about.is_radio) {
        rows.push(this.field("gain", "Gain", {step: "any", placeholder: "as begun",
          title: "Another gain is another normal: learn the band anew"}, "dB"));
        if (!about.is_scan) rows.push(this.field("freq", "Frequency", {step: "any", min: 0}, "MHz"));
      } else rows.push(element("p", {class: "muted"}, "A recording has no gain and no frequency to set."));
      if (about.is_scan) rows.push(this.scan());
    }
    this.controls.replaceChildren(...rows);
    this.controls.onsubmit = event => event.preventDefault();
  }

  field(key, label, attributes, unit) {
    const id = `control-${key}`, input = element("input", {id, type: "number", inputmode: "decimal", ...attributes});
    this.inputs[key] = input;
    input.addEventListener("change", async () => {
      if (input.value === "" || !input.reportValidity()) return;
      const value = Number(input.value);
      const order = key === "gain" ? {tune: {gain: value}} : key === "freq" ? {tune: {freq: value * 1e6}} : {[key]: value};
      await this.actions.send(order, `${label}: ${value} was sent`);
    });
    return element("div", {class: "field"}, element("label", {for: id}, label), input, element("small", {class: "muted"}, unit));
  }

  scan() {
    const ranges = element("input", {id: "control-ranges", placeholder: "88M:108M,433M:435M", "aria-label": "Ranges of the scan"});
    ranges.addEventListener("change", () => ranges.value && this.actions.send(
      {scan: {ranges: ranges.value.replace(/([kMG])/g, prefix => ({k: "e3", M: "e6", G: "e9"})[prefix])}}, `Scan ${ranges.value} was sent`));
    const hold = element("button", {class: "small", type: "button", "aria-pressed": "false"}, "Hold here");
    hold.addEventListener("click", async () => {
      const on = hold.getAttribute("aria-pressed") !== "true";
      if (await this.actions.send({scan: {pause: on}}, on ? "The scan holds" : "The scan goes on")) {
        hold.setAttribute("aria-pressed", on);
        hold.textContent = on ? "Go on" : "Hold here";
      }
    });
    return element("div", {class: "field"}, element("label", {for: "control-ranges"}, "Scan"), ranges, hold);
  }

  draw() {
    this.make();
    const {state, about} = this.store, settings = state.settings || {};
    for (const key of ["false_events_per_hour", "dropout_rate"]) this.show(key, settings[key]);
    const row = this.store.rows.last;
    this.show("freq", row ? +(row.center / 1e6).toFixed(6) : null);
    this.ranges(state.ignored || []);
    this.health(state.health || {}, about);
    this.log.replaceChildren(...this.store.log.map(line => element("li", {class: line.status === "refused" ? "bad" : ""},
      element("time", {}, clock(line.time)), ` ${line.message}`)));
    if (!this.store.log.length) this.log.append(element("li", {class: "muted"}, "nothing so far"));
  }

  show(key, value) {
    const input = this.inputs[key];
    if (input && value != null && document.activeElement !== input) input.value = +Number(value).toPrecision(9);
  }

  ranges(ignored) {
    const key = JSON.stringify([ignored, this.store.steered]);
    if (this.ignoredKey === key) return;
    this.ignoredKey = key;
    this.ignored.replaceChildren(...ignored.map(([low, high]) => element("li", {class: "num"},
      `${hz(low)} to ${hz(high)}`, this.store.steered && element("button", {class: "small quiet", title: "Alert here again",
        "aria-label": `Alert again from ${hz(low)} to ${hz(high)}`,
        onclick: () => this.actions.send({unignore: [low, high]}, "It alerts here again")}, "×"))));
    if (!ignored.length) this.ignored.append(element("li", {class: "muted plain"}, "none"));
  }

  health(health, about) {
    const ms = value => value == null ? "–" : `${value.toFixed(1)} ms`;
    const rows = [["Frames", health.frames == null ? "–" : `${count(health.frames)} · ${(health.frames_per_s || 0).toFixed(0)}/s`],
      ["Latency p50, p99", `${ms(health.latency_p50_ms)}, ${ms(health.latency_p99_ms)}`], ["Queue", count(health.queue_depth)],
      ["Dropped", count(health.dropped_frames), health.dropped_frames], ["Not judged", count(health.skipped_frames), health.skipped_frames],
      ["Clipped", count(health.clipped_frames), health.clipped_frames], ["Overflows", count(health.overflows), health.overflows],
      ["Rows lost to this page", count(this.store.lostRows), this.store.lostRows], ["Pages", count(this.store.state.viewers)],
      ["Model", about.model || "–"], ["Rate", about.samp_rate ? `${about.samp_rate / 1e6} MS/s` : "–"],
      ["Frame", about.frame_s ? `${about.fft_size} bins, ${(1e3 * about.frame_s).toFixed(1)} ms` : "–"],
      ["Learned", this.store.state.learning?.learned_s == null ? "–" : seconds(this.store.state.learning.learned_s)]];
    this.figures.replaceChildren(...rows.flatMap(([name, text, bad]) => [element("dt", {}, name), element("dd", {class: bad ? "warn" : ""}, text)]));
  }
}
