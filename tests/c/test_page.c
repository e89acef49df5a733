/* test_page.c: the bytes of an answer, lookup by exact path, replacement. */
#include "page.h"

#include "check.h"

static struct ws_slice slice(const char *text) {
    return (struct ws_slice){text, strlen(text)};
}

static void check_answer(const struct ws_page *page, const char *head, const char *body) {
    CHECK(page != NULL);
    if (!page) return;
    CHECK_EQ(page->head_len, strlen(head));
    CHECK_EQ(page->len, strlen(head) + strlen(body));
    CHECK(memcmp(page->answer, head, strlen(head)) == 0);
    CHECK(memcmp(page->answer + page->head_len, body, strlen(body)) == 0);
}

static void test_page_answer(void) {
    struct ws_pages p = {0};
    CHECK(ws_pages_find(&p, slice("/")) == NULL);
    CHECK_EQ(ws_pages_add(&p, slice("/"), slice("<h1>"), slice("text/html; charset=utf-8"),
                          slice("Cache-Control: no-cache\r\nX: y\r\n")),
             0);
    check_answer(ws_pages_find(&p, slice("/")),
                 "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n"
                 "Content-Length: 4\r\nConnection: close\r\n"
                 "Cache-Control: no-cache\r\nX: y\r\n\r\n",
                 "<h1>");
    ws_pages_fini(&p);
    CHECK(p.items == NULL && p.n == 0);
}

static void test_page_empty_body_and_no_fields(void) {
    struct ws_pages p = {0};
    struct ws_slice none = {"", 0};
    CHECK_EQ(ws_pages_add(&p, slice("/e"), none, slice("a/b"), none), 0);
    check_answer(ws_pages_find(&p, slice("/e")),
                 "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 0\r\n"
                 "Connection: close\r\n\r\n",
                 "");
    ws_pages_fini(&p);
}

/* A slice need not end with a NUL, and nothing of the caller's is kept. */
static void test_page_copies_slices(void) {
    struct ws_pages p = {0};
    char path[] = "/pathXX", body[] = "bodyXX", type[] = "t/xXX", fields[] = "A: b\r\nXX";
    CHECK_EQ(ws_pages_add(&p, (struct ws_slice){path, 5}, (struct ws_slice){body, 4},
                          (struct ws_slice){type, 3}, (struct ws_slice){fields, 6}),
             0);
    memset(path, '?', 7), memset(body, '?', 6), memset(type, '?', 5), memset(fields, '?', 8);
    check_answer(ws_pages_find(&p, slice("/path")),
                 "HTTP/1.1 200 OK\r\nContent-Type: t/x\r\nContent-Length: 4\r\n"
                 "Connection: close\r\nA: b\r\n\r\n",
                 "body");
    ws_pages_fini(&p);
}

static void test_page_paths(void) {
    static const char *const paths[] = {"/", "/a", "/a/", "/A", "/ab", "/b", "*"};
    enum { N = sizeof paths / sizeof *paths };
    struct ws_pages p = {0};
    for (size_t i = 0; i < N; i++)
        CHECK_EQ(ws_pages_add(&p, slice(paths[i]), slice(paths[i]), slice("t"), slice("")), 0);
    CHECK_EQ(p.n, N);
    for (size_t i = 0; i < N; i++) {
        const struct ws_page *page = ws_pages_find(&p, slice(paths[i]));
        CHECK(page != NULL && page->len - page->head_len == strlen(paths[i]));
        CHECK(page && memcmp(page->answer + page->head_len, paths[i], strlen(paths[i])) == 0);
    }
    CHECK(ws_pages_find(&p, slice("/c")) == NULL);
    CHECK(ws_pages_find(&p, slice("/abc")) == NULL);
    CHECK(ws_pages_find(&p, slice("")) == NULL);
    ws_pages_fini(&p);
}

static void test_page_replaces(void) {
    struct ws_pages p = {0};
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(ws_pages_add(&p, slice("/"), slice(i == 2 ? "new" : "old"), slice("t"), slice("")),
                 0);
        CHECK_EQ(ws_pages_add(&p, slice("/other"), slice("x"), slice("t"), slice("")), 0);
    }
    CHECK_EQ(p.n, 2);
    const struct ws_page *page = ws_pages_find(&p, slice("/"));
    CHECK(page && memcmp(page->answer + page->head_len, "new", 3) == 0);
    ws_pages_fini(&p);
}

/* A body may be binary and large; its length stands in the head. */
static void test_page_large_body(void) {
    struct ws_pages p = {0};
    size_t len = 3000000;
    char *body = malloc(len);
    for (size_t i = 0; i < len; i++) body[i] = (char)(i % 251);
    CHECK_EQ(ws_pages_add(&p, slice("/big"), (struct ws_slice){body, len}, slice("t"), slice("")),
             0);
    const struct ws_page *page = ws_pages_find(&p, slice("/big"));
    CHECK(page && page->len == page->head_len + len);
    CHECK(page && memcmp(page->answer + page->head_len, body, len) == 0);
    CHECK(page && memmem(page->answer, page->head_len, "Length: 3000000\r\n", 17) != NULL);
    free(body);
    ws_pages_fini(&p);
}

int main(void) {
    RUN(test_page_answer);
    RUN(test_page_empty_body_and_no_fields);
    RUN(test_page_copies_slices);
    RUN(test_page_paths);
    RUN(test_page_replaces);
    RUN(test_page_large_body);
    return check_done();
}
