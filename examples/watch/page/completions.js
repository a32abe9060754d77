// The completions of a step, in a table for each prompt.
import {figures} from "./chart.js";
import {element} from "./dom.js";

function cell(row, text, className = "", tag = "td") {
	const e = element(tag, className, text);
	row.append(e);
	return e;
}

function signed(v) {
	const rounded = +v.toFixed(4) || 0; // no −0
	return (rounded > 0 ? "+" : "") + figures(rounded);
}

// drawGroups draws the groups of a line of samples.jsonl into box.
export function drawGroups(box, groups) {
	box.replaceChildren(...groups.map(group => {
		const section = element("div", "group"), head = element("h3");
		head.append("Problem: ", element("code", "", group.prompt));
		if (!group.samples.some(s => s.in_loss)) head.append(" · no completion is in the loss");
		const table = element("table"), names = Object.keys(group.samples[0]?.rewards ?? {});
		const header = table.createTHead().insertRow();
		for (const title of ["reward", "advantage"]) cell(header, title, "number", "th");
		for (const name of names) cell(header, name, "", "th");
		cell(header, "tokens", "number", "th");
		cell(header, "completion", "", "th");
		const body = table.createTBody();
		for (const s of group.samples) {
			const row = body.insertRow();
			if (!s.in_loss) {
				row.className = "unused";
				row.title = "not in the loss";
			}
			row.dataset.reward = s.reward.value;
			cell(row, scored(s.reward) ? figures(s.reward.value) : s.reward.status, "number reward");
			const sign = s.advantage > 0 ? "positive" : s.advantage < 0 ? "negative" : "";
			cell(row, signed(s.advantage), `number advantage ${sign}`);
			for (const name of names) {
				const v = s.rewards[name], className = v.status === "correct" ? "correct" : scored(v) ? "" : "failed";
				cell(row, v.status.replace("_", " "), className).title = v.err ?? `${v.value}`;
			}
			cell(row, s.truncated ? `${s.tokens}, cut off` : s.tokens, "number");
			cell(row, "", "text").append(element("div", "", s.text));
		}
		section.append(head, table);
		return section;
	}));
}

// scored reports whether a verdict has a reward.
const scored = v => !["timeout", "error", "not_applicable"].includes(v.status);
