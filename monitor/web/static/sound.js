// Alarm sounds: bursts of pulses like those of IEC 60601-1-8, for what is neither acknowledged nor paused.
// A browser is mute until a person clicks; until then the page says so.

import { RANK } from "./format.js";
import { now } from "./store.js";

// Times of the pulses of a burst, s; length of a pulse, s; time between bursts, s; tone, Hz.
const BURSTS = {
  high: { at: [0, 0.25, 0.5, 0.95, 1.2, 2.2, 2.45, 2.7, 3.15, 3.4], length: 0.15, every: 8, tone: 660 },
  medium: { at: [0, 0.4, 0.8], length: 0.2, every: 20, tone: 440 },
  low: { at: [0, 0.4], length: 0.2, every: 40, tone: 330 },
};
const HARMONICS = [1, 0.5, 0.35, 0.25, 0.15];

export class Sound {
  constructor(store) {
    this.store = store;
    this.wanted = false;
    this.context = null;
    this.playedAt = -Infinity;
    this.playing = "";
    this.bursts = 0; // for tests
  }

  get on() {
    return this.wanted && this.context?.state === "running";
  }

  async toggle() {
    this.wanted = !this.on;
    if (this.wanted) {
      this.context ??= new AudioContext();
      await this.context.resume();
    }
  }

  // The highest priority that has to sound; empty = silence.
  due() {
    // What cannot be watched has to sound as well.
    let best = this.store.monitors.some((monitor) => ["lost", "stale"].includes(monitor.connection())) ? "medium" : "";
    for (const bed of this.store.beds) {
      if (bed.audioPausedS() > 0) continue;
      for (const { alarm } of bed.active.values()) {
        if (alarm.state !== "acknowledged" && (!best || RANK[alarm.priority] > RANK[best])) best = alarm.priority;
      }
    }
    return best;
  }

  // Called a few times a second.
  update() {
    const priority = this.due();
    if (!priority || !this.on) {
      this.playing = "";
      return;
    }
    const burst = BURSTS[priority];
    const more = !this.playing || RANK[priority] > RANK[this.playing];
    if (!more && now() - this.playedAt < burst.every) return;
    this.playing = priority;
    this.playedAt = now();
    this.bursts += 1;
    for (const at of burst.at) this.pulse(this.context.currentTime + 0.02 + at, burst.length, burst.tone);
  }

  pulse(at, length, tone) {
    const volume = this.context.createGain();
    volume.gain.setValueAtTime(0, at);
    volume.gain.linearRampToValueAtTime(0.12, at + 0.02);
    volume.gain.setValueAtTime(0.12, at + length - 0.02);
    volume.gain.linearRampToValueAtTime(0, at + length);
    volume.connect(this.context.destination);
    HARMONICS.forEach((share, n) => {
      const source = this.context.createOscillator();
      const part = this.context.createGain();
      part.gain.value = share;
      source.frequency.value = tone * (n + 1);
      source.connect(part).connect(volume);
      source.start(at);
      source.stop(at + length + 0.02);
    });
  }
}
