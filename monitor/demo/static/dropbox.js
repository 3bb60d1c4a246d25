// Where a visitor's file is dropped or chosen.

import { button, choice } from "./controls.js";
import { element, setClass, setText } from "./format.js";
import { ownRecording } from "./own.js";
import { decoded } from "./table.js";

export class DropBox {
  // scored(recording): scores and opens it, returns a line on the result.
  constructor(index, scored) {
    this.index = index;
    this.scored = scored;
    this.root = element("div", "panel drop");
    this.root.append(element("p", "", "Drop a CSV file here. Either a recording: one sample a row, with or without a time column, at least 5 s. " +
      "Or beats: rows of 187 samples at 125 Hz in mV, band-passed from 0.5 to 40 Hz, R-peak at sample 62 (counted from 0)."));
    const tools = element("div", "drop-tools");
    this.file = element("input");
    Object.assign(this.file, { type: "file", accept: ".csv,.txt,.tsv,.dat,text/plain,text/csv" });
    this.file.setAttribute("aria-label", "CSV file");
    this.file.addEventListener("change", () => this.file.files.length && this.take(this.file.files[0]));
    this.rate = element("input");
    Object.assign(this.rate, { type: "number", min: 100, max: 5000, placeholder: "from the file" });
    this.column = element("input");
    Object.assign(this.column, { type: "number", min: 1, max: 500, placeholder: "auto" });
    this.unit = choice("Unit", [["auto", "unit: by height"], ["mV", "mV"], ["uV", "µV"], ["V", "V"], ["counts", "counts"]], "auto", () => this.again());
    for (const input of [this.rate, this.column]) input.addEventListener("change", () => this.again());
    tools.append(this.file, labelled("sampling rate, Hz", this.rate), labelled("column", this.column), this.unit,
      button("Try an example", () => this.example()));
    this.result = element("p", "result");
    this.result.setAttribute("role", "status");
    this.root.append(tools, this.result);
    this.root.append(element("p", "dim small", "It stays on this machine. The R-peak finder of this page is simpler than that of ecg-monitor, and it does not test the signal's quality: " +
      "for real work use ecg-monitor itself, which also reads WFDB, EDF, ISHNE, serial devices and more."));
    for (const name of ["dragover", "dragenter"]) document.addEventListener(name, (event) => {
      event.preventDefault();
      this.root.classList.add("over");
    });
    document.addEventListener("dragleave", (event) => event.relatedTarget === null && this.root.classList.remove("over"));
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      this.root.classList.remove("over");
      if (event.dataTransfer.files.length) this.take(event.dataTransfer.files[0]);
    });
  }

  async take(file) {
    this.name = file.name;
    setText(this.result, `reading ${file.name} …`);
    try {
      this.text = decoded(await file.arrayBuffer());
    } catch (error) {
      return this.say(`${file.name} cannot be read (${error.message})`, false);
    }
    return this.again();
  }

  async again() {
    if (this.text === undefined) return;
    const settings = { fsHz: Number(this.rate.value) || null, unit: this.unit.querySelector("select").value };
    if (this.column.value) settings.column = Number(this.column.value) - 1;
    try {
      this.say(await this.scored(ownRecording(this.name, this.text, settings, this.index.own)), true);
      document.getElementById("watch").scrollIntoView({ behavior: "smooth" });
    } catch (error) {
      this.say(error.message, false);
    }
  }

  say(text, good) {
    setText(this.result, text);
    setClass(this.result, `result ${good ? "good" : "bad"}`);
  }

  // A minute of synthetic beats as CSV with a time column, one in seven wide and early.
  example() {
    const fsHz = 200;
    const rows = ["time_s,ecg_mV"];
    const peaks = [];
    for (let t = 0.8, n = 1; t < 59; n++) {
      const odd = n > 12 && n % 7 === 0;
      peaks.push([t, odd]);
      t += odd ? 1.15 : (n + 1) % 7 === 0 && n > 12 ? 0.55 : 0.85 + 0.03 * Math.sin(n);
    }
    const wave = (t, at, width, height) => height * Math.exp(-0.5 * ((t - at) / width) ** 2);
    for (let i = 0; i < 60 * fsHz; i++) {
      const t = i / fsHz;
      let mv = 0.02 * Math.sin(1.7 * t);
      for (const [r, odd] of peaks) {
        if (Math.abs(t - r) > 0.7) continue;
        if (odd) mv += wave(t, r, 0.035, 1.5) - wave(t, r + 0.09, 0.03, 0.5) - wave(t, r + 0.3, 0.06, 0.45);
        else mv += wave(t, r - 0.16, 0.022, 0.12) + wave(t, r, 0.011, 1.1) - wave(t, r + 0.03, 0.01, 0.25) + wave(t, r + 0.27, 0.05, 0.28);
      }
      rows.push(`${t.toFixed(3)},${mv.toFixed(4)}`);
    }
    this.name = "example.csv";
    this.text = rows.join("\n");
    this.again();
  }
}

function labelled(text, input) {
  const label = element("label");
  label.append(element("span", "", text), input);
  return label;
}
