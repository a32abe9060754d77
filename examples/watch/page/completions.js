// The completions of a step, a table a prompt.
import {figures} from "./chart.js";

function cell(row, text, className = "", tag = "td") {
	const e = document.createElement(tag);
	e.textContent = text;
	e.className = className;
	row.append(e);
	return e;
}

const signed = v => (v > 0 ? "+" : "") + figures(+v.toFixed(4));

// drawGroups draws the groups of a line of samples.jsonl into box.
export function drawGroups(box, groups) {
	box.replaceChildren(...groups.map(group => {
		const section = document.createElement("div"), head = document.createElement("h3"), prompt = document.createElement("code");
		section.className = "group";
		prompt.textContent = group.prompt;
		head.append("Problem: ", prompt);
		const table = document.createElement("table"), names = Object.keys(group.samples[0]?.rewards ?? {});
		const header = table.createTHead().insertRow();
		for (const [title, className] of [["reward", "number"], ["advantage", "number"], ...names.map(n => [n, ""]), ["tokens", "number"],
			["completion", ""]]) cell(header, title, className, "th");
		const body = table.createTBody();
		for (const s of group.samples) {
			const row = body.insertRow();
			if (!s.in_loss) {
				row.className = "unused";
				row.title = "not in the loss";
			}
			row.dataset.reward = s.reward.value;
			cell(row, scored(s.reward) ? figures(s.reward.value) : s.reward.status, "number reward");
			cell(row, signed(s.advantage), `number advantage ${s.advantage > 0 ? "positive" : s.advantage < 0 ? "negative" : ""}`);
			for (const name of names) {
				const v = s.rewards[name], e = cell(row, v.status.replace("_", " "), v.status === "correct" ? "correct" : scored(v) ? "" : "failed");
				e.title = v.err ?? `${v.value}`;
			}
			cell(row, s.truncated ? `${s.tokens}, cut off` : s.tokens, "number");
			const text = document.createElement("div");
			text.textContent = s.text;
			cell(row, "", "text").append(text);
		}
		section.append(head, table);
		return section;
	}));
}

// scored reports whether a verdict carries a reward.
const scored = v => !["timeout", "error", "not_applicable"].includes(v.status);
