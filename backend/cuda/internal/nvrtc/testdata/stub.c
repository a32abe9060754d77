// A stub of libnvrtc. Its "cubin" is a text of everything that the calls
// received. If it is compiled with -DNVRTC_H against NVIDIA's nvrtc.h, the
// compiler checks each prototype.
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef NVRTC_H
#include <nvrtc.h>
_Static_assert(sizeof(nvrtcResult) == 4 && sizeof(nvrtcProgram) == 8, "sizes");
#else
typedef enum { ZERO } nvrtcResult;
typedef struct _nvrtcProgram *nvrtcProgram;
#endif

struct _nvrtcProgram { char text[4096]; size_t n; };

static char failing[64];
static int alive;

// CALL returns code 11 from the call if it is to fail.
#define CALL if (!strcmp(failing, __func__)) return (nvrtcResult)11
#define OK return (nvrtcResult)0
#define ADD(p, ...) ((p)->n += snprintf((p)->text + (p)->n, sizeof (p)->text - (p)->n, __VA_ARGS__))

// Functions for the test.
void stubFail(const char *call) { snprintf(failing, sizeof failing, "%s", call); }
void stubAlive(int *n) { *n = alive; }

nvrtcResult nvrtcVersion(int *major, int *minor) { CALL; *major = 12, *minor = 9; OK; }
const char *nvrtcGetErrorString(nvrtcResult r) {
	static char name[32];
	snprintf(name, sizeof name, "NAME_%d", (int)r);
	return name;
}
nvrtcResult nvrtcCreateProgram(nvrtcProgram *prog, const char *src, const char *name, int n,
	const char *const *headers, const char *const *names) {
	CALL;
	nvrtcProgram p = *prog = calloc(1, sizeof *p);
	alive++;
	ADD(p, "%s: %s\n", name, src);
	for (int i = 0; i < n; i++) ADD(p, "header %s: %s\n", names[i], headers[i]);
	OK;
}
nvrtcResult nvrtcDestroyProgram(nvrtcProgram *prog) {
	free(*prog), *prog = NULL, alive--;
	CALL;
	OK;
}
nvrtcResult nvrtcCompileProgram(nvrtcProgram p, int n, const char *const *options) {
	CALL;
	for (int i = 0; i < n; i++) ADD(p, "option %s\n", options[i]);
	return (nvrtcResult)(strstr(p->text, "broken") ? 6 : 0);
}
static const char text[] = "line 1: this is the log\n";
nvrtcResult nvrtcGetProgramLogSize(nvrtcProgram p, size_t *n) { CALL; *n = sizeof text; OK; }
nvrtcResult nvrtcGetProgramLog(nvrtcProgram p, char *log) { CALL; memcpy(log, text, sizeof text); OK; }
nvrtcResult nvrtcGetCUBINSize(nvrtcProgram p, size_t *n) { CALL; *n = p->n; OK; }
nvrtcResult nvrtcGetCUBIN(nvrtcProgram p, char *out) { CALL; memcpy(out, p->text, p->n); OK; }
