// drawn.cuh - how the fused draws end: the best of a row's scores with noise, and what is said of the token drawn.
#pragma once
#include "tilt.cuh"

// The best of the scores that a block's threads are given, ties to the lower token.
struct Best {
    double score = -QS_INFINITY;
    int token = 0x7fffffff;
    __device__ __forceinline__ void take(double other, int id) {
        if (!(other > score) && !(other == score && id < token)) return;
        score = other;
        token = id;
    }
    // The block's token; −1 where none had weight.
    __device__ __forceinline__ int winner() const {
        double highest = block_highest(score);
        return highest > -QS_INFINITY ? -block_max(score == highest ? -token : -0x7fffffff) : -1;
    }
};

// What SampleStatistics says of a drawn token, but for what follows from these. gamma: the tilt as it stands in the law, g or g/T.
struct Drawn {
    double log_reference, gamma, kl, kl_floor, log_normalizer, residual, tilt;
    Moments moments;
    // To a row of the statistics, column by column; NaN where no token had weight.
    __device__ __forceinline__ void write(float* row, bool drew) const {
        double values[9] = {log_reference + gamma - log_normalizer, log_reference, kl < 0 ? 0 : kl, kl_floor, log_normalizer, residual, tilt,
            moments.mean, moments.variance};
        for (int i = 0; i < 9; i++) row[i] = drew ? (float)values[i] : __int_as_float(0x7fc00000);
    }
};
