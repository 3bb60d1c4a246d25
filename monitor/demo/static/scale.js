// The axis of the score: linear around 0, where normal beats lie, logarithmic above.

const LOW = -4;
const HIGH = 34;
const LINEAR = 2;

const bent = (score) => Math.asinh(score / LINEAR);

// Place of a score on the axis, 0 to 1; scores beyond the ends count as the ends.
export function share(score) {
  const inside = Math.max(LOW, Math.min(HIGH, score));
  return (bent(inside) - bent(LOW)) / (bent(HIGH) - bent(LOW));
}

export const TICKS = [-4, -2, 0, 2, 4, 8, 16, 32];

// Element of an SVG with attributes; `text` is a text node.
export function svg(tag, attributes = {}, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text) made.textContent = text;
  return made;
}

// Path through (x, y) pairs; a NaN lifts the pen.
export function path(points) {
  let text = "";
  let pen = false;
  for (const [x, y] of points) {
    if (Number.isNaN(y)) pen = false;
    else {
      text += `${pen ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
      pen = true;
    }
  }
  return text;
}
