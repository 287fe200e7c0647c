// Latency over the last minute, on a small canvas.

const SPAN = 60; // seconds
const MOST = 4000; // samples kept: a minute at 60 pictures a second
const MARGIN = { left: 52, right: 8, top: 8, bottom: 22 };
const STEPS = [10, 20, 25, 50, 100, 200, 250, 500, 1000, 2000, 2500, 5000, 10000];

export class Plot {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.samples = { sent: [], drawn: [] };
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  /** One latency in ms, of kind "sent" or "drawn". */
  add(kind, ms) {
    const samples = this.samples[kind];
    samples.push({ at: performance.now() / 1000, ms });
    if (samples.length > MOST) samples.shift();
  }

  /** Pictures drawn per second of late, and percentiles in ms; null where nothing was drawn. */
  summary() {
    this.forget();
    const drawn = this.samples.drawn;
    if (!drawn.length) return null;
    const sorted = drawn.map(({ ms }) => ms).sort((a, b) => a - b);
    const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
    const late = performance.now() / 1000 - 4;
    return { fps: drawn.filter((sample) => sample.at > late).length / 4, p50: at(0.5), p95: at(0.95) };
  }

  draw() {
    this.forget();
    const ratio = devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.context.scale(ratio, ratio);
    this.style = getComputedStyle(this.canvas);
    const all = [...this.samples.drawn, ...this.samples.sent];
    const highest = all.reduce((most, { ms }) => Math.max(most, ms), 20);
    const step = STEPS.find((size) => size * 4 >= highest) ?? highest / 4;
    const top = Math.ceil(highest / step) * step;
    const box = { left: MARGIN.left, top: MARGIN.top, right: width - MARGIN.right, bottom: height - MARGIN.bottom };
    this.drawAxes(box, step, top);
    this.drawLine("sent", box, top, 1);
    this.drawLine("drawn", box, top, 2);
  }

  drawAxes(box, step, top) {
    const { context } = this;
    context.font = `11px ${this.style.fontFamily}`;
    context.fillStyle = this.style.getPropertyValue("--muted");
    context.strokeStyle = this.style.getPropertyValue("--line");
    context.lineWidth = 1;
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (let ms = 0; ms <= top; ms += step) {
      const y = Math.round(box.bottom - (ms / top) * (box.bottom - box.top)) + 0.5;
      line(context, box.left, y, box.right, y);
      context.fillText(ms + step > top ? `${ms} ms` : `${ms}`, box.left - 6, y);
    }
    context.textBaseline = "alphabetic";
    const y = box.bottom + 16;
    context.textAlign = "left";
    context.fillText(`${SPAN} s ago`, box.left, y);
    context.textAlign = "center";
    context.fillText(`${SPAN / 2}`, (box.left + box.right) / 2, y);
    context.textAlign = "right";
    context.fillText("now", box.right, y);
  }

  drawLine(kind, box, top, width) {
    const { context } = this;
    const now = performance.now() / 1000;
    context.strokeStyle = this.style.getPropertyValue(`--${kind}`);
    context.lineWidth = width;
    context.lineJoin = "round";
    context.beginPath();
    let before = -Infinity;
    for (const { at, ms } of thinned(this.samples[kind], box.right - box.left)) {
      const x = box.right - ((now - at) / SPAN) * (box.right - box.left);
      const y = box.bottom - (ms / top) * (box.bottom - box.top);
      // A second without a picture is a gap in the line, not a slope.
      if (at - before > 1) context.moveTo(x, y);
      else context.lineTo(x, y);
      before = at;
    }
    context.stroke();
  }

  forget() {
    const oldest = performance.now() / 1000 - SPAN;
    for (const samples of Object.values(this.samples)) {
      const keep = samples.findIndex(({ at }) => at >= oldest);
      samples.splice(0, keep < 0 ? samples.length : keep);
    }
  }
}

/** The highest sample of every two pixels or so: peaks must stay visible. */
function thinned(samples, pixels) {
  const slot = (SPAN / pixels) * 2;
  const highest = new Map();
  for (const sample of samples) {
    const place = Math.floor(sample.at / slot);
    if (!(highest.get(place)?.ms >= sample.ms)) highest.set(place, sample);
  }
  return highest.values();
}

function line(context, x0, y0, x1, y1) {
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
}
