// Drawing on a canvas that is as sharp as the screen allows.

// Bitmap pixels per CSS pixel.
export const pixelRatio = () => Math.min(3, window.devicePixelRatio || 1);

// Clears a canvas and fits its bitmap to its size on the page. Null while it has none, else what to draw with:
// c: context in CSS pixels, width, height: CSS pixels, ink(name): colour of a CSS variable.
export function cleared(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  if (!width || !height) return null;
  const ratio = pixelRatio();
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const c = canvas.getContext("2d");
  c.scale(ratio, ratio);
  const style = getComputedStyle(canvas);
  return { c, width, height, ink: (name) => style.getPropertyValue(name) };
}

// The smallest step of 1, 2 or 5 times a power of ten that is at least `least`, which is above 0.
export function roundStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5].map((each) => each * power).find((step) => step >= least) ?? 10 * power;
}

// A canvas with its name for screen readers.
export function picture(label) {
  const made = document.createElement("canvas");
  made.setAttribute("role", "img");
  made.setAttribute("aria-label", label);
  return made;
}
