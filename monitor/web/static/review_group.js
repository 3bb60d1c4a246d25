// The dialog in which all undecided events of a group are decided at once.

import { ask } from "./api.js";
import { plotBeat } from "./beat_plot.js";
import { picture } from "./canvas.js";
import { button } from "./controls.js";
import { element, setText } from "./format.js";
import { usualLines } from "./review_beat.js";
import { NOT_A_BEAT } from "./review_record.js";

// decide(verdict, number): a verdict was chosen, for `number` events.
export async function openGroup(dialog, record, group, decide) {
  const ofAlarm = Boolean(group.events[0]?.alarm);
  const [open, all] = [record.undecided(group.events).length, group.events.length];
  const close = () => dialog.close();
  const verdicts = ofAlarm ? ["true", "false"] : ["V", "S", "Q", "F", "N", NOT_A_BEAT];
  verdicts.sort((a, b) => (b === group.verdict) - (a === group.verdict));
  const steps = element("div", "steps");
  for (const verdict of verdicts) {
    const sign = verdict === NOT_A_BEAT ? "✕ " : ofAlarm ? "" : `${verdict} `;
    const made = button(sign + record.words(verdict, ofAlarm), () => {
      close();
      decide(verdict, open);
    });
    made.disabled = !open;
    steps.append(made);
  }
  steps.append(button("Cancel", close, "Esc"));
  const canvas = picture("Beats of the group over each other");
  const box = element("div", "beat-box");
  box.append(canvas);
  const legend = element("p", "dim", "reading …");
  dialog.replaceChildren(
    element("h1", "", record.groupTitle(group)),
    element("p", "", open ? `Decide about ${open.toLocaleString("en")} undecided of ${all.toLocaleString("en")} at once, as:` : "All of this group have a decision."),
    ...(ofAlarm ? [] : [box, legend]), steps,
  );
  dialog.showModal();
  steps.firstChild.focus();
  if (ofAlarm) return;
  try {
    const { before, cuts } = await ask("/api/review/spread", { group: group.n });
    plotBeat(canvas, [...cuts.map((values) => ({ values, fsHz: record.fsHz, before, ink: "--anomalous", width: 1, alpha: 0.35 })), ...usualLines(record)]);
    setText(legend, `${cuts.length} beats of the group, evenly over the recording. Thick line: this patient's usual beat.`);
  } catch (error) {
    setText(legend, `the beats cannot be read: ${error.message}`);
  }
}
