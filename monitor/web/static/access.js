// Login by the token in the link's fragment, which the browser sends to no server; logout.

const FRAGMENT = "#token=";
let token = ""; // in the memory of this page only: a server that was started again needs a new login

// Take the token out of the address bar, if there is one, and log in. Returns why that failed, else "".
export async function enter() {
  if (!location.hash.startsWith(FRAGMENT)) return "";
  token = location.hash.slice(FRAGMENT.length);
  history.replaceState(null, "", location.pathname); // neither in the address bar nor in the history
  return login();
}

// After the server has refused this page: log in again. Returns whether to connect again.
export async function again() {
  return token !== "" && (await login()) === "";
}

// The server closes the pages of the session.
export async function leave() {
  token = "";
  await fetch("/logout", { method: "POST" });
}

async function login() {
  try {
    const answer = await fetch("/login", { method: "POST", body: JSON.stringify({ token }) });
    return answer.ok ? "" : (await answer.text()).trim();
  } catch {
    return ""; // the server cannot be reached: the connection tries again, and is refused
  }
}
