/* load_process.c: asks the kernel for a process's CPU seconds. It does NOT count its children. */
#include "load_process.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "load_base.h"

/* The user and system seconds of /proc/PID/stat come in ticks of 10 ms; the process's CPU clock
 * counts the same time in nanoseconds, so the total is taken from there. */
static int process_usage(pid_t pid, struct usage *u) {
    char path[64], text[1024];
    clockid_t id;
    uint64_t user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    size_t n = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file) fclose(file);
    text[n] = '\0';
    /* The second field is the program's name in brackets and may hold anything, brackets too. */
    const char *rest = strrchr(text, ')');
    if (!rest || sscanf(rest, ") %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %" SCNu64 " %" SCNu64,
                        &user, &system) != 2)
        return fail("cannot read %s", path);
    double tick = (double)sysconf(_SC_CLK_TCK);
    u->user = (double)user / tick;
    u->system = (double)system / tick;
    u->total =
        clock_getcpuclockid(pid, &id) == 0 ? (double)clock_ns(id) / 1e9 : u->user + u->system;
    return 0;
}

int reading_take(pid_t pid, uint64_t now, struct reading *r) {
    *r = (struct reading){.ns = now, .own = (double)clock_ns(CLOCK_PROCESS_CPUTIME_ID) / 1e9};
    return pid ? process_usage(pid, &r->server) : 0;
}
