// operations.cpp - the stand-in's asynchronous copies and tensor-core instructions.
#include "simt_internal.h"

namespace simt {
// =============================================================================================== asynchronous copies
void async_copy16(void* shared, const void* global, bool valid, int line) {
    if (((uintptr_t)shared | (valid ? (uintptr_t)global : 0)) % 16)
        fail(Fault::Misaligned, line, "cp.async of 16 bytes needs 16-byte alignment");
    if (!is_shared(shared)) fail(Fault::IllegalAddress, line, "cp.async writes to %p, which is not shared memory", shared);
    if (valid && is_shared(global)) fail(Fault::IllegalAddress, line, "cp.async reads from shared memory");
    if (checking) {
        if (valid) check(global, 16, Read, line, nullptr);
        check(shared, 16, Write, line, nullptr);
        shared_in_flight(shared, 16);
    }
    memset(shared, 0xff, 16);
    me().copies.push_back({shared, global, valid, line});
    me().open++;
}
void async_commit() { Fiber& f = me(); f.groups.push_back(f.open); f.open = 0; }
void async_wait(int pending) {
    Fiber& f = me();
    while ((int)f.groups.size() > pending) {
        size_t n = f.groups.front();
        f.groups.erase(f.groups.begin());
        for (size_t i = 0; i < n; i++) {
            Copy& c = f.copies[i];
            if (checking) check(c.shared, 16, Write, c.line, nullptr);
            if (c.valid) memcpy(c.shared, c.global, 16); else memset(c.shared, 0, 16);
        }
        f.copies.erase(f.copies.begin(), f.copies.begin() + (long)n);
    }
}

// =============================================================================================== matrix instructions
struct LdmatrixArg { int tiles; bool transposed; };
void ldmatrix(unsigned* r, const void* row, int tiles, bool transposed, int line) {
    if ((int)self->lane < tiles * 8) {                         // the other lanes' addresses are not used
        if ((uintptr_t)row % 16) fail(Fault::Misaligned, line, "ldmatrix needs rows that are aligned to 16 bytes");
        if (!is_shared(row)) fail(Fault::IllegalAddress, line, "ldmatrix reads %p, which is not shared memory", row);
        if (checking) check(row, 16, Read, line, nullptr);
    }
    LdmatrixArg how{tiles, transposed};
    warp_op(Op::Ldmatrix, 0xffffffffu, const_cast<void*>(row), r, [](unsigned, void* const* in, void* const* out, const void* arg) {
        auto& how = *static_cast<const LdmatrixArg*>(arg);
        for (int tile = 0; tile < how.tiles; tile++)
            for (int lane = 0; lane < 32; lane++) {
                auto half = [&](int y, int x) { return (unsigned)static_cast<const unsigned short*>(in[tile * 8 + y])[x]; };
                int a = lane / 4, b = lane % 4 * 2;
                static_cast<unsigned*>(out[lane])[tile] =
                    how.transposed ? half(b, a) | half(b + 1, a) << 16 : half(a, b) | half(a, b + 1) << 16;
            }
    }, &how, line);
}

struct MmaIn { float* c; const unsigned* a; unsigned b0, b1; };
void mma16816(float* c, const unsigned* a, unsigned b0, unsigned b1, int line) {
    MmaIn in{c, a, b0, b1};
    warp_op(Op::Mma, 0xffffffffu, &in, nullptr, [](unsigned, void* const* in, void* const*, const void*) {
        float a[16][16], b[16][8], c[16][8];
        auto low = [](unsigned x) { return __uint_as_float(x << 16); };
        auto high = [](unsigned x) { return __uint_as_float(x & 0xffff0000u); };
        for (int lane = 0; lane < 32; lane++) {
            auto* m = static_cast<MmaIn*>(in[lane]);
            int g = lane / 4, t = lane % 4 * 2;
            for (int q = 0; q < 4; q++) {
                int y = g + (q & 1) * 8, x = t + (q >> 1) * 8;
                a[y][x] = low(m->a[q]); a[y][x + 1] = high(m->a[q]);
            }
            b[t][g] = low(m->b0); b[t + 1][g] = high(m->b0); b[t + 8][g] = low(m->b1); b[t + 9][g] = high(m->b1);
            c[g][t] = m->c[0]; c[g][t + 1] = m->c[1]; c[g + 8][t] = m->c[2]; c[g + 8][t + 1] = m->c[3];
        }
        for (int i = 0; i < 16; i++)
            for (int k = 0; k < 16; k++)
                for (int j = 0; j < 8; j++) c[i][j] += a[i][k] * b[k][j];
        for (int lane = 0; lane < 32; lane++) {
            auto* m = static_cast<MmaIn*>(in[lane]);
            int g = lane / 4, t = lane % 4 * 2;
            m->c[0] = c[g][t]; m->c[1] = c[g][t + 1]; m->c[2] = c[g + 8][t]; m->c[3] = c[g + 8][t + 1];
        }
    }, nullptr, line);
}
}  // namespace simt
