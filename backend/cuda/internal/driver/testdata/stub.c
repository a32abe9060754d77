// A stub of libcuda. Every call writes a line with its arguments to a log, and
// fails once with a given code if the test asks for it. If it is compiled with
// -DCUDA_H against NVIDIA's cuda.h, the compiler checks each prototype.
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef CUDA_H
#include <cuda.h>
#undef cuEventElapsedTime // the header renames it to a later version
_Static_assert(sizeof(CUdeviceptr) == 8 && sizeof(CUdevice) == 4 && sizeof(CUresult) == 4, "sizes");
_Static_assert(sizeof(CUstream) == 8 && sizeof(CUevent) == 8 && sizeof(CUfunction) == 8, "sizes");
_Static_assert(sizeof(CUdevice_attribute) == 4 && sizeof(CUfunction_attribute) == 4, "sizes");
#else
typedef enum { ZERO } CUresult;
typedef enum { ZERO_DEVICE } CUdevice_attribute;
typedef enum { ZERO_FUNCTION } CUfunction_attribute;
typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef struct CUctx_st *CUcontext;
typedef struct CUstream_st *CUstream;
typedef struct CUevent_st *CUevent;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
#endif
typedef unsigned int u32;

static char record[1 << 16];
static size_t used;
static int quiet;
static char failing[64];
static int failure;

static void note(const char *format, ...) {
	if (quiet) return;
	va_list list;
	va_start(list, format);
	used += vsnprintf(record + used, sizeof record - used, format, list);
	va_end(list);
}

// CALL logs a call, and returns from it if it is to fail.
#define CALL(format, ...) \
	do { \
		note("%s " format "\n", __func__, ##__VA_ARGS__); \
		if (failure && !strcmp(failing, __func__)) { \
			int r = failure; \
			failure = 0; \
			return (CUresult)r; \
		} \
	} while (0)
#define OK return (CUresult)0

// Functions for the test.
void stubFail(const char *call, int code) { snprintf(failing, sizeof failing, "%s", call), failure = code; }
void stubQuiet(int on) { quiet = on; }
void stubTake(char *out, size_t n) { snprintf(out, n, "%s", record), used = 0, record[0] = 0; }

CUresult cuInit(u32 flags) { CALL("%u", flags); OK; }
CUresult cuDriverGetVersion(int *v) { CALL(""); *v = 12040; OK; }
CUresult cuGetErrorName(CUresult r, const char **s) {
	if (failure && !strcmp(failing, __func__)) return (CUresult)1;
	static char name[32];
	snprintf(name, sizeof name, "NAME_%d", (int)r), *s = name; OK;
}
CUresult cuGetErrorString(CUresult r, const char **s) { *s = "the stub's message"; OK; }

CUresult cuDeviceGetCount(int *n) { CALL(""); *n = 3; OK; }
CUresult cuDeviceGet(CUdevice *d, int i) { CALL("%d", i); *d = 10 + i; OK; }
CUresult cuDeviceGetName(char *s, int n, CUdevice d) { CALL("%d %d", n, d); snprintf(s, n, "Stub GPU %d", d); OK; }
CUresult cuDeviceGetAttribute(int *v, CUdevice_attribute a, CUdevice d) { CALL("%d %d", (int)a, d); *v = -(int)a; OK; }
CUresult cuDeviceTotalMem_v2(size_t *n, CUdevice d) { CALL("%d", d); *n = (size_t)80 << 30; OK; }

static __thread CUcontext current;
CUresult cuDevicePrimaryCtxRetain(CUcontext *c, CUdevice d) { CALL("%d", d); *c = (CUcontext)(size_t)(0xc000 + d); OK; }
CUresult cuDevicePrimaryCtxRelease_v2(CUdevice d) { CALL("%d", d); OK; }
CUresult cuCtxSetCurrent(CUcontext c) { CALL("%p", c); current = c; OK; }
CUresult cuCtxGetCurrent(CUcontext *c) { CALL(""); *c = current; OK; }
CUresult cuCtxSynchronize(void) { CALL(""); OK; }

// Device memory is host memory.
CUresult cuMemGetInfo_v2(size_t *f, size_t *t) { CALL(""); *f = (size_t)60 << 30, *t = (size_t)80 << 30; OK; }
CUresult cuMemAlloc_v2(CUdeviceptr *p, size_t n) { CALL("%zu", n); *p = (CUdeviceptr)malloc(n); OK; }
CUresult cuMemFree_v2(CUdeviceptr p) { CALL(""); free((void *)p); OK; }
CUresult cuMemHostAlloc(void **p, size_t n, u32 flags) { CALL("%zu %u", n, flags); *p = calloc(1, n); OK; }
CUresult cuMemFreeHost(void *p) { CALL(""); free(p); OK; }
CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr d, const void *s, size_t n, CUstream q) {
	CALL("%zu %p", n, q); memcpy((void *)d, s, n); OK;
}
CUresult cuMemcpyDtoHAsync_v2(void *d, CUdeviceptr s, size_t n, CUstream q) {
	CALL("%zu %p", n, q); memcpy(d, (void *)s, n); OK;
}
CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr d, CUdeviceptr s, size_t n, CUstream q) {
	CALL("%zu %p", n, q); memcpy((void *)d, (void *)s, n); OK;
}
CUresult cuMemsetD8Async(CUdeviceptr d, unsigned char v, size_t n, CUstream q) {
	CALL("%d %zu %p", v, n, q); memset((void *)d, v, n); OK;
}

CUresult cuStreamCreate(CUstream *s, u32 flags) { CALL("%u", flags); *s = (CUstream)0x5100; OK; }
CUresult cuStreamDestroy_v2(CUstream s) { CALL("%p", s); OK; }
CUresult cuStreamSynchronize(CUstream s) { CALL("%p", s); OK; }
CUresult cuStreamWaitEvent(CUstream s, CUevent e, u32 flags) { CALL("%p %p %u", s, e, flags); OK; }
CUresult cuStreamQuery(CUstream s) { CALL("%p", s); OK; }
CUresult cuEventCreate(CUevent *e, u32 flags) { CALL("%u", flags); *e = (CUevent)0xe100; OK; }
CUresult cuEventDestroy_v2(CUevent e) { CALL("%p", e); OK; }
CUresult cuEventRecord(CUevent e, CUstream s) { CALL("%p %p", e, s); OK; }
CUresult cuEventQuery(CUevent e) { CALL("%p", e); OK; }
CUresult cuEventSynchronize(CUevent e) { CALL("%p", e); OK; }
CUresult cuEventElapsedTime(float *ms, CUevent a, CUevent b) { CALL("%p %p", a, b); *ms = 1.5f; OK; }

CUresult cuModuleLoadData(CUmodule *m, const void *image) {
	CALL("%.4s", (const char *)image);
	*m = (CUmodule)0x3000; OK;
}
CUresult cuModuleUnload(CUmodule m) { CALL("%p", m); OK; }
CUresult cuModuleGetFunction(CUfunction *f, CUmodule m, const char *name) {
	CALL("%p %s", m, name);
	*f = (CUfunction)(size_t)(strcmp(name, "typed") ? 0xf000 : 0xf001); OK;
}
CUresult cuFuncGetAttribute(int *v, CUfunction_attribute a, CUfunction f) {
	CALL("%d %p", (int)a, f);
	*v = 100 + (int)a; OK;
}
CUresult cuFuncSetAttribute(CUfunction f, CUfunction_attribute a, int v) { CALL("%p %d %d", f, (int)a, v); OK; }

struct shape { int rows; float scale; double eps; unsigned char tag; };

#ifndef TOO_OLD
CUresult cuLaunchKernel(CUfunction f, u32 gx, u32 gy, u32 gz, u32 bx, u32 by, u32 bz, u32 shared,
	CUstream s, void **p, void **extra) {
	CALL("%p %u,%u,%u %u,%u,%u %u %p %p", f, gx, gy, gz, bx, by, bz, shared, s, extra);
	if (f == (CUfunction)0xf001) {
		struct shape *h = p[6];
		note("typed %#llx %llu %lld %d %g %g {%d %g %g %d} end %p\n", *(unsigned long long *)p[0],
			*(unsigned long long *)p[1], *(long long *)p[2], *(int *)p[3], *(float *)p[4], *(double *)p[5],
			h->rows, h->scale, h->eps, h->tag, p[7]);
	}
	OK;
}
#endif
