/* armed.h: for programs that stand in for malloc and its like: whether the server is at work just
 * now, or the peers are, who are in the same process. Such a program names ws_loop_io and
 * ws_loop_dispatch in its comment "wrap: ...". */
#ifndef ARMED_H
#define ARMED_H

#include "rig.h"

static bool is_armed; /* the server is at work, not the peers */

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
int __real_ws_loop_io(struct ws_loop *l);
void __real_ws_loop_dispatch(struct ws_loop *l);

int __wrap_ws_loop_io(struct ws_loop *l) {
    is_armed = true;
    int told = __real_ws_loop_io(l);
    is_armed = false;
    return told;
}

void __wrap_ws_loop_dispatch(struct ws_loop *l) {
    is_armed = true;
    __real_ws_loop_dispatch(l);
    is_armed = false;
}

#endif
