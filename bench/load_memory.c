/* load_memory.c: reads /proc/PID/smaps_rollup. It does NOT count what the kernel keeps for sockets.
 */
#include "load_memory.h"

#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "load_base.h"

enum {
    PAUSE_MS = 200, /* twice the same so far apart is settled */
    PAUSES = 25,
};

static int memory_read(pid_t pid, struct memory *m) {
    char path[64], line[256];
    uint64_t kib;
    bool found = false;
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    FILE *file = fopen(path, "r");
    *m = (struct memory){0};
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "Private_Clean: %" SCNu64, &kib) == 1 ||
            sscanf(line, "Private_Dirty: %" SCNu64, &kib) == 1)
            m->private_ += kib * 1024;
        if (sscanf(line, "Anonymous: %" SCNu64, &kib) == 1) {
            m->anonymous = kib * 1024;
            found = true;
        }
    }
    if (file) fclose(file);
    return found ? 0 : fail("cannot read %s", path);
}

int memory_settle(pid_t pid, struct memory *m) {
    struct memory before;
    if (memory_read(pid, m) < 0) return -1;
    for (int i = 0; i < PAUSES; i++) {
        before = *m;
        poll(NULL, 0, PAUSE_MS);
        if (memory_read(pid, m) < 0) return -1;
        if (before.private_ == m->private_ && before.anonymous == m->anonymous) break;
    }
    return 0;
}
