/* test_err.c: every error value has its words. */
#include "err.h"

#include "check.h"

static void test_err_texts(void) {
    static const struct {
        int err;
        const char *text;
    } rows[] = {
        {WS_ERR_MEMORY, "out of memory"},
        {WS_ERR_SYSTEM, "a system call failed"},
        {WS_ERR_ARGUMENT, "an argument is out of range"},
        {WS_ERR_CLOSED, "the connection is closed"},
        {WS_ERR_LIMIT, "a limit was reached"},
        {WS_ERR_SYNTAX, "malformed input"},
        {WS_ERR_RESOLVE, "the host name could not be resolved"},
        {0, "no error"},
        {7, "no error"},
        {-99, "unknown error"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        CHECK(strcmp(ws_err_text(rows[i].err), rows[i].text) == 0);
}

int main(void) {
    RUN(test_err_texts);
    return check_done();
}
