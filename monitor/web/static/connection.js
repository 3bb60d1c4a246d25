// The WebSocket to the server: frames in, requests out; it reconnects by itself. See monitor/web/frames.py.

import { now } from "./store.js";

const RETRY_S = [0.3, 1, 2, 4, 5];
const SILENT_S = 1.7; // the server sends at least twice a second; after this the page says that the link is lost
const CLOSE_S = 5; // after this it connects again: a cut cable or a stopped program closes no socket
const LATE_S = 1.5; // frames that come later than this are old: the connection is too slow

export class Connection extends EventTarget {
  constructor(store) {
    super();
    this.store = store;
    this.retries = 0;
    this.replies = new Map();
    this.nextId = 1;
    this.view = { waves: [], beats: [] };
    this.socket = null;
    this.lastFrameAt = now();
    setInterval(() => this.watch(), 250);
  }

  open() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/ws`);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.current = false; // whether the present state has come
    this.offsetS = Infinity; // from the server's clock to this page's, with the shortest way that was seen
    this.lateS = 0; // how much longer than that the last frames took
    this.lastFrameAt = now();
    socket.onmessage = (event) => socket === this.socket && this.receive(event.data);
    socket.onclose = (event) => socket === this.socket && this.closed(event.code, event.reason);
  }

  // Whether the server is silent, or its frames come late.
  watch() {
    if (!this.socket) return;
    const silentS = now() - this.lastFrameAt;
    if (silentS > CLOSE_S) {
      const socket = this.socket;
      this.closed(0);
      socket.close();
    } else if (this.current) {
      this.setLink(silentS > SILENT_S ? "lost" : this.lateS > LATE_S ? "late" : "open");
    }
  }

  // The clocks of server and page are compared, never read as times of day; both may be wrong.
  measure(atS) {
    const offsetS = now() - atS;
    this.offsetS = Math.min(this.offsetS, offsetS);
    this.lateS = offsetS - this.offsetS;
  }

  closed(code, reason = "") {
    this.socket = null;
    this.setLink("lost");
    for (const { reject } of this.replies.values()) reject(new Error("connection lost"));
    this.replies.clear();
    if (code === 4401) {
      this.dispatchEvent(new CustomEvent("refused", { detail: reason }));
      return;
    }
    const wait = RETRY_S[Math.min(this.retries++, RETRY_S.length - 1)];
    setTimeout(() => this.socket || this.open(), wait * 1000);
  }

  setLink(link) {
    if (this.store.link !== link) {
      this.store.link = link;
      this.dispatchEvent(new Event("link"));
    }
  }

  receive(data) {
    this.lastFrameAt = now();
    if (typeof data !== "string") {
      const view = new DataView(data);
      const length = view.getUint16(2, true);
      const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
      const at = Math.ceil((4 + length) / 4) * 4;
      this.store.foldWave(view.getUint8(0), header, new Float32Array(data, at, header.channels.length * header.n));
      return;
    }
    const end = data.indexOf("\n");
    const body = JSON.parse(data.slice(end + 1));
    const head = data.slice(0, end);
    if (head !== "*") {
      const space = head.indexOf(" ");
      this.store.fold(Number(head.slice(0, space)), head.slice(space + 1), body);
    } else if (body.type === "hello") {
      this.store.hello(body);
      this.send({ op: "start", have: this.store.have() });
      this.send({ op: "view", ...this.view });
    } else if (body.type === "current") {
      this.retries = 0;
      this.current = true;
      this.watch();
    } else if (body.type === "connection") {
      this.store.setConnection(body);
      this.measure(body.at_s);
      this.watch();
      this.dispatchEvent(new Event("alive"));
    } else if (body.type === "position") {
      this.store.setPosition(body);
    } else if (body.type === "recovered") {
      this.store.setRecovered(body);
      if (!body.complete) this.dispatchEvent(new Event("incomplete"));
    } else if (body.type === "reply") {
      const waiting = this.replies.get(body.id);
      this.replies.delete(body.id);
      waiting?.resolve(body);
    }
  }

  send(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  // A request with a reply: {ok, error, data}.
  request(message) {
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      if (this.socket?.readyState !== WebSocket.OPEN) {
        reject(new Error("not connected"));
        return;
      }
      this.replies.set(id, { resolve, reject });
      this.send({ ...message, id });
    });
  }

  // Choose the beds whose waves and whose beats are wanted.
  setView(waveBeds, beatBeds) {
    const pairs = (beds) => beds.map((bed) => [bed.monitor.number, bed.name]);
    const view = { waves: pairs(waveBeds), beats: pairs(beatBeds) };
    if (JSON.stringify(view) === JSON.stringify(this.view)) return;
    this.view = view;
    const wanted = new Set(waveBeds);
    for (const bed of this.store.beds) {
      if (!wanted.has(bed)) bed.wavesSince = null;
      else bed.wavesSince ??= now();
    }
    this.store.detail = new Set(beatBeds.map((bed) => bed.key));
    this.send({ op: "view", ...view });
  }
}
