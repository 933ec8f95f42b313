// fake_cublas.cpp - a stand-in libcublas: matrix products on the stream, column-major as the original's:
// C[m,n] = alpha op(A) op(B) + beta C, A and B both bf16 or both fp32, C either, sums in fp32.
#include "fake_cuda.h"
#include "simt.h"
#include <algorithm>
#undef threadIdx
#undef blockIdx
#undef blockDim
#undef gridDim

using namespace driver;
namespace {
enum : int { NotInitialised = 1, InvalidValue = 7, NotSupported = 15, ExecutionFailed = 13 };
enum : int { F32 = 0, Bf16 = 14 };
struct Blas { Context* context; void* stream; };
std::set<Blas*> handles;

struct Matrix {                                            // element (i, j) at data[i * row + j * column]
    char* data; int type; size_t row, column;
    size_t bytes() const { return type == Bf16 ? 2 : 4; }
    float load(size_t i, size_t j) const {
        const char* p = data + (i * row + j * column) * bytes();
        return type == Bf16 ? __uint_as_float((unsigned)*(const unsigned short*)p << 16) : *(const float*)p;
    }
    void store(size_t i, size_t j, float v) const {
        char* p = data + (i * row + j * column) * bytes();
        if (type == Bf16) *(bf16*)p = to_bf16(v); else *(float*)p = v;
    }
};

// A tile of Rows x Columns stays in registers while the sum runs over a stretch of k; both operands are packed for it.
#if defined(__AVX512F__)
enum { Lanes = 16 };
#else
enum { Lanes = 8 };
#endif
typedef float Vector __attribute__((vector_size(Lanes * 4), aligned(4)));
enum { Rows = 2 * Lanes, Columns = 6, Depth = 256 };

typedef unsigned Words __attribute__((vector_size(Lanes * 4)));
typedef unsigned short Halves __attribute__((vector_size(Lanes * 2), aligned(2)));
inline float value(const float* p) { return *p; }
inline float value(const unsigned short* p) { return __uint_as_float((unsigned)*p << 16); }
inline Vector values(const float* p) { return *(const Vector*)p; }
inline Vector values(const unsigned short* p) { return (Vector)(__builtin_convertvector(*(const Halves*)p, Words) << 16); }

// Elements (first + i, k0 + p) to [depth][height], zeros beyond count.
template <class Element> void pack_as(const Matrix& x, size_t first, size_t count, size_t height, size_t k0, size_t depth, float* to) {
    const Element* from = (const Element*)x.data + first * x.row + k0 * x.column;
    if (x.row == 1 && count == height && height % Lanes == 0) {
        for (size_t p = 0; p < depth; p++)
            for (size_t i = 0; i < height; i += Lanes) *(Vector*)(to + p * height + i) = values(from + p * x.column + i);
        return;
    }
    for (size_t i = 0; i < height; i++) {
        if (i >= count) { for (size_t p = 0; p < depth; p++) to[p * height + i] = 0; continue; }
        const Element* line = from + i * x.row;
        if (x.column == 1) for (size_t p = 0; p < depth; p++) to[p * height + i] = value(line + p);
        else for (size_t p = 0; p < depth; p++) to[p * height + i] = value(line + p * x.column);
    }
}
void pack(const Matrix& x, size_t first, size_t count, size_t height, size_t k0, size_t depth, float* to) {
    if (x.type == Bf16) pack_as<unsigned short>(x, first, count, height, k0, depth, to);
    else pack_as<float>(x, first, count, height, k0, depth, to);
}

// Few columns, and rows of A that lie in one piece, as when a model decodes: a dot product each, A read once and as it is.
template <class Element>
void dots(size_t m, size_t n, size_t k, float alpha, const Matrix& a, const Matrix& b, float beta, const Matrix& c) {
    std::vector<float> columns(n * k);
    for (size_t j = 0; j < n; j++) for (size_t p = 0; p < k; p++) columns[j * k + p] = b.load(p, j);
    for (size_t i = 0; i < m; i++) {
        const Element* line = (const Element*)a.data + i * a.row;
        for (size_t j = 0; j < n; j++) {
            const float* column = &columns[j * k];
            Vector sums[2] = {};
            size_t p = 0;
            for (; p + 2 * Lanes <= k; p += 2 * Lanes)
                for (size_t h = 0; h < 2; h++) sums[h] += values(line + p + h * Lanes) * *(const Vector*)(column + p + h * Lanes);
            float sum = 0;
            for (int l = 0; l < Lanes; l++) sum += sums[0][l] + sums[1][l];
            for (; p < k; p++) sum += value(line + p) * column[p];
            c.store(i, j, beta == 0 ? alpha * sum : alpha * sum + beta * c.load(i, j));
        }
    }
}
void tile(const float* a, const float* b, size_t depth, float* sums) {   // sums: [Columns][Rows], added to
    Vector s[Columns][2];
    for (int j = 0; j < Columns; j++) for (int h = 0; h < 2; h++) s[j][h] = *(Vector*)(sums + j * Rows + h * Lanes);
    for (size_t p = 0; p < depth; p++, a += Rows, b += Columns) {
        Vector low = *(Vector*)a, high = *(Vector*)(a + Lanes);
#pragma GCC unroll 6
        for (int j = 0; j < Columns; j++) { s[j][0] += low * b[j]; s[j][1] += high * b[j]; }
    }
    for (int j = 0; j < Columns; j++) for (int h = 0; h < 2; h++) *(Vector*)(sums + j * Rows + h * Lanes) = s[j][h];
}
void multiply(size_t m, size_t n, size_t k, float alpha, const Matrix& a, const Matrix& b, float beta, const Matrix& c) {
    if (n <= 4 && a.column == 1)
        return a.type == Bf16 ? dots<unsigned short>(m, n, k, alpha, a, b, beta, c) : dots<float>(m, n, k, alpha, a, b, beta, c);
    size_t m_tiles = (m + Rows - 1) / Rows, n_tiles = (n + Columns - 1) / Columns;
    std::vector<float> as(Rows * Depth), bs(n_tiles * Columns * Depth), sums(m_tiles * n_tiles * Rows * Columns);
    Matrix turned{b.data, b.type, b.column, b.row};        // its rows, b's columns, are packed as a's rows are
    for (size_t k0 = 0; k0 < k; k0 += Depth) {
        size_t depth = std::min<size_t>(Depth, k - k0);
        for (size_t j = 0; j < n_tiles; j++)
            pack(turned, j * Columns, std::min<size_t>(Columns, n - j * Columns), Columns, k0, depth, &bs[j * Columns * depth]);
        for (size_t i = 0; i < m_tiles; i++) {
            pack(a, i * Rows, std::min<size_t>(Rows, m - i * Rows), Rows, k0, depth, as.data());
            for (size_t j = 0; j < n_tiles; j++)
                tile(as.data(), &bs[j * Columns * depth], depth, &sums[(i * n_tiles + j) * Rows * Columns]);
        }
    }
    for (size_t j = 0; j < n; j++)
        for (size_t i = 0; i < m; i++) {
            float v = alpha * sums[((i / Rows * n_tiles + j / Columns) * Columns + j % Columns) * Rows + i % Rows];
            c.store(i, j, beta == 0 ? v : v + beta * c.load(i, j));
        }
}

// Rows of `count` elements each, `stride` apart: whether they lie inside an allocation; and that something wrote them.
bool lies_inside(const Matrix& x, size_t count, size_t lines, size_t stride) {
    return !count || !lines || inside((CUdeviceptr)x.data, ((lines - 1) * stride + count) * x.bytes());
}
bool is_written(const Matrix& x, size_t count, size_t lines, size_t stride) {
    for (size_t i = 0; i < lines; i++) if (simt::device_unwritten(x.data + i * stride * x.bytes(), count * x.bytes())) return false;
    return true;
}

int gemm(void* handle, int ta, int tb, int m, int n, int k, const void* alpha, const void* a, int at, int lda, const void* b, int bt, int ldb,
         const void* beta, void* c, int ct, int ldc, int compute) {
    if (!handles.count((Blas*)handle)) return NotInitialised;
    bool ka = ta != 0, kb = tb != 0;
    if (ta < 0 || ta > 1 || tb < 0 || tb > 1 || m < 0 || n < 0 || k < 0 || !alpha || !beta) return InvalidValue;
    if (lda < std::max(1, ka ? k : m) || ldb < std::max(1, kb ? n : k) || ldc < std::max(1, m)) return InvalidValue;
    auto known = [](int type) { return type == F32 || type == Bf16; };
    if (!known(at) || at != bt || !known(ct) || (at == F32 && ct != F32) || (compute != 68 && compute != 77)) return NotSupported;
    float al = *(const float*)alpha, be = *(const float*)beta;
    if (!m || !n) return 0;
    size_t lines_a = (size_t)(ka ? m : k), count_a = (size_t)(ka ? k : m), lines_b = (size_t)(kb ? k : n), count_b = (size_t)(kb ? n : k);
    auto run = [=]() -> CUresult {
        Matrix x{(char*)a, at, ka ? (size_t)lda : 1, ka ? 1 : (size_t)lda}, y{(char*)b, bt, kb ? (size_t)ldb : 1, kb ? 1 : (size_t)ldb};
        Matrix z{(char*)c, ct, 1, (size_t)ldc};
        if (!lies_inside(x, count_a, lines_a, (size_t)lda) || !lies_inside(y, count_b, lines_b, (size_t)ldb) ||
            !lies_inside(z, (size_t)m, (size_t)n, (size_t)ldc)) {
            simt::say("cublasGemm of %d x %d x %d reaches beyond an operand's allocation", m, n, k);
            return ILLEGAL_ADDRESS;
        }
        if (!is_written(x, count_a, lines_a, (size_t)lda) || !is_written(y, count_b, lines_b, (size_t)ldb) ||
            (be != 0 && !is_written(z, (size_t)m, (size_t)n, (size_t)ldc))) {
            simt::say("cublasGemm of %d x %d x %d reads memory that nothing wrote", m, n, k);
            return LAUNCH_FAILED;
        }
        multiply((size_t)m, (size_t)n, (size_t)k, al, x, y, be, z);
        for (int j = 0; j < n; j++) simt::device_written(z.data + (size_t)j * (size_t)ldc * z.bytes(), (size_t)m * z.bytes());
        return OK;
    };
    return enqueue(stream_of(((Blas*)handle)->stream), {run, {}, {}}) ? ExecutionFailed : 0;
}
}  // namespace

#define BLAS()                                                    \
    std::lock_guard<std::recursive_mutex> guard(driver::lock);    \
    if (int e = driver::enter(__func__, true, true)) return e

extern "C" {
int cublasCreate_v2(void** h) { BLAS(); auto* x = new Blas{current, nullptr}; handles.insert(x); *h = x; return 0; }
int cublasDestroy_v2(void* h) { BLAS(); if (!handles.erase((Blas*)h)) return NotInitialised; delete (Blas*)h; return 0; }
int cublasSetStream_v2(void* h, void* s) {
    BLAS();
    if (!handles.count((Blas*)h)) return NotInitialised;
    if (!stream_of(s)) return InvalidValue;
    ((Blas*)h)->stream = s;
    return 0;
}
int cublasSetWorkspace_v2(void* h, void* p, size_t n) {
    BLAS();
    return !handles.count((Blas*)h) ? NotInitialised : inside((CUdeviceptr)p, n) ? 0 : InvalidValue;
}
int cublasSetMathMode(void* h, int) { BLAS(); return handles.count((Blas*)h) ? 0 : NotInitialised; }
int cublasGetVersion_v2(void* h, int* v) {
    BLAS();
    *v = driver_version / 10 * 100;
    return h && !handles.count((Blas*)h) ? NotInitialised : 0;
}
const char* cublasGetStatusString(int status) {
    switch (status) {
        case 0: return "CUBLAS_STATUS_SUCCESS";
        case 1: return "CUBLAS_STATUS_NOT_INITIALIZED";
        case 3: return "CUBLAS_STATUS_ALLOC_FAILED";
        case 7: return "CUBLAS_STATUS_INVALID_VALUE";
        case 8: return "CUBLAS_STATUS_ARCH_MISMATCH";
        case 11: return "CUBLAS_STATUS_MAPPING_ERROR";
        case 13: return "CUBLAS_STATUS_EXECUTION_FAILED";
        case 14: return "CUBLAS_STATUS_INTERNAL_ERROR";
        case 15: return "CUBLAS_STATUS_NOT_SUPPORTED";
        case 16: return "CUBLAS_STATUS_LICENSE_ERROR";
        default: return "CUBLAS_STATUS_UNKNOWN";
    }
}
int cublasGemmEx(void* h, int ta, int tb, int m, int n, int k, const void* alpha, const void* a, int at, int lda, const void* b, int bt,
                 int ldb, const void* beta, void* c, int ct, int ldc, int compute, int) {
    BLAS();
    return gemm(h, ta, tb, m, n, k, alpha, a, at, lda, b, bt, ldb, beta, c, ct, ldc, compute);
}
}
