/* load_base.c: the one place that writes to stderr. It does NOT end the program. */
#include "load_base.h"

#include <stdarg.h>
#include <stdio.h>

int fail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return -1;
}
