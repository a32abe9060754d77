// Line charts in SVG: each chart shows one metric, with a line for each run.

import {element} from "./dom.js";

const width = 400, height = 210, left = 48, right = 8, top = 8, bottom = 24;
const buckets = 300; // maximum number of drawn points; longer series are averaged, and a band shows the range

const make = (name, attributes = {}, text) => {
	const e = document.createElementNS("http://www.w3.org/2000/svg", name);
	for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
	if (text !== undefined) e.textContent = text;
	return e;
};

// figures formats a number with about four digits.
export function figures(v) {
	if (!Number.isFinite(v)) return "not finite";
	if (v === 0) return "0";
	const size = Math.abs(v);
	if (size >= 1e6 || size < 1e-3) return v.toExponential(2).replace("e+", "e");
	return String(+v.toPrecision(4));
}

// ticks returns about n round numbers from low to high.
export function ticks(low, high, n, whole) {
	const raw = (high - low) / n, power = 10 ** Math.floor(Math.log10(raw));
	let step = [1, 2, 5, 10].map(m => m * power).find(s => s >= raw);
	if (whole) step = Math.max(1, Math.round(step));
	const out = [];
	for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) out.push(+(i * step).toPrecision(12));
	return out;
}

// smooth returns the exponential moving average of y, with bias correction.
function smooth(y, by) {
	let sum = 0, weight = 0;
	return y.map(v => {
		if (!Number.isFinite(v)) return NaN;
		sum = by * sum + v;
		weight = by * weight + 1;
		return sum / weight;
	});
}

// thin returns the points to draw: the mean of each bucket, with its minimum and maximum.
function thin(x, y) {
	const size = Math.ceil(x.length / buckets), out = [];
	for (let i = 0; i < x.length; i += size) {
		const part = y.slice(i, i + size).filter(Number.isFinite);
		const mean = list => list.reduce((a, b) => a + b, 0) / list.length;
		out.push({
			x: mean(x.slice(i, i + size)), y: part.length ? mean(part) : NaN,
			low: Math.min(...part), high: Math.max(...part),
		});
	}
	return out;
}

// path returns an SVG path through points. A point that is not finite leaves a gap, and a point between gaps is a dot.
function path(points, x, y) {
	let d = "", open = false;
	points.forEach((p, i) => {
		if (!Number.isFinite(p.y)) {
			open = false;
			return;
		}
		const at = `${x(p.x).toFixed(1)} ${y(p.y).toFixed(1)}`;
		d += open ? `L${at}` : `M${at}`;
		if (!open && !Number.isFinite(points[i + 1]?.y)) d += "h.01";
		open = true;
	});
	return d;
}

export class Chart {
	constructor(metric, title, unit = "") {
		this.metric = metric;
		this.figure = element("figure");
		this.figure.dataset.metric = metric;
		const caption = element("figcaption"), name = element("span", "", title);
		if (unit) name.append(element("small", "", ` ${unit}`));
		name.title = metric;
		this.last = element("span", "last");
		caption.append(name, this.last);
		this.svg = make("svg", {viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title});
		this.figure.append(caption, this.svg);
		this.svg.addEventListener("pointermove", e => {
			const box = this.svg.getBoundingClientRect();
			this.pointer = (e.clientX - box.left) / box.width * width;
			this.#point();
		});
		this.svg.addEventListener("pointerleave", () => {
			this.pointer = undefined;
			this.#point();
		});
	}

	// draw draws the metric of runs; all of them have it.
	draw(runs, smoothing) {
		this.runs = runs;
		const lines = runs.map(run => {
			const {x, y} = run.series.get(this.metric);
			const raw = thin(x, y);
			return {run, raw, points: smoothing ? thin(x, smooth(y, smoothing)) : raw, count: x.length};
		});
		let x0 = Infinity, x1 = -Infinity, y0 = Infinity, y1 = -Infinity;
		for (const {raw} of lines) {
			for (const p of raw) {
				x0 = Math.min(x0, p.x), x1 = Math.max(x1, p.x), y0 = Math.min(y0, p.low), y1 = Math.max(y1, p.high);
			}
		}
		if (x0 === x1) x0 -= 1, x1 += 1;
		if (!Number.isFinite(y0)) y0 = 0, y1 = 1; // no point is finite
		if (y0 === y1) y0 -= Math.abs(y0) / 10 || 0.5, y1 += Math.abs(y1) / 10 || 0.5;
		if (y0 > 0 && y0 < y1 / 3) y0 = 0;
		const x = this.x = v => left + (v - x0) / (x1 - x0) * (width - left - right);
		const y = v => height - bottom - (v - y0) / (y1 - y0) * (height - top - bottom);
		const parts = [];
		for (const t of ticks(y0, y1, 4)) {
			parts.push(make("line", {class: "grid", x1: left, x2: width - right, y1: y(t), y2: y(t)}),
				make("text", {x: left - 5, y: y(t) + 4, "text-anchor": "end"}, figures(t)));
		}
		parts.push(make("text", {x: left - 5, y: height - 8, "text-anchor": "end"}, "step"));
		for (const t of ticks(x0, x1, 6, true)) {
			parts.push(make("text", {x: x(t), y: height - 8, "text-anchor": "middle"}, t));
		}
		for (const {run, raw, points, count} of lines) {
			if (smoothing) {
				parts.push(make("path", {class: "raw", d: path(raw, x, y), stroke: run.colour}));
			} else if (count > raw.length) {
				const whole = raw.filter(p => Number.isFinite(p.y));
				const edge = [...whole.map(p => [p.x, p.high]), ...whole.reverse().map(p => [p.x, p.low])];
				const d = edge.map(([u, v]) => `${x(u).toFixed(1)} ${y(v).toFixed(1)}`).join("L");
				parts.push(make("path", {class: "band", d: `M${d}z`, fill: run.colour}));
			}
			parts.push(make("path", {
				class: "line", d: path(points, x, y), stroke: run.colour, "data-run": run.id, "data-points": count,
			}));
		}
		this.cursor = make("line", {class: "cursor", y1: top, y2: height - bottom, visibility: "hidden"});
		this.svg.replaceChildren(...parts, this.cursor);
		this.#point();
	}

	// point shows the values at the pointer or, without a pointer, the last values.
	#point() {
		const shown = this.runs.map(run => {
			const {x, y} = run.series.get(this.metric);
			let at = x.length - 1;
			if (this.pointer !== undefined) {
				x.forEach((v, i) => {
					if (Math.abs(this.x(v) - this.pointer) < Math.abs(this.x(x[at]) - this.pointer)) at = i;
				});
			}
			return {run, step: x[at], value: y[at]};
		});
		this.last.replaceChildren(...shown.map(({run, step, value}) => {
			const e = element("span", "", this.pointer === undefined ? figures(value) : `${step}: ${figures(value)}`);
			e.title = `${run.name}, step ${step}`;
			e.style.color = run.colour;
			return e;
		}));
		const on = this.pointer !== undefined;
		this.cursor.setAttribute("visibility", on ? "visible" : "hidden");
		if (on) {
			const at = this.x(shown[0].step);
			this.cursor.setAttribute("x1", at);
			this.cursor.setAttribute("x2", at);
		}
	}
}
