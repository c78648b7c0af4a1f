/* Products of stored rows and activations: native, int8, int4 and int2 weights, widened in registers. */

#ifndef HOBBIT_PRODUCTS_H
#define HOBBIT_PRODUCTS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "vectors.h"

enum { FOUR = 4 };       /* tokens that share the widening of a weight; what is left over goes one by one */

enum { BFLOAT16, FLOAT16, FLOAT32 };

/* A matrix [rows, columns] of the blob: byte offsets of its parts, as PackedMatrix in kernels/formats.py has
   them. `bits` is 0 for native weights; 12 for bfloat16 without a loss; 8 has a scale a row; 4 and 2 a scale
   and a shift per `group` columns, and a byte of theirs holds the rows that lie rows * bits / 8 apart. */
typedef struct {
    int64_t rows, columns, data, scale, shift, codes, starts, strays;
    int32_t bits, group;
} parts;

/* `up` [2F, d], gate rows first, and `down` [d, F]. Native weights, scales and shifts are of `dtype`. */
typedef struct {
    parts up, down;
    int32_t dtype;
} expert;

typedef struct {
    const uint8_t *data, *scale, *shift, *codes;
    const int32_t *starts;
    const uint32_t *strays;
    int64_t rows, columns;
    int32_t bits, group, dtype;
} matrix;

static matrix in_blob(const uint8_t *blob, const parts *p, int32_t dtype) {
    return (matrix){
        .data = blob + p->data, .scale = blob + p->scale, .shift = blob + p->shift, .codes = blob + p->codes,
        .starts = (const int32_t *)(blob + p->starts), .strays = (const uint32_t *)(blob + p->strays),
        .rows = p->rows, .columns = p->columns, .bits = p->bits, .group = p->group, .dtype = dtype,
    };
}

static int is_packed(const matrix *m) { return m->bits == 4 || m->bits == 2; }

static inline float from_bits(uint32_t bits) {
    return ((union {uint32_t bits; float value;}){bits}).value;
}

static inline float bfloat16(uint16_t bits) { return from_bits((uint32_t)bits << 16); }

static inline float float16(uint16_t bits) {
    /* The biases of the exponents differ by 112; subnormals come out right. No weight is infinite. */
    float size = from_bits((uint32_t)(bits & 0x7fff) << 13) * 0x1p112f;
    return bits & 0x8000 ? -size : size;
}

static inline float float32(float value) { return value; }
static inline float int8(int8_t value) { return value; }

static inline float number(const uint8_t *values, int64_t index, int32_t dtype) {
    if (dtype == BFLOAT16) return bfloat16(((const uint16_t *)values)[index]);
    if (dtype == FLOAT16) return float16(((const uint16_t *)values)[index]);
    return ((const float *)values)[index];
}

static float gated(float gate, float up) { return gate / (1 + expf(-gate)) * up; }

/* ---- native and int8: two rows at a time, so that one addition need not wait for the last ---- */

/* sums[t][0..1] = the rows `a` and `b` of m times x[t], columns from..to, for one token or four. */
#define TWO_ROWS(TYPE, WIDEN)                                                                                \
    static void two_rows_##WIDEN(const matrix *m, int64_t a, int64_t b, int tokens, const float *x,          \
                                 int64_t from, int64_t to, float (*sums)[2]) {                               \
        const TYPE *row_a = (const TYPE *)m->data + a * m->columns;                                          \
        const TYPE *row_b = (const TYPE *)m->data + b * m->columns;                                          \
        const float *x1 = x + m->columns, *x2 = x1 + m->columns, *x3 = x2 + m->columns;                      \
        float a0 = 0, a1 = 0, a2 = 0, a3 = 0, b0 = 0, b1 = 0, b2 = 0, b3 = 0;                                \
        if (tokens < FOUR) {                                                                                 \
            _Pragma("omp simd reduction(+ : a0, b0)")                                                        \
            for (int64_t k = from; k < to; k++) {                                                            \
                a0 += WIDEN(row_a[k]) * x[k];                                                                \
                b0 += WIDEN(row_b[k]) * x[k];                                                                \
            }                                                                                                \
            sums[0][0] = a0, sums[0][1] = b0;                                                                \
            return;                                                                                          \
        }                                                                                                    \
        _Pragma("omp simd reduction(+ : a0, a1, a2, a3, b0, b1, b2, b3)")                                    \
        for (int64_t k = from; k < to; k++) {                                                                \
            const float wa = WIDEN(row_a[k]), wb = WIDEN(row_b[k]);                                          \
            a0 += wa * x[k], a1 += wa * x1[k], a2 += wa * x2[k], a3 += wa * x3[k];                           \
            b0 += wb * x[k], b1 += wb * x1[k], b2 += wb * x2[k], b3 += wb * x3[k];                           \
        }                                                                                                    \
        sums[0][0] = a0, sums[1][0] = a1, sums[2][0] = a2, sums[3][0] = a3;                                  \
        sums[0][1] = b0, sums[1][1] = b1, sums[2][1] = b2, sums[3][1] = b3;                                  \
    }

TWO_ROWS(uint16_t, bfloat16)
TWO_ROWS(uint16_t, float16)
TWO_ROWS(float, float32)
TWO_ROWS(int8_t, int8)

static void two_rows(const matrix *m, int64_t a, int64_t b, int tokens, const float *x, int64_t from,
                     int64_t to, float (*sums)[2]) {
    if (m->bits == 8) {
        two_rows_int8(m, a, b, tokens, x, from, to, sums);
        const float scale_a = number(m->scale, a, m->dtype), scale_b = number(m->scale, b, m->dtype);
        for (int t = 0; t < tokens; t++) sums[t][0] *= scale_a, sums[t][1] *= scale_b;
    } else if (m->dtype == BFLOAT16) {
        two_rows_bfloat16(m, a, b, tokens, x, from, to, sums);
    } else if (m->dtype == FLOAT16) {
        two_rows_float16(m, a, b, tokens, x, from, to, sums);
    } else {
        two_rows_float32(m, a, b, tokens, x, from, to, sums);
    }
}

/* ---- int4 and int2: all rows of a byte at a time ---- */

/* sums[t][p] = plane p of stored row `row` times x[t], columns from..to, whole groups of 16 numbers or more.
   A weight being scale * data - shift, a group gives scale * sum(data * x) - shift * sum(x); `totals` has the
   sums of x. */
#define PLANES_OF(BITS, TOKENS)                                                                              \
    static void planes_int##BITS##_##TOKENS(const matrix *m, int64_t row, const float *x,                    \
                                            const float *totals, int64_t from, int64_t to,                   \
                                            float (*sums)[4]) {                                              \
        enum { PLANES = 8 / BITS, MASK = (1 << BITS) - 1 };                                                  \
        const int64_t apart = m->rows / PLANES, groups = m->columns / m->group;                              \
        const uint8_t *data = m->data + row * m->columns;                                                    \
        floats products[TOKENS][PLANES] = {{{0}}};                                                           \
        float shifts[TOKENS][PLANES] = {{0}};                                                                \
        for (int64_t g = from / m->group; g < to / m->group; g++) {                                          \
            floats part[TOKENS][PLANES] = {{{0}}};                                                           \
            for (int64_t k = g * m->group; k < (g + 1) * m->group; k += LANES) {                             \
                floats values[TOKENS];                                                                       \
                ints bytes;                                                                                  \
                for (int t = 0; t < TOKENS; t++) memcpy(&values[t], x + t * m->columns + k, sizeof *values); \
                for (int l = 0; l < LANES; l++) bytes[l] = data[k + l];                                      \
                for (int p = 0; p < PLANES; p++) {                                                           \
                    const floats weights = __builtin_convertvector(bytes >> p * BITS & MASK, floats);        \
                    for (int t = 0; t < TOKENS; t++) part[t][p] += weights * values[t];                      \
                }                                                                                            \
            }                                                                                                \
            for (int p = 0; p < PLANES; p++) {                                                               \
                const int64_t at = (row + p * apart) * groups + g;                                           \
                const float scale = number(m->scale, at, m->dtype), shift = number(m->shift, at, m->dtype);  \
                for (int t = 0; t < TOKENS; t++) {                                                           \
                    products[t][p] += part[t][p] * scale;                                                    \
                    shifts[t][p] += totals[t * groups + g] * shift;                                          \
                }                                                                                            \
            }                                                                                                \
        }                                                                                                    \
        for (int t = 0; t < TOKENS; t++)                                                                     \
            for (int p = 0; p < PLANES; p++) {                                                               \
                sums[t][p] = -shifts[t][p];                                                                  \
                for (int l = 0; l < LANES; l++) sums[t][p] += products[t][p][l];                             \
            }                                                                                                \
    }

PLANES_OF(4, 1)
PLANES_OF(4, 4)
PLANES_OF(2, 1)

static void planes(const matrix *m, int64_t row, int tokens, const float *x, const float *totals,
                   int64_t from, int64_t to, float (*sums)[4]) {
    if (m->bits == 4 && tokens == FOUR && REGISTERS == 32) { /* int2 would want more of them than there are */
        planes_int4_4(m, row, x, totals, from, to, sums);
        return;
    }
    for (int t = 0; t < tokens; t++, x += m->columns, totals += m->columns / m->group)
        if (m->bits == 4)
            planes_int4_1(m, row, x, totals, from, to, sums + t);
        else
            planes_int2_1(m, row, x, totals, from, to, sums + t);
}

#endif
