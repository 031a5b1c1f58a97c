// SPDX-License-Identifier: GPL-3.0-or-later
// The page of a hub: asks once a second how all sensors are, and draws map, sensors and alerts.

import * as server from "./connection.js";
import {age, clock, count, decibels, element, hz, place, seconds, what, width} from "./format.js";
import {draw} from "./map.js";
import * as theme from "./theme.js";

const $ = id => document.getElementById(id);
let hub = null, chosen = null, hears = {}, drawn = "";

const key = alert => `${alert.sensor} ${alert.event_id}`;
const KINDS = {about: "facts of the run", alert: "alerts", signal: "signals", report: "positions and bearings"};  // by the names of hub/message.py
const samples = value => width(value).replace("Hz", "S/s");
const rate = value => value == null ? "–" : value < 1000 ? `${Math.round(value)} B/s` : `${(value / 1000).toPrecision(3)} kB/s`;
const total = counts => Object.values(counts || {}).reduce((sum, value) => sum + value, 0);

async function ask(path) {
  const answer = await fetch(path);
  if (answer.status === 401) return null;
  if (!answer.ok) throw new Error(`the hub says ${answer.status}`);
  return answer.json();
}

async function choose(alert) {
  chosen = chosen === key(alert) ? null : key(alert);
  hears = {};
  show();
  if (!chosen) return;
  const asked = chosen;
  const rows = await ask(`api/hub/hears/${encodeURIComponent(alert.sensor)}/${encodeURIComponent(alert.event_id)}`).catch(() => []);
  if (chosen === asked && rows) { hears = Object.fromEntries(rows.map(row => [row.sensor, row])); show(); }
}

// The parts of a sensor's row that change; its link stays the same element, so that it keeps the focus and takes a click.
const items = new Map();

function sensorItem(one) {
  if (!items.has(one.sensor)) {
    const pill = element("span"), source = element("span", {class: "muted"}), facts = element("p", {class: "facts"}), state = element("p", {class: "facts"});
    const link = element("a", {href: `run?feed=${encodeURIComponent(one.sensor)}`, title: "Waterfall and alerts of this sensor"}, one.sensor);
    const picture = element("div", {class: "spectrum-line"});
    items.set(one.sensor, {pill, source, facts, state, picture,
      row: element("li", {}, element("div", {class: "head"}, link, pill, source), facts, state, picture)});
  }
  const item = items.get(one.sensor);
  const budget = one.budget, facts = [];
  const fact = (name, value) => facts.length ? facts.push(" · ", `${name} `, element("b", {}, value)) : facts.push(`${name} `, element("b", {}, value));
  if (budget.rx_freq) fact("at", hz(budget.rx_freq));
  if (budget.rx_rate) fact("rate", samples(budget.rx_rate));
  if (budget.frame_average) { fact("spectra averaged", budget.frame_average); fact("quantised in steps of", `${budget.encoded_step} dB`); fact("frames a packet", budget.encoded_group); }
  const link = [element("b", {}, rate(budget.bytes_per_s))];
  if (budget.bytes_per_spectrum) link.push(` · ${budget.bytes_per_spectrum.toFixed(0)} bytes a spectrum, ${budget.spectra_per_s.toFixed(0)} spectra/s`);
  for (const [kind, value] of Object.entries(budget.by_kind)) if (value >= 1) link.push(` · ${KINDS[kind] || kind} ${rate(value)}`);
  const health = one.health, state = [`last message ${age(one.seen_s, hub.time)}, ${seconds(Math.max(0, one.delay_s))} under way`];
  if (health.waiting_messages) state.push(` · ${count(health.waiting_messages)} wait there`);
  if (health.dropped_messages || hub.lost[one.sensor]) state.push(` · ${count(Math.max(health.dropped_messages || 0, hub.lost[one.sensor] || 0))} dropped for lack of room`);
  item.pill.className = `pill ${one.here ? "good" : "bad"}`;
  item.pill.textContent = one.here ? "here" : "away";
  item.source.textContent = one.source || "";
  item.facts.replaceChildren(...facts, facts.length ? element("br") : "", ...link);
  item.state.replaceChildren(...state);
  item.picture.replaceChildren(spectrum(one.levels));
  return item.row;
}

function spectrum(levels) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 128 40");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-label", "its newest spectrum");
  if (levels) {
    const low = [...levels].sort((a, b) => a - b)[32] - 3, high = Math.max(low + 20, ...levels);
    const path = document.createElementNS(svg.namespaceURI, "path");
    path.setAttribute("d", `M0 40${levels.map((level, at) => `L${at} ${(38 - 34 * Math.max(0, level - low) / (high - low)).toFixed(1)}`).join("")}L127 40Z`);
    svg.append(path);
  }
  return svg;
}

function cell(alert, sensor) {
  if (sensor === alert.sensor) return element("td", {class: "of alert"}, decibels(alert.snr_db));
  const also = alert.also[sensor], heard = key(alert) === chosen ? hears[sensor] : null;
  if (also) return element("td", {class: "of alert"}, decibels(also.snr_db));
  if (!heard) return element("td", {class: "of no"}, key(alert) === chosen ? "…" : "");
  if (heard.hears === "level") return element("td", {class: "of level", title: "It hears it, without an alert: level over its noise"}, `hears ${decibels(heard.level_db)}`);
  return element("td", {class: `of ${heard.hears === "nothing" ? "nothing" : "no"}`}, heard.hears === "nothing" ? "not heard" : "no data");
}

function alertRow(alert, names) {
  return element("tr", {tabindex: 0, "aria-selected": String(key(alert) === chosen), onclick: () => choose(alert),
    onkeydown: event => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(alert); } }},
    element("td", {}, clock(alert.timestamp)), element("td", {}, element("span", {class: alert.state === "close" ? "muted" : "warn"}, alert.alert || "event")),
    element("td", {}, place(alert)), element("td", {class: "muted"}, width(alert.bandwidth_hz)), element("td", {}, what(alert)),
    ...names.map(name => cell(alert, name)));
}

// one row for an emission: an alert that others share is shown once, for the sensor that hears it best
function emissions(alerts) {
  const taken = new Set(), rows = [];
  const best = [...alerts].sort((a, b) => (b.snr_db ?? -99) - (a.snr_db ?? -99));
  for (const alert of best) {
    if (taken.has(key(alert))) continue;
    rows.push(alert);
    for (const [sensor, other] of Object.entries(alert.also)) taken.add(`${sensor} ${other.event_id}`);
  }
  return rows.sort((a, b) => (b.timestamp ?? 0) - (a.timestamp ?? 0));
}

function show() {
  if (!hub) return;
  const here = hub.sensors.filter(one => one.here).length, refused = total(hub.refused) - (hub.refused.repeat || 0) - (hub.refused.missing || 0);
  const pill = $("pill");
  pill.textContent = hub.disk ? "the disk is full" : hub.sensors.length ? `${here} of ${hub.sensors.length} sensors here` : "no sensor so far";
  pill.className = `pill ${hub.disk || here < hub.sensors.length ? "bad" : here ? "good" : ""}`;
  $("counts").textContent = `${rate(hub.sensors.reduce((sum, one) => sum + one.budget.bytes_per_s, 0))} in all · ${count(hub.stored)} messages stored`
    + (refused ? ` · ${count(refused)} refused` : "") + (total(hub.lost) ? ` · ${count(total(hub.lost))} lost at sensors` : "");
  const selected = hub.alerts.find(alert => key(alert) === chosen);
  const who = new Set(selected ? [selected.sensor, ...Object.keys(selected.also), ...Object.values(hears).filter(row => row.hears === "level").map(row => row.sensor)] : []);
  const any = draw($("map"), hub.sensors, hub.tracks, who);
  $("no-map").hidden = any > 0;
  $("n-sensors").textContent = hub.sensors.length;
  $("no-sensors").textContent = hub.sensors.length ? "" : "No sensor has sent anything: spectrumencoder run … --hub tcp://HOST:PORT --sensor ID";
  const shown = hub.sensors.map(sensorItem);
  if (shown.length !== $("sensors").children.length) $("sensors").replaceChildren(...shown);
  const state = JSON.stringify([hub.alerts, chosen, hears, hub.sensors.map(one => one.sensor)]);
  if (state === drawn) return;  // a row that is being clicked stays
  drawn = state;
  const names = hub.sensors.map(one => one.sensor), rows = emissions(hub.alerts);
  $("n-alerts").textContent = rows.length || "";
  $("no-alerts").textContent = rows.length ? "" : "No alert so far.";
  $("alerts").tHead.replaceChildren(element("tr", {}, ...["Time", "Alert", "Frequency", "Width", "What"].map(name => element("th", {}, name)),
    ...names.map(name => element("th", {class: "of"}, name))));
  $("alerts").tBodies[0].replaceChildren(...rows.map(alert => alertRow(alert, names)));
}

async function refresh() {
  try {
    const news = await ask("api/hub");
    if (news === null) { $("login").showModal(); return; }
    hub = news;
    show();
  } catch {
    $("pill").textContent = "no connection";
    $("pill").className = "pill bad";
  }
  setTimeout(refresh, 1000);
}

async function begin() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token) {
    history.replaceState(null, "", location.pathname);
    await server.login(token).catch(() => false);
  }
  refresh();
}

$("login").querySelector("form").onsubmit = async event => {
  event.preventDefault();
  const fine = await server.login($("token").value);
  $("login-error").textContent = fine ? "" : "This is not the token.";
  if (fine) { $("token").value = ""; $("login").close(); refresh(); }
};
$("login").oncancel = event => event.preventDefault();
setInterval(() => { $("clock").textContent = `${new Date().toISOString().slice(0, 10)} ${clock(Date.now() / 1000)} UTC`; }, 500);
theme.begin($("theme"), show);
addEventListener("resize", show);
begin();
