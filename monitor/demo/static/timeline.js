// The whole recording at a glance: the score of each beat against the patient's limit, alarms above. Click to go there.

import { pixelRatio } from "./canvas.js";
import { element } from "./format.js";
import { share } from "./scale.js";

const ALARM_PX = 10;

export class Timeline {
  constructor(seek) {
    this.root = element("div", "panel timeline");
    this.canvas = element("canvas");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "slider");
    this.canvas.setAttribute("aria-label", "Position in the recording");
    this.root.append(element("h3", "", "Score of each beat, the patient's limit, and alarms"), this.canvas);
    this.context = this.canvas.getContext("2d");
    this.recording = null;
    this.chosen = null; // number of the beat in the inspector
    const go = (event) => {
      const box = this.canvas.getBoundingClientRect();
      const part = Math.max(0, Math.min(1, (event.clientX - box.left) / box.width));
      if (this.recording) seek(this.recording.first + part * (this.recording.end - this.recording.first));
    };
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      go(event);
    });
    this.canvas.addEventListener("pointermove", (event) => event.buttons && go(event));
    this.canvas.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -5, ArrowRight: 5, PageUp: -30, PageDown: 30, Home: -Infinity, End: Infinity }[event.key];
      if (step === undefined || !this.recording) return;
      event.preventDefault();
      event.stopPropagation();
      seek(Math.max(this.recording.first, Math.min(this.recording.end, this.at + step * this.recording.fsHz)));
    });
  }

  show(recording) {
    this.recording = recording;
    this.still = null;
    this.canvas.setAttribute("aria-valuemin", "0");
    this.canvas.setAttribute("aria-valuemax", recording.seconds.toFixed(0));
  }

  // The picture without the cursor is drawn again only when something has changed.
  draw(at) {
    const { canvas, context: c, recording } = this;
    const ratio = pixelRatio();
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!recording || !width) return;
    const key = `${width} ${height} ${ratio} ${document.documentElement.dataset.theme}`;
    if (key !== this.size || !this.still) {
      this.size = key;
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      this.still = document.createElement("canvas");
      this.still.width = canvas.width;
      this.still.height = canvas.height;
      this.drawStill(this.still.getContext("2d"), width, height, ratio);
      this.drawn = null;
    }
    if (this.drawn === `${at} ${this.chosen}`) return;
    this.drawn = `${at} ${this.chosen}`;
    this.at = at;
    canvas.setAttribute("aria-valuenow", recording.time(at).toFixed(0));
    c.setTransform(1, 0, 0, 1, 0, 0);
    c.clearRect(0, 0, canvas.width, canvas.height);
    c.drawImage(this.still, 0, 0);
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    const x = this.x(at, width);
    c.fillStyle = this.ink("--fore");
    c.fillRect(x - 1, 0, 2, height);
    if (this.chosen !== null && recording.beats[this.chosen]) {
      const beat = recording.beats[this.chosen];
      c.strokeStyle = this.ink("--focus");
      c.lineWidth = 2;
      c.beginPath();
      const y = recording.scored(this.chosen) ? this.y(recording.score(this.chosen), height) : height - 6;
      c.arc(this.x(beat.r_sample, width), y, 6, 0, 2 * Math.PI);
      c.stroke();
    }
  }

  ink(name) {
    return getComputedStyle(this.canvas).getPropertyValue(name);
  }

  x(sample, width) {
    return ((sample - this.recording.first) / Math.max(1, this.recording.end - this.recording.first)) * width;
  }

  y(score, height) {
    return height - 4 - share(score) * (height - ALARM_PX - 12);
  }

  drawStill(c, width, height, ratio) {
    const { recording } = this;
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.drawAlarms(c, width);
    const inks = { normal: this.ink("--dim"), anomalous: this.ink("--anomalous"), limit: this.ink("--medium-text") };
    c.strokeStyle = inks.limit;
    c.lineWidth = 1.2;
    c.setLineDash([5, 4]);
    c.beginPath();
    recording.beats.forEach((beat) => {
      if (beat.threshold !== null) c.lineTo(this.x(beat.r_sample, width), this.y(beat.threshold, height));
    });
    c.stroke();
    c.setLineDash([]);
    recording.beats.forEach((beat, at) => {
      const x = this.x(beat.r_sample, width);
      if (!recording.scored(at)) {
        c.strokeStyle = inks.normal;
        c.beginPath();
        c.arc(x, height - 6, 2, 0, 2 * Math.PI);
        c.stroke();
        return;
      }
      const y = this.y(recording.score(at), height);
      c.fillStyle = beat.anomalous ? inks.anomalous : inks.normal;
      c.beginPath();
      if (beat.anomalous) {
        c.moveTo(x, y - 4);
        c.lineTo(x + 3.6, y + 3);
        c.lineTo(x - 3.6, y + 3);
      } else c.arc(x, y, 1.7, 0, 2 * Math.PI);
      c.fill();
    });
  }

  // A bar from onset to end of each alarm, the most urgent in front.
  drawAlarms(c, width) {
    const { recording } = this;
    const open = new Map();
    const bars = [];
    for (const alarm of recording.facts.alarms) {
      if (alarm.state === "onset" && !open.has(alarm.alarm_id)) open.set(alarm.alarm_id, alarm);
      else if (["latched", "cleared"].includes(alarm.state) && open.has(alarm.alarm_id)) {
        bars.push([open.get(alarm.alarm_id), alarm.decided_sample]);
        open.delete(alarm.alarm_id);
      }
    }
    for (const alarm of open.values()) bars.push([alarm, recording.end]);
    for (const priority of ["low", "medium", "high"]) {
      c.fillStyle = this.ink(`--${priority}`);
      for (const [alarm, end] of bars) {
        if (alarm.priority !== priority) continue;
        const x = this.x(alarm.onset_sample, width);
        c.fillRect(x, 1, Math.max(3, this.x(end, width) - x), ALARM_PX - 3);
      }
    }
  }
}
