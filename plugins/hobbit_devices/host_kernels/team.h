/* Threads that share loops out among them; see team.c. */

#ifndef HOBBIT_TEAM_H
#define HOBBIT_TEAM_H

#include <pthread.h>
#include <stdint.h>

typedef struct team team;

/* Steps from..to of a loop over `what`. */
typedef void task(const void *what, int64_t from, int64_t to);

/* A team of `count` threads, bound to these processors, the caller of `hobbit_team_run` being the first of
   them, which is not bound; NULL if there can be no threads. */
team *hobbit_team_open(const int32_t *processors, int32_t count);

/* Run the steps from..to, `chunk` at a time, on whoever is free; returns once all are done. By one thread at
   a time. A team of NULL is the caller alone. */
void hobbit_team_run(team *t, task *run, const void *what, int64_t from, int64_t to, int64_t chunk);

int32_t hobbit_team_size(const team *t);

void hobbit_team_close(team *t);

/* ---- for threads that wait for one another ---- */

enum { PATIENCE_NS = 20 * 1000 * 1000 }; /* of spinning, after which a thread without work sleeps */

int64_t hobbit_now_ns(void);

/* A thread on this processor, or on any where that is not ours; not 0 if there can be none. Spinning threads
   that move about would take their processors from those that drive the device. */
int hobbit_start_on(int32_t processor, pthread_t *thread, void *(*serve)(void *), void *given);

/* One turn of a spinning loop. */
void hobbit_pause(uint32_t turn);

#endif
