// element returns a new HTML element with a class and a text.
export function element(tag, className = "", text = "") {
	const e = document.createElement(tag);
	e.className = className;
	e.textContent = text;
	return e;
}
