// Dark or light: the browser keeps the choice; before the first one the system's setting holds.

function set(theme) {
  document.documentElement.dataset.theme = theme;
}

export function startTheme() {
  let kept = null;
  try {
    kept = localStorage.getItem("theme");
  } catch {
    // storage is off
  }
  set(kept ?? (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark"));
}

export function toggleTheme() {
  const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  set(theme);
  try {
    localStorage.setItem("theme", theme);
  } catch {
    // storage is off: the choice lasts as long as the page
  }
}
