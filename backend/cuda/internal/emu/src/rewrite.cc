#include "rewrite.h"

#include <cctype>
#include <cstdio>
#include <vector>

namespace emu {

namespace {

struct Token {
	size_t at, end;
	bool word;
};

struct Edit {
	size_t at, end;
	std::string text;
};

struct Brace {
	bool function, c; // within a function or type; within extern "C"
};

struct Rewriter {
	const std::string &in;
	std::string &log;
	std::vector<Token> tokens;
	std::vector<Edit> edits;
	std::vector<Brace> braces;
	size_t statement = 0; // index of the token that starts the statement

	std::string text(size_t i) const {
		return i < tokens.size() ? in.substr(tokens[i].at, tokens[i].end - tokens[i].at) : "";
	}
	bool is(size_t i, const char *what) const {
		return i < tokens.size() && !in.compare(tokens[i].at, tokens[i].end - tokens[i].at, what);
	}

	std::string join(size_t from, size_t to) const {
		std::string s;
		for (size_t i = from; i < to; i++) s += text(i) + " ";
		return s;
	}

	// has returns whether a token is between the start of the statement and i.
	bool has(size_t i, const char *what) const {
		for (size_t j = statement; j < i; j++) {
			if (is(j, what)) return true;
		}
		return false;
	}

	bool extern_c(size_t i) const {
		for (size_t j = statement; j + 1 < i; j++) {
			if (is(j, "extern") && is(j + 1, "\"C\"")) return true;
		}
		return false;
	}

	void tokenize() {
		bool line_start = true;
		for (size_t i = 0; i < in.size();) {
			unsigned char c = static_cast<unsigned char>(in[i]);
			if (c == '\n') {
				line_start = true;
				i++;
			} else if (isspace(c)) {
				i++;
			} else if (c == '#' && line_start) { // a line marker or pragma
				while (i < in.size() && in[i] != '\n') i++;
			} else {
				line_start = false;
				size_t at = i;
				bool word = isalnum(c) || c == '_';
				if (word) {
					while (i < in.size() && (isalnum(static_cast<unsigned char>(in[i])) || in[i] == '_')) i++;
				} else if (c == '"' || c == '\'') {
					for (i++; i < in.size() && in[i] != char(c); i++) i += in[i] == '\\';
					i++;
				} else {
					i++;
				}
				tokens.push_back({at, i, word});
			}
		}
	}

	// matching returns the token that closes the parenthesis at i.
	size_t matching(size_t i) const {
		for (int depth = 0; i < tokens.size(); i++) {
			if (is(i, "(")) depth++;
			if (is(i, ")") && !--depth) return i;
		}
		return i;
	}

	bool in_function() const { return !braces.empty() && braces.back().function; }

	bool error(size_t i, const std::string &what) {
		// Count lines from the line marker before the token.
		std::string file = "?";
		size_t line = 0;
		size_t at = 0, end = tokens[i].at;
		while (at < end) {
			size_t newline = in.find('\n', at);
			if (newline == std::string::npos || newline >= end) break;
			size_t number;
			int used = 0;
			if (sscanf(in.c_str() + at, "# %zu \"%n", &number, &used) == 1 && used) {
				line = number;
				file = in.substr(at + size_t(used), in.find('"', at + size_t(used)) - at - size_t(used));
			} else {
				line++;
			}
			at = newline + 1;
		}
		log += file + ":" + std::to_string(line) + ": error: " + what + "\n";
		return false;
	}

	bool kernel(size_t i) {
		if (has(i, "template")) return error(i, "a kernel that is a template has no name to launch it by");
		if (!extern_c(i) && !(!braces.empty() && braces.back().c)) return error(i, "kernels are extern \"C\"");
		edits.push_back({tokens[i].at, tokens[i].end, ""});
		std::string bound = "1024";
		size_t name = i + 1;
		for (;; name++) {
			if (name >= tokens.size() || is(name, ";") || is(name, "{"))
				return error(i, "no kernel follows __global__");
			if (!tokens[name].word || !is(name + 1, "(")) continue;
			if (is(name, "__launch_bounds__")) {
				size_t close = matching(name + 1), first = name + 2;
				int depth = 0;
				while (first < close && (depth || !is(first, ","))) {
					depth += is(first, "(") - is(first, ")");
					first++;
				}
				bound = join(name + 2, first);
				edits.push_back({tokens[name].at, tokens[close].end, ""});
				name = close;
			} else if (is(name, "__attribute__")) {
				name = matching(name + 1);
			} else {
				break;
			}
		}
		size_t close = matching(name + 1);
		if (is(close + 1, ";")) return true; // a declaration
		std::string n = text(name), type = "aha_signature<decltype(&" + n + ")>";
		std::string before = "extern \"C\" void " + n + join(name + 1, close + 1) +
		                     "; extern \"C\" { extern const aha_kernel aha_kernel_" + n +
		                     " __attribute__((visibility(\"default\"))); const aha_kernel aha_kernel_" + n + " = {" +
		                     type + "::call<&" + n + ">, " + type + "::count, " + type + "::sizes, unsigned(" +
		                     bound + ")}; } ";
		edits.push_back({tokens[statement].at, tokens[statement].at, before});
		return true;
	}

	bool shared(size_t i) {
		if (!in_function()) return error(i, "__shared__ outside a function");
		if (!has(i, "extern")) {
			edits.push_back({tokens[i].at, tokens[i].end, has(i, "static") ? "" : "static"});
			return true;
		}
		// extern __shared__ T name[]…;
		std::string type;
		size_t open = i + 1;
		for (; !is(open, "["); open++) {
			if (open >= tokens.size() || is(open, ";")) return error(i, "extern __shared__ without []");
			if (is(open, "__attribute__") || is(open, "alignas")) {
				open = matching(open + 1);
			} else if (!is(open + 1, "[")) {
				type += text(open) + " ";
			}
		}
		size_t end = open;
		while (end < tokens.size() && !is(end, ";")) end++;
		if (!is(open + 1, "]") || end == tokens.size()) return error(i, "extern __shared__ without []");
		std::string rest = join(open + 2, end);
		edits.push_back({tokens[statement].at, tokens[end].end,
			type + "(*const " + text(open - 1) + ")" + rest + " = (" + type + "(*)" + rest + ")aha_emu.dynamic;"});
		return true;
	}

	bool run(std::string &out) {
		tokenize();
		for (size_t i = 0; i < tokens.size(); i++) {
			if (is(i, "{")) {
				Brace outer = braces.empty() ? Brace{false, false} : braces.back();
				bool c = i == statement + 2 && extern_c(i);
				bool scope = c || (has(i, "namespace") && !outer.function);
				braces.push_back({outer.function || !scope, outer.c || c});
			} else if (is(i, "}") && !braces.empty()) {
				braces.pop_back();
			} else if (is(i, "__global__")) {
				if (!kernel(i)) return false;
			} else if (is(i, "__shared__")) {
				if (!shared(i)) return false;
			}
			if (is(i, "{") || is(i, "}") || is(i, ";")) statement = i + 1;
		}
		apply(out);
		return true;
	}

	void apply(std::string &out) {
		size_t at = 0;
		std::vector<Edit> sorted;
		for (auto &e : edits) { // edits are few and nearly in order
			size_t i = sorted.size();
			bool insertion = e.at == e.end; // inserted before what is removed there
			while (i && (sorted[i - 1].at > e.at || (insertion && sorted[i - 1].at == e.at))) i--;
			sorted.insert(sorted.begin() + long(i), e);
		}
		for (auto &e : sorted) {
			out += in.substr(at, e.at - at) + e.text;
			// Keep the newlines of removed text.
			for (size_t i = e.at; i < e.end; i++) {
				if (in[i] == '\n') out += '\n';
			}
			at = e.end;
		}
		out += in.substr(at);
	}
};

} // namespace

bool rewrite(const std::string &source, std::string &out, std::string &log) {
	return Rewriter{source, log, {}, {}, {}}.run(out);
}

} // namespace emu
