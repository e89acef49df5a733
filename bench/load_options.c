/* load_options.c: parses and checks the command line. It does NOT resolve names. */
#include "load_options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load_base.h"
#include "load_frame.h"

static const char usage_text[] =
    "usage: load --port PORT [options]\n"
    "  --host HOST         IPv4 address or localhost (127.0.0.1)\n"
    "  --port PORT\n"
    "  --path PATH         request target (/)\n"
    "  --connections N     (32)\n"
    "  --broadcast         the first connection sends, every one receives\n"
    "  --handshakes        connect, shake hands, hang up, again; so many at once\n"
    "  --idle              only open them, and look at the server's memory\n"
    "  --depth D           messages in flight on each connection, or to all of them (1;\n"
    "                      with --rate 1024, and one over it waits)\n"
    "  --rate R            so many messages a second, answered or not\n"
    "  --size S | S1-S2    payload bytes; a range is log-uniform (20)\n"
    "  --text | --binary   (binary)\n"
    "  --deflate           permessage-deflate without context takeover, JSON-like text\n"
    "  --seconds T         measured time (2)\n"
    "  --warmup T          time before it (0.3; with --messages 0)\n"
    "  --messages N        measure N messages instead of a time\n"
    "  --pid PID           the server: its CPU time is reported too\n"
    "  --json              report as one line of JSON\n";

static bool parse_u64(const char *text, uint64_t min, uint64_t max, char stop, uint64_t *value) {
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && errno == 0 && *end == stop && *value >= min &&
           *value <= max;
}

static bool parse_size(const char *text, size_t max, size_t *value) {
    uint64_t n;
    bool good = parse_u64(text, 1, max, '\0', &n);
    *value = good ? (size_t)n : 0;
    return good;
}

static bool parse_range(const char *text, size_t *from, size_t *to) {
    const uint64_t max = 1u << 30;
    const char *dash = strchr(text, '-');
    uint64_t a, b;
    if (!parse_u64(text, 0, max, dash ? '-' : '\0', &a)) return false;
    b = a;
    if (dash && !parse_u64(dash + 1, a, max, '\0', &b)) return false;
    *from = (size_t)a;
    *to = (size_t)b;
    return true;
}

static bool parse_number(const char *text, double max, double *value) {
    char *end;
    *value = strtod(text, &end);
    return end != text && *end == '\0' && *value >= 0 && *value <= max;
}

static bool option_set(struct options *o, int name, const char *value) {
    uint64_t n = 0;
    bool good = true;
    switch (name) {
    case 'h': o->host = strcmp(value, "localhost") == 0 ? "127.0.0.1" : value; break;
    case 'p':
        good = parse_u64(value, 1, 65535, '\0', &n);
        o->port = (uint16_t)n;
        break;
    case 'P':
        o->path = value;
        good = *value == '/';
        break;
    case 'c': good = parse_size(value, 1000000, &o->connections); break;
    case 'd': good = parse_size(value, 65536, &o->depth); break;
    case 's': good = parse_range(value, &o->size_min, &o->size_max); break;
    case 't': o->opcode = OP_TEXT; break;
    case 'b': o->opcode = OP_BINARY; break;
    case 'T': good = parse_number(value, 86400, &o->seconds) && o->seconds > 0; break;
    case 'w': good = parse_number(value, 86400, &o->warmup); break;
    case 'r': good = parse_number(value, 1e9, &o->rate) && o->rate > 0; break;
    case 'm': good = parse_u64(value, 1, UINT64_MAX / 2, '\0', &o->messages); break;
    case 'i':
        good = parse_u64(value, 1, INT32_MAX, '\0', &n);
        o->pid = (pid_t)n;
        break;
    case 'B': o->broadcast = true; break;
    case 'H': o->handshakes = true; break;
    case 'I': o->idle = true; break;
    case 'z': o->deflate = true; break;
    case 'j': o->json = true; break;
    default: return false;
    }
    return good;
}

int options_parse(struct options *o, int argc, char **argv) {
    static const struct option names[] = {
        {"host", 1, NULL, 'h'},       {"port", 1, NULL, 'p'},      {"path", 1, NULL, 'P'},
        {"depth", 1, NULL, 'd'},      {"size", 1, NULL, 's'},      {"connections", 1, NULL, 'c'},
        {"text", 0, NULL, 't'},       {"binary", 0, NULL, 'b'},    {"seconds", 1, NULL, 'T'},
        {"warmup", 1, NULL, 'w'},     {"messages", 1, NULL, 'm'},  {"pid", 1, NULL, 'i'},
        {"json", 0, NULL, 'j'},       {"broadcast", 0, NULL, 'B'}, {"rate", 1, NULL, 'r'},
        {"handshakes", 0, NULL, 'H'}, {"idle", 0, NULL, 'I'},      {"deflate", 0, NULL, 'z'},
        {NULL, 0, NULL, 0},
    };
    *o = (struct options){.host = "127.0.0.1",
                          .path = "/",
                          .connections = 32,
                          .size_min = 20,
                          .size_max = 20,
                          .opcode = OP_BINARY,
                          .seconds = 2,
                          .warmup = -1};
    int name, index = 0;
    while ((name = getopt_long(argc, argv, "", names, &index)) != -1) {
        if (name == '?') return -1;
        if (!option_set(o, name, optarg))
            return fail("--%s cannot be %s", names[index].name, optarg ? optarg : "set");
    }
    if (optind < argc) return fail("what is %s?", argv[optind]);
    if (inet_pton(AF_INET, o->host, &o->addr) != 1)
        return fail("--host: %s is not an IPv4 address", o->host);
    if (o->port == 0) return fail("--port is missing");
    if (o->idle && o->pid == 0) return fail("--idle needs --pid");
    if (o->broadcast + o->handshakes + o->idle > 1)
        return fail("--broadcast, --handshakes and --idle: one at a time");
    if (o->depth == 0) o->depth = o->rate > 0 ? 1024 : 1;
    if (o->warmup < 0) o->warmup = o->messages ? 0 : 0.3;
    return 0;
}

void options_explain(void) {
    fputs(usage_text, stderr);
}
