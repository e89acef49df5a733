/* load_idle.h: connections that do nothing. */
#ifndef LOAD_IDLE_H
#define LOAD_IDLE_H

#include "load_options.h"

/* Opens them, reports what each has cost the server in memory, and hangs up. Gives the exit status:
 * 0, or 1 after it said why. */
int idle_run(const struct options *o);

#endif
