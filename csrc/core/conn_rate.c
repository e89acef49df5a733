/* conn_rate.c: how much may come in a second: messages, bytes, control frames. Over it the peer is
 * to go, or is not read for a while; when that is over: conn_time.c. */
#include "conn.h"

#include <stdlib.h>

struct ws_rates *ws_conn_need_rates(struct ws_conn *c) {
    if (!c->rates) c->rates = calloc(1, sizeof *c->rates);
    return c->rates;
}

/* Pauses reading until what is owed is made good, or tells that the peer is to go. */
static bool settle_rate(struct ws_conn *c, struct ws_rates *r, uint64_t owed_ms) {
    if (!owed_ms) return true;
    if (!c->tick->options->rate_pauses) return false;
    uint32_t resume_ms =
        (uint32_t)c->tick->now_ms + (owed_ms < INT32_MAX ? (uint32_t)owed_ms : INT32_MAX);
    if (!c->throttled || (int32_t)(resume_ms - r->resume_ms) > 0) r->resume_ms = resume_ms;
    c->throttled = true;
    ws_conn_rearm(c);
    ws_conn_touch(c); /* it is not to be watched for a while */
    return true;
}

bool ws_conn_allow_message(struct ws_conn *c) {
    uint32_t rate = c->tick->options->message_rate;
    c->active_ms = (uint32_t)c->tick->now_ms;
    c->amid = false; /* what follows it begins later */
    if (!rate) return true;
    struct ws_rates *r = ws_conn_need_rates(c);
    return !r || settle_rate(c, r, ws_rate_take(&r->messages, c->tick->now_ms, 1, rate));
}

bool ws_conn_allow_bytes(struct ws_conn *c, size_t n) {
    uint64_t rate = c->tick->options->byte_rate;
    if (!rate) return true;
    struct ws_rates *r = ws_conn_need_rates(c);
    return !r || settle_rate(c, r, ws_rate_take(&r->bytes, c->tick->now_ms, n, rate));
}

bool ws_conn_allow_control(struct ws_conn *c) {
    uint32_t rate = c->tick->options->control_rate;
    if (!rate) return true;
    struct ws_rates *r = ws_conn_need_rates(c);
    return !r || ws_rate_take(&r->control, c->tick->now_ms, 1, rate) == 0;
}
