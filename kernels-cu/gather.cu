// gather: y[n] = source[rows[n]], bit by bit. blockIdx.x is n, blockIdx.y a stretch of the row; 16 bytes a thread where
// rows and addresses allow it. Floor: a read of the rows and a write of y.
// variants: T=float | T=bf16
#include "qs.cuh"

extern "C" __global__ void __launch_bounds__(256) QS_NAME(gather)(const T* source, const int* rows, T* y, int columns) {
    enum { PIECE = 16 / sizeof(T) };
    int column = PIECE * (blockIdx.y * blockDim.x + threadIdx.x);
    source += (size_t)rows[blockIdx.x] * columns;
    y += (size_t)blockIdx.x * columns;
    if (column + PIECE <= columns && aligned16(source, y)) {
        *reinterpret_cast<uint4*>(y + column) = *reinterpret_cast<const uint4*>(source + column);
        return;
    }
    for (int i = column; i < column + PIECE && i < columns; i++) y[i] = source[i];
}
QS_KERNEL(gather)
