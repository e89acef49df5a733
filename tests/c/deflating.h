/* deflating.h: peers that speak permessage-deflate (RFC 7692), for the programs that test it over
 * real sockets. */
#ifndef DEFLATING_H
#define DEFLATING_H

#include "rig.h"

static const struct ws_deflate_terms alone = {15, 15, true, true, false, false};
static const struct ws_deflate_terms together = {15, 15, false, false, false, false};

static struct ws_deflate_pool client_pool;

/* A rig whose server agrees to those terms, and compresses whatever it sends. */
static inline void deflating_init(struct rig *r, const struct ws_deflate_terms *terms) {
    rig_init(r, strategy);
    ws_deflate_pool_init(&client_pool, 6, 8);
    r->options.deflate =
        (struct ws_deflate_rules){true, terms->server_no_takeover, terms->client_no_takeover, 15};
    r->options.deflate_threshold = 0;
}

static inline void deflating_end(struct rig *r) {
    rig_end(r);
    CHECK(!client_pool.first);
    ws_deflate_pool_fini(&client_pool);
}

/* Sends the request of a peer that offers it, and is ready for what will be agreed on. */
static inline void deflating_connect(struct rig *r, struct peer *p,
                                     const struct ws_deflate_terms *terms) {
    char request[512];
    snprintf(request, sizeof request, "%.*sSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
             (int)strlen(PEER_REQUEST) - 2, PEER_REQUEST);
    peer_connect(r, p, false);
    ws_proto_set_deflate(&p->proto, ws_deflate_new(&client_pool, terms, false));
    peer_say(p, request);
}

static inline void deflating_drop(struct peer *p) {
    peer_drop(p, false);
    ws_deflate_free(p->proto.deflate);
    p->proto.deflate = NULL;
}

static inline void deflating_put_text(struct peer *p, const void *data, size_t len) {
    struct ws_buf payload = {0}, frame = {0};
    CHECK_EQ(ws_deflate_write(p->proto.deflate, data, len, true, &payload), 0);
    CHECK_EQ(ws_buf_reserve(&frame, ws_proto_frame_size(&p->proto, payload.len)), 0);
    frame.len = ws_proto_frame_write(&p->proto, frame.data, WS_OPCODE_TEXT, payload.data,
                                     payload.len, 0x01020304);
    frame.data[0] |= WS_FRAME_RSV1;
    peer_put(p, frame.data, frame.len);
    ws_buf_fini(&payload);
    ws_buf_fini(&frame);
}

#endif
