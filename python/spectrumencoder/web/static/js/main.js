// SPDX-License-Identifier: GPL-3.0-or-later
// Puts the page together: the stream feeds the store, the store's events draw the parts.

import {Alerts} from "./alerts.js";
import {Boxes} from "./boxes.js";
import * as server from "./connection.js";
import {Emitters} from "./emitters.js";
import {clock, place, seconds} from "./format.js";
import {showPicture} from "./picture.js";
import {keys, listen} from "./pointer.js";
import {Run} from "./run.js";
import {Spectrum} from "./spectrum.js";
import {KEPT_S, Store} from "./store.js";
import * as theme from "./theme.js";
import {View} from "./view.js";
import {Waterfall} from "./waterfall.js";

const $ = id => document.getElementById(id);
const store = new Store(), view = new View(store.rows);
let feed = new URLSearchParams(location.search).get("feed"), stream = null, connected = false;

// -- what the operator does

async function send(order, said) {
  try {
    await server.order(feed, order);
    if (said) toast(said);
    return true;
  } catch (error) {
    toast(error.message, true);
    return false;
  }
}

const selected = () => store.alerts.get(alerts.selected);
const actions = {
  send,
  accept: row => send({accept: row.emitter_id}, `${place(row)} is accepted: it belongs to this band`),
  ignore: row => send({ignore: row.emitter_id}, `Nothing at ${place(row)} alerts from now on`),
  name: (row, text) => send({name: [row.emitter_id, text]}, text ? `${place(row)} is called ${text}` : "The name is gone"),
  picture: alert => showPicture($("picture"), alert, server.snippet(feed, alert.event_id, "rows"), actions.archive(alert)),
  archive: alert => server.snippet(feed, alert.event_id, "sigmf"),
  select: (id, move = true) => {
    alerts.select(id);
    boxes.selected = id;
    const alert = store.alerts.get(id);
    if (alert && move) {
      const half = Math.max(alert.bandwidth_hz || 0, 0), span = alert.spans[alert.spans.length - 1];
      view.showPlace(alert.freq_center_hz - half, alert.freq_center_hz + half, span?.[0], span?.[1]);
    }
    redraw();
  },
  show: row => {
    tab("band");
    const half = Math.max(4 * row.bandwidth_hz, 20 * (view.axis?.step || 0));
    [view.low, view.high] = [row.freq_center_hz - half, row.freq_center_hz + half];
    if (view.axis) view.clamp();
    view.changed("frequency");
  },
  pause: () => view.pause(!view.paused),
  maxHold: () => { spectrum.clearHold(); redraw(); },
  step: by => alerts.step(by),
  acceptSelected: () => selected()?.emitter_id != null && actions.accept(selected()),
  ignoreSelected: () => selected()?.emitter_id != null && actions.ignore(selected()),
  nameSelected: () => alerts.items.get(alerts.selected)?.querySelector("[data-do=name]")?.click(),
  help: () => $("keys").showModal(),
  tab, redraw,
};

function tab(name) {
  document.body.dataset.tab = name;
  for (const button of document.querySelectorAll("nav.tabs button")) button.setAttribute("aria-current", button.dataset.to === name);
  if (matchMedia("(min-width: 900px)").matches) document.querySelector(`[data-panel=${name}]`)?.scrollIntoView({block: "nearest"});
  resize();
}

function toast(text, bad = false) {
  const note = Object.assign(document.createElement("p"), {textContent: text, className: bad ? "bad" : ""});
  $("toasts").append(note);
  setTimeout(() => note.remove(), bad ? 9000 : 4000);
}

// -- the parts

const canvases = [...document.querySelectorAll("#waterfall canvas")];
const waterfall = new Waterfall(canvases[0], view, store.rows);
const boxes = new Boxes(canvases[1], $("tip"), view, store);
const spectrum = new Spectrum($("spectrum"), view, store);
const alerts = new Alerts($("alert-rows"), store, actions);
const emitters = new Emitters($("emitter-rows"), store, actions);
const run = new Run({controls: $("controls"), ignored: $("ignored"), figures: $("health"), log: $("log")}, store, actions);
listen($("waterfall"), view, boxes, actions);
keys(view, actions);
Object.assign(window, {spectrumencoder: {store, view}});  // for a look at it from the console, and for tests

let due = false;
function redraw() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    if (document.body.dataset.tab !== "band" && !matchMedia("(min-width: 900px)").matches) return;
    waterfall.draw(theme.emptyColor());
    boxes.draw(devicePixelRatio || 1);
    spectrum.draw();
    times();
  });
}

function resize() {
  const box = $("waterfall").getBoundingClientRect(), ratio = devicePixelRatio || 1;
  for (const canvas of canvases) [canvas.width, canvas.height] = [Math.max(1, Math.round(box.width * ratio)), Math.max(1, Math.round(box.height * ratio))];
  spectrum.size();
  redraw();
}

function times() {
  $("pause").textContent = view.paused ? "Go on" : "Pause";
  $("pause").setAttribute("aria-pressed", view.paused);
  $("live").hidden = !view.paused;
  $("unzoom").hidden = view.whole;
  const behind = view.newest - view.endS;
  const now = connected && store.lostSince == null && store.ended === null;
  $("when").textContent = !store.rows.length ? "" : view.paused ? `${clock(view.endS)} UTC, ${seconds(behind)} ago`
    : now ? "now" : `${clock(view.newest)} UTC, the last`;
  $("now").textContent = now || !store.rows.length ? "now" : "last";
  if (document.activeElement !== $("back") || !view.paused) $("back").value = KEPT_S - Math.min(KEPT_S, behind);
}

// -- what is said of the run

function status() {
  const {learning} = store.state, pill = $("pill");
  const left = learning?.learning ? `learning, ${Math.floor(learning.learned_s)} s of ${+learning.learn_s.toPrecision(4)} s` : "watching";
  const [text, kind] = !connected ? ["connection lost, trying again", "bad"] : store.ended !== null ? ["the run has ended", "off"]
    : !store.about.source ? ["waiting for the run", "off"] : store.lostSince != null
      ? [`radio lost since ${clock(store.lostSince)}`, "bad"] : [left, learning?.learning ? "learning" : "good"];
  pill.textContent = text;
  pill.className = `pill ${kind}`;
  pill.style.setProperty("--done", learning?.learning ? Math.min(1, learning.learned_s / learning.learn_s) : 1);
  $("source").textContent = store.about.name || "spectrumencoder";
  document.title = `${open ? `(${open}) ` : ""}${store.about.name || "spectrumencoder"}`;
  const row = store.rows.last, {about} = store;
  $("tuned").textContent = row ? about.is_scan ? `scan, ${(view.axis.low / 1e6).toFixed(1)} to ${(view.axis.high / 1e6).toFixed(1)} MHz`
    : `${(row.center / 1e6).toFixed(4)} MHz, ${+(row.rate / 1e6).toFixed(3)} MS/s` : "";
  const empty = !waterfall.works ? "This browser has no WebGL, so the waterfall is not drawn."
    : row ? "" : connected ? store.ended !== null ? "The run has ended." : "No spectrum so far." : "No connection to the run.";
  $("empty").textContent = empty;
  $("empty").hidden = !empty;
  times();
}

let open = 0;
function lists() {
  const learning = store.state.learning?.learning, said = alerts.draw(), total = emitters.draw();
  open = said.open;
  $("n-alerts").textContent = said.total ? `${said.open} open, ${said.total} in all` : "";
  $("earlier").hidden = !store.about.has_history;
  $("tab-alerts").textContent = said.open || "";
  $("n-emitters").textContent = total || "";
  $("no-alerts").textContent = said.total ? "" : learning
    ? `Nothing is reported while the band is learned: ${Math.floor(store.state.learning.learned_s)} s of ${store.state.learning.learn_s} s.`
    : store.about.source ? "No alert so far. What does not belong to this band will show here." : "";
  $("no-emitters").textContent = total ? emitters.items.size ? "" : "No emitter matches." : learning ? "None heard so far; the band is being learned."
    : store.about.source ? "No emitter is known on this band." : "";
  run.draw();
  status();
}

let stale = false;
function listsSoon() {
  if (stale) return;
  stale = true;
  setTimeout(() => { stale = false; lists(); }, 100);
}

// -- events

store.addEventListener("all", () => { view.end = null; waterfall.key = ""; spectrum.reset(); lists(); redraw(); });
store.addEventListener("axis", () => { view.setAxis(store.axis); spectrum.reset(); });
store.addEventListener("rows", event => { spectrum.add(event.detail); redraw(); });
store.addEventListener("state", listsSoon);
store.addEventListener("news", event => {
  for (const line of event.detail.told || []) if (["refused", "malformed", "failed"].includes(line.status)) toast(line.message, true);
  listsSoon();
  redraw();
});
view.addEventListener("view", redraw);
$("pause").onclick = actions.pause;
$("live").onclick = () => view.pause(false);
$("unzoom").onclick = () => view.showWhole();
$("span").onchange = event => view.setSpan(Number(event.target.value));
$("back").oninput = event => view.scrollTo(view.newest - (KEPT_S - Number(event.target.value)));
$("maxhold").onclick = event => {
  const on = event.target.getAttribute("aria-pressed") !== "true";
  event.target.setAttribute("aria-pressed", on);
  spectrum.setHold(on);
  redraw();
};
$("earlier").onclick = async () => {
  const oldest = Math.min(...[...store.alerts.values()].map(alert => alert.opened), Date.now() / 1000);
  try {
    const alerts = (await server.past(feed, oldest)).filter(alert => !store.alerts.has(alert.event_id));
    store.takeNews({alerts: alerts.map(alert => ({...alert, state: "close", past: true, opened: alert.timestamp, spans: []}))});
    toast(alerts.length ? `${alerts.length} earlier alerts` : "The history has no earlier alert");
    lists();
  } catch (error) { toast(error.message, true); }
};
$("find").oninput = event => emitters.find(event.target.value);
$("help").onclick = actions.help;
for (const button of document.querySelectorAll("nav.tabs button")) button.onclick = () => tab(button.dataset.to);
theme.begin($("theme"), () => { if (spectrum.plot) spectrum.make(); redraw(); });
new ResizeObserver(resize).observe($("waterfall"));
new ResizeObserver(() => spectrum.size()).observe($("spectrum"));
setInterval(() => {
  $("clock").textContent = `${new Date().toISOString().slice(0, 10)} ${clock(Date.now() / 1000)} UTC`;
  if (waterfall.follow()) redraw();
  emitters.lines();
  status();
}, 1000);

// -- begin

function follow(id) {
  stream?.close();
  feed = id;
  store.clear();
  stream = new server.Stream(id, {
    text: message => store.take(message), rows: buffer => store.takeRows(buffer),
    state: async state => {
      connected = state === "open";
      status();
      if (!connected && await server.feeds().catch(() => []) === null) begin();
    }});
}

async function begin() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token) {
    history.replaceState(null, "", location.pathname + location.search);
    await server.login(token);
  }
  const list = await server.feeds().catch(() => undefined);
  if (list === undefined) { setTimeout(begin, 2000); return; }
  if (list === null) { stream?.close(); $("login").showModal(); return; }
  const choice = $("feeds");
  choice.replaceChildren(...list.map(one => new Option(one.name, one.id)));
  choice.hidden = list.length < 2;
  choice.onchange = () => follow(choice.value);
  if (list.length) follow(choice.value = list.some(one => one.id === feed) ? feed : list[0].id);
}

$("login").querySelector("form").onsubmit = async event => {
  event.preventDefault();
  const fine = await server.login($("token").value);
  $("login-error").textContent = fine ? "" : "This is not the token.";
  if (fine) { $("token").value = ""; $("login").close(); begin(); }
};
$("login").oncancel = event => event.preventDefault();
tab("band");
begin();
