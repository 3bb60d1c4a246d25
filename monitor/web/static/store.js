// State of all monitors and beds, folded from the messages of the bus (docs/bus.md). No drawing, no socket.
// Times are seconds of the page's monotonic clock; the wall clock of the browser may be wrong and is not used.

import { clock, compareLabels, RANK, shortAddress } from "./format.js";
import { Ring } from "./ring.js";

const STALE_S = 2; // without a heartbeat
const LOST_S = 5;
const NO_DATA_S = 2;
const BEHIND_S = 2; // samples have waited for this time in the monitor
const SELDOM_STATUS_S = 7; // a busy monitor sends the status every 5 s
const CLOCK_STILL_S = 3; // as NO_DATA_S without waves, from the status once a second
const NO_RATE_S = 5;
const UNWATCHED_S = 5; // without good signal, a bed is said to be not watched
const RING_S = 40;
const BEATS = 240;
const CLEARED = 50;
const LOG = 2000;
const SEEN = 20_000; // alarm messages of a monitor by which doubled ones are found
const ORDER = { onset: 0, latched: 1, acknowledged: 2 };

export const now = () => performance.now() / 1000;

class Bed {
  constructor(monitor, name) {
    this.monitor = monitor;
    this.name = name;
    this.label = name;
    this.status = null;
    this.statusAt = 0;
    this.beats = [];
    this.active = new Map(); // alarm id -> {alarm, model, time}
    this.cleared = []; // newest first
    this.rings = { raw: null, filtered: null };
    this.pulses = [];
    this.sample = 0;
    this.time = "";
    this.advancedAt = null;
    this.seenMoving = false; // while this page was open
    this.waveAt = null;
    this.waveS = 0.05; // mean length of a wave
    this.wavesSince = null; // since when waves are subscribed
    this.rate = null;
    this.event = null;
  }

  get key() {
    return `${this.monitor.number}/${this.name}`;
  }

  get fsHz() {
    return this.rings.filtered?.fsHz ?? (this.status && this.status.fs_hz > 0 ? this.status.fs_hz : null);
  }

  advance(sample, time) {
    if (sample > this.sample) {
      this.seenMoving = this.advancedAt !== null;
      this.sample = sample;
      this.advancedAt = now();
      if (time) this.time = time;
    }
  }

  stillS() {
    return this.advancedAt === null ? 0 : now() - this.advancedAt;
  }

  // How long the samples have stood still, for people; a page that has never seen them move knows a least time only.
  stillWords() {
    return `${this.seenMoving ? "" : "> "}${clock(this.stillS())}`;
  }

  // Age of an alarm for people; empty without a rate.
  ageWords(alarm) {
    const age = this.ageS(alarm);
    if (age === null) return "";
    return `${this.seenMoving || this.stillS() <= NO_DATA_S ? "" : "> "}${clock(age)}`;
  }

  // Age of an alarm by the sample clock, and by the page's while that stands still, s; null without a rate.
  ageS(alarm) {
    if (!this.fsHz || this.advancedAt === null) return null;
    const still = this.stillS();
    return Math.max(0, (this.sample - alarm.onset_sample) / this.fsHz + (still > NO_DATA_S ? still : 0));
  }

  audioPausedS() {
    return this.status ? Math.max(0, this.status.audio_paused_s - (now() - this.statusAt)) : 0;
  }

  streamCondition() {
    const state = this.status ? this.status.state : "starting";
    if (state !== "running" && state !== "starting") return state;
    if (this.waveAt === null && state === "starting") return "starting";
    return this.flows() ? "live" : "no_data";
  }

  flows() {
    if (this.wavesSince !== null && this.waveAt !== null && this.waveAt >= this.wavesSince) {
      return now() - this.waveAt <= NO_DATA_S;
    }
    if (this.wavesSince !== null && now() - this.wavesSince > NO_DATA_S) return false;
    const seldom = this.monitor.heartbeat?.thinned?.includes("status");
    return this.advancedAt !== null && this.stillS() <= (seldom ? SELDOM_STATUS_S : CLOCK_STILL_S);
  }

  condition() {
    const connection = this.monitor.connection();
    const stream = this.streamCondition();
    if (connection === "ended" || stream === "ended") return "ended";
    if (connection === "connected" && stream !== "source_lost" && this.monitor.isBehind) return "behind";
    return connection === "connected" ? stream : connection;
  }

  // The heart rate if it is up to date; else null: an old number is no heart rate.
  shownRate() {
    if (this.rate === null || this.condition() !== "live") return null;
    if (this.status && (this.status.quality === "leads_off" || this.status.quality === "flat")) return null;
    for (const { alarm } of this.active.values()) {
      if (alarm.kind === "asystole" && alarm.state !== "latched") return null;
    }
    const last = this.beats.at(-1);
    const beds = this.monitor.store.detail;
    if (beds.has(this.key) && last && this.fsHz && (this.sample - last.r_sample) / this.fsHz > NO_RATE_S) return null;
    return this.rate;
  }

  // Why no alarm of the heart can be raised, with the time; empty while the bed is watched.
  unwatchedWords() {
    if (this.unwatchedS() < UNWATCHED_S) return "";
    const why = this.status.quality === "leads_off" ? "LEADS OFF" : "NOT WATCHED";
    return `${why} ${clock(this.unwatchedS())}`;
  }

  unwatchedS() {
    return this.status ? this.status.unwatched_s ?? 0 : 0;
  }

  alarms() {
    return [...this.active.values()].map((entry) => entry.alarm).sort(byUrgency);
  }

  topAlarm() {
    let best = null;
    for (const { alarm } of this.active.values()) if (!best || byUrgency(alarm, best) < 0) best = alarm;
    return best;
  }

  // Order of attention, 0 = first.
  urgency() {
    const alarm = this.topAlarm();
    let rank = 90;
    if (alarm) rank = (alarm.state === "acknowledged" ? 40 : 0) + (2 - RANK[alarm.priority]) * 10 + (ORDER[alarm.state] ?? 3);
    if (["no_data", "source_lost", "stale", "lost", "behind"].includes(this.condition())) rank = Math.min(rank, 35);
    return rank;
  }
}

// The unacknowledged before the acknowledged, then by priority, the heart before the technical, the newest first.
export function byUrgency(a, b) {
  const quiet = (alarm) => (alarm.state === "acknowledged" ? 1 : 0);
  const technical = (alarm) => (alarm.category === "technical" ? 1 : 0);
  return quiet(a) - quiet(b) || RANK[b.priority] - RANK[a.priority] || technical(a) - technical(b) || b.onset_sample - a.onset_sample;
}

class Monitor {
  constructor(store, number, address) {
    this.store = store;
    this.number = number;
    this.address = address;
    this.clear("");
    this.state = "connecting"; // as the server sees it
    this.position = null; // up to which this page has all alarm messages: {epoch, topics}; the server says it
    this.seen = new Set(); // `epoch topic seq` of alarm messages that were folded, the oldest first
  }

  // Begins a run of the monitor.
  clear(epoch) {
    this.epoch = epoch;
    this.beds = new Map();
    this.heartbeat = null;
    this.heartbeatAt = null;
  }

  // Whether samples wait in the monitor.
  get isBehind() {
    return (this.heartbeat?.late_s ?? 0) >= BEHIND_S;
  }

  // Whether an alarm message is new to this page.
  isNew(topic, body) {
    const key = `${body.epoch} ${topic} ${body.seq}`;
    if (this.seen.has(key)) return false;
    this.seen.add(key);
    if (this.seen.size > SEEN) this.seen.delete(this.seen.values().next().value);
    return true;
  }

  // The worst of the link to the server, of the server's view, and of the age of the heartbeat.
  connection() {
    if (this.store.link !== "open") return this.store.link === "connecting" && !this.heartbeat ? "connecting" : "lost";
    if (this.heartbeat?.state === "goodbye") return "ended";
    if (this.heartbeatAt === null) return this.state === "connected" ? "connecting" : this.state;
    const silent = now() - this.heartbeatAt;
    if (silent >= LOST_S || this.state === "lost") return "lost";
    return silent >= STALE_S || this.state === "stale" ? "stale" : this.state;
  }

  bed(name) {
    let bed = this.beds.get(name);
    if (!bed) {
      bed = new Bed(this, name);
      this.beds.set(name, bed);
      this.store.relabel();
    }
    return bed;
  }
}

export class Store extends EventTarget {
  constructor() {
    super();
    this.link = "connecting"; // to the server: connecting, open, lost, late
    this.role = "viewer";
    this.name = "";
    this.monitors = [];
    this.detail = new Set(); // keys of beds whose beats are subscribed
    this.log = []; // alarm messages of this session, newest first
  }

  hello(message) {
    this.role = message.role;
    this.name = message.name;
    const names = message.monitors;
    if (names.length !== this.monitors.length || names.some((name, n) => name !== this.monitors[n].address)) {
      this.monitors = names.map((name, n) => new Monitor(this, n, name));
    }
    this.dispatchEvent(new Event("beds"));
  }

  // Up to where this page has the alarms of each monitor, for the request `start`.
  have() {
    const positions = {};
    for (const monitor of this.monitors) if (monitor.position) positions[monitor.address] = monitor.position;
    return positions;
  }

  get beds() {
    return this.monitors.flatMap((monitor) => [...monitor.beds.values()]);
  }

  bed(key) {
    const slash = key.indexOf("/");
    return this.monitors[Number(key.slice(0, slash))]?.beds.get(key.slice(slash + 1)) ?? null;
  }

  relabel() {
    const names = new Map();
    for (const bed of this.beds) names.set(bed.name, (names.get(bed.name) ?? 0) + 1);
    for (const bed of this.beds) {
      bed.label = names.get(bed.name) > 1 ? `${bed.name}@${shortAddress(bed.monitor.address)}` : bed.name;
    }
    this.dispatchEvent(new Event("beds"));
  }

  // Beds by the order of attention, then by label.
  ordered() {
    return this.beds
      .map((bed) => [bed.urgency(), bed])
      .sort((a, b) => a[0] - b[0] || compareLabels(a[1].label, b[1].label))
      .map((entry) => entry[1]);
  }

  // State of a monitor as the server sees it; its run is the present one.
  setConnection(message) {
    const monitor = this.monitors[message.monitor];
    if (!monitor) return;
    monitor.state = message.state;
    if (message.epoch && message.epoch !== monitor.epoch) {
      const before = monitor.epoch;
      monitor.clear(message.epoch);
      if (before) this.dispatchEvent(new Event("beds"));
    }
  }

  setPosition(message) {
    const monitor = this.monitors[message.monitor];
    if (!monitor || !message.position) return;
    monitor.position ??= { epoch: message.position.epoch, topics: {} };
    Object.assign(monitor.position.topics, message.position.topics);
  }

  // The alarms of the time without connection have come: what is not active any more is over.
  setRecovered(message) {
    const monitor = this.monitors[message.monitor];
    if (!monitor) return;
    const active = new Set(message.active);
    for (const bed of monitor.beds.values()) {
      for (const id of bed.active.keys()) if (!active.has(id)) bed.active.delete(id);
    }
  }

  fold(number, topic, body) {
    const monitor = this.monitors[number];
    if (!monitor) return;
    if (body.epoch !== monitor.epoch) {
      if (body.schema === "alarm/1") this.foldPast(monitor, topic, body); // of the run before, from the journal
      return;
    }
    if (body.schema === "heartbeat/1") {
      monitor.heartbeat = body;
      monitor.heartbeatAt = now();
      for (const name of body.beds) monitor.bed(name);
    } else if (body.schema === "alarm/1") {
      this.foldAlarm(monitor, topic, body);
    } else if (body.schema === "status/1") {
      const bed = monitor.bed(body.bed);
      bed.advance(body.sample, body.time);
      bed.status = body;
      bed.statusAt = now();
      bed.rate = body.heart_rate_bpm;
    } else if (body.schema === "beat/1") {
      const bed = monitor.bed(body.bed);
      bed.advance(body.sample, body.time);
      if (!bed.beats.length || body.r_sample > bed.beats.at(-1).r_sample) {
        bed.beats.push(body);
        if (bed.beats.length > BEATS) bed.beats.shift();
        bed.rate = body.heart_rate_bpm;
        this.dispatchEvent(new CustomEvent("beat", { detail: { bed, beat: body } }));
      }
    } else if (body.schema === "event/1") {
      const bed = monitor.bed(body.bed);
      bed.advance(body.sample, "");
      bed.event = { body, at: now() };
    }
  }

  foldAlarm(monitor, topic, body) {
    if (!monitor.isNew(topic, body)) return;
    const alarm = body.alarm;
    const bed = monitor.bed(alarm.bed);
    bed.advance(body.sample, body.time);
    this.keep({ bed, topic, body });
    const known = bed.active.get(alarm.alarm_id);
    if (known && known.seq > body.seq) return; // an older state, from the journal
    if (alarm.state === "cleared") {
      bed.active.delete(alarm.alarm_id);
      bed.cleared.unshift({ alarm, body });
      bed.cleared.length = Math.min(bed.cleared.length, CLEARED);
    } else if (!bed.cleared.some((entry) => entry.alarm.alarm_id === alarm.alarm_id && entry.body.seq > body.seq)) {
      bed.active.set(alarm.alarm_id, { alarm, body, seq: body.seq });
    }
    this.dispatchEvent(new CustomEvent("alarm", { detail: { bed, alarm, isNew: !known && alarm.state === "onset" } }));
  }

  foldPast(monitor, topic, body) {
    if (monitor.isNew(topic, body)) this.keep({ bed: monitor.bed(body.alarm.bed), topic, body });
  }

  keep(entry) {
    this.log.unshift(entry);
    this.log.length = Math.min(this.log.length, LOG);
  }

  foldWave(number, header, samples) {
    const monitor = this.monitors[number];
    if (!monitor || header.epoch !== monitor.epoch) return;
    const bed = monitor.bed(header.bed);
    header.channels.forEach((name, row) => {
      let ring = bed.rings[name];
      if (!ring || ring.fsHz !== header.fs_hz) ring = bed.rings[name] = new Ring(header.fs_hz, RING_S);
      ring.write(header.first_sample, samples.subarray(row * header.n, (row + 1) * header.n));
    });
    if (header.pacer_samples?.length) {
      bed.pulses.push(...header.pacer_samples);
      if (bed.pulses.length > 400) bed.pulses.splice(0, bed.pulses.length - 200);
    }
    bed.waveAt = now();
    bed.waveS += 0.1 * (Math.min(0.5, header.n / header.fs_hz) - bed.waveS);
    bed.advance(header.first_sample + header.n, header.time);
  }
}
