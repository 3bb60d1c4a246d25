// The buttons of a decision; each is a key too.

import { button } from "./controls.js";
import { element, setText } from "./format.js";
import { NOT_A_BEAT } from "./review_record.js";

export const LABELS = { n: "N", s: "S", v: "V", f: "F", q: "Q", x: NOT_A_BEAT }; // key -> verdict of a beat
const LABEL_KEYS = ["n", "s", "v", "f", "q"];
const ROWS = [["back", "next", "confirm", "reject"], [...LABEL_KEYS, "clear"], ["group", "add", "undo", "redo"]];
const HINT = "Keys: arrows step, Enter confirms, x rejects, n s v f q label, g whole group, a adds a beat, u undoes, ? shows all.";

export class ReviewActions {
  // press(key): as if the key was pressed.
  constructor(record, press) {
    this.record = record;
    this.root = element("section", "panel actions");
    this.root.setAttribute("aria-label", "Decision");
    const made = (text, key, title) => button(text, () => press(key), title);
    this.buttons = {
      back: made("◀", "ArrowLeft", "previous event (left)"),
      next: made("▶", "ArrowRight", "next event (right)"),
      confirm: made("Confirm", "Enter", "Enter or c"),
      reject: made("✕ Not a beat", "x", "x"),
      ...Object.fromEntries(LABEL_KEYS.map((key) => [key, made("", key, `${record.words(LABELS[key], "")} (${key})`)])),
      clear: made("Undecided", "Backspace", "Backspace"),
      group: made("Group …", "g", "decide about the whole group at once (g)"),
      add: made("Add beat", "a", "add a beat that was missed (a)"),
      undo: made("Undo", "u", "u"),
      redo: made("Redo", "y", "y"),
    };
    for (const key of LABEL_KEYS) this.setVerdict(this.buttons[key], LABELS[key], LABELS[key]);
    this.buttons.confirm.classList.add("first");
    for (const names of ROWS) {
      const row = element("div", "steps");
      row.append(...names.map((name) => this.buttons[name]));
      this.root.append(row);
    }
    // A button that was clicked gives its focus back: Enter confirms, and does not repeat the last click.
    this.root.addEventListener("click", (event) => event.detail && document.activeElement?.blur());
    this.root.append(element("p", "dim hint", HINT));
  }

  // A letter and what it stands for, which a small screen leaves out.
  setVerdict(node, text, verdict) {
    const words = this.record.words(verdict, "");
    if (node.getAttribute("aria-label") === `${text} ${words}`) return;
    node.setAttribute("aria-label", `${text} ${words}`);
    node.replaceChildren(text, element("span", "long", ` ${words}`));
  }

  // mark: { sample, alarm } that is decided about, or null; own: its event; decision: about it; event: the chosen one;
  // canAdd: there is a strip on which a beat can be added.
  update({ mark, own, decision, event, canAdd }) {
    const { record, buttons } = this;
    const may = record.about.may_decide;
    const ofAlarm = Boolean(mark?.alarm);
    const confirmed = record.confirmed(own);
    if (ofAlarm) {
      setText(buttons.confirm, "✓ True alarm");
      buttons.confirm.removeAttribute("aria-label");
    } else this.setVerdict(buttons.confirm, `✓ ${confirmed}`, confirmed);
    setText(buttons.reject, ofAlarm ? "✕ False alarm" : "✕ Not a beat");
    const verdicts = { confirm: confirmed, reject: ofAlarm ? "false" : NOT_A_BEAT };
    for (const key of LABEL_KEYS) {
      buttons[key].hidden = ofAlarm;
      verdicts[key] = LABELS[key];
    }
    for (const [name, verdict] of Object.entries(verdicts)) {
      buttons[name].setAttribute("aria-pressed", String(decision?.verdict === verdict));
      buttons[name].disabled = !mark || !may;
    }
    buttons.clear.disabled = !decision || !may;
    buttons.group.disabled = !event;
    buttons.add.disabled = !canAdd || !may;
    for (const [name, key, words] of [["undo", "u", record.undoWords && `takes back ${record.undoWords}`], ["redo", "y", record.redoWords && `${record.redoWords} again`]]) {
      buttons[name].disabled = !words || !may;
      buttons[name].title = words ? `${key}: ${words}` : key;
    }
  }
}
