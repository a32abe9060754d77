// Heat maps of the load of each layer's experts over the steps, with one fixed colour scale.

import {element} from "./dom.js";

// colour returns the colour of a load, given as a multiple of the uniform load: blue is idle, red twice the uniform
// load or more.
function colour(v) {
	if (!Number.isFinite(v)) return [128, 128, 128];
	const at = Math.min(2, Math.max(0, v)) - 1;
	const [r, g, b] = at < 0 ? [33, 102, 172] : [192, 50, 38], part = Math.abs(at) ** 0.8;
	return [r, g, b].map(c => Math.round(244 + (c - 244) * part));
}

export function drawScale(canvas) {
	const to = canvas.getContext("2d");
	for (let i = 0; i < canvas.width; i++) {
		to.fillStyle = `rgb(${colour(2 * i / (canvas.width - 1))})`;
		to.fillRect(i, 0, 1, canvas.height);
	}
}

// Maximum number of columns of a map; if there are more steps, neighbouring steps share a column.
const columns = 240;

// drawLoads draws a map for each layer into box.
export function drawLoads(box, loads) {
	const layers = [...loads.keys()].sort((a, b) => parseFloat(a) - parseFloat(b) || a.localeCompare(b));
	box.replaceChildren(...layers.map(layer => map(layer, loads.get(layer))));
}

function map(layer, {x, y}) {
	const experts = y[0].length, size = Math.ceil(x.length / columns), wide = Math.ceil(x.length / size);
	const canvas = element("canvas");
	canvas.width = wide;
	canvas.height = experts;
	canvas.style.height = `${Math.min(336, Math.max(96, 14 * experts))}px`;
	const to = canvas.getContext("2d"), image = to.createImageData(wide, experts);
	for (let c = 0; c < wide; c++) {
		const sum = new Array(experts).fill(0);
		for (const load of y.slice(c * size, (c + 1) * size)) load.forEach((n, e) => { sum[e] += n; });
		const all = sum.reduce((a, b) => a + b, 0);
		sum.forEach((n, e) => image.data.set([...colour(n * experts / all), 255], 4 * (e * wide + c)));
	}
	to.putImageData(image, 0, 0);
	const figure = element("figure");
	figure.dataset.layer = layer;
	const grid = element("div", "map"), labels = element("div", "labels"), axis = element("div", "axis");
	const every = Math.ceil(experts / 24);
	for (let e = 0; e < experts; e += every) labels.append(element("span", "", e));
	for (const text of [`step ${x[0]}`, `expert (down), ${experts} of them`, `step ${x.at(-1)}`]) {
		axis.append(element("span", "", text));
	}
	grid.append(labels, canvas, axis);
	figure.append(element("figcaption", "", `Layer ${layer}`), grid);
	return figure;
}
