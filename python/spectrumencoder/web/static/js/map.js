// SPDX-License-Identifier: GPL-3.0-or-later
// Sensors and tracks on a plane: east and north of their middle, in metres (equirectangular; right to 1 % within some 100 km).

const SPACE = "http://www.w3.org/2000/svg", METRES = 111320;

function shape(name, attributes = {}, text) {
  const made = document.createElementNS(SPACE, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text != null) made.textContent = text;
  return made;
}

// a round length of about a quarter of what is shown
function round(length) {
  const power = 10 ** Math.floor(Math.log10(length));
  return power * (length / power >= 5 ? 5 : length / power >= 2 ? 2 : 1);
}

const said = metres => metres >= 1000 ? `${metres / 1000} km` : `${metres} m`;

// sensors: [{sensor, latitude, longitude, here}], tracks: [{track_id, latitude, longitude, identity}], hears: Set of ids
export function draw(svg, sensors, tracks, hears) {
  const placed = sensors.filter(one => Number.isFinite(one.latitude) && Number.isFinite(one.longitude));
  const points = [...placed, ...tracks];
  svg.replaceChildren();
  if (!points.length) return 0;
  const w = svg.clientWidth || 600, h = svg.clientHeight || 300, edge = 56;
  svg.setAttribute("viewBox", `0 0 ${w} ${h}`);
  const middle = values => (Math.min(...values) + Math.max(...values)) / 2;
  const lat = middle(points.map(one => one.latitude)), lon = middle(points.map(one => one.longitude));
  const plane = points.map(one => [(one.longitude - lon) * METRES * Math.cos(lat * Math.PI / 180), (one.latitude - lat) * METRES]);
  const reach = Math.max(...plane.map(([x]) => Math.abs(x) / (w / 2 - edge)), ...plane.map(([, y]) => Math.abs(y) / (h / 2 - edge)), 50 / w);
  const place = index => [w / 2 + plane[index][0] / reach, h / 2 - plane[index][1] / reach];
  const step = round(reach * w / 4) / reach;
  for (let x = w / 2 % step; x < w; x += step) svg.append(shape("line", {class: "grid", x1: x, x2: x, y1: 0, y2: h}));
  for (let y = h / 2 % step; y < h; y += step) svg.append(shape("line", {class: "grid", x1: 0, x2: w, y1: y, y2: y}));
  svg.append(shape("path", {class: "scale", d: `M${w - 16 - step} ${h - 14}v5h${step}v-5`}),
    shape("text", {x: w - 16 - step / 2, y: h - 18, "text-anchor": "middle"}, said(step * reach)),
    shape("text", {x: w - 16, y: 20, "text-anchor": "middle"}, "N ↑"),
    shape("text", {x: 10, y: h - 10}, `${lat.toFixed(4)}, ${lon.toFixed(4)}`));
  tracks.forEach((track, index) => {
    const [x, y] = place(placed.length + index);
    svg.append(shape("rect", {class: "track", x: x - 5, y: y - 5, width: 10, height: 10, transform: `rotate(45 ${x} ${y})`}),
      shape("text", {x: x + 10, y: y + 4}, track.identity || track.track_id));
  });
  placed.forEach((one, index) => {
    const [x, y] = place(index), group = shape("g", {class: `sensor${one.here ? "" : " away"}${hears.has(one.sensor) ? " hears" : ""}`});
    if (hears.has(one.sensor)) group.append(shape("circle", {class: "ring", cx: x, cy: y, r: 14}));
    group.append(shape("circle", {cx: x, cy: y, r: 7}), shape("text", {class: "name", x, y: y - (hears.has(one.sensor) ? 20 : 13), "text-anchor": "middle"}, one.sensor));
    svg.append(group);
  });
  return points.length;
}
