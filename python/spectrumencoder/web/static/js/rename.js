// SPDX-License-Identifier: GPL-3.0-or-later
// The small form in which an emitter is named.

import {element} from "./format.js";

// save: takes the text and returns a promise. done: called when the form has gone.
export function renameForm(row, save, done) {
  const box = element("input", {maxlength: 100, "aria-label": "Name", placeholder: "Name of this emitter", ".value": row.emitter_name || ""});
  const leave = () => { form.remove(); done(); };
  const form = element("form", {class: "rename", onsubmit: event => {
    event.preventDefault();
    const saved = save(box.value);
    leave();
    saved.finally(done);
  }}, box, element("button", {class: "small primary"}, "Save"), element("button", {class: "small", type: "button", onclick: leave}, "Cancel"));
  box.addEventListener("keydown", event => {
    event.stopPropagation();
    if (event.key === "Escape") leave();
  });
  return form;
}
