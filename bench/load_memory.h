/* load_memory.h: the memory of a process. */
#ifndef LOAD_MEMORY_H
#define LOAD_MEMORY_H

#include <stdint.h>
#include <sys/types.h>

/* Bytes, in whole pages. */
struct memory {
    uint64_t private_;  /* pages that nobody shares: what the process costs */
    uint64_t anonymous; /* of all pages, those that no file is behind: heap and stacks */
};

/* Reads it once it has stopped changing. Gives 0, or -1 after it said why. */
int memory_settle(pid_t pid, struct memory *m);

#endif
