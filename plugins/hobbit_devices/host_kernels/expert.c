/* A gated expert on the host, from its blob as it lies in memory: y = down (silu(gate x) * (up x)).

   Time is the bytes of the weights over the memory's bandwidth: a weight is read once, widened in registers
   and never written. A team of threads goes over the rows of gate and up, which give h, then over those of
   down, which give y. Of the F units in between only first..last take part; others add the rest.

   Bits: a row is summed by one thread in one order, whatever the number of threads or tokens. That order is
   the compiler's: `omp simd` lets it add as suits the machine's vectors. */

#include <math.h>
#include <omp.h>
#include <stdint.h>
#include <string.h>

enum { MOST_ROWS = 32 }; /* that a thread takes at a time: few, so that a slow core keeps nobody waiting */
enum { SHARES = 8 };     /* of the rows that a thread takes at least, where there are few of them */

enum { BFLOAT16, FLOAT16, FLOAT32 };

/* A matrix [rows, columns] of the blob: byte offsets of its parts, as PackedMatrix in kernels/formats.py has
   them. `bits` is 0 for native weights; 8 has a scale a row; 4 and 2 a scale and a shift per `group` columns,
   and a byte of theirs holds the rows that lie rows * bits / 8 apart. */
typedef struct {
    int64_t rows, columns, data, scale, shift;
    int32_t bits, group;
} parts;

/* `up` [2F, d], gate rows first, and `down` [d, F]. Native weights, scales and shifts are of `dtype`. */
typedef struct {
    parts up, down;
    int32_t dtype;
} expert;

typedef struct {
    const uint8_t *data, *scale, *shift;
    int64_t rows, columns;
    int32_t bits, group, dtype;
} matrix;

static matrix in_blob(const uint8_t *blob, const parts *p, int32_t dtype) {
    return (matrix){
        .data = blob + p->data, .scale = blob + p->scale, .shift = blob + p->shift, .rows = p->rows,
        .columns = p->columns, .bits = p->bits, .group = p->group, .dtype = dtype,
    };
}

static int is_packed(const matrix *m) { return m->bits == 4 || m->bits == 2; }

/* ---- numbers ---- */

static inline float from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
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

/* sums[0..1] = the rows `a` and `b` times x, columns from..to. */
#define TWO_ROWS(TYPE, WIDEN)                                                                                \
    static inline void two_rows_##WIDEN(const TYPE *a, const TYPE *b, const float *x, int64_t from,          \
                                        int64_t to, float *sums) {                                           \
        float first = 0, second = 0;                                                                         \
        _Pragma("omp simd reduction(+ : first, second)") for (int64_t k = from; k < to; k++) {               \
            first += WIDEN(a[k]) * x[k];                                                                     \
            second += WIDEN(b[k]) * x[k];                                                                    \
        }                                                                                                    \
        sums[0] = first;                                                                                     \
        sums[1] = second;                                                                                    \
    }

TWO_ROWS(uint16_t, bfloat16)
TWO_ROWS(uint16_t, float16)
TWO_ROWS(float, float32)
TWO_ROWS(int8_t, int8)

static void two_rows(const matrix *m, int64_t a, int64_t b, const float *x, int64_t from, int64_t to,
                     float *sums) {
    const int64_t at_a = a * m->columns, at_b = b * m->columns;
    if (m->bits == 8) {
        const int8_t *data = (const int8_t *)m->data;
        two_rows_int8(data + at_a, data + at_b, x, from, to, sums);
        sums[0] *= number(m->scale, a, m->dtype);
        sums[1] *= number(m->scale, b, m->dtype);
    } else if (m->dtype == FLOAT32) {
        const float *data = (const float *)m->data;
        two_rows_float32(data + at_a, data + at_b, x, from, to, sums);
    } else {
        const uint16_t *data = (const uint16_t *)m->data;
        if (m->dtype == BFLOAT16)
            two_rows_bfloat16(data + at_a, data + at_b, x, from, to, sums);
        else
            two_rows_float16(data + at_a, data + at_b, x, from, to, sums);
    }
}

/* ---- int4 and int2: all rows of a byte at a time ---- */

/* Sixteen numbers; the compiler splits them where its registers are narrower. A group is whole ones. */
enum { LANES = 16 };
typedef float floats __attribute__((vector_size(4 * LANES)));
typedef int32_t ints __attribute__((vector_size(4 * LANES)));

/* sums[p] = plane p of stored row `row` times x, columns from..to, whole groups. w = scale * data - shift: a
   group's part is scale * sum(data * x) - shift * sum(x); `totals` has those sums of x. */
#define PLANES_OF(BITS)                                                                                      \
    static void planes_int##BITS(const matrix *m, int64_t row, const float *x, const float *totals,          \
                                 int64_t from, int64_t to, float *sums) {                                    \
        enum { PLANES = 8 / BITS, MASK = (1 << BITS) - 1 };                                                  \
        const int64_t apart = m->rows / PLANES, groups = m->columns / m->group;                              \
        const uint8_t *data = m->data + row * m->columns;                                                    \
        floats products[PLANES] = {{0}};                                                                     \
        float shifts[PLANES] = {0};                                                                          \
        for (int64_t g = from / m->group; g < to / m->group; g++) {                                          \
            floats part[PLANES] = {{0}};                                                                     \
            for (int64_t k = g * m->group; k < (g + 1) * m->group; k += LANES) {                             \
                floats values;                                                                               \
                ints bytes;                                                                                  \
                memcpy(&values, x + k, sizeof values);                                                       \
                for (int l = 0; l < LANES; l++) bytes[l] = data[k + l];                                      \
                for (int p = 0; p < PLANES; p++)                                                             \
                    part[p] += __builtin_convertvector(bytes >> p * BITS & MASK, floats) * values;           \
            }                                                                                                \
            for (int p = 0; p < PLANES; p++) {                                                               \
                const int64_t at = (row + p * apart) * groups + g;                                           \
                products[p] += part[p] * number(m->scale, at, m->dtype);                                     \
                shifts[p] += totals[g] * number(m->shift, at, m->dtype);                                     \
            }                                                                                                \
        }                                                                                                    \
        for (int p = 0; p < PLANES; p++) {                                                                   \
            sums[p] = -shifts[p];                                                                            \
            for (int l = 0; l < LANES; l++) sums[p] += products[p][l];                                       \
        }                                                                                                    \
    }

PLANES_OF(4)
PLANES_OF(2)

static void planes(const matrix *m, int64_t row, const float *x, const float *totals, int64_t from,
                   int64_t to, float *sums) {
    if (m->bits == 4)
        planes_int4(m, row, x, totals, from, to, sums);
    else
        planes_int2(m, row, x, totals, from, to, sums);
}

/* ---- the expert: each of these is shared out among a team of threads ---- */

static int64_t at_a_time(int64_t steps, int64_t most) {
    const int64_t share = steps / ((int64_t)omp_get_num_threads() * SHARES);
    return share < 1 ? 1 : share < most ? share : most;
}

/* totals[t, g] = the sum of x[t] over group g, for the groups in columns from..to; for packed weights. */
static void totals_of(const matrix *m, int64_t tokens, const float *x, int64_t from, int64_t to,
                      float *totals) {
    if (!is_packed(m)) return;
    const int64_t groups = m->columns / m->group;
#pragma omp for collapse(2) schedule(static)
    for (int64_t t = 0; t < tokens; t++)
        for (int64_t g = from / m->group; g < to / m->group; g++) {
            const float *values = x + t * m->columns + g * m->group;
            float sum = 0;
#pragma omp simd reduction(+ : sum)
            for (int32_t k = 0; k < m->group; k++) sum += values[k];
            totals[t * groups + g] = sum;
        }
}

/* The units of h [F] whose gate weights lie in stored row `row`; int2 has two of them there, F / 2 apart. */
static void units_of(const matrix *up, int64_t row, const float *x, const float *totals, float *h) {
    const int64_t units = up->rows / 2;
    float sums[4];
    if (!is_packed(up)) {
        two_rows(up, row, row + units, x, 0, up->columns, sums);
        h[row] = gated(sums[0], sums[1]);
        return;
    }
    planes(up, row, x, totals, 0, up->columns, sums);
    h[row] = gated(sums[0], sums[4 / up->bits]);
    if (up->bits == 2) h[row + units / 2] = gated(sums[1], sums[3]);
}

/* h [T, F] = silu(gate x) * (up x), units first..last. */
static void hidden_of(const matrix *up, int64_t tokens, const float *x, const float *totals, float *h,
                      int64_t first, int64_t last) {
    const int64_t units = up->rows / 2, until = up->bits == 2 ? last / 2 : last;
    const int64_t groups = is_packed(up) ? up->columns / up->group : 0;
    const int64_t chunk = at_a_time(until - first, MOST_ROWS);
#pragma omp for schedule(dynamic, chunk)
    for (int64_t row = first; row < until; row++)
        for (int64_t t = 0; t < tokens; t++)
            units_of(up, row, x + t * up->columns, totals + t * groups, h + t * units);
}

/* y [T, d] = down h, columns first..last: native and int8 rows in twos, packed ones by the stored row. */
static void outputs_of(const matrix *down, int64_t tokens, const float *h, const float *totals, float *y,
                       int64_t first, int64_t last) {
    const int64_t packed = is_packed(down), step = packed ? 1 : 2;
    const int64_t stored = packed ? down->rows * down->bits / 8 : down->rows;
    const int64_t groups = packed ? down->columns / down->group : 0;
    const int64_t chunk = at_a_time(stored / step, MOST_ROWS / 4);
#pragma omp for schedule(dynamic, chunk)
    for (int64_t row = 0; row < stored; row += step)
        for (int64_t t = 0; t < tokens; t++) {
            float sums[4], *const out = y + t * down->rows;
            if (packed) {
                planes(down, row, h + t * down->columns, totals + t * groups, first, last, sums);
                for (int p = 0; p < 8 / down->bits; p++) out[row + p * stored] = sums[p];
            } else {
                const int64_t next = row + 1 < stored ? row + 1 : row;
                two_rows(down, row, next, h + t * down->columns, first, last, sums);
                out[row] = sums[0];
                out[next] = sums[1];
            }
        }
}

/* y [T, d] = what the units first..last give of the expert's output for x [T, d]. They are multiples of the
   group for int4, 0 and F for int2. `scratch` has room for T * (F + max(d / up.group, F / down.group)). */
void hobbit_expert(const expert *e, const uint8_t *blob, int64_t tokens, const float *x, float *scratch,
                   float *y, int64_t first, int64_t last, int32_t threads) {
    const matrix up = in_blob(blob, &e->up, e->dtype), down = in_blob(blob, &e->down, e->dtype);
    float *const h = scratch, *const totals = scratch + tokens * down.columns;
#pragma omp parallel num_threads(threads)
    {
        totals_of(&up, tokens, x, 0, up.columns, totals);
        hidden_of(&up, tokens, x, totals, h, first, last);
        totals_of(&down, tokens, h, first, last, totals);
        outputs_of(&down, tokens, h, totals, y, first, last);
    }
}
