/* A gated expert on the host, from its blob as it lies in memory: y = down (silu(gate x) * (up x)).

   Time is the bytes of the weights over the memory's bandwidth: a weight is read once, widened in registers
   and never written. A team of threads goes over the rows of gate and up, which give h, then over those of
   down, which give y. Of the F units in between only first..last take part; others add the rest.

   Bits: a row is summed by one thread in one order, whatever the number of threads or tokens. That order is
   the compiler's: `omp simd` lets it add as suits the machine's vectors. */

#include "lossless12.h"
#include "products.h"
#include "team.h"

enum { MOST_ROWS = 32 }; /* that a thread takes at a time: few, so that a slow core keeps nobody waiting */
enum { SHARES = 8 };     /* of the rows that a thread takes at least, where there are few of them */

void hobbit_widen(const uint8_t *values, int64_t count, int32_t dtype, float *out) {
    for (int64_t i = 0; i < count; i++) out[i] = number(values, i, dtype);
}

/* ---- the expert: its loops are shared out among a team ---- */

typedef struct {
    matrix up, down;
    int64_t tokens, first, last;
    const float *x;
    float *h, *up_totals, *down_totals, *y;
} job;

/* From the activations of a token to the next one's, as the products with m take them. */
static int64_t stride_of(const matrix *m) { return is_lossless12(m) ? spread_size(m->columns) : m->columns; }

static int64_t groups_of(const matrix *m) { return is_packed(m) ? m->columns / m->group : 0; }

static int64_t at_a_time(const team *t, int64_t steps, int64_t most) {
    const int64_t share = steps / ((int64_t)hobbit_team_size(t) * SHARES);
    return share < 1 ? 1 : share < most ? share : most;
}

/* totals[i] = the sum of x over a group of columns, token by token; for packed weights. */
static void totals_of(const matrix *m, const float *x, float *totals, int64_t from, int64_t to) {
    for (int64_t i = from; i < to; i++) {
        const float *values = x + i * m->group;
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int32_t k = 0; k < m->group; k++) sum += values[k];
        totals[i] = sum;
    }
}

static void sum_x(const void *what, int64_t from, int64_t to) {
    const job *j = what;
    totals_of(&j->up, j->x, j->up_totals, from, to);
}

static void sum_h(const void *what, int64_t from, int64_t to) {
    const job *j = what;
    totals_of(&j->down, j->h, j->down_totals, from, to);
}

static int together(int64_t left) { return left < FOUR ? 1 : FOUR; } /* tokens, where so many are left */

/* The units of h [tokens, F] whose gate weights lie in stored row `row`; int2 has two there, F / 2 apart. */
static void units_of(const matrix *up, int64_t row, int tokens, const float *x, const float *totals,
                     float *h) {
    const int64_t units = up->rows / 2;
    if (!is_packed(up)) {
        float sums[FOUR][2];
        two_rows(up, row, row + units, tokens, x, 0, up->columns, sums);
        for (int t = 0; t < tokens; t++) h[t * units + row] = gated(sums[t][0], sums[t][1]);
        return;
    }
    float sums[FOUR][4];
    planes(up, row, tokens, x, totals, 0, up->columns, sums);
    for (int t = 0; t < tokens; t++) {
        h[t * units + row] = gated(sums[t][0], sums[t][4 / up->bits]);
        if (up->bits == 2) h[t * units + row + units / 2] = gated(sums[t][1], sums[t][3]);
    }
}

/* Unit `row` of h, spread, from tokens spread likewise; 12 bits. */
static void spread_unit_of(const job *j, int64_t row, int64_t token, int tokens) {
    const int64_t d = stride_of(&j->up), stride = stride_of(&j->down), units = j->up.rows / 2;
    float gates[FOUR], ups[FOUR], *h = j->h + token * stride + spread_place(row - j->first);
    lossless12_row(&j->up, row, tokens, j->x + token * d, d, 0, j->up.columns, gates);
    lossless12_row(&j->up, row + units, tokens, j->x + token * d, d, 0, j->up.columns, ups);
    for (int t = 0; t < tokens; t++) h[t * stride] = gated(gates[t], ups[t]) * LARGER;
}

/* h [T, F] = silu(gate x) * (up x), stored rows from..to. */
static void hidden_of(const void *what, int64_t from, int64_t to) {
    const job *j = what;
    const int64_t d = j->up.columns, groups = groups_of(&j->up), units = j->up.rows / 2;
    for (int64_t row = from; row < to; row++)
        for (int64_t t = 0, count; t < j->tokens; t += count) {
            count = together(j->tokens - t);
            if (is_lossless12(&j->up))
                spread_unit_of(j, row, t, count);
            else
                units_of(&j->up, row, count, j->x + t * d, j->up_totals + t * groups, j->h + t * units);
        }
}

/* The values of y [tokens, d] whose weights lie in stored row `row`, and in the next if rows go in twos. */
static void values_of(const matrix *down, int64_t row, int tokens, const float *h, const float *totals,
                      float *y, int64_t first, int64_t last) {
    const int64_t d = down->rows;
    if (is_lossless12(down)) {
        float sums[FOUR];
        lossless12_row(down, row, tokens, h, stride_of(down), first, last, sums);
        for (int t = 0; t < tokens; t++) y[t * d + row] = sums[t];
        return;
    }
    if (!is_packed(down)) {
        const int64_t next = row + 1 < d ? row + 1 : row;
        float sums[FOUR][2];
        two_rows(down, row, next, tokens, h, first, last, sums);
        for (int t = 0; t < tokens; t++) y[t * d + row] = sums[t][0], y[t * d + next] = sums[t][1];
        return;
    }
    float sums[FOUR][4];
    planes(down, row, tokens, h, totals, first, last, sums);
    for (int t = 0; t < tokens; t++)
        for (int p = 0; p < 8 / down->bits; p++) y[t * d + row + p * (d * down->bits / 8)] = sums[t][p];
}

static int64_t rows_at_a_time(const matrix *down) { return is_packed(down) || is_lossless12(down) ? 1 : 2; }

/* y [T, d] = down h, columns first..last: native and int8 rows in twos, others one by one. */
static void outputs_of(const void *what, int64_t from, int64_t to) {
    const job *j = what;
    const matrix *down = &j->down;
    const int64_t step = rows_at_a_time(down), groups = groups_of(down);
    for (int64_t row = from * step; row < to * step && row < down->rows; row += step)
        for (int64_t t = 0, count; t < j->tokens; t += count) {
            count = together(j->tokens - t);
            values_of(down, row, count, j->h + t * stride_of(down), j->down_totals + t * groups,
                      j->y + t * down->rows, j->first, j->last);
        }
}

/* Spread the tokens into `room`, and put zeros behind the units of h; 12 bits. */
static void spread_tokens(job *j, float *room) {
    const int64_t d = stride_of(&j->up), stride = stride_of(&j->down);
    for (int64_t t = 0; t < j->tokens; t++) {
        spread(j->x + t * j->up.columns, j->up.columns, room + t * d);
        spread_end(j->h + t * stride, j->last - j->first);
    }
    j->x = room;
}

/* y [T, d] = what the units first..last give of the expert's output for x [T, d]. They are multiples of the
   group for int4, of 8 for 12 bits, 0 and F for int2. `scratch` has room for T * (F + d / up.group +
   F / down.group), for 12 bits T * (d + F), each a multiple of 64. */
void hobbit_expert(team *t, const expert *e, const uint8_t *blob, int64_t tokens, const float *x,
                   float *scratch, float *y, int64_t first, int64_t last) {
    job j = {
        .up = in_blob(blob, &e->up, e->dtype), .down = in_blob(blob, &e->down, e->dtype),
        .tokens = tokens, .first = first, .last = last, .x = x, .h = scratch, .y = y,
    };
    const int64_t ups = tokens * groups_of(&j.up), downs = tokens * groups_of(&j.down);
    const int64_t until = j.up.bits == 2 ? last / 2 : last, d = j.down.rows, step = rows_at_a_time(&j.down);
    const int64_t rows = is_packed(&j.down) ? d * j.down.bits / 8 : (d + step - 1) / step;
    j.up_totals = scratch + tokens * stride_of(&j.down);
    j.down_totals = j.up_totals + ups;
    if (is_lossless12(&j.up)) spread_tokens(&j, j.up_totals);
    if (ups) hobbit_team_run(t, sum_x, &j, 0, ups, at_a_time(t, ups, ups));
    hobbit_team_run(t, hidden_of, &j, first, until, at_a_time(t, until - first, MOST_ROWS));
    if (downs) hobbit_team_run(t, sum_h, &j, 0, downs, at_a_time(t, downs, downs));
    hobbit_team_run(t, outputs_of, &j, 0, rows, at_a_time(t, rows, MOST_ROWS / 4));
}
