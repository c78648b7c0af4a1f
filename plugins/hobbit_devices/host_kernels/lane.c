/* A thread that runs experts on the host for one token, beside the thread that drives the device.

   A layer is over in less time than it takes to wake a thread or to get Python's lock. So both sides spin:
   the lane for work, and for the counter that the device raises behind the token's hidden state; who joins,
   for the lane. Without work for PATIENCE_NS the lane sleeps until some is posted. */

#include "team.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_PARTS = 64 };

void hobbit_expert(team *t, const void *expert, const uint8_t *blob, int64_t tokens, const float *x,
                   float *scratch, float *y, int64_t first, int64_t last);
void hobbit_widen(const uint8_t *values, int64_t count, int32_t dtype, float *out);

/* The units first..last of one expert, whose sum goes to `y` [d]; `scratch` as hobbit_expert wants it. */
typedef struct {
    const void *expert;
    const uint8_t *blob;
    float *scratch, *y;
    int64_t first, last;
} part;

/* Parts for the hidden state `hidden` [width] of a dtype, which is there once *counter has come to `number`;
   `x` has room for it in float32. When all is over, *done comes to `number` for whoever waits for that. */
typedef struct {
    const volatile int32_t *counter;
    _Atomic int32_t *done;
    const uint8_t *hidden;
    float *x;
    int64_t width;
    int32_t number, dtype, count;
} layer;

typedef struct {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wakes;
    atomic_int asleep, closing;
    atomic_int_least64_t posted, finished, given_up, busy_ns;
    team *team;
    layer work;
    part parts[MOST_PARTS];
} lane;

/* Wait for work; 0 if there will be none. */
static int await_work(lane *l) {
    const int64_t since = hobbit_now_ns();
    for (uint32_t turn = 1; l->posted == l->finished; turn++) {
        if (l->closing) return 0;
        hobbit_pause(turn);
        if (hobbit_now_ns() - since < PATIENCE_NS) continue;
        pthread_mutex_lock(&l->mutex);
        l->asleep = 1;
        while (l->posted == l->finished && !l->closing) pthread_cond_wait(&l->wakes, &l->mutex);
        l->asleep = 0;
        pthread_mutex_unlock(&l->mutex);
    }
    return 1;
}

/* Wait for the hidden state; 0 if nobody wants the work any more. */
static int await_hidden(lane *l) {
    for (uint32_t turn = 1; *l->work.counter - l->work.number < 0; turn++) {
        if (l->closing || l->given_up == l->posted) return 0;
        hobbit_pause(turn);
    }
    atomic_thread_fence(memory_order_acquire);
    return 1;
}

static void *serve(void *given) {
    lane *l = given;
    while (await_work(l)) {
        const layer *work = &l->work;
        if (await_hidden(l)) {
            const int64_t start = hobbit_now_ns();
            hobbit_widen(work->hidden, work->width, work->dtype, work->x);
            for (int32_t i = 0; i < work->count; i++) {
                const part *p = &l->parts[i];
                hobbit_expert(l->team, p->expert, p->blob, 1, work->x, p->scratch, p->y, p->first, p->last);
            }
            l->busy_ns += hobbit_now_ns() - start;
        }
        *work->done = work->number;
        l->finished++;
    }
    return NULL;
}

/* A lane on this processor that computes with a team, as the first of it; NULL if there can be no thread. */
lane *hobbit_lane_open(team *t, int32_t processor) {
    lane *l = calloc(1, sizeof *l);
    if (l == NULL) return NULL;
    l->team = t;
    pthread_mutex_init(&l->mutex, NULL);
    pthread_cond_init(&l->wakes, NULL);
    if (!hobbit_start_on(processor, &l->thread, serve, l)) return l;
    free(l);
    return NULL;
}

/* Start a layer, at most MOST_PARTS parts; the last one must have been joined. */
void hobbit_lane_post(lane *l, const layer *work, const part *parts) {
    l->work = *work;
    memcpy(l->parts, parts, work->count * sizeof *parts);
    l->posted++;
    if (!l->asleep) return;
    pthread_mutex_lock(&l->mutex);
    pthread_cond_signal(&l->wakes);
    pthread_mutex_unlock(&l->mutex);
}

/* Wait for what was posted, so long at most; 0 if it is not done by then. */
int32_t hobbit_lane_join(lane *l, int64_t most_ns) {
    const int64_t since = hobbit_now_ns();
    for (uint32_t turn = 1; l->finished != l->posted; turn++) {
        if (hobbit_now_ns() - since > most_ns) return 0;
        hobbit_pause(turn);
    }
    return 1;
}

/* Nobody wants what was posted: it ends at once, or as soon as the parts that it runs have. */
void hobbit_lane_give_up(lane *l) { l->given_up = (int64_t)l->posted; }

int64_t hobbit_lane_busy_ns(const lane *l) { return l->busy_ns; }

void hobbit_lane_close(lane *l) {
    l->closing = 1;
    pthread_mutex_lock(&l->mutex);
    pthread_cond_signal(&l->wakes);
    pthread_mutex_unlock(&l->mutex);
    pthread_join(l->thread, NULL);
    free(l);
}
