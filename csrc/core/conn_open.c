/* conn_open.c: the opening handshake of a connection: its request's head, and what that is
 * answered: 101, a page, an error, or what the caller says. dispatch.c gives the 101. */
#include "conn.h"

#include "handshake.h"

#include <stdlib.h>
#include <string.h>

/* Answers with an error or a page; then the connection lingers until the peer has read it. */
static void answer(struct ws_conn *c, const uint8_t *data, size_t len, bool lasting) {
    if (ws_conn_send_http(c, data, len, lasting) < 0) {
        ws_conn_die(c);
        return;
    }
    ws_conn_linger(c);
}

static void note_refused(struct ws_conn *c, int status, const char *detail) {
    char peer[WS_ADDRESS_FORMAT_MAX];
    struct ws_address address;
    ws_count(&c->tick->counters->refused, 1);
    ws_conn_get_address(c, &address);
    ws_address_format(peer, &address);
    ws_tick_log(c->tick, WS_LINE_REFUSED, WS_LOG_INFO, "%s refused with %d: %s", peer, status,
                detail);
}

static void refuse(struct ws_conn *c, int status, const char *detail, bool head_only) {
    char text[WS_HANDSHAKE_ERROR_MAX];
    size_t len = ws_handshake_error(text, status, detail, head_only);
    note_refused(c, status, detail);
    answer(c, (const uint8_t *)text, len, false);
}

static bool is_asked(const struct ws_conn *c) {
    return atomic_load_explicit(c->tick->wanted, memory_order_relaxed) & WS_WANT_REQUEST;
}

/* The head is whole, and stays. */
static bool begin_answering(struct ws_conn *c, const uint8_t *head, size_t len) {
    if (!ws_conn_keep_head(c, head, len, true)) {
        ws_conn_die(c);
        return false;
    }
    c->state = WS_CONN_ANSWERING;
    ws_conn_deadline(c, 0);
    return true;
}

static bool is_head_request(const struct ws_conn *c) {
    return c->head_len > 5 && memcmp(c->head, "HEAD ", 5) == 0;
}

/* RFC 9110 section 15.5.22: the server "refuses to perform the request using the current
 * protocol". */
static void refuse_plain(struct ws_conn *c, bool head_only) {
    if (c->tick->pages->n) refuse(c, 404, "no page here", head_only);
    else refuse(c, 426, WS_HANDSHAKE_NEEDED, head_only);
}

void ws_conn_refuse_plain(struct ws_conn *c) {
    refuse_plain(c, is_head_request(c));
}

int ws_conn_answer(struct ws_conn *c, int status, const char *data, size_t head_len, size_t len) {
    if (c->state != WS_CONN_ANSWERING || !c->work->awaits_answer) return WS_ERR_CLOSED;
    c->work->awaits_answer = false;
    c->busy = false;
    if (!data) {
        ws_conn_make_ready(c); /* the lane goes on */
        return 0;
    }
    ws_conn_drop_lane(c);
    if (status >= 400) note_refused(c, status, "process_request answered");
    answer(c, (const uint8_t *)data, is_head_request(c) ? head_len : len, false);
    return 0;
}

/* A request without upgrade: a page if there is one. */
static void plain_request(struct ws_conn *c, const struct ws_http_head *head, const uint8_t *data,
                          size_t size) {
    const struct ws_page *page = ws_pages_find(c->tick->pages, head->path);
    bool head_only = ws_slice_is(head->method, "HEAD");
    if (page) {
        answer(c, page->answer, head_only ? page->head_len : page->len, true);
    } else if (is_asked(c)) {
        struct ws_event ev = {.kind = WS_EVENT_OPEN, .code = 1};
        if (begin_answering(c, data, size)) ws_conn_event(c, &ev);
    } else {
        refuse_plain(c, head_only);
    }
}

/* Which of the options' it is, counted from 1; 0: none. */
static uint16_t subprotocol_number(const struct ws_names *names, const struct ws_slice *agreed) {
    for (size_t i = 0; agreed->len && i < names->n; i++)
        if (names->items[i].data == agreed->data) return (uint16_t)(i + 1);
    return 0;
}

static bool set_deflate(struct ws_conn *c, const struct ws_deflate_terms *terms) {
    struct ws_deflate *deflate = ws_deflate_new(&c->tick->deflate, terms, true);
    ws_proto_set_deflate(&c->proto, deflate);
    return deflate != NULL;
}

/* A valid upgrade: keeps the head, and tells the batch. The answer is given in dispatch. */
static void upgrade(struct ws_conn *c, const struct ws_handshake *h, const uint8_t *head,
                    size_t head_len) {
    char answer_text[WS_HANDSHAKE_ANSWER_MAX];
    size_t len = ws_handshake_answer(answer_text, h);
    if (!begin_answering(c, head, head_len)) return;
    c->subprotocol = subprotocol_number(&c->tick->rules->subprotocols, &h->subprotocol) & 0x3FFFu;
    const struct ws_options *o = c->tick->options;
    ws_proto_init(&c->proto, WS_ROLE_SERVER, c->tick->simd, o->max_message_size,
                  o->max_fragments ? o->max_fragments : UINT32_MAX);
    c->proto.leaves_mask = c->tick->handlers->takes_masked;
    if (h->has_deflate && !set_deflate(c, &h->deflate)) {
        ws_conn_die(c);
        return;
    }

    struct ws_event ev = {.kind = WS_EVENT_OPEN};
    if (ws_conn_keep(c, &ev, answer_text, len)) ws_conn_event(c, &ev);
    else ws_conn_die(c);
}

/* Answers a head that was read and judged, or could not be read. */
static void answer_head(struct ws_conn *c, const struct ws_handshake *h,
                        const struct ws_http_head *head, const uint8_t *data, size_t size) {
    switch (h->kind) {
    case WS_HANDSHAKE_UPGRADE: upgrade(c, h, data, size); break;
    case WS_HANDSHAKE_PLAIN: plain_request(c, head, data, size); break;
    case WS_HANDSHAKE_REFUSED:
        refuse(c, h->status, h->detail, ws_slice_is(head->method, "HEAD"));
        break;
    }
}

void ws_conn_refuse_late(struct ws_conn *c) {
    refuse(c, 408, "the request head did not come in time", false);
    ws_buf_fini(&c->work->pending);
}

bool ws_conn_keep_head(struct ws_conn *c, const uint8_t *head, size_t len, bool whole) {
    uint8_t packed[WS_ADDRESS_PACKED_MAX];
    struct ws_address address;
    ws_conn_get_address(c, &address);
    size_t size = whole ? len : len + 2, address_len = ws_address_pack(packed, &address);
    uint8_t *block = malloc(size + address_len);
    if (!block) return false;
    memcpy(block, head, len);
    if (!whole) memcpy(block + len, "\r\n", 2);
    if (address_len) memcpy(block + size, packed, address_len);
    free(c->head);
    c->head = block;
    c->head_len = size & WS_CONN_HEAD_MAX;
    return true;
}

void ws_conn_forget_headers(struct ws_conn *c) {
    const uint8_t *line_end = memchr(c->head, '\n', c->head_len);
    size_t len = (size_t)(line_end - c->head) + 1; /* an accepted head has lines */
    if (c->head_len == len + 2) return;            /* they are forgotten */
    ws_conn_keep_head(c, c->head, len, false);     /* without memory they stay */
}

/* Each byte is scanned once; only a head in pieces is copied. */
void ws_conn_feed_head(struct ws_conn *c, const uint8_t *data, size_t len) {
    struct ws_buf *pending = &c->work->pending;
    struct ws_http_head head;
    struct ws_handshake h;
    bool pieces = pending->len > 0;
    if (pieces) {
        if (ws_buf_append(pending, data, len) < 0) {
            ws_conn_die(c);
            return;
        }
        data = pending->data;
        len = pending->len;
    }
    int size = ws_handshake_read(&h, &head, &c->work->reader, c->tick->rules, data, len);
    if (size == 0) {
        if (!pieces && ws_buf_append(pending, data, len) < 0) ws_conn_die(c);
        return;
    }
    answer_head(c, &h, &head, data, size > 0 ? (size_t)size : 0);
    /* What came behind the head waits until the handshake is answered; behind anything else it is
     * thrown away: a request that was refused is never followed by another one. */
    size_t rest = size > 0 && c->state == WS_CONN_ANSWERING ? len - (size_t)size : 0;
    if (pieces) ws_buf_consume(pending, len - rest);
    else if (rest && ws_buf_append(pending, data + (len - rest), rest) < 0) ws_conn_die(c);
    if (!pending->len) ws_buf_fini(pending);
}
