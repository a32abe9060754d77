// A stub of libcublasLt. Every call writes a line with its arguments to a log,
// and fails if the test asks for it. If it is compiled with -DCUBLASLT_H
// against NVIDIA's cublasLt.h, the compiler checks each prototype and the
// structs.
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#ifdef CUBLASLT_H
// Skip the headers of the CUDA runtime that cublasLt.h includes for functions
// that are not used here.
#define __DRIVER_TYPES_H__
#define CU_COMPLEX_H_
#define __CUDA_FP16_H__
#define __CUDA_BF16_H__
typedef struct CUstream_st *cudaStream_t;
typedef struct { float x, y; } cuComplex;
typedef struct { double x, y; } cuDoubleComplex;
typedef struct { uint16_t x; } __half;
typedef struct { uint16_t x; } __nv_bfloat16;
#include <cublasLt.h>
_Static_assert(sizeof(cublasStatus_t) == 4 && sizeof(cudaDataType_t) == 4 && sizeof(cublasComputeType_t) == 4, "sizes");
_Static_assert(sizeof(cublasOperation_t) == 4 && sizeof(cublasLtHandle_t) == 8, "sizes");
_Static_assert(sizeof(cublasLtMatmulAlgo_t) == 64 && sizeof(cublasLtMatmulHeuristicResult_t) == 96, "sizes");
_Static_assert(offsetof(cublasLtMatmulHeuristicResult_t, workspaceSize) == 64, "offset");
_Static_assert(offsetof(cublasLtMatmulHeuristicResult_t, state) == 72, "offset");
_Static_assert(offsetof(cublasLtMatmulHeuristicResult_t, wavesCount) == 76, "offset");
#else
typedef int cublasStatus_t, cudaDataType, cudaDataType_t, cublasComputeType_t, cublasLtMatmulDescAttributes_t,
	cublasLtMatrixLayoutAttribute_t, cublasLtMatmulPreferenceAttributes_t;
typedef void *cublasLtHandle_t, *cublasLtMatmulDesc_t, *cublasLtMatrixLayout_t, *cublasLtMatmulPreference_t,
	*cudaStream_t;
typedef struct { uint64_t data[8]; } cublasLtMatmulAlgo_t;
typedef struct {
	cublasLtMatmulAlgo_t algo;
	size_t workspaceSize;
	cublasStatus_t state;
	float wavesCount;
	int reserved[4];
} cublasLtMatmulHeuristicResult_t;
#endif

static char record[1 << 14];
static size_t used;
static char failing[64];

// CALL logs a call, and returns code 14 from it if it is to fail.
#define CALL(...) \
	do { \
		used += snprintf(record + used, sizeof record - used, "%s ", __func__); \
		used += snprintf(record + used, sizeof record - used, __VA_ARGS__); \
		used += snprintf(record + used, sizeof record - used, "\n"); \
		if (!strcmp(failing, __func__)) return (cublasStatus_t)14; \
	} while (0)
#define OK return (cublasStatus_t)0
#define L long long

// Functions for the test.
void stubFail(const char *call) { snprintf(failing, sizeof failing, "%s", call); }
void stubTake(char *out, size_t n) { snprintf(out, n, "%s", record), used = 0, record[0] = 0; }

size_t cublasLtGetVersion(void) { return 130207; }
static const char *text(const char *what, int s) {
	static char text[32];
	snprintf(text, sizeof text, "%s %d", what, s);
	return text;
}
const char *cublasLtGetStatusName(cublasStatus_t s) { return text("name", (int)s); }
const char *cublasLtGetStatusString(cublasStatus_t s) { return text("text", (int)s); }

cublasStatus_t cublasLtCreate(cublasLtHandle_t *h) { CALL("-"); *h = (void *)11; OK; }
cublasStatus_t cublasLtDestroy(cublasLtHandle_t h) { CALL("%lld", (L)h); OK; }

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *d, cublasComputeType_t compute, cudaDataType_t scale) {
	CALL("%d %d", (int)compute, (int)scale);
	*d = (void *)12;
	OK;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d) { CALL("%lld", (L)d); OK; }
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t a,
	const void *v, size_t n) {
	CALL("%lld %d %d %zu", (L)d, (int)a, *(const int *)v, n);
	OK;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *m, cudaDataType type, uint64_t rows, uint64_t cols,
	int64_t ld) {
	CALL("%d %lld %lld %lld", (int)type, (L)rows, (L)cols, (L)ld);
	*m = (void *)13;
	OK;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t m) { CALL("%lld", (L)m); OK; }
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t m, cublasLtMatrixLayoutAttribute_t a,
	const void *v, size_t n) {
	CALL("%lld %d %lld %zu", (L)m, (int)a, n == 8 ? (L) * (const int64_t *)v : *(const int *)v, n);
	OK;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *p) { CALL("-"); *p = (void *)14; OK; }
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p) { CALL("%lld", (L)p); OK; }
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t p,
	cublasLtMatmulPreferenceAttributes_t a, const void *v, size_t n) {
	CALL("%lld %d %lld %zu", (L)p, (int)a, n == 8 ? (L) * (const int64_t *)v : *(const int *)v, n);
	OK;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t h, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
	cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d, cublasLtMatmulPreference_t p, int n,
	cublasLtMatmulHeuristicResult_t list[], int *count) {
	CALL("%lld %lld %lld %lld %lld %lld %lld %d", (L)h, (L)desc, (L)a, (L)b, (L)c, (L)d, (L)p, n);
	list[1].algo.data[7] = 77, list[1].workspaceSize = 1024, list[1].wavesCount = 0.5f;
	list[0].state = (cublasStatus_t)15;
	*count = 2;
	OK;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t h, cublasLtMatmulDesc_t desc, const void *alpha, const void *A,
	cublasLtMatrixLayout_t a, const void *B, cublasLtMatrixLayout_t b, const void *beta, const void *C,
	cublasLtMatrixLayout_t c, void *D, cublasLtMatrixLayout_t d, const cublasLtMatmulAlgo_t *algo, void *workspace,
	size_t bytes, cudaStream_t stream) {
	CALL("%lld %lld %g  %lld %lld  %lld %lld  %g  %lld %lld  %lld %lld  %lld  %lld %zu %lld", (L)h, (L)desc,
		*(const float *)alpha, (L)A, (L)a, (L)B, (L)b, *(const float *)beta, (L)C, (L)c, (L)D, (L)d,
		(L)algo->data[7], (L)workspace, bytes, (L)stream);
	OK;
}
