// The main script of the page: it polls the server for new data and draws it.
import {ask, Run} from "./data.js";
import {Chart} from "./chart.js";
import {element} from "./dom.js";
import {drawLoads, drawScale} from "./experts.js";
import {drawGroups} from "./completions.js";

const period = 1000; // milliseconds between two polls
const live = 30; // seconds without a new step after which a run is no longer shown as running
const first = 6; // number of newest runs that are ticked when the page opens

const $ = selector => document.querySelector(selector);

// Charts in the order in which they are shown: metric or pattern, title, unit.
const rlCharts = [
	["reward", "Reward"],
	[/^accuracy\/(.+)$/, "Accuracy: $1", "share"],
	[/^val-core\/(.+)$/, "Held out: $1"],
	["completions/mean_length", "Length", "tokens"],
	["entropy", "Entropy", "nats"],
	["frac_reward_zero_std", "Dead groups", "share"],
	["loss", "Loss"],
	["kl", "KL divergence from the reference", "nats"],
	["completions/clipped_ratio", "Truncated", "share"],
	["grad_norm", "Gradient norm"],
	["maxvio", "MaxVio of the experts"],
];
const trainCharts = [
	["lm_loss", "Next-token loss", "nats"],
	["mtp_loss", "Multi-token prediction loss"],
	["loss", "Loss, all terms"],
	[/^eval_(.+)$/, "Held out: $1"],
	["rewards/accuracies", "Accuracy on pairs", "share"],
	["rewards/margins", "Reward margin, chosen − rejected"],
	["maxvio", "MaxVio of the experts"],
	["grad_norm", "Gradient norm"],
	["learning_rate", "Learning rate"],
];

const runs = new Map(); // by id, in the order of the server
let focused, chosen = false; // the run shown in detail, and whether the reader chose it
let samples = {steps: [], step: 0}, textsOf = {};
const charts = new Map(); // section and metric → Chart

// describe returns the title and unit of a metric, and its place in a list of charts.
function describe(list, metric) {
	for (const [place, [pattern, title, unit]] of list.entries()) {
		if (pattern === metric) return {place, title, unit};
		if (pattern instanceof RegExp && pattern.test(metric)) return {place, title: metric.replace(pattern, title), unit};
	}
}

// drawCharts draws the metrics of the shown runs that are in list or, if more is set, those that are not.
function drawCharts(section, shown, list, more) {
	const wanted = [];
	for (const metric of new Set(shown.flatMap(run => [...run.series.keys()]))) {
		const d = describe(list(metric), metric);
		if (Boolean(d) === !more) wanted.push({metric, ...d ?? {place: 0, title: metric}});
	}
	wanted.sort((a, b) => a.place - b.place || (a.metric < b.metric ? -1 : 1));
	const figures = wanted.map(({metric, title, unit}) => {
		const key = `${section} ${metric}`;
		if (!charts.has(key)) charts.set(key, new Chart(metric, title, unit));
		const chart = charts.get(key);
		chart.draw(shown.filter(run => run.series.has(metric)), Number($("#smoothing").value));
		return chart.figure;
	});
	const box = $(`${section} .charts`), now = [...box.children];
	if (figures.length !== now.length || figures.some((f, i) => f !== now[i])) box.replaceChildren(...figures);
	if (!more) $(section).hidden = !figures.length;
}

function draw() {
	const shown = [...runs.values()].filter(run => run.selected);
	const learning = shown.filter(run => run.learns), others = shown.filter(run => !run.learns);
	drawCharts("#rl", learning, () => rlCharts);
	drawCharts("#train", others, () => trainCharts);
	if ($("#more").open) drawCharts("#more", shown, () => [...rlCharts, ...trainCharts], true);
	drawAlarms(shown);
	for (const e of document.querySelectorAll(".of")) e.textContent = focused?.name ?? "";
	$("#experts").hidden = !focused?.loads.size;
	if (focused) drawLoads($("#experts .maps"), focused.loads);
}

function drawAlarms(shown) {
	const all = shown.flatMap(run => [...run.alarms, ...run.strange].map(a => ({run, ...a})));
	all.sort((a, b) => b.step - a.step);
	const most = 200;
	$("#alarms").hidden = !all.length;
	$("#alarms ol").replaceChildren(...all.slice(0, most).map(({run, step, text}) => {
		const e = element("li");
		e.append(swatch(run), ` ${run.name}, step ${step}: ${text}`);
		return e;
	}));
}

function swatch(run) {
	const e = element("span", "swatch");
	e.style.display = "inline-block";
	e.style.background = run.colour;
	return e;
}

// drawRuns updates the list of runs. It changes only elements that differ, so that the keyboard focus is kept.
function drawRuns(notes) {
	const state = run => run.error || [
		run.lastStep && `step ${run.lastStep}`, run.age < live ? "running" : `${ago(run.age)} ago`,
		run.damaged && `${run.damaged} damaged lines`,
	].filter(Boolean).join(" · ");
	const all = [...runs.values()];
	$("#waiting").hidden = all.length > 0;
	const names = all.map(run => run.id).join("\n");
	if ($("#runs").dataset.names !== names) {
		$("#runs").dataset.names = names;
		$("#runs").replaceChildren(...all.map(item));
	}
	all.forEach((run, i) => {
		const li = $("#runs").children[i], words = state(run);
		li.className = run === focused ? "focus" : "";
		li.querySelector("input").checked = run.selected;
		if (li.querySelector("small").textContent !== words) li.querySelector("small").textContent = words;
	});
	$("#notes").replaceChildren(...notes.map(note => element("li", "", note)));
}

function item(run) {
	const li = element("li"), box = element("input"), name = element("button");
	li.dataset.run = run.id;
	box.type = "checkbox";
	box.setAttribute("aria-label", `show the curves of ${run.name}`);
	box.addEventListener("change", () => {
		run.selected = box.checked;
		draw();
		refresh();
	});
	for (const part of run.name.split(/(?<=[/\\])/)) name.append(part, element("wbr"));
	name.append(element("small"));
	name.addEventListener("click", () => {
		chosen = true;
		focus(run);
		refresh();
	});
	li.append(box, swatch(run), name);
	return li;
}

// ago formats a time in seconds with a suitable unit.
function ago(s) {
	for (const [size, unit] of [[86400, "days"], [3600, "h"], [60, "min"]]) {
		if (s >= 1.5 * size) return `${Math.round(s / size)} ${unit}`;
	}
	return `${Math.round(s)} s`;
}

// focus selects the run that is shown in detail.
function focus(run) {
	if (run === focused) return;
	focused = run;
	samples = {steps: [], step: 0};
	textsOf = {};
	$("#newest").checked = true;
	draw();
}

// list requests the list of runs. New runs are ticked; in the first list only the newest ones are.
async function list() {
	const got = await ask("runs"), before = new Map(runs), newest = [...got.runs].sort((a, b) => a.age - b.age);
	runs.clear();
	for (const info of got.runs) {
		const run = before.get(info.id) ?? new Run(info);
		if (!before.has(info.id) && !before.size) run.selected = newest.slice(0, first).includes(info);
		run.age = info.age;
		runs.set(run.id, run);
	}
	const gone = focused && !runs.has(focused.id);
	if (gone) chosen = false;
	if (!chosen && newest.length) focus(runs.get(newest[0].id));
	if (gone || before.size !== runs.size) draw();
	return got.notes;
}

async function readSamples() {
	const run = focused, follows = $("#newest").checked;
	const got = await ask("samples", {run: run.id, step: follows ? 0 : samples.wanted ?? samples.step});
	if (run !== focused) return;
	const changed = got.step !== samples.step || JSON.stringify(got.line) !== JSON.stringify(samples.line);
	samples = {...got, wanted: samples.wanted};
	$("#steps").hidden = !got.steps.length;
	$("#step").max = got.steps.length - 1;
	if (follows) $("#step").value = got.steps.length - 1;
	$("#shown").textContent = got.step || samples.wanted || "";
	$("#unsampled").textContent = got.steps.length ? "" : run.learns ?
		"This run has no samples.jsonl: an older version wrote it." : "This run has no completions.";
	if (changed) drawGroups($("#groups"), got.line?.groups ?? []);
	else if (!got.line) $("#groups").replaceChildren();
}

async function readTexts() {
	const run = focused, got = await ask("texts", {run: run.id});
	if (run !== focused) return;
	for (const name of ["preflight", "config"]) {
		if (textsOf[name] !== got[name]) $(`#${name}`).textContent = got[name] || "This run has no such file.";
	}
	textsOf = got;
}

let timer, busy = false, again = false;

// refresh requests new data now and schedules the next request.
async function refresh() {
	if (busy) {
		again = true;
		return;
	}
	busy = true;
	clearTimeout(timer);
	try {
		const notes = await list();
		let grown = false;
		await Promise.all([...runs.values()].filter(run => run.selected || run === focused).map(async run => {
			try {
				grown = await run.read() || grown;
				run.error = "";
			} catch (e) {
				if (e instanceof TypeError) throw e; // the server cannot be reached
				run.error = e.message;
			}
		}));
		if (grown) draw();
		if (focused) await Promise.all([readSamples(), readTexts()]);
		drawRuns(notes);
		$("#offline").hidden = true;
	} catch (e) {
		$("#offline").hidden = false;
		console.warn(e);
	}
	busy = false;
	timer = setTimeout(refresh, again ? 0 : period);
	again = false;
}

$("#smoothing").addEventListener("input", draw);
$("#more").addEventListener("toggle", draw);
$("#newest").addEventListener("change", refresh);
$("#step").addEventListener("input", () => {
	$("#newest").checked = false;
	samples.wanted = samples.steps[$("#step").value];
	refresh();
});
drawScale($("#scale"));
refresh();
