/* A stdio server that never answers `hang`, exits abruptly on `die`, and writes its answer to `lines` over
 * several lines. */
#include <stdio.h>
#include <stdlib.h>
#include <trunnion.h>

enum { HANG = 1, DIE, LINES };

static void on_event(trn_engine *engine, const trn_event *event, void *user)
{
    (void)user;
    if (event->kind == TRN_EVENT_CALL_TOOL && event->target == DIE) {
        abort();
    }
    if (event->kind == TRN_EVENT_CALL_TOOL && event->target == LINES) {
        trn_progress(engine, event->id, trn_cstr("{\n\"progress\":\r\n1\n}"), NULL);
        trn_log(engine, event->id, trn_cstr("{\"level\":\n\"error\",\"data\":{\r\n\"a\":\n1}}"), NULL);
        trn_complete(engine, event->id, TRN_OUTCOME_VALUE, trn_cstr("{\n\"sum\":\r\n5\n}"), NULL);
    }
}

int main(void)
{
    trn_engine *engine = NULL;
    trn_str none = trn_cstr(NULL);
    uint64_t server = 0, serving = 0;
    if (trn_engine_new(none, &engine, NULL) != TRN_STATUS_OK ||
        trn_server_new(engine, trn_cstr("{\"name\":\"dying\",\"version\":\"1\"}"), &server, NULL) != TRN_STATUS_OK ||
        trn_server_add(engine, server, "tool",
                       trn_cstr("{\"name\":\"hang\",\"inputSchema\":{\"type\":\"object\"}}"), none, HANG,
                       NULL) != TRN_STATUS_OK ||
        trn_server_add(engine, server, "tool", trn_cstr("{\"name\":\"die\",\"inputSchema\":{\"type\":\"object\"}}"),
                       none, DIE, NULL) != TRN_STATUS_OK ||
        trn_server_add(engine, server, "tool",
                       trn_cstr("{\"name\":\"lines\",\n\"inputSchema\":{\n\"type\":\r\n\"object\"}}"), none, LINES,
                       NULL) != TRN_STATUS_OK ||
        trn_serve_stdio(engine, server, none, &serving, NULL) != TRN_STATUS_OK) {
        return 1;
    }
    trn_run(engine, serving, on_event, NULL, NULL, NULL);
    trn_engine_free(engine);
    return 0;
}
