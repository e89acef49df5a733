/* load_options.h: what the command line says. */
#ifndef LOAD_OPTIONS_H
#define LOAD_OPTIONS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct options {
    struct in_addr addr;
    const char *host, *path; /* borrow from argv */
    uint16_t port;
    size_t connections, depth, size_min, size_max;
    uint8_t opcode;
    double seconds, warmup;
    uint64_t messages; /* 0: run by the clock */
    pid_t pid;         /* 0: nobody's CPU time is wanted */
    double rate;       /* messages a second; 0: as many as the depth allows */
    bool broadcast;    /* else everybody is alone with the server */
    bool handshakes;   /* instead of messages */
    bool idle;         /* no messages: what do connections cost? */
    bool deflate;      /* messages are compressed, RFC 7692 */
    bool json;
};

/* Gives 0, or -1 after it said what is wrong. */
int options_parse(struct options *o, int argc, char **argv);

/* Writes the usage to stderr. */
void options_explain(void);

#endif
