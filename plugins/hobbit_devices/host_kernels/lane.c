/* A thread that runs experts on the host for one token, beside the thread that drives the device.

   A layer is over in less time than it takes to wake a thread or to get Python's lock. So both sides spin:
   the lane for work, and for the counter that the device raises behind the token's hidden state; who joins,
   for the lane. Without work for PATIENCE_NS the lane sleeps until some is posted. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_PARTS = 64 };
enum { PATIENCE_NS = 20 * 1000 * 1000 };

void hobbit_expert(const void *expert, const uint8_t *blob, int64_t tokens, const float *x, float *scratch,
                   float *y, int64_t first, int64_t last, int32_t threads);
void hobbit_widen(const uint8_t *values, int64_t count, int32_t dtype, float *out);

/* The units first..last of one expert, whose sum goes to `y` [d]; `scratch` as hobbit_expert wants it. */
typedef struct {
    const void *expert;
    const uint8_t *blob;
    float *scratch, *y;
    int64_t first, last;
} part;

/* Parts for the hidden state `hidden` [width] of a dtype, which is there once *counter has come to `from`;
   `x` has room for it in float32. */
typedef struct {
    const volatile int32_t *counter;
    const uint8_t *hidden;
    float *x;
    int64_t width;
    int32_t from, dtype, count;
} layer;

typedef struct {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wakes;
    atomic_int asleep, closing;
    atomic_int_least64_t posted, finished, given_up, busy_ns;
    int32_t threads;
    layer work;
    part parts[MOST_PARTS];
} lane;

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * (int64_t)1000000000 + now.tv_nsec;
}

enum { TURNS = 4096 }; /* of spinning, after which another thread may have the processor, if one waits */

static void pause_a_little(uint32_t turn) {
    if (turn % TURNS == 0) sched_yield();
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Wait for work; 0 if there will be none. */
static int await_work(lane *l) {
    const int64_t since = now_ns();
    for (uint32_t turn = 1; l->posted == l->finished; turn++) {
        if (l->closing) return 0;
        pause_a_little(turn);
        if (now_ns() - since < PATIENCE_NS) continue;
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
    for (uint32_t turn = 1; *l->work.counter - l->work.from < 0; turn++) {
        if (l->closing || l->given_up == l->posted) return 0;
        pause_a_little(turn);
    }
    atomic_thread_fence(memory_order_acquire);
    return 1;
}

static void *serve(void *given) {
    lane *l = given;
    while (await_work(l)) {
        const layer *work = &l->work;
        if (await_hidden(l)) {
            const int64_t start = now_ns();
            hobbit_widen(work->hidden, work->width, work->dtype, work->x);
            for (int32_t i = 0; i < work->count; i++) {
                const part *p = &l->parts[i];
                hobbit_expert(p->expert, p->blob, 1, work->x, p->scratch, p->y, p->first, p->last, l->threads);
            }
            l->busy_ns += now_ns() - start;
        }
        l->finished++;
    }
    return NULL;
}

/* A lane whose team has `count` threads, bound to these processors; NULL if there can be no thread. */
lane *hobbit_lane_open(const int32_t *processors, int32_t count) {
    lane *l = calloc(1, sizeof *l);
    if (l == NULL) return NULL;
    l->threads = count;
    pthread_mutex_init(&l->mutex, NULL);
    pthread_cond_init(&l->wakes, NULL);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
#ifdef __linux__
    cpu_set_t set;
    CPU_ZERO(&set);
    for (int32_t i = 0; i < count; i++) CPU_SET(processors[i], &set);
    pthread_attr_setaffinity_np(&attributes, sizeof set, &set); /* its team, started later, inherits it */
#endif
    const int failed = pthread_create(&l->thread, &attributes, serve, l);
    pthread_attr_destroy(&attributes);
    if (!failed) return l;
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
    const int64_t since = now_ns();
    for (uint32_t turn = 1; l->finished != l->posted; turn++) {
        if (now_ns() - since > most_ns) return 0;
        pause_a_little(turn);
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
