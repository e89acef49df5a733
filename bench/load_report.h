/* load_report.h: what a run has shown. */
#ifndef LOAD_REPORT_H
#define LOAD_REPORT_H

#include "load_histogram.h"
#include "load_options.h"
#include "load_process.h"

/* Of the measured time. */
struct result {
    const struct options *opt;
    const char *noun;                /* what is counted */
    const struct histogram *latency; /* one value for each message */
    const struct histogram *late; /* how long after its time one went out; NULL: at no fixed rate */
    uint64_t received;            /* messages: in a broadcast each counts at every receiver */
    uint64_t compressed;          /* of these */
    uint64_t payload;             /* their bytes, as they came */
    uint64_t mismatches;
    const struct reading *begin, *end;
};

/* Writes it to stdout, as the options say: for people, or one line of JSON. */
void report_write(const struct result *r);

#endif
