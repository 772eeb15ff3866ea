/*
 * The server of the golden transcripts (tests/vectors/README.md) on standard streams. Prints "cancelled TOOL"
 * to standard error when the caller of a handler has left.
 */
#include "vectors_server.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <trunnion.h>

enum { ADD = 1, ECHO, FAIL, STEPS, HANG, VISIT, TEXT, ITEM, GREET, NAMES };

static const struct {
    const char *item, *definition;
    uint64_t target;
} items[] = {
    {"tool",
     "{\"name\":\"add\",\"inputSchema\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"number\"},"
     "\"b\":{\"type\":\"number\"}},\"required\":[\"a\",\"b\"]}}",
     ADD},
    {"tool",
     "{\"name\":\"echo\",\"inputSchema\":{\"type\":\"object\",\"properties\":{\"text\":{\"type\":\"string\"}},"
     "\"required\":[\"text\"]}}",
     ECHO},
    {"tool",
     "{\"name\":\"fail\",\"inputSchema\":{\"type\":\"object\",\"properties\":{\"message\":{\"type\":\"string\"}},"
     "\"required\":[\"message\"]}}",
     FAIL},
    {"tool",
     "{\"name\":\"steps\",\"inputSchema\":{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\"}},"
     "\"required\":[\"n\"]}}",
     STEPS},
    {"tool", "{\"name\":\"hang\",\"inputSchema\":{\"type\":\"object\"}}", HANG},
    {"tool",
     "{\"name\":\"visit\",\"inputSchema\":{\"type\":\"object\",\"properties\":{\"id\":{\"type\":\"string\"}},"
     "\"required\":[\"id\"]}}",
     VISIT},
    {"resource", "{\"uri\":\"test://text\",\"name\":\"text\",\"mimeType\":\"text/plain\"}", TEXT},
    {"resource_template", "{\"uriTemplate\":\"test://item/{id}\",\"name\":\"item\"}", ITEM},
    {"prompt", "{\"name\":\"greet\",\"arguments\":[{\"name\":\"name\",\"required\":true}]}", GREET},
    {"completion", "{\"ref\":{\"type\":\"ref/prompt\",\"name\":\"greet\"}}", NAMES},
};

/* The call that has asked its user to visit a page, the operation of its question, and the id of the elicitation. */
static struct {
    uint64_t call, operation;
    char *id;
} visit;

static void answer(trn_engine *engine, const trn_event *event, trn_outcome outcome, const char *text)
{
    trn_complete(engine, event->id, (uint32_t)outcome, trn_cstr(text), NULL);
}

/* Answers with the string at a path, after some words. */
static void answer_string(trn_engine *engine, const trn_event *event, trn_outcome outcome, const char *words,
                          const char *path)
{
    size_t before = strlen(words), length = 0;
    char *string = trn_json_string(event->payload, path, &length);
    char *text = malloc(before + length + 1);
    memcpy(text, words, before);
    memcpy(text + before, string, length);
    trn_str whole = {text, before + length};
    trn_complete(engine, event->id, (uint32_t)outcome, whole, NULL);
    free(text);
    trn_string_free(string);
}

static void on_event(trn_engine *engine, const trn_event *event, void *user)
{
    static const char *const names[] = {"ada", "alan", "grace"};
    char text[96] = "[", question[256], *string;
    double a = 0, b = 0;
    int64_t count = 0;
    uint64_t server = *(const uint64_t *)user;
    if (event->kind == TRN_EVENT_CANCELLED) {
        /* Only `hang` is ever still open. */
        fprintf(stderr, "cancelled hang\n");
        return;
    }
    if (event->kind == TRN_EVENT_RESULT && event->id == visit.operation) {
        snprintf(text, sizeof text, "{\"elicitationId\":\"%s\"}", visit.id);
        trn_notify(engine, server, "elicitation_complete", trn_cstr(text), NULL);
        string = trn_json_string(event->payload, "/page/action", NULL);
        trn_complete(engine, visit.call, TRN_OUTCOME_TEXT, trn_cstr(string), NULL);
        trn_string_free(string);
        trn_string_free(visit.id);
        visit.id = NULL;
        return;
    }
    switch (event->target) {
    case ADD:
        trn_json_number(event->payload, "a", &a);
        trn_json_number(event->payload, "b", &b);
        snprintf(text, sizeof text, "{\"sum\":%.17g}", a + b);
        answer(engine, event, TRN_OUTCOME_VALUE, text);
        break;
    case ECHO:
        answer_string(engine, event, TRN_OUTCOME_TEXT, "", "text");
        break;
    case FAIL:
        answer_string(engine, event, TRN_OUTCOME_TOOL_ERROR, "", "message");
        break;
    case STEPS:
        trn_json_integer(event->payload, "n", &count);
        for (int64_t i = 1; i <= count; i++) {
            snprintf(text, sizeof text, "{\"progress\":%" PRId64 ",\"total\":%" PRId64 "}", i, count);
            trn_progress(engine, event->id, trn_cstr(text), NULL);
        }
        answer(engine, event, TRN_OUTCOME_TEXT, "done");
        break;
    case VISIT:
        visit.call = event->id;
        visit.id = trn_json_string(event->payload, "id", NULL);
        snprintf(question, sizeof question,
                 "{\"page\":{\"op\":\"elicit\",\"params\":{\"mode\":\"url\",\"message\":\"Sign in\","
                 "\"url\":\"https://example.com/sign-in\",\"elicitationId\":\"%s\"}}}",
                 visit.id);
        trn_request(engine, visit.call, "ask", trn_cstr(question), trn_cstr(NULL), &visit.operation, NULL);
        break;
    case TEXT:
        answer(engine, event, TRN_OUTCOME_TEXT, "hello");
        break;
    case ITEM:
        answer_string(engine, event, TRN_OUTCOME_TEXT, "item ", "/params/id");
        break;
    case GREET:
        answer_string(engine, event, TRN_OUTCOME_TEXT, "Greet ", "name");
        break;
    case NAMES:
        string = trn_json_string(event->payload, "/argument/value", NULL);
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            if (strncmp(names[i], string, strlen(string)) == 0) {
                size_t used = strlen(text);
                snprintf(text + used, sizeof text - used, "%s\"%s\"", used > 1 ? "," : "", names[i]);
            }
        }
        strcat(text, "]");
        trn_string_free(string);
        answer(engine, event, TRN_OUTCOME_VALUE, text);
        break;
    default:
        break;
    }
}

/* An engine with a server that has all of the items, or NULL and an error. */
static trn_engine *make_server(const char *definition, const char *options, uint64_t *server, trn_error **error)
{
    trn_engine *engine = NULL;
    if (trn_engine_new(trn_cstr(options), &engine, error) == TRN_STATUS_OK &&
        trn_server_new(engine, trn_cstr(definition), server, error) == TRN_STATUS_OK) {
        for (size_t i = 0; *error == NULL && i < sizeof items / sizeof *items; i++) {
            trn_server_add(engine, *server, items[i].item, trn_cstr(items[i].definition), trn_cstr(NULL),
                           items[i].target, error);
        }
    }
    if (*error != NULL) {
        trn_engine_free(engine);
        return NULL;
    }
    return engine;
}

int serve_vectors(const char *definition, const char *options)
{
    trn_error *error = NULL;
    uint64_t server = 0, serving = 0;
    trn_engine *engine = make_server(definition, options, &server, &error);
    if (engine != NULL && trn_serve_stdio(engine, server, trn_cstr(NULL), &serving, &error) == TRN_STATUS_OK) {
        trn_run(engine, serving, on_event, &server, NULL, &error);
    }
    if (error != NULL) {
        fprintf(stderr, "%s\n", error->message);
    }
    int failed = engine == NULL || error != NULL;
    trn_error_free(error);
    trn_engine_free(engine);
    return failed;
}

int prepare_vectors(void)
{
    trn_error *error = NULL;
    uint64_t server = 0;
    /* The hosted driver makes no thread, so that there is none at the fork. */
    trn_engine *engine = make_server("{\"name\":\"vectors\",\"version\":\"1.0.0\"}", "{\"driver\":\"hosted\"}",
                                     &server, &error);
    int failed = engine == NULL;
    trn_error_free(error);
    trn_engine_free(engine);
    return failed;
}
