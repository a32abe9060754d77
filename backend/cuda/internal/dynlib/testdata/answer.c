// A small library for the tests to open.
int answer(void) { return ANSWER; }
void digits(long long *out, int a, int b, int c, int d, int e, int f, int g, int h, int i) {
	*out = ((((((((a * 10 + b) * 10 + c) * 10 + d) * 10 + e) * 10 + f) * 10 + g) * 10 + h) * 10LL) + i;
}
const char *greeting(void) { return "hello"; }
