/* load_process.h: the CPU time of a process, and ours. */
#ifndef LOAD_PROCESS_H
#define LOAD_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

/* CPU seconds since the process began, all its threads together. */
struct usage {
    double user, system; /* in ticks of 10 ms, which the kernel estimates by samples */
    double total;        /* to the nanosecond */
};

/* At the beginning or the end of the measured time. */
struct reading {
    uint64_t ns;
    struct usage server; /* all 0 without a pid */
    double own;          /* our own CPU seconds */
};

/* Gives 0, or -1 after it said why. */
int reading_take(pid_t pid, uint64_t now, struct reading *r);

#endif
