/* load_process.h: the CPU time of a process. */
#ifndef LOAD_PROCESS_H
#define LOAD_PROCESS_H

#include <sys/types.h>

/* CPU seconds since the process began, all its threads together. */
struct usage {
    double user, system; /* in ticks of 10 ms, which the kernel estimates by samples */
    double total;        /* to the nanosecond */
};

/* Gives 0, or -1 after it said why. */
int process_usage(pid_t pid, struct usage *u);

/* Our own total. */
double process_own_seconds(void);

#endif
