/* proto.h: one peer's side of a WebSocket connection as a state machine (RFC 6455 sections 5 to 7),
 * server or client role.
 *
 * Bytes in, events out: no socket, no clock, no queue. The caller loops:
 *
 *     while (len) {
 *         n = ws_proto_feed(p, data, len, &ev);
 *         data += n, len -= n; (if n >= 0) and act on ev
 *     }
 *
 * Payloads are unmasked in place and, where a frame is whole in the input, events point into it: no
 * copy. What cannot be delivered yet (a message in fragments or segments) is collected in a buffer
 * that grows with what came, never with what was announced. A peer between messages owns no memory,
 * from the next feed on.
 *
 * A compressed message is collected as it came, and inflated when it is whole; a long one while it
 * comes, if there is a decompressor for it. Of either no more than max_message_size is ever held.
 */
#ifndef WS_PROTO_H
#define WS_PROTO_H

#include "buf.h"
#include "deflate.h"
#include "frame.h"
#include "simd.h"
#include "utf8.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ws_role { WS_ROLE_SERVER, WS_ROLE_CLIENT };

/* Payload bytes of a large message that must have come before memory for all of it is asked for. */
#define WS_PROTO_DIRECT_MIN 16384
/* Payload bytes of a binary message from which on its mask may be left to who copies it. */
#define WS_PROTO_MASKED_MIN 4096

enum ws_proto_kind {
    WS_PROTO_NONE,    /* all input consumed, nothing to tell yet */
    WS_PROTO_MESSAGE, /* data, len, text, ascii; masked, key */
    WS_PROTO_PING,    /* data, len <= 125 */
    WS_PROTO_PONG,    /* data, len <= 125 */
    WS_PROTO_CLOSE, /* code (1005: empty frame), data and len: the reason. Nothing is read after it
                     */
    /* A large message has begun: len is its whole size. The caller answers with ws_proto_direct or
     * ws_proto_skip before it feeds again, and keeps the input until then. */
    WS_PROTO_BUFFER,
    /* The peer broke a rule: code to close with, data and len: the reason in words (static).
       Sticky: nothing is read after it. */
    WS_PROTO_FAIL,
};

struct ws_proto_event {
    enum ws_proto_kind kind;
    bool text;
    bool ascii;
    bool owned;    /* data was allocated: the receiver takes it, to free with free() */
    bool masked;   /* a large binary message, not owned, whose bytes are still masked with key */
    bool inflated; /* a message that came compressed: its bytes are more than were sent */
    uint16_t code;
    uint32_t key;
    uint8_t
        *data; /* not owned: valid as long as the input; of a control frame until the next feed */
    size_t len;
};

/* What a peer has amid a frame or a message, and for those that come in one piece but are rare. */
struct ws_proto_partial;

struct ws_proto {
    uint8_t role;
    uint8_t state;
    uint8_t simd;
    bool ended : 1;       /* a close frame was read, or the peer broke a rule */
    bool leaves_mask : 1; /* of large binary messages: the caller's choice, false at first */
    uint32_t max_fragments;
    size_t max_message_size;
    struct ws_proto_partial *partial; /* owned, NULL while nothing has begun */
    struct ws_deflate *deflate;       /* borrowed, NULL: permessage-deflate was not agreed on */
};

void ws_proto_init(struct ws_proto *p, enum ws_role role, enum ws_simd simd,
                   size_t max_message_size, uint32_t max_fragments);
/* permessage-deflate was agreed on (RFC 7692): messages may come compressed. Borrows deflate, as
 * long as it is fed. */
void ws_proto_set_deflate(struct ws_proto *p, struct ws_deflate *deflate);
void ws_proto_fini(struct ws_proto *p);
/* Nothing is read any more, for a reason of the caller's. */
void ws_proto_end(struct ws_proto *p);
/* Whether a frame or a message has begun that is not whole yet. */
bool ws_proto_is_amid(const struct ws_proto *p);

/* Consumes input up to and including one event. Returns the bytes consumed, at most len, or
 * WS_ERR_MEMORY, after which nothing is read any more. The input is overwritten (unmasked). 0 with
 * kind NONE: an answer to WS_PROTO_BUFFER is awaited, or nothing is read any more; the rest of the
 * input is void in the latter case. */
ptrdiff_t ws_proto_feed(struct ws_proto *p, uint8_t *data, size_t len, struct ws_proto_event *ev);

/* Answers WS_PROTO_BUFFER: the message is to be received into memory of ev.len bytes at `into`,
 * which stays the caller's. What has come so far is copied there: the input that told BUFFER must
 * still be there. The message's event will have data NULL. */
void ws_proto_direct(struct ws_proto *p, uint8_t *into);
/* Answers WS_PROTO_BUFFER, also later while the message is received: it is not wanted; it is read
 * and thrown away, without an event. */
void ws_proto_skip(struct ws_proto *p);
/* Where the caller may read the next bytes of a large message straight into, and how many; 0 if
 * none. */
size_t ws_proto_direct_room(const struct ws_proto *p, uint8_t **at);
/* n bytes were read there: unmasks and validates them. Fills ev like ws_proto_feed. 0, or
 * WS_ERR_ARGUMENT if they were not asked for. */
int ws_proto_direct_feed(struct ws_proto *p, size_t n, struct ws_proto_event *ev);

/* A whole outgoing frame of len payload bytes: its size, and the writing of it. A client masks with
 * `key`, which must come from a secure source for each frame (RFC 6455 section 5.3); a server
 * ignores it. Returns the size. */
size_t ws_proto_frame_size(const struct ws_proto *p, size_t len);
size_t ws_proto_frame_write(const struct ws_proto *p, uint8_t *out, uint8_t opcode,
                            const uint8_t *data, size_t len, uint32_t key);
/* The same for a frame that may be a fragment: fin is false if more of the message follows (section
 * 5.4). */
size_t ws_proto_fragment_write(const struct ws_proto *p, uint8_t *out, uint8_t opcode, bool fin,
                               const uint8_t *data, size_t len, uint32_t key);

/* Writes a close frame's payload: code (none if 1005) and reason (at most 123 bytes). Returns its
 * length. */
size_t ws_proto_close_payload(uint8_t out[WS_CONTROL_MAX], uint16_t code, const char *reason,
                              size_t reason_len);
/* RFC 6455 section 7.4.1 and 7.4.2: may this code stand in a close frame? */
bool ws_proto_code_is_valid(unsigned code);

#endif
