/*
 * The smallest useful server: one tool, over standard input and output.
 *
 *     cc server.c $(pkg-config --cflags --libs trunnion) -o server
 */
#include <stdio.h>
#include <trunnion.h>

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
    }
}

int main(void)
{
    const char *add = "{\"name\": \"add\", \"description\": \"Adds two numbers.\", \"inputSchema\": {"
                      "  \"type\": \"object\", \"required\": [\"a\", \"b\"],"
                      "  \"properties\": {\"a\": {\"type\": \"number\"}, \"b\": {\"type\": \"number\"}}}}";
    trn_str none = trn_cstr(NULL);
    trn_engine *engine = NULL;
    trn_error *error = NULL;
    uint64_t server = 0, serving = 0;

    if (trn_engine_new(none, &engine, &error) != TRN_STATUS_OK ||
        trn_server_new(engine, trn_cstr("{\"name\": \"adder\", \"version\": \"1.0.0\"}"), &server, &error) !=
            TRN_STATUS_OK ||
        trn_server_add(engine, server, "tool", trn_cstr(add), none, 0, &error) != TRN_STATUS_OK ||
        trn_serve_stdio(engine, server, none, &serving, &error) != TRN_STATUS_OK ||
        trn_run(engine, serving, on_event, NULL, NULL, &error) != TRN_STATUS_OK) {
        fprintf(stderr, "%s\n", error->message);
    }
    int failed = error != NULL;
    trn_error_free(error);
    trn_engine_free(engine);
    return failed;
}
