// Buttons, choices and the page of keys, for the live page and the demo.

import { element } from "./format.js";

export function button(text, click, title = "") {
  const made = element("button", "", text);
  made.type = "button";
  if (title) made.title = title;
  made.addEventListener("click", click);
  return made;
}

export function option(value, text) {
  const made = element("option", "", text);
  made.value = value;
  return made;
}

// An input or select in a label whose name only screen readers give.
export function labelled(name, input) {
  const label = element("label");
  label.append(element("span", "unseen", name), input);
  return label;
}

// A select in its label; `options` are [value, text] pairs, `change` is called with the chosen value.
export function choice(name, options, chosen, change) {
  const made = element("select");
  made.append(...options.map(([value, text]) => option(value, text)));
  made.value = chosen;
  made.addEventListener("change", () => change(made.value));
  return labelled(name, made);
}

// Opens a dialog with [keys, what they do] pairs and lines on the signs of the page.
export function showKeys(dialog, title, keys, signs) {
  const table = element("table");
  for (const [key, text] of keys) {
    const row = element("tr");
    const cell = element("td");
    cell.append(element("kbd", "", key));
    row.append(cell, element("td", "", text));
    table.append(row);
  }
  dialog.replaceChildren(title, table, ...signs.map((text) => element("p", "", text)), button("Close", () => dialog.close()));
  dialog.showModal();
}
