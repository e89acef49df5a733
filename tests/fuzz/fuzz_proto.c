/* fuzz_proto.c: the state machine of one peer, in both roles.
 *
 * A stream of bytes is fed whole, and large messages are left masked: the events are those of a
 * plain reading. It is fed in chunks, at another SIMD level, with the setting's answers to BUFFER:
 * the events are the same, but for messages that were skipped. What was told is written as frames
 * by the other role, and read again: the same events once more. */
#include "fuzz.h"
#include "plain.h"

#include "err.h"
#include "mask.h"
#include "proto.h"

#define SETTING (FUZZ_PLAN + 3 + FUZZ_STRETCHES)

/* What BUFFER is answered. */
enum answer {
    ANSWER_DIRECT,  /* memory; the rest comes through ws_proto_feed */
    ANSWER_ROOM,    /* memory, and the rest is read straight into it */
    ANSWER_SKIP,    /* not wanted */
    ANSWER_GIVE_UP, /* memory, and with the next chunk not wanted any more */
};

/* ---- the log ---- */

#define SKIPPED 100 /* beside enum ws_proto_kind: from here on, a message was thrown away */
/* Events after which a run ends, so that no input takes long. */
#define EVENTS_MAX 200

/* One event; its bytes follow in the log. */
struct record {
    size_t len;
    uint16_t code;
    uint8_t kind;
    bool text, ascii;
};

struct log {
    struct ws_buf bytes;
    int n_events;
};

/* The bytes of a failure are words, which may be any. */
static void note(struct log *log, const struct ws_proto_event *ev, const uint8_t *data) {
    struct record r;
    memset(&r, 0, sizeof r); /* the padding too: logs are compared as bytes */
    r.len = ev->kind == WS_PROTO_FAIL ? 0 : ev->len;
    r.code = ev->code;
    r.kind = (uint8_t)ev->kind;
    r.text = ev->text;
    r.ascii = ev->ascii;
    MUST(ws_buf_append(&log->bytes, &r, sizeof r) == 0);
    MUST(ws_buf_append(&log->bytes, data, r.len) == 0);
    log->n_events++;
}

static void note_skipped(struct log *log, bool text, size_t len) {
    struct record r;
    memset(&r, 0, sizeof r);
    r.len = len;
    r.kind = SKIPPED;
    r.text = text;
    MUST(ws_buf_append(&log->bytes, &r, sizeof r) == 0);
    log->n_events++;
}

/* The record at *at, which is moved behind it; *data is where its bytes are. False at the end. */
static bool next_record(const struct ws_buf *log, size_t *at, struct record *r,
                        const uint8_t **data) {
    if (*at == log->len) return false;
    memcpy(r, log->data + *at, sizeof *r);
    *at += sizeof *r;
    *data = log->data + *at;
    if (r->kind != SKIPPED) *at += r->len;
    return true;
}

/* A message that was skipped in the first log is in the second: whole, or not at all if it never
 * ended, or it was no UTF-8, which nobody looked for while it was skipped. */
static void compare(const struct ws_buf *skipping, const struct ws_buf *whole) {
    struct record a, b;
    const uint8_t *a_data, *b_data;
    size_t a_at = 0, b_at = 0;
    while (next_record(skipping, &a_at, &a, &a_data)) {
        bool more = next_record(whole, &b_at, &b, &b_data);
        if (a.kind != SKIPPED) {
            MUST(more && memcmp(&a, &b, sizeof a) == 0);
            MUST(a.len == 0 || memcmp(a_data, b_data, a.len) == 0);
            continue;
        }
        if (more && b.kind == WS_PROTO_FAIL && b.code == 1007 && a.text) return;
        if (more) MUST(b.kind == WS_PROTO_MESSAGE && b.text == a.text && b.len == a.len);
        else MUST(a_at == skipping->len);
    }
    MUST(b_at == whole->len);
}

/* ---- a plain reading ---- */

struct limits {
    size_t size;
    uint32_t fragments;
};

struct reading {
    enum ws_role role;
    struct limits limits;
    struct log log;
    uint8_t opcode; /* of the message in progress, 0 if none */
    uint32_t n_fragments;
    struct ws_buf message; /* what has come of it */
    struct plain_utf8 utf8;
    bool ended; /* by a close frame or a failure */
    bool amid;  /* a frame or message has begun, at the stream's end */
};

/* Returns false, so that a reading can end with it. */
static bool plain_fail(struct reading *r, uint16_t code) {
    struct ws_proto_event ev = {.kind = WS_PROTO_FAIL, .code = code};
    note(&r->log, &ev, NULL);
    r->ended = true;
    return false;
}

/* RFC 6455 sections 5.1, 5.2, 5.4 and 5.5: what the first two bytes of a frame may not say. */
static bool is_allowed(const struct reading *r, const uint8_t *frame) {
    int opcode = frame[0] & 15;
    bool fin = frame[0] & 128, masked = frame[1] & 128;
    if (frame[0] & 0x70 || masked != (r->role == WS_ROLE_SERVER)) return false;
    if (opcode == 8 || opcode == 9 || opcode == 10) return fin && (frame[1] & 127) <= 125;
    return r->opcode ? opcode == 0 : opcode == 1 || opcode == 2;
}

static bool plain_control(struct reading *r, int opcode, const uint8_t *data, size_t len) {
    struct ws_proto_event ev = {.kind = opcode == 9 ? WS_PROTO_PING : WS_PROTO_PONG, .len = len};
    struct plain_utf8 u = {0};
    if (opcode == 8) {
        uint16_t code = len >= 2 ? (uint16_t)plain_big_endian(data, 2) : 1005;
        bool one = code >= 1000 && code <= 1014 && (code < 1004 || code > 1006);
        if (len == 1 || (len && !one && (code < 3000 || code > 4999))) return plain_fail(r, 1002);
        for (size_t i = 2; i < len; i++) plain_utf8_feed(&u, data[i]);
        if (u.wrong || u.missing) return plain_fail(r, 1007);
        ev = (struct ws_proto_event){.kind = WS_PROTO_CLOSE, .code = code};
        if (len) data += 2, ev.len = len - 2;
    }
    note(&r->log, &ev, data);
    r->ended = opcode == 8;
    return !r->ended;
}

/* The bytes of a data frame that are there. */
static bool plain_data(struct reading *r, bool fin, const uint8_t *data, size_t len, bool whole) {
    bool text = r->opcode == 1;
    for (size_t i = 0; i < len; i++) plain_utf8_feed(&r->utf8, data[i]);
    if (text && r->utf8.wrong) return plain_fail(r, 1007);
    MUST(ws_buf_append(&r->message, data, len) == 0);
    if (!fin || !whole) return whole;
    if (text && r->utf8.missing) return plain_fail(r, 1007);
    struct ws_proto_event ev = {.kind = WS_PROTO_MESSAGE,
                                .text = text,
                                .ascii = text && !r->utf8.not_ascii,
                                .len = r->message.len};
    note(&r->log, &ev, r->message.data);
    r->opcode = 0;
    return true;
}

/* One frame, as far as it is there. False if none can follow. */
static bool plain_step(struct reading *r, const uint8_t *at, size_t left, size_t *size) {
    uint64_t announced = 0;
    int header = plain_frame(at, left, &announced), opcode = at[0] & 15;
    if (left >= 2 && !is_allowed(r, at)) return plain_fail(r, 1002);
    if (header < 0) return plain_fail(r, 1002);
    if (header == 0) return false;
    if (opcode == 1 || opcode == 2) {
        r->opcode = (uint8_t)opcode;
        r->n_fragments = 0;
        r->message.len = 0;
        r->utf8 = (struct plain_utf8){0};
    }
    if (opcode < 8 && announced > r->limits.size - r->message.len) return plain_fail(r, 1009);
    if (opcode < 8 && ++r->n_fragments > r->limits.fragments) return plain_fail(r, 1009);

    size_t room = left - (size_t)header;
    bool whole = room >= announced;
    size_t len = whole ? (size_t)announced : room;
    uint8_t *payload = fuzz_copy(at + header, len);
    for (size_t i = 0; at[1] & 128 && i < len; i++) payload[i] ^= at[header - 4 + (int)(i % 4)];
    bool more = false;
    if (opcode < 8) more = plain_data(r, at[0] & 128, payload, len, whole);
    else if (whole) more = plain_control(r, opcode, payload, len);
    free(payload);
    *size = (size_t)header + len;
    return more;
}

static void plain_read(struct reading *r, const struct ws_buf *stream) {
    size_t at = 0, size;
    while (at < stream->len && r->log.n_events < EVENTS_MAX &&
           plain_step(r, stream->data + at, stream->len - at, &size))
        at += size;
    r->amid = !r->ended && (r->opcode || at < stream->len);
}

static void check_plain(const struct log *whole, const struct ws_proto *p, struct limits limits,
                        const struct ws_buf *stream) {
    struct reading r = {.role = p->role, .limits = limits};
    plain_read(&r, stream);
    MUST(r.ended == p->ended);
    if (whole->n_events < EVENTS_MAX) MUST(r.amid == ws_proto_is_amid(p));
    MUST(r.log.n_events == whole->n_events && r.log.bytes.len == whole->bytes.len);
    if (whole->bytes.len) MUST(memcmp(r.log.bytes.data, whole->bytes.data, whole->bytes.len) == 0);
    ws_buf_fini(&r.log.bytes);
    ws_buf_fini(&r.message);
}

/* ---- one run ---- */

struct run {
    struct ws_proto proto;
    struct limits limits;
    struct log log;
    uint8_t answers;            /* two bits each, the next one lowest */
    enum answer answer;         /* to the last BUFFER */
    bool late;                  /* it is fed once more before it is answered */
    bool idle;                  /* between messages it is looked at what it owns */
    uint8_t *into;              /* a large message's memory */
    size_t into_len, into_size; /* of the message, of the memory */
    bool text;                  /* it is text */
    size_t fed, fed_before;     /* in all; when the last message had ended */
    size_t before;              /* bytes in use at the start */
};

static struct run run_for(enum ws_role role, enum ws_simd simd, struct limits limits) {
    struct run run = {.limits = limits};
    ws_proto_init(&run.proto, role, simd, limits.size, limits.fragments);
    return run;
}

static void drop_into(struct run *run) {
    free(run->into);
    run->into = NULL;
    run->into_size = 0;
}

static void give_up(struct run *run) {
    ws_proto_skip(&run->proto);
    note_skipped(&run->log, run->text, run->into_len);
    drop_into(run);
}

static void take_buffer(struct run *run, const struct ws_proto_event *ev) {
    MUST(ev->len > WS_PROTO_DIRECT_MIN && ev->len <= run->limits.size && !run->into);
    run->answer = (enum answer)(run->answers & 3);
    run->answers = (uint8_t)(run->answers >> 2 | run->answers << 6);
    run->text = ev->text;
    run->into_len = ev->len;
    if (run->late) {
        struct ws_proto_event none;
        uint8_t byte = 0x88;
        MUST(ws_proto_feed(&run->proto, &byte, 1, &none) == 0 && none.kind == WS_PROTO_NONE);
    }
    if (run->answer == ANSWER_SKIP) {
        give_up(run);
    } else {
        /* As much as is announced, or as a stream can have of it. */
        run->into_size = ev->len < FUZZ_STREAM_MAX ? ev->len : FUZZ_STREAM_MAX;
        run->into = malloc(run->into_size);
        MUST(run->into);
        ws_proto_direct(&run->proto, run->into);
    }
}

static void take_message(struct run *run, const struct ws_proto_event *ev) {
    run->fed_before = run->fed;
    MUST(ev->len <= run->limits.size);
    MUST(!ev->ascii || ev->text);
    MUST(ev->data ? !run->into : run->into && run->into_len == ev->len);
    if (ev->masked) {
        MUST(run->proto.leaves_mask && ev->data && !ev->text && !ev->owned);
        ws_mask_apply(WS_SIMD_PORTABLE, ev->data, ev->data, ev->len, ev->key);
    }
    note(&run->log, ev, ev->data ? ev->data : run->into);
    if (ev->owned) free(ev->data);
    drop_into(run);
}

static void take(struct run *run, const struct ws_proto_event *ev) {
    if (ev->kind != WS_PROTO_MESSAGE) MUST(!ev->owned && !ev->ascii);
    switch (ev->kind) {
    case WS_PROTO_NONE: return;
    case WS_PROTO_BUFFER: take_buffer(run, ev); return;
    case WS_PROTO_MESSAGE: take_message(run, ev); return;
    case WS_PROTO_PING:
    case WS_PROTO_PONG: MUST(ev->len <= WS_CONTROL_MAX); break;
    case WS_PROTO_CLOSE:
        MUST(ev->len <= WS_CONTROL_MAX - 2 && run->proto.ended);
        MUST(ev->code == 1005 ? ev->len == 0 : ws_proto_code_is_valid(ev->code));
        break;
    case WS_PROTO_FAIL:
        MUST(ev->code == 1002 || ev->code == 1007 || ev->code == 1009);
        MUST(ev->len > 0 && run->proto.ended);
        break;
    }
    note(&run->log, ev, ev->data);
}

/* Bytes that are read straight into the message's memory. Returns their number, 0 if there is no
 * such message. */
static size_t feed_room(struct run *run, const uint8_t *data, size_t len) {
    struct ws_proto_event ev;
    uint8_t *at;
    size_t room = ws_proto_direct_room(&run->proto, &at);
    if (len > room) len = room;
    if (len == 0) return 0;
    memcpy(at, data, len);
    MUST(ws_proto_direct_feed(&run->proto, len, &ev) == 0);
    take(run, &ev);
    return len;
}

/* "A peer between messages owns no buffer, from the next feed on." */
static void check_idle(struct run *run) {
    struct ws_proto_event ev;
    uint8_t byte = 0;
    if (ws_proto_is_amid(&run->proto) || run->proto.ended) return;
    MUST(ws_proto_feed(&run->proto, &byte, 0, &ev) == 0 && ev.kind == WS_PROTO_NONE);
    MUST(run->proto.partial == NULL);
}

/* A chunk, in memory that is gone afterwards. Returns false when nothing is read any more. */
static bool feed(struct run *run, uint8_t *data, size_t len) {
    struct ws_proto_event ev;
    if (run->into && run->answer == ANSWER_GIVE_UP) give_up(run);
    do {
        size_t n = run->answer == ANSWER_ROOM ? feed_room(run, data, len) : 0;
        if (n == 0) {
            ptrdiff_t fed = ws_proto_feed(&run->proto, data, len, &ev);
            MUST(fed >= 0 && (size_t)fed <= len);
            n = (size_t)fed;
            take(run, &ev);
            /* An event without a byte: an empty frame whose header was all there was before. */
            if (n == 0 && ev.kind == WS_PROTO_NONE) MUST(len == 0 || run->proto.ended);
            if (ev.kind != WS_PROTO_NONE && run->idle) check_idle(run);
        }
        data += n;
        len -= n;
        run->fed += n;
    } while (len && !run->proto.ended && run->log.n_events < EVENTS_MAX);
    return !run->proto.ended && run->log.n_events < EVENTS_MAX;
}

static void finish(struct run *run) {
    struct ws_proto_event ev;
    uint8_t byte = 0;
    if (run->idle) ws_proto_end(&run->proto);
    else ws_proto_fini(&run->proto);
    MUST(!ws_proto_is_amid(&run->proto));
    MUST(run->proto.partial == NULL);
    MUST(ws_proto_feed(&run->proto, &byte, 1, &ev) == 0 && ev.kind == WS_PROTO_NONE);
    MUST(ws_proto_direct_feed(&run->proto, 1, &ev) == WS_ERR_ARGUMENT);
    ws_proto_fini(&run->proto);
    drop_into(run);
}

/* ---- streams ---- */

/* The sanitizer's count of bytes in use; absent in a build without it. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

/* Bytes in use, but for what this file keeps of a run. */
static size_t in_use(const struct run *run) {
    if (!__sanitizer_get_current_allocated_bytes) return 0;
    return __sanitizer_get_current_allocated_bytes() - run->log.bytes.cap - run->into_size;
}

/* Memory for what has come of a message, not for what was announced; little for each message. */
static void check_memory(const struct run *run) {
    MUST(in_use(run) <= run->before + 2 * (run->fed - run->fed_before) + 512);
}

static void feed_stream(struct run *run, const uint8_t *plan, const struct ws_buf *stream) {
    struct fuzz_cutter cutter = {.plan = plan, .max_cuts = FUZZ_CUTS};
    size_t at = 0;
    bool more = true;
    run->before = in_use(run);
    while (more && at < stream->len) {
        size_t n = fuzz_cut(&cutter, stream->len - at);
        uint8_t *chunk = fuzz_copy(stream->data + at, n);
        more = feed(run, chunk, n);
        free(chunk);
        check_memory(run);
        at += n;
    }
}

/* ---- written and read again ---- */

static void write_frame(struct ws_buf *stream, const struct ws_proto *writer, uint8_t opcode,
                        bool fin, const uint8_t *data, size_t len) {
    size_t size = ws_proto_frame_size(writer, len);
    uint8_t *frame = malloc(size);
    uint32_t key = (uint32_t)(stream->len * 2654435761u); /* another one for each */
    MUST(frame);
    if (fin && opcode) MUST(ws_proto_frame_write(writer, frame, opcode, data, len, key) == size);
    else MUST(ws_proto_fragment_write(writer, frame, opcode, fin, data, len, key) == size);
    MUST(ws_buf_append(stream, frame, size) == 0);
    free(frame);
}

/* Every other message in two fragments. */
static void write_message(struct ws_buf *stream, const struct ws_proto *writer,
                          const struct record *r, const uint8_t *data) {
    uint8_t opcode = r->text ? WS_OPCODE_TEXT : WS_OPCODE_BINARY;
    size_t half = r->len / 2;
    if (r->len % 2 == 0) {
        write_frame(stream, writer, opcode, true, data, r->len);
    } else {
        write_frame(stream, writer, opcode, false, data, half);
        write_frame(stream, writer, WS_OPCODE_CONTINUATION, true, data + half, r->len - half);
    }
}

static void write_event(struct ws_buf *stream, const struct ws_proto *writer,
                        const struct record *r, const uint8_t *data) {
    uint8_t payload[WS_CONTROL_MAX];
    if (r->kind == WS_PROTO_MESSAGE) {
        write_message(stream, writer, r, data);
    } else if (r->kind == WS_PROTO_CLOSE) {
        size_t len = ws_proto_close_payload(payload, r->code, (const char *)data, r->len);
        write_frame(stream, writer, WS_OPCODE_CLOSE, true, payload, len);
    } else {
        uint8_t opcode = r->kind == WS_PROTO_PING ? WS_OPCODE_PING : WS_OPCODE_PONG;
        write_frame(stream, writer, opcode, true, data, r->len);
    }
}

static void check_written(const struct ws_buf *log, enum ws_role role, enum ws_simd simd) {
    struct limits none = {.size = SIZE_MAX, .fragments = 2};
    struct run writer =
        run_for(role == WS_ROLE_SERVER ? WS_ROLE_CLIENT : WS_ROLE_SERVER, simd, none);
    struct run reader = run_for(role, simd, none);
    struct ws_buf stream = {0};
    struct record r;
    const uint8_t *data;
    size_t at = 0, end = 0;
    while (next_record(log, &at, &r, &data) && r.kind != WS_PROTO_FAIL) {
        write_event(&stream, &writer.proto, &r, data);
        end = at;
    }
    feed_stream(&reader, NULL, &stream);
    MUST(reader.log.bytes.len == end);
    MUST(end == 0 || memcmp(reader.log.bytes.data, log->data, end) == 0);
    finish(&reader);
    finish(&writer);
    ws_buf_fini(&reader.log.bytes);
    ws_buf_fini(&stream);
}

/* ---- the input ---- */

static enum ws_simd level(unsigned code) {
    enum ws_simd simd = (enum ws_simd)(code % WS_SIMD_LEVELS);
    return ws_simd_has(simd) ? simd : WS_SIMD_PORTABLE;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const size_t sizes[] = {SIZE_MAX, 70000, 16385, 16384, 1000, 126, 10, 0};
    static const uint32_t fragments[] = {1000, 8, 3, 2, 1, 0, 5, UINT32_MAX};
    if (size < SETTING) return 0;
    const uint8_t *set = data + FUZZ_PLAN;
    enum ws_role role = set[0] & 1 ? WS_ROLE_CLIENT : WS_ROLE_SERVER;
    struct limits limits = {.size = sizes[set[1] & 7], .fragments = fragments[set[1] >> 3 & 7]};
    struct run chunks = run_for(role, level(set[0] >> 2 & 7), limits);
    struct run whole = run_for(role, level(set[0] >> 5), limits);
    struct ws_buf stream = {0};
    chunks.late = set[0] & 2;
    chunks.idle = set[1] & 64;
    whole.idle = true;
    whole.proto.leaves_mask = true;
    chunks.answers = set[2];
    fuzz_stretch(&stream, data + SETTING, size - SETTING, set + 3);

    feed_stream(&chunks, data, &stream);
    feed_stream(&whole, NULL, &stream);
    check_plain(&whole.log, &whole.proto, limits, &stream);
    compare(&chunks.log.bytes, &whole.log.bytes);
    MUST(whole.fed <= stream.len && chunks.fed <= stream.len);
    finish(&chunks);
    finish(&whole);
    check_written(&whole.log.bytes, role, level(set[0] >> 5));
    ws_buf_fini(&chunks.log.bytes);
    ws_buf_fini(&whole.log.bytes);
    ws_buf_fini(&stream);
    return 0;
}
