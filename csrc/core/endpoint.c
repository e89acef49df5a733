/* endpoint.c: see endpoint.h. The rules of messages are proto.c's, those of the handshake
 * handshake.c's; here is what joins them, and how a connection ends. */
#include "endpoint.h"

#include "err.h"

#include <stdlib.h>
#include <string.h>

static const struct ws_slice nothing = {"", 0};

/* ---- life ---- */

/* A head that somebody has written into text, with further fields before its empty line. */
static int write_head(struct ws_endpoint *e, const char *text, size_t len, struct ws_slice fields) {
    const char *end = memmem(text, len, "\r\n\r\n", 4);
    size_t lines = (size_t)(end - text) + 2;
    if (ws_buf_reserve(&e->out, len + fields.len) < 0) return WS_ERR_MEMORY;
    ws_buf_append(&e->out, text, lines); /* there is room for all three */
    ws_buf_append(&e->out, fields.data, fields.len);
    ws_buf_append(&e->out, text + lines, len - lines);
    return 0;
}

/* The client's fields: the subprotocols that it offers, and those of the caller. */
static int make_fields(struct ws_buf *out, const struct ws_endpoint_options *o) {
    static const char name[] = "Sec-WebSocket-Protocol: ";
    const struct ws_names *names = &o->rules.subprotocols;
    for (size_t i = 0; i < names->n; i++) {
        const struct ws_slice *item = &names->items[i];
        const char *before = i ? ", " : name;
        if (ws_buf_append(out, before, strlen(before)) < 0 ||
            ws_buf_append(out, item->data, item->len) < 0)
            return WS_ERR_MEMORY;
    }
    if (names->n && ws_buf_append(out, "\r\n", 2) < 0) return WS_ERR_MEMORY;
    return ws_buf_append(out, o->fields.data, o->fields.len);
}

static int write_request(struct ws_endpoint *e) {
    const struct ws_endpoint_options *o = &e->options;
    size_t cap = 512 + strlen(o->host) + strlen(o->target);
    struct ws_buf fields;
    ws_buf_init(&fields);
    char *text = malloc(cap);
    int result = text ? ws_entropy_take(&e->entropy, e->key, sizeof e->key) : WS_ERR_MEMORY;
    if (result == 0) result = ws_handshake_request(text, cap, o->host, o->target, e->key);
    size_t len = result > 0 ? (size_t)result : 0;
    if (result > 0) result = make_fields(&fields, o);
    if (result == 0)
        result = write_head(e, text, len, (struct ws_slice){(char *)fields.data, fields.len});
    ws_buf_fini(&fields);
    free(text);
    return result;
}

int ws_endpoint_init(struct ws_endpoint *e, const struct ws_endpoint_options *options) {
    const struct ws_endpoint_options *o = options;
    bool client = o->role == WS_ROLE_CLIENT;
    memset(e, 0, sizeof *e);
    e->options = *o;
    e->state = WS_ENDPOINT_CONNECTING;
    e->subprotocol = nothing;
    ws_buf_init(&e->in);
    ws_buf_init(&e->out);
    ws_http_reader_init(&e->reader, client ? WS_HTTP_RESPONSE : WS_HTTP_REQUEST, o->max_header_size,
                        o->max_headers);
    ws_proto_init(&e->proto, o->role, ws_simd_detect(), o->max_message_size,
                  o->max_fragments ? o->max_fragments : UINT32_MAX);
    int err = client ? write_request(e) : 0;
    e->options.host = e->options.target = NULL; /* borrowed until here */
    e->options.fields = nothing;
    return err;
}

static void free_input(struct ws_endpoint *e) {
    ws_buf_fini(&e->in);
    e->in_at = 0;
}

void ws_endpoint_fini(struct ws_endpoint *e) {
    ws_proto_fini(&e->proto);
    free_input(e);
    ws_buf_fini(&e->out);
    free(e->large);
    free(e->told);
    e->large = e->told = NULL;
    e->state = WS_ENDPOINT_CLOSED;
}

/* ---- out ---- */

static int write_frame(struct ws_endpoint *e, uint8_t opcode, bool fin, const uint8_t *data,
                       size_t len) {
    uint32_t key = 0;
    if (ws_buf_reserve(&e->out, ws_proto_frame_size(&e->proto, len)) < 0) return WS_ERR_MEMORY;
    if (e->options.role == WS_ROLE_CLIENT && ws_entropy_take(&e->entropy, &key, sizeof key) < 0)
        return WS_ERR_SYSTEM;
    e->out.len +=
        ws_proto_fragment_write(&e->proto, e->out.data + e->out.len, opcode, fin, data, len, key);
    return 0;
}

/* 0 if messages may be sent. */
static int check_open(const struct ws_endpoint *e) {
    if (e->state == WS_ENDPOINT_OPEN || e->close_due) return 0;
    return e->state < WS_ENDPOINT_OPEN ? WS_ERR_ARGUMENT : WS_ERR_CLOSED;
}

int ws_endpoint_send(struct ws_endpoint *e, bool text, bool fin, const uint8_t *data, size_t len) {
    int err = check_open(e);
    if (err < 0) return err;
    if (e->sending && e->sends_text != text) return WS_ERR_ARGUMENT;
    /* RFC 6455 section 5.4: a first frame with the opcode, then continuations. */
    uint8_t opcode = text ? WS_OPCODE_TEXT : WS_OPCODE_BINARY;
    err = write_frame(e, e->sending ? WS_OPCODE_CONTINUATION : opcode, fin, data, len);
    if (err < 0) return err;
    e->sending = !fin;
    e->sends_text = text;
    return 0;
}

int ws_endpoint_ping(struct ws_endpoint *e, const uint8_t *data, size_t len) {
    int err = check_open(e);
    return err < 0 ? err : write_frame(e, WS_OPCODE_PING, true, data, len);
}

/* RFC 6455 section 5.5.1: one close frame, nothing behind it. It is written with the next output.
 */
static void plan_close(struct ws_endpoint *e, uint16_t code, struct ws_slice reason) {
    if (e->sent_code) return;
    if (reason.len > WS_CLOSE_REASON_MAX) reason.len = WS_CLOSE_REASON_MAX;
    e->close_due = true;
    e->sent_code = code;
    e->sent_len = (uint8_t)reason.len;
    if (reason.len) memcpy(e->sent_reason, reason.data, reason.len);
}

static int write_close(struct ws_endpoint *e) {
    uint8_t payload[WS_CONTROL_MAX];
    if (!e->close_due) return 0;
    e->close_due = false;
    size_t len = ws_proto_close_payload(payload, e->sent_code, e->sent_reason, e->sent_len);
    int err = write_frame(e, WS_OPCODE_CLOSE, true, payload, len);
    if (err < 0) e->sent_code = e->sent_len = 0;
    return err;
}

struct ws_buf *ws_endpoint_output(struct ws_endpoint *e) {
    /* Without memory for it the peer sees the end of the stream. */
    if (write_close(e) < 0) e->clean = false;
    return &e->out;
}

static void set_kind(struct ws_endpoint *e, enum ws_close_kind kind) {
    if (e->close_kind == WS_CLOSE_NONE) e->close_kind = (uint8_t)kind;
}

int ws_endpoint_close(struct ws_endpoint *e, uint16_t code, struct ws_slice reason) {
    int err = check_open(e);
    if (err == WS_ERR_CLOSED || e->close_due) return 0;
    if (err < 0) return err;
    plan_close(e, code, reason);
    err = write_close(e);
    if (err < 0) return err;
    set_kind(e, WS_CLOSE_LOCAL);
    e->state = WS_ENDPOINT_CLOSING;
    return 0;
}

/* ---- the end ---- */

/* Nothing is read any more; what the last event points into goes with the next call. */
static void end(struct ws_endpoint *e, enum ws_close_kind kind) {
    set_kind(e, kind);
    e->state = WS_ENDPOINT_CLOSED;
    e->tells_open = false;
}

static void tell_close(const struct ws_endpoint *e, struct ws_endpoint_event *ev, uint16_t code,
                       struct ws_slice reason) {
    ev->kind = WS_ENDPOINT_CLOSE;
    ev->code = code;
    ev->data = (const uint8_t *)reason.data;
    ev->len = reason.len;
    ev->close_kind = (enum ws_close_kind)e->close_kind;
}

/* The peer broke a rule, or memory did not suffice: our close frame says so. Without memory for it
 * the peer sees the end of the stream. */
static void fail(struct ws_endpoint *e, struct ws_endpoint_event *ev, uint16_t code,
                 struct ws_slice why) {
    if (e->state == WS_ENDPOINT_OPEN) plan_close(e, code, why);
    end(e, ws_close_kind_of_failure(code));
    tell_close(e, ev, 1006, nothing); /* 7.1.5: no close frame of the peer's was received */
}

static void take_close(struct ws_endpoint *e, const struct ws_proto_event *pe,
                       struct ws_endpoint_event *ev) {
    /* 5.5.1: "When sending a Close frame in response, the endpoint typically echos the status code
     * it received." */
    plan_close(e, pe->code, nothing);
    e->clean = true;
    end(e, WS_CLOSE_PEER);
    tell_close(e, ev, pe->code, (struct ws_slice){(const char *)pe->data, pe->len});
}

static void tell_eof(struct ws_endpoint *e, struct ws_endpoint_event *ev) {
    end(e, WS_CLOSE_EOF);
    tell_close(e, ev, 1006, nothing);
}

void ws_endpoint_abort(struct ws_endpoint *e) {
    if (e->state == WS_ENDPOINT_CLOSED) return;
    if (e->state == WS_ENDPOINT_OPEN) plan_close(e, 1011, nothing);
    end(e, WS_CLOSE_ERROR);
}

bool ws_endpoint_should_close(const struct ws_endpoint *e) {
    if (e->state != WS_ENDPOINT_CLOSED) return false;
    /* 7.1.1: "the underlying TCP connection, in most normal cases, SHOULD be closed first by the
     * server"; 7.1.7: a client that fails the connection need not wait for it. */
    return e->options.role == WS_ROLE_SERVER || !e->clean || e->eof;
}

/* ---- the opening handshake ---- */

static void tell_rejected(struct ws_endpoint *e, struct ws_endpoint_event *ev, int status,
                          const char *detail) {
    e->state = WS_ENDPOINT_CLOSED;
    ev->kind = WS_ENDPOINT_REJECTED;
    ev->status = status;
    ev->detail = detail;
}

static int write_error(struct ws_endpoint *e, int status, const char *detail, bool head_only,
                       struct ws_slice fields) {
    char text[WS_HANDSHAKE_ERROR_MAX];
    return write_head(e, text, ws_handshake_error(text, status, detail, head_only), fields);
}

/* Without memory for the answer the client sees the end of the stream. */
static void refuse(struct ws_endpoint *e, struct ws_endpoint_event *ev, int status,
                   const char *detail, bool head_only) {
    write_error(e, status, detail, head_only, nothing);
    tell_rejected(e, ev, status, detail);
}

static int let_in(struct ws_endpoint *e, struct ws_slice fields) {
    char text[WS_HANDSHAKE_ANSWER_MAX];
    int err = write_head(e, text, ws_handshake_answer(text, &e->handshake), fields);
    if (err < 0) return err;
    e->subprotocol = e->handshake.subprotocol.len ? e->handshake.subprotocol : nothing;
    e->state = WS_ENDPOINT_OPEN;
    e->tells_open = true;
    return 0;
}

int ws_endpoint_accept(struct ws_endpoint *e, struct ws_slice fields) {
    return e->state == WS_ENDPOINT_ASKED ? let_in(e, fields) : WS_ERR_ARGUMENT;
}

int ws_endpoint_reject(struct ws_endpoint *e, int status, const char *detail,
                       struct ws_slice fields) {
    if (e->state != WS_ENDPOINT_ASKED) return WS_ERR_ARGUMENT;
    int err = write_error(e, status, detail, false, fields);
    if (err == 0) e->state = WS_ENDPOINT_CLOSED;
    return err;
}

static void tell_head(struct ws_endpoint *e, struct ws_endpoint_event *ev,
                      enum ws_endpoint_kind kind) {
    bool client = e->options.role == WS_ROLE_CLIENT;
    ev->kind = kind; /* the head was cut before: it can be cut again */
    ev->raw = (struct ws_slice){(char *)e->in.data + e->in_at, e->head_len};
    ws_http_head_parse(&ev->head, client ? WS_HTTP_RESPONSE : WS_HTTP_REQUEST,
                       e->in.data + e->in_at, e->head_len);
}

static void tell_open(struct ws_endpoint *e, struct ws_endpoint_event *ev) {
    tell_head(e, ev, WS_ENDPOINT_OPENED);
    e->tells_open = false;
    e->in_at += e->head_len;
}

/* Each byte is scanned once. */
static int read_request(struct ws_endpoint *e, struct ws_endpoint_event *ev) {
    struct ws_http_head head;
    struct ws_handshake *h = &e->handshake;
    int size = ws_handshake_read(h, &head, &e->reader, &e->options.rules, e->in.data + e->in_at,
                                 e->in.len - e->in_at);
    if (size == 0) return 0;
    bool head_only = ws_slice_is(head.method, "HEAD");
    switch (h->kind) {
    case WS_HANDSHAKE_PLAIN: refuse(e, ev, 426, WS_HANDSHAKE_NEEDED, head_only); return 0;
    case WS_HANDSHAKE_REFUSED: refuse(e, ev, h->status, h->detail, head_only); return 0;
    case WS_HANDSHAKE_UPGRADE: break;
    }
    e->head_len = (size_t)size;
    if (!e->options.asks) return let_in(e, nothing);
    e->state = WS_ENDPOINT_ASKED;
    tell_head(e, ev, WS_ENDPOINT_REQUEST);
    return 0;
}

/* A whole head has come. 1: there is another one to read. */
static int judge_response(struct ws_endpoint *e, struct ws_endpoint_event *ev) {
    const char *detail = "";
    struct ws_http_head head;
    ws_http_head_parse(&head, WS_HTTP_RESPONSE, e->in.data + e->in_at, e->head_len);
    /* RFC 9110 section 15.2: "A client MUST be able to parse one or more 1xx responses received
     * prior to a final response". */
    if (head.status >= 100 && head.status < 200 && head.status != 101) {
        e->in_at += e->head_len;
        ws_http_reader_init(&e->reader, WS_HTTP_RESPONSE, e->options.max_header_size,
                            e->options.max_headers);
        return 1;
    }
    int err = ws_handshake_verify_offer(&head, e->key, &e->options.rules.subprotocols,
                                        &e->subprotocol, &detail);
    if (err == 0) {
        e->state = WS_ENDPOINT_OPEN;
        e->tells_open = true;
        return 0;
    }
    e->subprotocol = nothing;
    tell_head(e, ev, WS_ENDPOINT_REJECTED);
    tell_rejected(e, ev, head.status, detail);
    return 0;
}

static const char *response_detail(int status) {
    if (status == 431) return "the head of the answer is too large";
    return status == 505 ? "the answer is not HTTP/1.1" : "the answer is not HTTP";
}

static int read_response(struct ws_endpoint *e, struct ws_endpoint_event *ev) {
    int size = ws_http_reader_feed(&e->reader, e->in.data + e->in_at, e->in.len - e->in_at);
    if (size == 0) return 0;
    if (size < 0) {
        tell_rejected(e, ev, 0, response_detail(e->reader.status));
        return 0;
    }
    e->head_len = (size_t)size;
    return judge_response(e, ev);
}

/* Of the opening handshake; 1: there is more to read. */
static int read_head(struct ws_endpoint *e, struct ws_endpoint_event *ev) {
    if (e->in_at == e->in.len) return 0;
    return e->options.role == WS_ROLE_CLIENT ? read_response(e, ev) : read_request(e, ev);
}

/* ---- messages ---- */

static void tell_data(struct ws_endpoint_event *ev, enum ws_endpoint_kind kind, const uint8_t *data,
                      size_t len) {
    ev->kind = kind;
    ev->data = data;
    ev->len = len;
}

static void take_message(struct ws_endpoint *e, const struct ws_proto_event *pe,
                         struct ws_endpoint_event *ev) {
    if (pe->owned) {
        e->told = pe->data;
    } else if (!pe->data) {
        e->told = e->large;
        e->large = NULL;
    }
    tell_data(ev, WS_ENDPOINT_MESSAGE, e->told ? e->told : pe->data, pe->len);
    ev->text = pe->text;
    ev->ascii = pe->ascii;
}

static void take_event(struct ws_endpoint *e, const struct ws_proto_event *pe,
                       struct ws_endpoint_event *ev) {
    switch (pe->kind) {
    case WS_PROTO_NONE: break;
    case WS_PROTO_MESSAGE: take_message(e, pe, ev); break;
    case WS_PROTO_PING:
        /* A ping without a pong is the least that can go wrong without memory. */
        if (e->state == WS_ENDPOINT_OPEN) write_frame(e, WS_OPCODE_PONG, true, pe->data, pe->len);
        tell_data(ev, WS_ENDPOINT_PING, pe->data, pe->len);
        break;
    case WS_PROTO_PONG: tell_data(ev, WS_ENDPOINT_PONG, pe->data, pe->len); break;
    case WS_PROTO_BUFFER:
        e->large = malloc(pe->len);
        if (e->large) ws_proto_direct(&e->proto, e->large);
        else fail(e, ev, 1011, nothing);
        break;
    case WS_PROTO_CLOSE: take_close(e, pe, ev); break;
    case WS_PROTO_FAIL:
        fail(e, ev, pe->code, (struct ws_slice){(const char *)pe->data, pe->len});
        break;
    }
}

static void read_frames(struct ws_endpoint *e, struct ws_endpoint_event *ev) {
    while (ev->kind == WS_ENDPOINT_NONE && e->in_at < e->in.len) {
        struct ws_proto_event pe;
        ptrdiff_t n = ws_proto_feed(&e->proto, e->in.data + e->in_at, e->in.len - e->in_at, &pe);
        if (n < 0) {
            fail(e, ev, 1011, nothing);
            return;
        }
        e->in_at += (size_t)n;
        take_event(e, &pe, ev);
    }
}

/* ---- in ---- */

int ws_endpoint_receive(struct ws_endpoint *e, const uint8_t *data, size_t len) {
    if (e->state == WS_ENDPOINT_CLOSED || e->eof) return 0;
    ws_buf_consume(&e->in, e->in_at);
    e->in_at = 0;
    return ws_buf_append(&e->in, data, len);
}

void ws_endpoint_receive_eof(struct ws_endpoint *e) {
    e->eof = true;
}

bool ws_endpoint_next(struct ws_endpoint *e, struct ws_endpoint_event *ev) {
    int more = 1;
    *ev = (struct ws_endpoint_event){0};
    free(e->told);
    e->told = NULL;
    while (more == 1 && e->state == WS_ENDPOINT_CONNECTING) more = read_head(e, ev);
    if (more < 0) fail(e, ev, 1011, nothing);
    if (e->tells_open) tell_open(e, ev);
    else if (e->state == WS_ENDPOINT_OPEN || e->state == WS_ENDPOINT_CLOSING) read_frames(e, ev);
    if (ev->kind == WS_ENDPOINT_NONE && e->eof && e->state != WS_ENDPOINT_CLOSED) tell_eof(e, ev);
    if (ev->kind != WS_ENDPOINT_NONE) return true;
    /* An endpoint that waits owns no more than what is not whole yet. */
    if (e->state >= WS_ENDPOINT_OPEN) free_input(e);
    if (e->state == WS_ENDPOINT_CLOSED) {
        ws_proto_end(&e->proto);
        free(e->large);
        e->large = NULL;
    }
    return false;
}
