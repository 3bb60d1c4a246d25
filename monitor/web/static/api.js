// Questions to the web server over HTTP. See monitor/web/history_routes.py and monitor/web/review/routes.py.

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

// Sends JSON; the JSON answer. Throws an Error with one line, and the HTTP status (0: no answer).
export async function send(path, body) {
  const failed = (text, status) => Object.assign(new Error(text), { status });
  const answer = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) })
    .catch(() => { throw failed("the server cannot be reached", 0); });
  if (answer.ok) return answer.json();
  throw failed((await answer.text()).trim() || `error ${answer.status}`, answer.status);
}
