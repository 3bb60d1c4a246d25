// The shipped ONNX model in onnxruntime-web: one thread of WebAssembly, no network after loading.

import * as ort from "./ort/ort.wasm.min.mjs";
import { fetchBytes } from "./recording.js";

const BEAT = 187;
const VALUES = 8;
const BATCH = 64;

ort.env.wasm.wasmPaths = new URL("./ort/", import.meta.url).href;
ort.env.wasm.numThreads = 1;
ort.env.wasm.proxy = false;

export class Model {
  static async load(path) {
    const bytes = new Uint8Array(await fetchBytes(path));
    const model = new Model();
    model.session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
    model.queue = Promise.resolve();
    return model;
  }

  // beats (n * 187), templates (n * 2 * 187), values (n * 8): Float32Array, NaN = not known.
  // Returns log p and score, (n,) each. A session runs one batch at a time.
  score(beats, templates, values) {
    const result = this.queue.then(() => this.run(beats, templates, values));
    this.queue = result.catch(() => undefined);
    return result;
  }

  async run(beats, templates, values) {
    const n = beats.length / BEAT;
    const logProb = new Float32Array(n);
    const score = new Float32Array(n);
    for (let first = 0; first < n; first += BATCH) {
      const end = Math.min(n, first + BATCH);
      const part = (array, size, ...shape) =>
        new ort.Tensor("float32", array.slice(first * size, end * size), [end - first, ...shape]);
      const found = await this.session.run({
        beats: part(beats, BEAT, BEAT), templates: part(templates, 2 * BEAT, 2, BEAT), values: part(values, VALUES, VALUES),
      });
      logProb.set(found.log_prob.data, first);
      score.set(found.score.data, first);
    }
    return { logProb, score };
  }

  // One beat; `templates` null = not known.
  async scoreOne(samples, templates, values) {
    const found = await this.score(samples, templates ?? new Float32Array(2 * BEAT).fill(NaN), values);
    return { logProb: found.logProb[0], score: found.score[0] };
  }

  // The scorable beats `which` of a recording.
  scoreMany(recording, which) {
    const beats = new Float32Array(which.length * BEAT);
    const templates = new Float32Array(which.length * 2 * BEAT).fill(NaN);
    const values = new Float32Array(which.length * VALUES);
    which.forEach((at, row) => {
      beats.set(recording.samples(at), row * BEAT);
      const known = recording.templates(at);
      if (known) templates.set(known, row * 2 * BEAT);
      values.set(recording.values(at), row * VALUES);
    });
    return this.score(beats, templates, values);
  }
}
