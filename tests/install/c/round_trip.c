/* A server and a client of the installed library, over standard streams and HTTP. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <trunnion.h>

static trn_error *error;

static void want(trn_status status, const char *what)
{
    if (status != TRN_STATUS_OK) {
        fprintf(stderr, "%s: %s\n", what, error == NULL ? "?" : error->message);
        exit(1);
    }
}

/* The URL of the server that listens. */
static char *url;

static void on_event(trn_engine *engine, const trn_event *event, void *user)
{
    (void)user;
    if (event->kind == TRN_EVENT_CALL_TOOL) {
        double a = 0, b = 0;
        char sum[64];
        trn_json_number(event->payload, "a", &a);
        trn_json_number(event->payload, "b", &b);
        snprintf(sum, sizeof sum, "{\"sum\": %.17g}", a + b);
        trn_complete(engine, event->id, TRN_OUTCOME_VALUE, trn_cstr(sum), NULL);
    } else if (event->kind == TRN_EVENT_LISTENING) {
        url = trn_json_string(event->payload, "url", NULL);
    }
}

static uint64_t adder(trn_engine *engine)
{
    const char *add = "{\"name\": \"add\", \"inputSchema\": {\"type\": \"object\"}}";
    uint64_t server = 0;
    want(trn_server_new(engine, trn_cstr("{\"name\": \"installed\", \"version\": \"1.0.0\"}"), &server, &error), "server");
    want(trn_server_add(engine, server, "tool", trn_cstr(add), trn_cstr(NULL), 0, &error), "tool");
    return server;
}

static void check(trn_engine *engine, const char *target, const char *transport)
{
    trn_str none = trn_cstr(NULL), params = trn_cstr("{\"name\": \"add\", \"arguments\": {\"a\": 19, \"b\": 23}}");
    uint64_t client = 0, call = 0;
    char *result = NULL;
    double sum = 0;
    want(trn_connect(engine, trn_cstr(target), none, &client, &error), "connect");
    want(trn_run(engine, client, on_event, NULL, NULL, &error), transport);
    want(trn_request(engine, client, TRN_OP_CALL_TOOL, params, none, &call, &error), "request");
    want(trn_run(engine, call, on_event, NULL, &result, &error), transport);
    trn_json_number(trn_cstr(result), "/structuredContent/sum", &sum);
    trn_string_free(result);
    if (sum != 42) {
        fprintf(stderr, "%s: the sum is %g\n", transport, sum);
        exit(1);
    }
    printf("%s ok\n", transport);
}

int main(int count, char **arguments)
{
    trn_str none = trn_cstr(NULL);
    trn_engine *engine = NULL;
    uint64_t serving = 0;
    char target[4096];

    if (strcmp(trn_version(), TRN_VERSION) != 0) {
        fprintf(stderr, "the header is %s, the library %s\n", TRN_VERSION, trn_version());
        return 1;
    }
    want(trn_engine_new(none, &engine, &error), "engine");
    if (count > 1) {
        want(trn_serve_stdio(engine, adder(engine), none, &serving, &error), "stdio");
        want(trn_run(engine, serving, on_event, NULL, NULL, &error), "serving");
    } else {
        snprintf(target, sizeof target, "{\"command\": [\"%s\", \"--serve\"]}", arguments[0]);
        check(engine, target, "stdio");
        want(trn_serve_http(engine, adder(engine), trn_cstr("{\"port\": 0}"), &serving, &error), "http");
        while (url == NULL) {
            trn_batch *batch = NULL;
            want(trn_wait(engine, -1, &error), "wait");
            want(trn_drain(engine, NULL, 0, &batch, &error), "drain");
            for (size_t i = 0; i < trn_batch_len(batch); i++) {
                on_event(engine, trn_batch_at(batch, i), NULL);
            }
            trn_batch_free(batch);
        }
        snprintf(target, sizeof target, "{\"url\": \"%s\"}", url);
        check(engine, target, "http");
        trn_string_free(url);
    }
    trn_engine_free(engine);
    return 0;
}
