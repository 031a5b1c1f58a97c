// SPDX-License-Identifier: GPL-3.0-or-later
// Dark or light: as the system says, or as chosen here.

const CHOICES = ["", "dark", "light"], MARKS = {"": "◐", dark: "●", light: "○"};

export function begin(button, changed) {
  const set = choice => {
    if (choice) document.documentElement.dataset.theme = choice; else delete document.documentElement.dataset.theme;
    button.textContent = MARKS[choice];
    button.title = `Theme: ${choice || "as the system"}`;
  };
  let choice = "";
  try { choice = localStorage.getItem("theme") || ""; } catch { /* a browser that keeps nothing */ }
  button.onclick = () => {
    choice = CHOICES[(CHOICES.indexOf(choice) + 1) % CHOICES.length];
    try { localStorage.setItem("theme", choice); } catch { /* likewise */ }
    set(choice);
  };
  new MutationObserver(changed).observe(document.documentElement, {attributeFilter: ["data-theme"]});
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
  set(CHOICES.includes(choice) ? choice : "");
}

// [r, g, b] of places without reception
export function emptyColor() {
  const text = getComputedStyle(document.documentElement).getPropertyValue("--empty").trim();
  return [1, 3, 5].map(at => parseInt(text.slice(at, at + 2), 16));
}
