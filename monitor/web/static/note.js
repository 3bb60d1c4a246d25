// A short message at the edge of the page.

const NOTE_S = 5;
let timer = 0;

export function note(text) {
  const node = document.getElementById("note");
  node.textContent = text;
  node.hidden = false;
  clearTimeout(timer);
  timer = setTimeout(() => (node.hidden = true), NOTE_S * 1000);
}
