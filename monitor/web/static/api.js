// Questions about past alarms over HTTP. See monitor/web/history_routes.py.

const TRIES = 20; // while the server reads a long journal
const AGAIN_MS = 1000;

// Address of an answer; empty values are left out, lists repeat their name.
export function address(path, query) {
  const words = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const each of Array.isArray(value) ? value : [value]) if (each !== "" && each !== null && each !== undefined) words.append(name, each);
  }
  const text = words.toString();
  return text ? `${path}?${text}` : path;
}

// The JSON answer. Throws an Error with one line; an AbortError where `signal` ended the question.
export async function ask(path, query, signal) {
  for (let tries = 1; ; tries++) {
    const answer = await fetch(address(path, query), { signal }).catch((error) => {
      throw error.name === "AbortError" ? error : new Error("the server cannot be reached");
    });
    if (answer.ok) return answer.json();
    if (answer.status !== 503 || tries === TRIES) throw new Error((await answer.text()).trim() || `error ${answer.status}`);
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    signal?.throwIfAborted();
  }
}
