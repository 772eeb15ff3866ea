/* A stand-in for the docsearch server over HTTP: `search` finds one hit that holds the query. Ends with its input. */
#define _POSIX_C_SOURCE 200809L

#include <poll.h>

#include "harness.h"

static void on_event(trn_engine *engine, const trn_event *event, void *user)
{
    (void)user;
    if (event->kind == TRN_EVENT_LISTENING) {
        char *url = trn_json_string(event->payload, "url", NULL);
        printf("%s\n", url);
        fflush(stdout);
        trn_string_free(url);
    } else if (event->kind == TRN_EVENT_CALL_TOOL) {
        trn_str query, limit = trn_cstr("10");
        char answer[512];
        CHECK(trn_json_raw(event->payload, "query", &query));
        trn_json_raw(event->payload, "limit", &limit);
        snprintf(answer, sizeof answer, "{\"hits\":[{\"snippet\":%.*s,\n\"limit\":%.*s}]}", (int)query.len, query.ptr,
                 (int)limit.len, limit.ptr);
        OK(trn_complete(engine, event->id, TRN_OUTCOME_VALUE, trn_cstr(answer), &error));
    }
}

int main(void)
{
    trn_engine *engine = NULL;
    uint64_t server = 0, serving = 0;
    OK(trn_engine_new(trn_cstr("{\"driver\":\"hosted\"}"), &engine, &error));
    OK(trn_server_new(engine, trn_cstr("{\"name\":\"search\",\"version\":\"1\"}"), &server, &error));
    OK(trn_server_add(engine, server, "tool",
                      trn_cstr("{\"name\":\"search\",\"inputSchema\":{\"type\":\"object\",\"required\":[\"query\"],"
                               "\"properties\":{\"query\":{\"type\":\"string\"},\"limit\":{\"type\":\"integer\"}}}}"),
                      NONE, 0, &error));
    OK(trn_serve_http(engine, server, NONE, &serving, &error));
    struct pollfd watched[] = {{trn_fd(engine), POLLIN, 0}, {0, POLLIN, 0}};
    while (watched[1].revents == 0) {
        trn_batch *batch = NULL;
        OK(trn_drain(engine, NULL, 0, &batch, &error));
        size_t count = trn_batch_len(batch);
        for (size_t i = 0; i < count; i++) {
            on_event(engine, trn_batch_at(batch, i), NULL);
        }
        trn_batch_free(batch);
        CHECK(poll(watched, 2, count > 0 ? 0 : -1) >= 0);
    }
    trn_engine_free(engine);
    return 0;
}
