// rope: turns elements i and i + D/2 of the first `heads` heads of a row by the angle position · frequencies[i], in place
// (Su et al. 2021; half-split pairs). A row a block: its D/2 sines and cosines go to shared memory once, then all heads are
// turned, eight pairs a thread and step. The angle is taken in turns in float64, where it is exact enough at position
// 131,072 (a float would be off by 0.01); D/2 such products a row cost nothing beside the row's bytes, even where float64 is
// slow. Within half a turn the fast sine and cosine are off by 5e-7 at most. direction: 1, or −1 for the inverse.
// Floor: a read and a write of the turned columns.
// variants: T=float | T=bf16
#include "qs.cuh"

#define TURNS_PER_RADIAN 0.15915494309189535
#define RADIANS_PER_TURN 6.283185307179586

extern "C" __global__ void __launch_bounds__(256) QS_NAME(rope)(
    T* qkv, int width, int heads, int head_dim, const int* positions, const float* frequencies, int direction) {
    int half = head_dim / 2, padded = (half + 7) / 8 * 8, pieces = padded / 8;
    QS_DYN_SHARED(float, sines);   // [padded], then the cosines
    float* cosines = sines + padded;
    double position = (double)direction * positions[blockIdx.x];
    for (int i = threadIdx.x; i < padded; i += blockDim.x) {
        double turns = i < half ? position * frequencies[i] * TURNS_PER_RADIAN : 0;
        float angle = (float)((turns - rint(turns)) * RADIANS_PER_TURN);
        sines[i] = __sinf(angle);
        cosines[i] = __cosf(angle);
    }
    __syncthreads();
    qkv += (size_t)blockIdx.x * width;
    bool wide = half % 8 == 0 && width % 8 == 0 && aligned16(qkv);
    for (int k = threadIdx.x; k < heads * pieces; k += blockDim.x) {
        int i = k % pieces * 8;
        T* first = qkv + k / pieces * head_dim + i;
        float a[8], b[8], sine[8], cosine[8];
        load_part(a, first, wide, half - i);
        load_part(b, first + half, wide, half - i);
        load8(sine, sines + i);
        load8(cosine, cosines + i);
        for (int j = 0; j < 8; j++) {
            float turned = a[j] * cosine[j] - b[j] * sine[j];
            b[j] = b[j] * cosine[j] + a[j] * sine[j];
            a[j] = turned;
        }
        store_part(first, a, wide, half - i);
        store_part(first + half, b, wide, half - i);
    }
}
QS_KERNEL(rope)
