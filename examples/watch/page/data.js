// The data of a run: its rows, read in chunks, as a series for each metric.

const colours = ["#1f77c9", "#e0701a", "#2e9e5b", "#c23b6f", "#7a5bc7", "#a8841a", "#1798a6", "#8a8f98"];
let discovered = 0;

// ask requests a path of the API and returns the response. If the status is not OK, it throws an Error with its text.
export async function ask(path, query = {}) {
	const reply = await fetch(`/api/${path}?${new URLSearchParams(query)}`);
	if (!reply.ok) throw new Error(await reply.text());
	return reply.json();
}

export class Run {
	constructor(info) {
		Object.assign(this, info); // id, name, age
		this.colour = colours[discovered++ % colours.length];
		this.selected = true;
		this.error = "";
		this.alarms = [];
		this.places = {};
		this.forget();
	}

	forget() {
		this.series = new Map(); // name → {x: [steps], y: [values]}, NaN for a value that is not finite
		this.loads = new Map(); // layer → {x: [steps], y: [loads of the experts]}
		this.damaged = 0;
		this.strange = []; // problems found in the metrics: {step, text}
		this.lastStep = 0;
		this.learns = false; // whether it is reinforcement learning: it has completions
	}

	// read reads the new lines of the run's files and reports whether there were any.
	async read() {
		let grown = false;
		await this.#lines("metrics.jsonl", () => this.forget(), row => this.#row(row), damaged => {
			this.damaged += damaged;
			grown = true;
		});
		await this.#lines("alarms.jsonl", () => { this.alarms = []; }, row => {
			for (const text of row.alarms ?? []) this.alarms.push({step: row.step, text});
		}, () => { grown = true; });
		return grown;
	}

	async #lines(file, reset, row, changed) {
		for (let more = true; more;) {
			const {offset = 0, mark = ""} = this.places[file] ?? {};
			const got = await ask("lines", {run: this.id, file, offset, mark});
			if (got.reset) reset();
			got.rows.forEach(row);
			if (got.reset || got.rows.length || got.damaged) changed(got.damaged);
			this.places[file] = {offset: got.offset, mark: got.mark};
			more = got.more;
		}
	}

	#row(row) {
		const step = row.step;
		if (typeof step !== "number") {
			this.damaged++;
			return;
		}
		this.lastStep = Math.max(this.lastStep, step);
		const judged = new Map(), maxvio = [];
		for (const [name, value] of Object.entries(row)) {
			if (Array.isArray(value)) {
				const layer = name.match(/^moe\/(.+)\/load$/);
				if (layer) add(this.loads, layer[1], step, value);
				continue;
			}
			if (name === "step" || value !== null && typeof value !== "number") continue;
			add(this.series, name, step, value ?? NaN);
			if (value === null) this.strange.push({step, text: `${name} is not finite`});
			if (name === "completions/mean_length") this.learns = true;
			if (/^moe\/.+\/maxvio$/.test(name)) maxvio.push(value ?? NaN);
			const status = name.match(/^rewards\/(.+)\/(correct|wrong|unparseable|timeout|error)$/);
			if (status) {
				const count = judged.get(status[1]) ?? {all: 0, correct: 0};
				count.all += value;
				if (status[2] === "correct") count.correct += value;
				judged.set(status[1], count);
			}
		}
		for (const [fn, count] of judged) if (count.all) add(this.series, `accuracy/${fn}`, step, count.correct / count.all);
		if (maxvio.length) add(this.series, "maxvio", step, maxvio.reduce((a, b) => a + b) / maxvio.length);
		if (row.skipped > 0) this.strange.push({step, text: `${Math.round(100 * row.skipped)}% of the updates were skipped`});
	}
}

function add(to, name, step, value) {
	let series = to.get(name);
	if (!series) to.set(name, series = {x: [], y: []});
	series.x.push(step);
	series.y.push(value);
}
