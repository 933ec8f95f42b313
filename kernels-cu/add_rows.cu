// add_rows: table[rows[n]·A + a] += scale[n, a] · x[n / per_row], n in order: the gradient of a gathered product, and with
// A = 1 and scale null (for 1) that of a table of embeddings and of gathered rows. Repeated rows must add up in a fixed order,
// so there are no atomics: block n leaves if its row occurs before n; else it adds all that occur from n on, 256 places at a
// time. That takes no pass over the table, however long it is, but count² comparisons: for 8,192 rows 67 million of them,
// out of L1, less than the time to read x at a width of a thousand; from some 65,536 rows on they are what it costs.
// Floor: a read of x, a read and a write of the rows of the table that occur.
// variants: T=float W=float | T=bf16 W=float | T=bf16 W=bf16
#include "qs.cuh"

extern "C" __global__ void __launch_bounds__(256) QS_NAME(add_rows)(
    const T* x, const int* rows, const float* scale, W* table, int count, int table_rows, int per_row, int atoms, int columns) {
    QS_SHARED(int, matches, 256);
    QS_SHARED(int, found, 8);
    int n = blockIdx.x, row = rows[n], lane = threadIdx.x % 32, warp = threadIdx.x / 32, pieces = (columns + 7) / 8;
    bool occurs = (unsigned)row >= (unsigned)table_rows;
    for (int i = threadIdx.x; i < n && !occurs; i += blockDim.x) occurs = rows[i] == row;
    if (__syncthreads_or(occurs)) return;
    bool wide = columns % 8 == 0 && aligned16(x, table);
    for (int base = n; base < count; base += blockDim.x) {
        int i = base + threadIdx.x;
        bool is_match = i < count && rows[i] == row;
        if (!__syncthreads_or(is_match)) continue;
        // The places that match, in order.
        unsigned votes = __ballot_sync(FULL_WARP, is_match);
        if (lane == 0) found[warp] = __popc(votes);
        __syncthreads();
        int before = 0, total = 0;
        for (int k = 0; k < 8; k++) {
            before += k < warp ? found[k] : 0;
            total += found[k];
        }
        if (is_match) matches[before + __popc(votes & ((1u << lane) - 1))] = i;
        __syncthreads();
        for (int k = threadIdx.x; k < atoms * pieces; k += blockDim.x) {
            int atom = k / pieces, c = k % pieces * 8;
            W* to = table + ((size_t)row * atoms + atom) * columns + c;
            float sum[8], v[8];
            load_part(sum, to, wide, columns - c);
            for (int m = 0; m < total; m++) {
                int match = matches[m];
                float factor = scale ? scale[(size_t)match * atoms + atom] : 1;
                load_part(v, x + (size_t)(match / per_row) * columns + c, wide, columns - c);
                for (int j = 0; j < 8; j++) sum[j] += factor * v[j];
            }
            store_part(to, sum, wide, columns - c);
        }
    }
}
QS_KERNEL(add_rows)
