/* Products of rows of 12-bit weights, which are bfloat16 without a loss, and activations.

   Sign, code and mantissa are put where float32 has them, which gives numbers 2^112 times too small; a row's
   sum is scaled back as a whole, exactly. Products with numbers that small are kept above what float32 can
   hold by activations that are 2^64 times too large. These also lie in another order ("spread"), one that
   spares moving bytes between the lanes of a register. */

#ifndef HOBBIT_LOSSLESS12_H
#define HOBBIT_LOSSLESS12_H

#include <string.h>

#include "products.h"

enum { BLOCK = 4 * LANES }; /* columns at a time: as many as a register has bytes */
#define LARGER 0x1p64f

typedef uint32_t words __attribute__((vector_size(4 * LANES)));
typedef uint64_t pairs __attribute__((vector_size(4 * LANES)));

static int is_lossless12(const matrix *m) { return m->bits == 12; }

/* Room for the spread activations of a token: whole blocks. */
static int64_t spread_size(int64_t columns) { return (columns + BLOCK - 1) / BLOCK * BLOCK; }

/* Where the activation of a column lies: column 4 l + j of a block is lane l of its vector j. */
static inline int64_t spread_place(int64_t column) {
    return column / BLOCK * BLOCK + column % 4 * LANES + column % BLOCK / 4;
}

/* Zeros behind the last of `columns` spread activations. */
static void spread_end(float *out, int64_t columns) {
    const int64_t whole = columns / BLOCK * BLOCK;
    memset(out + whole, 0, (spread_size(columns) - whole) * sizeof *out);
}

static void spread(const float *x, int64_t columns, float *out) {
    spread_end(out, columns);
    for (int64_t k = 0; k < columns; k += 4)
        for (int64_t j = 0; j < 4; j++) out[spread_place(k + j)] = x[k + j] * LARGER;
}

/* weights[j][l] = 2^-112 / scale times the weight of column 4 l + j of a block. */
static inline void widen_block(const uint8_t *data, const uint8_t *codes, floats weights[4]) {
    words bytes;
    uint32_t stored[LANES / 2];
    pairs both;
    memcpy(&bytes, data, sizeof bytes);
    memcpy(stored, codes, sizeof stored);
    for (int i = 0; i < LANES / 2; i++) both[i] = stored[i];
    const words halves = (words)(both | both << 28); /* those of column k in the low half of byte k */
    const words tops = (halves & 0x07070707) | (halves << 4 & 0x80808080);
    const words even = (bytes & 0x00ff00ff) | (tops << 8 & 0xff00ff00);
    const words odd = (bytes >> 8 & 0x00ff00ff) | (tops & 0xff00ff00);
    weights[0] = (floats)(even << 16), weights[1] = (floats)(odd << 16);
    weights[2] = (floats)(even & 0xffff0000), weights[3] = (floats)(odd & 0xffff0000);
}

/* sums[t] += a block times the spread activations of token t; two sums each, to be added up in the end. */
static inline __attribute__((always_inline)) void add_block(const uint8_t *data, const uint8_t *codes,
                                                            int tokens, const float *x, int64_t stride,
                                                            floats (*sums)[2]) {
    floats weights[4], values;
    widen_block(data, codes, weights);
    for (int j = 0; j < 4; j++)
        for (int t = 0; t < tokens; t++) {
            memcpy(&values, x + t * stride + j * LANES, sizeof values);
            sums[t][j & 1] += weights[j] * values;
        }
}

/* The weights of a row that have no code, in the columns from..to, times x. Few rows have any. */
static __attribute__((noinline)) float strays_of(const matrix *m, int64_t row, const float *x, int64_t from,
                                                 int64_t to) {
    float sum = 0;
    for (int32_t i = m->starts[row]; i < m->starts[row + 1]; i++) {
        const int64_t column = m->strays[i] >> 16;
        if (from <= column && column < to) sum += bfloat16(m->strays[i]) * x[spread_place(column - from)];
    }
    return sum;
}

/* sums[t] = row `row` of m times token t, columns from..to, multiples of 8; x [tokens, stride] is spread from
   column `from` on. */
static inline __attribute__((always_inline)) void row_of(const matrix *m, int64_t row, int tokens,
                                                         const float *x, int64_t stride, int64_t from,
                                                         int64_t to, float *sums) {
    const uint8_t *data = m->data + row * m->columns, *codes = m->codes + row * m->columns / 2;
    const float scale = number(m->scale, row, m->dtype);
    const int64_t whole = (to - from) / BLOCK * BLOCK;
    floats parts[FOUR][2] = {{{0}}};
    data += from, codes += from / 2;
    for (int64_t k = 0; k < whole; k += BLOCK)
        add_block(data + k, codes + k / 2, tokens, x + k, stride, parts);
    if (whole < to - from) {
        uint8_t last_data[BLOCK] = {0}, last_codes[BLOCK / 2] = {0};
        for (int64_t k = 0; k < to - from - whole; k += 8) {
            memcpy(last_data + k, data + whole + k, 8);
            memcpy(last_codes + k / 2, codes + (whole + k) / 2, 4);
        }
        add_block(last_data, last_codes, tokens, x + whole, stride, parts);
    }
    for (int t = 0; t < tokens; t++) {
        const floats both = parts[t][0] + parts[t][1];
        float sum = 0;
        for (int l = 0; l < LANES; l++) sum += both[l];
        sums[t] = sum * (0x1p112f / LARGER) * scale;
        if (m->starts[row] < m->starts[row + 1])
            sums[t] += strays_of(m, row, x + t * stride, from, to) / LARGER;
    }
}

static void lossless12_row(const matrix *m, int64_t row, int tokens, const float *x, int64_t stride,
                           int64_t from, int64_t to, float *sums) {
    if (tokens == FOUR)
        row_of(m, row, FOUR, x, stride, from, to, sums);
    else
        row_of(m, row, 1, x, stride, from, to, sums);
}

#endif
