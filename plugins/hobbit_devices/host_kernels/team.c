/* A team of threads that shares out loops of a few microseconds.

   OpenMP would do, but its teams in a process know of each other: as soon as there are more of their threads
   than processors, torch's included, none of them spins any more, and each loop pays for waking its threads.
   These spin for their next loop, and sleep only after PATIENCE_NS without one. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "team.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

enum { TURNS = 256 }; /* of spinning between two looks whether somebody else wants the processor */

struct team {
    int32_t size, threads; /* threads: those that were really started */
    pthread_mutex_t mutex;
    pthread_cond_t wakes;
    atomic_int sleepers, closing, busy;
    atomic_uint loops;
    task *run;
    const void *what;
    int64_t to, chunk;
    atomic_int_least64_t next;
    pthread_t others[];
};

int64_t hobbit_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * (int64_t)1000000000 + now.tv_nsec;
}

void hobbit_pause(uint32_t turn) {
    if (turn % TURNS == 0) sched_yield();
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

int hobbit_start_on(int32_t processor, pthread_t *thread, void *(*serve)(void *), void *given) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
#ifdef __linux__
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    pthread_attr_setaffinity_np(&attributes, sizeof set, &set);
#else
    (void)processor;
#endif
    int failed = pthread_create(thread, &attributes, serve, given);
    if (failed) failed = pthread_create(thread, NULL, serve, given); /* that processor may not be ours */
    pthread_attr_destroy(&attributes);
    return failed;
}

static void take_part(team *t) {
    int64_t from;
    while ((from = atomic_fetch_add(&t->next, t->chunk)) < t->to) {
        const int64_t to = from + t->chunk;
        t->run(t->what, from, to < t->to ? to : t->to);
    }
}

static void await_loop(team *t, unsigned seen) {
    const int64_t since = hobbit_now_ns();
    for (uint32_t turn = 1; t->loops == seen && !t->closing; turn++) {
        hobbit_pause(turn);
        if (hobbit_now_ns() - since < PATIENCE_NS) continue;
        pthread_mutex_lock(&t->mutex);
        t->sleepers++;
        while (t->loops == seen && !t->closing) pthread_cond_wait(&t->wakes, &t->mutex);
        t->sleepers--;
        pthread_mutex_unlock(&t->mutex);
    }
}

static void *serve(void *given) {
    team *t = given;
    for (unsigned seen = 0;; seen++) {
        await_loop(t, seen);
        if (t->closing) return NULL;
        take_part(t);
        t->busy--;
    }
}

team *hobbit_team_open(const int32_t *processors, int32_t count) {
    team *t = calloc(1, sizeof *t + count * sizeof *t->others);
    if (t == NULL) return NULL;
    t->size = count;
    pthread_mutex_init(&t->mutex, NULL);
    pthread_cond_init(&t->wakes, NULL);
    for (int32_t i = 1; i < count; i++, t->threads++) {
        if (hobbit_start_on(processors[i], &t->others[t->threads], serve, t)) {
            hobbit_team_close(t);
            return NULL;
        }
    }
    return t;
}

void hobbit_team_run(team *t, task *run, const void *what, int64_t from, int64_t to, int64_t chunk) {
    if (t == NULL || t->size == 1) {
        run(what, from, to);
        return;
    }
    t->run = run, t->what = what, t->to = to, t->chunk = chunk;
    t->next = from;
    t->busy = t->size - 1;
    t->loops++;
    if (t->sleepers) {
        pthread_mutex_lock(&t->mutex);
        pthread_cond_broadcast(&t->wakes);
        pthread_mutex_unlock(&t->mutex);
    }
    take_part(t);
    for (uint32_t turn = 1; t->busy; turn++) hobbit_pause(turn);
}

int32_t hobbit_team_size(const team *t) { return t == NULL ? 1 : t->size; }

void hobbit_team_close(team *t) {
    pthread_mutex_lock(&t->mutex);
    t->closing = 1;
    pthread_cond_broadcast(&t->wakes);
    pthread_mutex_unlock(&t->mutex);
    for (int32_t i = 0; i < t->threads; i++) pthread_join(t->others[i], NULL);
    free(t);
}
