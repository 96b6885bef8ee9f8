"use strict";
// Draws the page's charts: values under the pointer or the arrow keys, a stretch dragged over to look closer.

const SVG = "http://www.w3.org/2000/svg";
const LEFT = 58, RIGHT = 14, TOP = 10, BOTTOM = 34;

const charts = JSON.parse(document.getElementById("charts").textContent);

function element(parent, name, attributes = {}, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  parent.append(made);
  return made;
}

function short(value) {
  const size = Math.abs(value);
  if (size >= 1e9 || (size > 0 && size < 1e-3)) return value.toExponential(1);
  if (size >= 1e6) return `${+(value / 1e6).toPrecision(4)}M`;
  if (size >= 1e4) return `${+(value / 1e3).toPrecision(4)}k`;
  return `${+value.toPrecision(4)}`;
}

function ticks(low, high, wanted) {
  const rough = (high - low) / wanted, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999);
  const found = [];
  for (let n = Math.ceil(low / step); n * step <= high * (1 + 1e-12) + 1e-300 && found.length < 50; n++) found.push(n * step);
  return found;
}

function decades(low, high) {
  const powers = [];
  for (let n = Math.floor(low); n <= Math.ceil(high); n++) powers.push(n);
  const factors = high - low < 2 ? [1, 2, 5] : [1], every = Math.ceil(powers.length / 8);
  return powers.filter((n) => n % every === 0).flatMap((n) => factors.map((factor) => n + Math.log10(factor)))
    .filter((at) => at >= low && at <= high);
}

class Chart {
  constructor(figure, data) {
    this.data = data;
    this.holder = figure.querySelector(".chart");
    this.told = figure.querySelector(".told");
    this.reset = figure.querySelector("button");
    this.all = data.lines.flatMap((line) => line.x);
    this.range = this.whole = [Math.min(...this.all), Math.max(...this.all)];
    if (this.whole[0] === this.whole[1]) this.range = this.whole = [this.whole[0] - 1, this.whole[1] + 1];
    this.reset.addEventListener("click", () => this.look(this.whole));
    this.holder.addEventListener("keydown", (event) => this.step(event));
    new ResizeObserver(() => this.draw()).observe(this.holder);
  }

  look(range) {
    this.range = range;
    this.reset.hidden = range === this.whole;
    this.draw();
  }

  y(value) { return this.data.log ? Math.log10(value) : value; }

  extent() {
    let low = Infinity, high = -Infinity;
    for (const line of this.data.lines)
      line.x.forEach((x, i) => {
        if (x < this.range[0] || x > this.range[1]) return;
        for (const value of [line.y[i], line.low?.[i], line.high?.[i]]) {
          if (value == null || (this.data.log && value <= 0)) continue;
          low = Math.min(low, this.y(value));
          high = Math.max(high, this.y(value));
        }
      });
    if (low > high) return [0, 1];
    const room = (high - low) * 0.05 || Math.abs(high) * 0.1 || 1;
    return [low - room, high + room];
  }

  draw() {
    const width = this.holder.clientWidth, height = Math.max(190, Math.min(320, width * 0.55));
    if (width < 60) return;
    this.holder.querySelector("svg")?.remove();
    const svg = element(this.holder, "svg", { width, height, "aria-hidden": "true" });
    const [low, high] = this.extent(), [from, to] = this.range;
    this.px = (x) => LEFT + ((x - from) / (to - from)) * (width - LEFT - RIGHT);
    this.py = (value) => height - BOTTOM - ((this.y(value) - low) / (high - low)) * (height - TOP - BOTTOM);
    const bottom = height - BOTTOM;
    for (const tick of this.data.log ? decades(low, high) : ticks(low, high, 5)) {
      const value = this.data.log ? 10 ** tick : tick, at = this.py(value);
      element(svg, "line", { x1: LEFT, x2: width - RIGHT, y1: at, y2: at, class: "grid" });
      element(svg, "text", { x: LEFT - 6, y: at + 4, "text-anchor": "end" }, short(value));
    }
    for (const tick of ticks(from, to, Math.max(2, Math.floor(width / 110))))
      element(svg, "text", { x: this.px(tick), y: bottom + 16, "text-anchor": "middle" }, short(tick));
    element(svg, "text", { x: width - RIGHT, y: height - 3, "text-anchor": "end", class: "axis" }, "environment steps");
    const name = `inside-${this.data.number}`, clip = element(svg, "clipPath", { id: name });
    element(clip, "rect", { x: LEFT, y: 0, width: width - LEFT - RIGHT, height: bottom + 1 });
    const inside = element(svg, "g", { "clip-path": `url(#${name})` });
    this.data.lines.forEach((line) => this.line(inside, line));
    this.cursor = element(svg, "line", { y1: TOP, y2: bottom, class: "cursor", visibility: "hidden" });
    this.chosen = element(svg, "rect", { y: TOP, height: bottom - TOP, class: "chosen", visibility: "hidden" });
    this.dots = this.data.lines.map((line) => element(svg, "circle", { r: 3.5, fill: line.colour, visibility: "hidden" }));
    svg.addEventListener("pointermove", (event) => this.move(event));
    svg.addEventListener("pointerleave", () => this.hide());
    svg.addEventListener("pointerdown", (event) => { this.start = event.offsetX; });
    svg.addEventListener("pointerup", (event) => this.choose(event.offsetX));
  }

  line(parent, line) {
    const there = line.x.map((_, i) => i).filter((i) => !this.data.log || line.y[i] > 0);
    if (line.low) {
      const whole = there.filter((i) => line.low[i] != null && line.high[i] != null);
      const edge = [...whole.map((i) => [i, line.high[i]]), ...whole.reverse().map((i) => [i, line.low[i]])];
      const points = edge.map(([i, value]) => `${this.px(line.x[i])},${this.py(value)}`).join(" ");
      element(parent, "polygon", { points, fill: line.colour, "fill-opacity": 0.18 });
    }
    const points = there.map((i) => `${this.px(line.x[i])},${this.py(line.y[i])}`).join(" ");
    const style = { points, fill: "none", stroke: line.colour, "stroke-width": 2, "stroke-dasharray": line.dash };
    element(parent, "polyline", style);
    if (there.length === 1)
      element(parent, "circle", { cx: this.px(line.x[there[0]]), cy: this.py(line.y[there[0]]), r: 3, fill: line.colour });
  }

  move(event) {
    if (this.start !== undefined && event.buttons) {
      const [a, b] = [Math.min(this.start, event.offsetX), Math.max(this.start, event.offsetX)];
      for (const [key, value] of Object.entries({ x: a, width: b - a, visibility: "visible" })) this.chosen.setAttribute(key, value);
    }
    const [from, to] = this.range, width = this.px(to) - this.px(from);
    this.show(from + ((event.offsetX - LEFT) / width) * (to - from));
  }

  show(x) {
    this.at = x;
    const told = this.data.lines.map((line, number) => {
      let best = 0;
      line.x.forEach((own, i) => { if (Math.abs(own - x) < Math.abs(line.x[best] - x)) best = i; });
      const dot = this.dots[number];
      dot.setAttribute("cx", this.px(line.x[best]));
      dot.setAttribute("cy", this.py(line.y[best]));
      dot.setAttribute("visibility", "visible");
      return [line, best];
    });
    this.cursor.setAttribute("x1", this.px(x));
    this.cursor.setAttribute("x2", this.px(x));
    this.cursor.setAttribute("visibility", "visible");
    const interval = (line, i) => (line.low?.[i] == null ? "" : ` (${short(line.low[i])} to ${short(line.high[i])})`);
    this.told.textContent =
      `step ${short(Math.round(told[0][0].x[told[0][1]]))}: ` +
      told.map(([line, i]) => `${line.name} ${short(line.y[i])}${interval(line, i)}`).join(", ");
  }

  hide() {
    this.start = this.at = undefined;
    for (const one of [this.cursor, this.chosen, ...this.dots]) one.setAttribute("visibility", "hidden");
    this.told.textContent = "";
  }

  choose(end) {
    const start = this.start;
    this.hide();
    if (start === undefined || Math.abs(end - start) < 8) return;
    const [from, to] = this.range, width = this.px(to) - this.px(from);
    const [a, b] = [start, end].map((at) => from + ((at - LEFT) / width) * (to - from)).sort((p, q) => p - q);
    this.look([Math.max(a, this.whole[0]), Math.min(b, this.whole[1])]);
  }

  step(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape") this.look(this.whole);
    if (by === undefined) return;
    event.preventDefault();
    const [from, to] = this.range;
    this.show(Math.min(to, Math.max(from, (this.at ?? from) + (by * (to - from)) / 40)));
  }
}

for (const figure of document.querySelectorAll("figure[data-chart]")) {
  const number = Number(figure.dataset.chart);
  new Chart(figure, { ...charts[number], number });
}
