// ?selftest: scores every shipped beat in this browser and compares with what Python wrote. The result is JSON text.

import { judgeAll } from "./baseline.js";
import { loadRecording } from "./recording.js";
import { explain, measure } from "./words.js";

const LOG_P_EXACT = -100; // further out log p is compared relative to itself

export async function selftest(index, model) {
  const worst = { score: 0, log_prob: 0, p_value: 0, threshold: 0 };
  const result = { recordings: 0, beats: 0, anomalous: 0, other_side: 0, other_words: [], worst };
  const put = (name, difference) => (worst[name] = Math.max(worst[name], Number.isNaN(difference) ? Infinity : Math.abs(difference)));
  for (const { key } of index.recordings) {
    const recording = await loadRecording(key, index);
    const which = recording.beats.map((_, at) => at).filter((at) => recording.scored(at));
    const found = await model.scoreMany(recording, which);
    const scores = new Float32Array(recording.beats.length).fill(NaN);
    which.forEach((at, row) => {
      scores[at] = found.score[row];
      put("score", found.score[row] - recording.score(at));
      put("log_prob", (found.logProb[row] - recording.logProb(at)) / Math.max(1, recording.logProb(at) / LOG_P_EXACT));
    });
    const verdicts = judgeAll(recording, scores, index.model);
    which.forEach((at) => {
      const beat = recording.beats[at];
      put("p_value", verdicts[at].pValue - beat.p_value);
      put("threshold", verdicts[at].threshold - beat.threshold);
      result.other_side += verdicts[at].anomalous !== beat.anomalous;
      result.anomalous += beat.anomalous;
      if (beat.anomalous) {
        const words = explain(measure(recording.samples(at), recording.template(at), recording.values(at))).map(([word]) => word);
        const expected = beat.words.filter((word) => word !== "unlikely shape" && word !== "then a pause");
        if (words.join() !== expected.join()) result.other_words.push(`${key} ${at}: ${words} / ${expected}`);
      }
    });
    result.beats += which.length;
    result.recordings += 1;
  }
  return result;
}
