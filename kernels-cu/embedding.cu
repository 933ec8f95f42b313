// embedding: y[n] = table[tokens[n]] + position_table[positions[n]]; without the second term where positions is null.
// blockIdx.x is n, blockIdx.y a stretch of the row; eight columns a thread. A token or position outside of its table makes
// the row NaN rather than a read of foreign memory. Floor: a read of the rows of the tables and a write of y.
// variants: T=float W=float | T=float W=bf16 | T=bf16 W=float | T=bf16 W=bf16
#include "qs.cuh"

extern "C" __global__ void __launch_bounds__(256) QS_NAME(embedding)(
    const int* tokens, const W* table, const int* positions, const W* position_table, T* y, int table_rows, int position_rows, int columns) {
    int column = 8 * (blockIdx.y * blockDim.x + threadIdx.x), left = columns - column;
    if (left <= 0) return;
    int token = tokens[blockIdx.x], position = positions ? positions[blockIdx.x] : 0;
    bool is_known = (unsigned)token < (unsigned)table_rows && (!positions || (unsigned)position < (unsigned)position_rows);
    y += (size_t)blockIdx.x * columns + column;
    bool wide = columns % 8 == 0 && aligned16(table, position_table, y);
    float v[8], p[8];
    if (is_known) load_part(v, table + (size_t)token * columns + column, wide, left);
    else for (int i = 0; i < 8; i++) v[i] = QS_INFINITY - QS_INFINITY;
    if (is_known && positions) {
        load_part(p, position_table + (size_t)position * columns + column, wide, left);
        for (int i = 0; i < 8; i++) v[i] += p[i];
    }
    store_part(y, v, wide, left);
}
QS_KERNEL(embedding)
