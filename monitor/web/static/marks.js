// The mark of a beat under a trace: anomalous, normal, or not scored; distinct also without colour.

// `ink` has the colours `anomalous` and `dim`.
export function drawBeatMark(c, x, y, beat, ink) {
  c.lineWidth = 1.5;
  c.beginPath();
  if (beat.anomalous) {
    c.fillStyle = ink.anomalous;
    c.moveTo(x, y - 8);
    c.lineTo(x + 6, y + 4);
    c.lineTo(x - 6, y + 4);
    c.fill();
  } else if (beat.score === null) {
    c.strokeStyle = ink.dim;
    c.arc(x, y, 3.5, 0, 2 * Math.PI);
    c.stroke();
  } else {
    c.strokeStyle = ink.dim;
    c.moveTo(x, y - 5);
    c.lineTo(x, y + 3);
    c.stroke();
  }
}
