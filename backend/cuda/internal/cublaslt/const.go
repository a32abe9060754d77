package cublaslt

// The trailing comments are the names in cublasLt.h and the headers that it
// includes. A test compares the values with them.

// Status is a cublasStatus_t, the result of a call of cuBLASLt. errors.Is finds
// it in errors, as in errors.Is(err, cublaslt.NotInitialized).
type Status uint32

const (
	success        Status = 0  // CUBLAS_STATUS_SUCCESS
	NotInitialized Status = 1  // CUBLAS_STATUS_NOT_INITIALIZED
	InvalidValue   Status = 7  // CUBLAS_STATUS_INVALID_VALUE
	NotSupported   Status = 15 // CUBLAS_STATUS_NOT_SUPPORTED
)

// DataType is a cudaDataType_t.
type DataType int32

const (
	F32  DataType = 0  // CUDA_R_32F
	BF16 DataType = 14 // CUDA_R_16BF
)

// ComputeType is a cublasComputeType_t.
type ComputeType int32

// Compute32F computes sums in F32 and does not round F32 operands to TF32.
const Compute32F ComputeType = 68 // CUBLAS_COMPUTE_32F

// Operation is a cublasOperation_t.
type Operation int32

const (
	N Operation = 0 // CUBLAS_OP_N
	T Operation = 1 // CUBLAS_OP_T
)

// DescAttribute is a cublasLtMatmulDescAttributes_t.
type DescAttribute int32

const (
	TransA DescAttribute = 3 // CUBLASLT_MATMUL_DESC_TRANSA
	TransB DescAttribute = 4 // CUBLASLT_MATMUL_DESC_TRANSB
)

// LayoutAttribute is a cublasLtMatrixLayoutAttribute_t.
type LayoutAttribute int32

const (
	BatchCount  LayoutAttribute = 5 // CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT
	BatchStride LayoutAttribute = 6 // CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET
)

// PreferenceAttribute is a cublasLtMatmulPreferenceAttributes_t.
type PreferenceAttribute int32

const (
	MaxWorkspaceBytes PreferenceAttribute = 1 // CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES
	ReductionMask     PreferenceAttribute = 3 // CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK
	AlignmentA        PreferenceAttribute = 5 // CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES
	AlignmentB        PreferenceAttribute = 6 // CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES
	AlignmentC        PreferenceAttribute = 7 // CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES
	AlignmentD        PreferenceAttribute = 8 // CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES
)

// ReductionNone is the value of ReductionMask that allows only algorithms that
// sum each element in one sequence.
const ReductionNone = 0 // CUBLASLT_REDUCTION_SCHEME_NONE
