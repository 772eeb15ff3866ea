/*
 * bench_server --stdio | --http PORT
 *
 * The server of the benchmarks: echo and add, the tools of the file BENCH_TOOLS, and the text of BENCH_BIG.
 * It is hosted, and answers return with the next drain, a batch at a time.
 */
#include <string.h>

#include "support.h"

enum { ECHO = 1, ADD, BIG, REST };

struct answers {
    trn_completion *list;
    size_t count, room;
};

static char *read_file(const char *variable)
{
    const char *name = getenv(variable);
    FILE *file = name == NULL ? NULL : fopen(name, "rb");
    if (file == NULL) {
        fprintf(stderr, "%s names no readable file\n", variable);
        exit(1);
    }
    size_t length = 0, room = 1 << 16, got;
    char *text = malloc(room + 1);
    while (text != NULL && (got = fread(text + length, 1, room - length, file)) > 0) {
        length += got;
        if (length == room) {
            room *= 2;
            text = realloc(text, room + 1);
        }
    }
    fclose(file);
    if (text == NULL) {
        abort();
    }
    text[length] = '\0';
    return text;
}

/* The payload is freed after the drain that takes it, unless it is the shared text of the resource. */
static void answer(struct answers *answers, uint64_t id, trn_outcome outcome, trn_str payload)
{
    if (answers->count == answers->room) {
        answers->room = answers->room == 0 ? 256 : answers->room * 2;
        answers->list = realloc(answers->list, answers->room * sizeof *answers->list);
        if (answers->list == NULL) {
            abort();
        }
    }
    trn_completion *one = &answers->list[answers->count++];
    one->id = id;
    one->outcome = (uint32_t)outcome;
    one->payload = payload;
}

static void handle(struct answers *answers, const trn_event *event, const char *big)
{
    trn_str text = {NULL, 0};
    double a = 0, b = 0;
    switch (event->target) {
    case ECHO:
        text.ptr = trn_json_string(event->payload, "text", &text.len);
        answer(answers, event->id, TRN_OUTCOME_TEXT, text);
        break;
    case ADD:
        trn_json_number(event->payload, "a", &a);
        trn_json_number(event->payload, "b", &b);
        answer(answers, event->id, TRN_OUTCOME_VALUE, trn_cstr(format("{\"sum\":%.17g}", a + b)));
        break;
    case BIG:
        answer(answers, event->id, TRN_OUTCOME_TEXT, trn_cstr(big));
        break;
    default:
        answer(answers, event->id, TRN_OUTCOME_TEXT, trn_cstr(format("ok")));
    }
}

int main(int argc, char **argv)
{
    int stdio = argc > 1 && strcmp(argv[1], "--stdio") == 0;
    int http = argc > 2 && strcmp(argv[1], "--http") == 0;
    if (!stdio && !http) {
        fprintf(stderr, "usage: %s --stdio | --http PORT\n", argv[0]);
        return 2;
    }
    char *tools = read_file("BENCH_TOOLS"), *big = read_file("BENCH_BIG");
    trn_engine *engine = NULL;
    trn_error *error = NULL;
    trn_str none = trn_cstr(NULL);
    uint64_t server = 0, serving = 0;
    check(trn_engine_new(trn_cstr("{\"driver\":\"hosted\"}"), &engine, &error), &error, "engine");
    check(trn_server_new(engine, trn_cstr("{\"name\":\"bench-c\",\"version\":\"1.0.0\"}"), &server, &error), &error,
          "server");
    static const char add[] =
        "{\"name\":\"add\",\"description\":\"Adds two numbers.\",\"inputSchema\":{\"type\":\"object\","
        "\"properties\":{\"a\":{\"type\":\"number\"},\"b\":{\"type\":\"number\"}},\"required\":[\"a\",\"b\"]}}";
    static const char echo[] =
        "{\"name\":\"echo\",\"description\":\"Answers with the text it is given.\",\"inputSchema\":{"
        "\"type\":\"object\",\"properties\":{\"text\":{\"type\":\"string\"}},\"required\":[\"text\"]}}";
    check(trn_server_add(engine, server, "tool", trn_cstr(echo), none, ECHO, &error), &error, "echo");
    check(trn_server_add(engine, server, "tool", trn_cstr(add), none, ADD, &error), &error, "add");
    for (int i = 0;; i++) {
        char path[16];
        trn_str tool;
        snprintf(path, sizeof path, "/%d", i);
        if (!trn_json_raw(trn_cstr(tools), path, &tool)) {
            break;
        }
        check(trn_server_add(engine, server, "tool", tool, none, REST, &error), &error, path);
    }
    check(trn_server_add(engine, server, "resource",
                         trn_cstr("{\"uri\":\"bench://big\",\"name\":\"big\",\"mimeType\":\"text/plain\"}"), none, BIG,
                         &error),
          &error, "resource");
    if (http) {
        char *options = format("{\"port\":%d}", atoi(argv[2]));
        check(trn_serve_http(engine, server, trn_cstr(options), &serving, &error), &error, "serve");
        free(options);
    } else {
        check(trn_serve_stdio(engine, server, none, &serving, &error), &error, "serve");
    }

    struct answers answers = {NULL, 0, 0};
    for (int serve = 1; serve;) {
        if (answers.count == 0) {
            check(trn_wait(engine, -1, &error), &error, "wait");
        }
        trn_batch *batch = NULL;
        check(trn_drain(engine, answers.list, answers.count, &batch, &error), &error, "drain");
        for (size_t i = 0; i < answers.count; i++) {
            if (answers.list[i].payload.ptr != big) {
                trn_string_free((char *)answers.list[i].payload.ptr);
            }
        }
        answers.count = 0;
        for (size_t i = 0; i < trn_batch_len(batch); i++) {
            const trn_event *event = trn_batch_at(batch, i);
            if (event->target != 0) {
                handle(&answers, event, big);
            } else if (event->id == serving && (event->kind == TRN_EVENT_RESULT || event->kind == TRN_EVENT_ERROR)) {
                serve = 0;
            }
        }
        trn_batch_free(batch);
    }
    free(answers.list);
    free(tools);
    free(big);
    trn_engine_free(engine);
    return 0;
}
