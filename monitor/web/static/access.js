// Login by the token in the link's fragment, which the browser sends to no server; logout.

const FRAGMENT = "#token=";

// Exchange the token of the address bar, if there is one, for the cookie of a session.
// Returns why that failed, else "".
export async function enter() {
  if (!location.hash.startsWith(FRAGMENT)) return "";
  const token = location.hash.slice(FRAGMENT.length);
  history.replaceState(null, "", location.pathname); // neither in the address bar nor in the history
  try {
    const answer = await fetch("/login", { method: "POST", body: JSON.stringify({ token }) });
    return answer.ok ? "" : (await answer.text()).trim();
  } catch {
    return "the server cannot be reached; open the link again";
  }
}

// The server closes the pages of the session.
export async function leave() {
  await fetch("/logout", { method: "POST" });
}
