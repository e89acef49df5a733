/* load_handshake.h: one handshake after the other. */
#ifndef LOAD_HANDSHAKE_H
#define LOAD_HANDSHAKE_H

#include "load_options.h"

/* Does them with as many clients at once as there are connections, and reports. Gives the exit
 * status: 0, or 1 after it said why. */
int handshakes_run(const struct options *o);

#endif
