// The entry points of cuBLASLt that the backend uses, computed with plain loops
// on the host. There are two algorithms, which sum in different orders. Which
// of them is first depends on the number of columns, like the library's choice
// on a device.
#include "call.h"

#include <algorithm>
#include <cstring>

using namespace emu;

namespace {

enum { // cublasStatus_t
	LT_SUCCESS = 0,
	LT_NOT_INITIALIZED = 1,
	LT_ALLOC_FAILED = 3,
	LT_INVALID_VALUE = 7,
	LT_EXECUTION_FAILED = 13,
	LT_INTERNAL_ERROR = 14,
	LT_NOT_SUPPORTED = 15,
};

enum { F32 = 0, BF16 = 14, COMPUTE_32F = 68 };

struct Desc {
	int trans[2] = {0, 0};
};

struct Layout {
	int type;
	size_t rows, cols;
	long ld;
	int batch = 1;
	int64_t stride = 0;
	size_t size() const { return type == F32 ? 4 : 2; }
};

struct Preference {
	uint64_t workspace = 0;
	uint32_t reductions = 7;
	uint32_t alignment[4] = {256, 256, 256, 256}; // of A, B, C and D in bytes
};

// An Algo is the content of a cublasLtMatmulAlgo_t.
struct Algo {
	uint32_t magic, descending;
	uint32_t alignment[4];
	uint64_t m, n, k, workspace;
	uint64_t unused[1];
};
static_assert(sizeof(Algo) == 64, "size");
const uint32_t magic = 0xb1a5;

struct Result {
	Algo algo;
	size_t workspace;
	int state;
	float waves;
	int reserved[4];
};
static_assert(sizeof(Result) == 96, "size");

struct Handle {};
std::unordered_set<Handle *> handles;
std::unordered_set<Desc *> descs;
std::unordered_set<Layout *> layouts;
std::unordered_set<Preference *> preferences;

int wrong(const std::string &text, int status = LT_INVALID_VALUE) { return refuse(text, status); }

// An LtCall is the state of an entry point while it runs. The entry point
// returns a cublasStatus_t.
struct LtCall {
	Call call;
	int status;
	LtCall(const char *name, Call::Needs needs, int failure)
		: call(name, needs, failure), status(call.rc) {
		if (call.rc == INVALID_CONTEXT || call.rc == NOT_INITIALIZED) status = LT_NOT_INITIALIZED;
		if (call.rc && sticky) status = LT_EXECUTION_FAILED;
	}
};
#define LT_ENTER(NAME, NEEDS, FAILURE) \
	LtCall call(NAME, Call::NEEDS, FAILURE); \
	if (call.status) return call.status

template <typename T> int made(std::unordered_set<T *> &all, T **out, T *made) {
	all.insert(made);
	*out = made;
	return LT_SUCCESS;
}

template <typename T> int destroy(std::unordered_set<T *> &all, T *one, const char *what) {
	if (!all.erase(one)) return wrong(std::string("no such ") + what);
	delete one;
	return LT_SUCCESS;
}

// set copies the value of an attribute, which must have the size of T.
template <typename T> int set(T *to, const void *value, size_t size) {
	if (!value || size != sizeof(T))
		return wrong(format("an attribute of %zu bytes is set with %zu", sizeof(T), size));
	memcpy(to, value, size);
	return LT_SUCCESS;
}

float load(CUdeviceptr at, int type) {
	if (type == F32) return *reinterpret_cast<const float *>(at);
	uint32_t bits = uint32_t(*reinterpret_cast<const uint16_t *>(at)) << 16;
	float value;
	memcpy(&value, &bits, 4);
	return value;
}

void store(CUdeviceptr at, int type, float value) {
	uint32_t bits;
	memcpy(&bits, &value, 4);
	if (type == F32) {
		memcpy(reinterpret_cast<void *>(at), &bits, 4);
		return;
	}
	uint16_t high = value != value ? uint16_t(bits >> 16 | 0x40) : uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
	memcpy(reinterpret_cast<void *>(at), &high, 2);
}

// An Operand is a matrix, or a stack of them, in device memory.
struct Operand {
	const char *name;
	CUdeviceptr at;
	Layout layout;
	CUdeviceptr column(int i, uint64_t j) const {
		return at + (uint64_t(i) * uint64_t(layout.stride) + j * uint64_t(layout.ld)) * layout.size();
	}
};

struct Product {
	Operand a, b, c;
	bool ta, tb;
	float alpha, beta;
	Algo algo;
	CUdeviceptr workspace;

	std::string check() const; // checks the memory of all operands; returns "" or an error
	void compute() const;
};

// use records an access to all columns of an operand. It returns "" or an
// error.
std::string use(const Operand &o, bool read, bool write) {
	size_t bytes = o.layout.rows * o.layout.size();
	for (int i = 0; i < o.layout.batch; i++) {
		for (uint64_t j = 0; j < o.layout.cols; j++) {
			CUdeviceptr at = o.column(i, j);
			std::string error;
			if (!in_range(at, bytes)) error = format("%zu bytes, ", bytes) + describe(at);
			if (error.empty() && config.check && read) error = check_read(at, bytes);
			if (error.empty() && config.check && write) error = check_copy(at, 0, bytes);
			if (!error.empty()) return format("cublasLtMatmul, matrix %s: ", o.name) + error;
		}
	}
	return "";
}

std::string Product::check() const {
	for (const auto *o : {&a, &b}) {
		if (std::string error = use(*o, true, false); !error.empty()) return error;
	}
	if (std::string error = use(c, beta != 0, true); !error.empty()) return error;
	size_t bytes = algo.workspace;
	if (!bytes) return "";
	if (!in_range(workspace, bytes)) return "cublasLtMatmul, the workspace: " + describe(workspace);
	return config.check ? check_copy(workspace, 0, bytes) : "";
}

void Product::compute() const {
	if (algo.workspace) poison(reinterpret_cast<void *>(workspace), algo.workspace);
	const size_t sa = a.layout.size(), sb = b.layout.size(), sc = c.layout.size();
	for (int i = 0; i < c.layout.batch; i++) {
		for (uint64_t col = 0; col < algo.n; col++) {
			for (uint64_t row = 0; row < algo.m; row++) {
				float sum = 0;
				for (uint64_t j = 0; j < algo.k; j++) {
					uint64_t k = algo.descending ? algo.k - 1 - j : j;
					float x = load(ta ? a.column(i, row) + k * sa : a.column(i, k) + row * sa, a.layout.type);
					float y = load(tb ? b.column(i, k) + col * sb : b.column(i, col) + k * sb, b.layout.type);
					sum += x * y;
				}
				CUdeviceptr at = c.column(i, col) + row * sc;
				sum *= alpha;
				if (beta != 0) sum += beta * load(at, c.layout.type);
				store(at, c.layout.type, sum);
			}
		}
	}
}

// agree returns an error if a product's descriptors contradict each other or
// are not supported.
int agree(const Desc *desc, const Layout *a, const Layout *b, const Layout *c, const Layout *d, Algo &size) {
	if (!descs.count(const_cast<Desc *>(desc))) return wrong("no such matmul descriptor");
	for (auto *l : {a, b, c, d}) {
		if (!layouts.count(const_cast<Layout *>(l))) return wrong("no such matrix layout");
		if (!l->rows || !l->cols || l->ld < long(l->rows))
			return wrong(format("a layout of %zu rows, %zu columns, %ld apart", l->rows, l->cols, l->ld));
		if (l->batch < 1 || l->batch != d->batch) return wrong("batch counts differ");
	}
	size.m = desc->trans[0] ? a->cols : a->rows;
	size.k = desc->trans[0] ? a->rows : a->cols;
	size.n = desc->trans[1] ? b->rows : b->cols;
	if ((desc->trans[1] ? b->cols : b->rows) != size.k || d->rows != size.m || d->cols != size.n || c->rows != d->rows ||
		c->cols != d->cols)
		return wrong("matrices of sizes that do not suit each other");
	bool known = a->type == b->type && c->type == d->type && (a->type == F32 ? d->type == F32 : a->type == BF16);
	if (!known) return wrong("a combination of types that cuBLASLt does not have", LT_NOT_SUPPORTED);
	return LT_SUCCESS;
}

} // namespace

EXPORT size_t cublasLtGetVersion() { return 130000; }

EXPORT const char *cublasLtGetStatusName(int status) {
	switch (status) {
	case LT_SUCCESS: return "CUBLAS_STATUS_SUCCESS";
	case LT_NOT_INITIALIZED: return "CUBLAS_STATUS_NOT_INITIALIZED";
	case LT_ALLOC_FAILED: return "CUBLAS_STATUS_ALLOC_FAILED";
	case LT_INVALID_VALUE: return "CUBLAS_STATUS_INVALID_VALUE";
	case LT_EXECUTION_FAILED: return "CUBLAS_STATUS_EXECUTION_FAILED";
	case LT_INTERNAL_ERROR: return "CUBLAS_STATUS_INTERNAL_ERROR";
	case LT_NOT_SUPPORTED: return "CUBLAS_STATUS_NOT_SUPPORTED";
	}
	return "unknown";
}

EXPORT const char *cublasLtGetStatusString(int) { return last_report().empty() ? "emulator" : last_report().c_str(); }

EXPORT int cublasLtCreate(Handle **h) {
	LT_ENTER("cublasLtCreate", context, LT_ALLOC_FAILED);
	return made(handles, h, new Handle);
}

EXPORT int cublasLtDestroy(Handle *h) {
	LT_ENTER("cublasLtDestroy", nothing, LT_INTERNAL_ERROR);
	return destroy(handles, h, "handle");
}

EXPORT int cublasLtMatmulDescCreate(Desc **d, int compute, int scale) {
	LT_ENTER("cublasLtMatmulDescCreate", nothing, LT_ALLOC_FAILED);
	if (compute != COMPUTE_32F || scale != F32) return wrong("the emulator of cuBLASLt computes in 32F alone");
	return made(descs, d, new Desc);
}

EXPORT int cublasLtMatmulDescDestroy(Desc *d) {
	LT_ENTER("cublasLtMatmulDescDestroy", nothing, LT_INTERNAL_ERROR);
	return destroy(descs, d, "matmul descriptor");
}

EXPORT int cublasLtMatmulDescSetAttribute(Desc *d, int attribute, const void *value, size_t size) {
	LT_ENTER("cublasLtMatmulDescSetAttribute", nothing, LT_INTERNAL_ERROR);
	if (!descs.count(d) || attribute < 3 || attribute > 4) return wrong(format("matmul attribute %d", attribute));
	return set(&d->trans[attribute - 3], value, size);
}

EXPORT int cublasLtMatrixLayoutCreate(Layout **l, int type, uint64_t rows, uint64_t cols, int64_t ld) {
	LT_ENTER("cublasLtMatrixLayoutCreate", nothing, LT_ALLOC_FAILED);
	if (type != F32 && type != BF16) return wrong(format("the emulator of cuBLASLt has no type %d", type));
	return made(layouts, l, new Layout{type, rows, cols, ld});
}

EXPORT int cublasLtMatrixLayoutDestroy(Layout *l) {
	LT_ENTER("cublasLtMatrixLayoutDestroy", nothing, LT_INTERNAL_ERROR);
	return destroy(layouts, l, "matrix layout");
}

EXPORT int cublasLtMatrixLayoutSetAttribute(Layout *l, int attribute, const void *value, size_t size) {
	LT_ENTER("cublasLtMatrixLayoutSetAttribute", nothing, LT_INTERNAL_ERROR);
	if (layouts.count(l) && attribute == 5) return set(&l->batch, value, size);
	if (layouts.count(l) && attribute == 6) return set(&l->stride, value, size);
	return wrong(format("layout attribute %d", attribute));
}

EXPORT int cublasLtMatmulPreferenceCreate(Preference **p) {
	LT_ENTER("cublasLtMatmulPreferenceCreate", nothing, LT_ALLOC_FAILED);
	return made(preferences, p, new Preference);
}

EXPORT int cublasLtMatmulPreferenceDestroy(Preference *p) {
	LT_ENTER("cublasLtMatmulPreferenceDestroy", nothing, LT_INTERNAL_ERROR);
	return destroy(preferences, p, "preference");
}

EXPORT int cublasLtMatmulPreferenceSetAttribute(Preference *p, int attribute, const void *value, size_t size) {
	LT_ENTER("cublasLtMatmulPreferenceSetAttribute", nothing, LT_INTERNAL_ERROR);
	if (!preferences.count(p)) return wrong("no such preference");
	if (attribute == 1) return set(&p->workspace, value, size);
	if (attribute == 3) return set(&p->reductions, value, size);
	if (attribute >= 5 && attribute <= 8) return set(&p->alignment[attribute - 5], value, size);
	return wrong(format("preference attribute %d", attribute));
}

// The algorithm with descending order needs a workspace. It is first if there
// are several columns.
EXPORT int cublasLtMatmulAlgoGetHeuristic(Handle *h, Desc *desc, Layout *a, Layout *b, Layout *c, Layout *d,
	Preference *p, int count, Result *list, int *returned) {
	LT_ENTER("cublasLtMatmulAlgoGetHeuristic", context, LT_NOT_SUPPORTED);
	if (!handles.count(h) || !preferences.count(p) || count < 1) return wrong("no such handle or preference");
	if (p->reductions) return wrong("the emulator of cuBLASLt splits no sums");
	Algo algo = {};
	if (int rc = agree(desc, a, b, c, d, algo)) return rc;
	algo.magic = magic;
	for (int i = 0; i < 4; i++) algo.alignment[i] = std::min(p->alignment[i], 16u);
	*returned = 0;
	for (uint32_t i = 0; i < 2 && *returned < count; i++) {
		algo.descending = algo.n > 1 ? 1 - i : i;
		algo.workspace = algo.descending ? 1000 : 0;
		if (algo.workspace <= p->workspace) list[(*returned)++] = Result{algo, algo.workspace, LT_SUCCESS, 1, {}};
	}
	return LT_SUCCESS;
}

EXPORT int cublasLtMatmul(Handle *h, Desc *desc, const float *alpha, CUdeviceptr A, Layout *a, CUdeviceptr B, Layout *b,
	const float *beta, CUdeviceptr C, Layout *c, CUdeviceptr D, Layout *d, const Algo *algo, CUdeviceptr workspace,
	size_t bytes, void *stream) {
	LT_ENTER("cublasLtMatmul", context, LT_EXECUTION_FAILED);
	CUresult unknown = SUCCESS;
	auto s = stream_of(stream, &unknown);
	if (unknown || !handles.count(h)) return wrong("no such stream or handle");
	Algo size = {};
	if (int rc = agree(desc, a, b, c, d, size)) return rc;
	if (C != D || c != d) return wrong("the emulator of cuBLASLt computes in place");
	if (!algo || algo->magic != magic || algo->m != size.m || algo->n != size.n || algo->k != size.k)
		return wrong("the algorithm is for another product");
	if (algo->workspace > bytes || workspace % 256) return wrong("the workspace is too small or misaligned");
	CUdeviceptr at[] = {A, B, C, D};
	for (int i = 0; i < 4; i++) {
		if (at[i] % algo->alignment[i])
			return wrong(format("matrix %c is not aligned to %u bytes", "ABCD"[i], algo->alignment[i]), LT_NOT_SUPPORTED);
	}
	Product p = {{"A", A, *a}, {"B", B, *b}, {"C", C, *c}, desc->trans[0] == 1, desc->trans[1] == 1, *alpha, *beta, *algo,
		workspace};
	enqueue(*s, [p] {
		if (std::string error = p.check(); !error.empty()) return refuse(error, ILLEGAL_ADDRESS);
		p.compute();
		return CUresult(SUCCESS);
	});
	return LT_SUCCESS;
}
