/*
 * Endpoints mounted in the program (trn_http_request), and the other actions of handlers: eliciting,
 * remembering, closing the stream, notifying of changes. The client's side is hand-written here, in both
 * eras.
 */
#define _POSIX_C_SOURCE 200809L

#include <unistd.h>

#include "harness.h"

enum { ADD = 1, BOOK, HANG, DECLARED, POLL, PROMPT, NOTE };

#define EMPTY_SCHEMA "\"inputSchema\":{\"type\":\"object\"}"
#define SEATS                                                                                                  \
    "{\"seats\":{\"op\":\"elicit\",\"params\":{\"message\":\"How many?\",\"requestedSchema\":{\"type\":\"object\"," \
    "\"properties\":{\"count\":{\"type\":\"integer\",\"maximum\":10}},\"required\":[\"count\"]}}}}"
#define MODEL                                                                                                   \
    "{\"model\":{\"op\":\"sample\",\"params\":{\"maxTokens\":5,\"messages\":[]}},\"where\":{\"op\":\"list_roots\"}}"
#define ACCEPT(count) "{\"action\":\"accept\",\"content\":{\"count\":" count "}}"
#define MODELLED "{\"role\":\"assistant\",\"content\":{\"type\":\"text\",\"text\":\"ok\"},\"model\":\"m\"}"
#define ROOTS "{\"roots\":[{\"uri\":\"file:///a\"}]}"

static const struct {
    const char *item, *definition, *options;
    uint64_t target;
} items[] = {
    {"tool", "{\"name\":\"add\"," EMPTY_SCHEMA "}", NULL, ADD},
    {"tool", "{\"name\":\"book\"," EMPTY_SCHEMA "}", NULL, BOOK},
    {"tool", "{\"name\":\"hang\"," EMPTY_SCHEMA "}", NULL, HANG},
    {"tool", "{\"name\":\"declared\"," EMPTY_SCHEMA "}", "{\"asks\":{\"where\":{\"op\":\"list_roots\"}}}", DECLARED},
    {"tool", "{\"name\":\"poll\"," EMPTY_SCHEMA "}", NULL, POLL},
    {"prompt", "{\"name\":\"asking\"}", NULL, PROMPT},
    {"resource", "{\"uri\":\"test://note\",\"name\":\"note\"}", NULL, NOTE},
};

/* The response to one request of the mounted endpoint. */
struct response {
    uint64_t operation;
    int64_t status;
    char *session, *body;
    int over;
    char *kind;
};

struct world {
    trn_engine *engine;
    uint64_t server, endpoint;
    struct response *open[4];
    char *session;
    /* The observations of the handlers. */
    uint64_t exchange, question;
    int runs, holds, cancelled, roots_changed, asked_model;
    char *reason, *ask_error;
};

static const char *driver;

static void complete(struct world *world, uint64_t exchange, trn_outcome outcome, const char *payload)
{
    OK(trn_complete(world->engine, exchange, (uint32_t)outcome, trn_cstr(payload), &error));
}

static void ask(struct world *world, const char *questions)
{
    OK(trn_request(world->engine, world->exchange, "ask", trn_cstr(questions), NONE, &world->question, &error));
}

/* The booking: how many seats, hold them once, then model and roots together. */
static void on_answers(struct world *world, const trn_event *event)
{
    trn_str value;
    if (trn_json_raw(event->payload, "where", &value)) {
        check_string(event->payload.ptr, "/model/content/text", "ok");
        check_string(event->payload.ptr, "/where/roots/0/uri", "file:///a");
        complete(world, world->exchange, TRN_OUTCOME_TEXT, "booked");
        return;
    }
    CHECK(number_at(event->payload.ptr, "/seats/content/count") == 3);
    char *context = trn_context(world->engine, world->exchange);
    if (!trn_json_raw(trn_cstr(context), "/memory/hold", &value)) {
        world->holds++;
        OK(trn_remember(world->engine, world->exchange, trn_cstr("hold"), trn_cstr("\"h1\""), &error));
    }
    trn_string_free(context);
    if (world->asked_model) {
        ask(world, MODEL);
    } else {
        complete(world, world->exchange, TRN_OUTCOME_TEXT, "booked");
    }
}

static void on_call(struct world *world, const trn_event *event)
{
    char *context;
    world->exchange = event->id;
    world->runs++;
    switch (event->target) {
    case ADD:
        complete(world, event->id, TRN_OUTCOME_TEXT, "sum");
        break;
    case BOOK:
    case PROMPT:
        ask(world, SEATS);
        break;
    case DECLARED:
        context = trn_context(world->engine, event->id);
        check_string(context, "/answers/where/roots/0/uri", "file:///a");
        trn_string_free(context);
        complete(world, event->id, TRN_OUTCOME_TEXT, "declared");
        break;
    case POLL:
        if (trn_close_stream(world->engine, event->id, NULL) == TRN_STATUS_FALSE) {
            complete(world, event->id, TRN_OUTCOME_TEXT, "no stream");
        }
        break;
    default:
        break;
    }
}

static struct response *response_of(struct world *world, uint64_t id)
{
    for (size_t i = 0; i < COUNT(world->open); i++) {
        if (world->open[i] != NULL && world->open[i]->operation == id) {
            return world->open[i];
        }
    }
    return NULL;
}

static void on_head(struct response *response, const trn_event *event)
{
    CHECK(trn_json_integer(event->payload, "status", &response->status));
    for (int i = 0;; i++) {
        char path[32];
        snprintf(path, sizeof path, "/headers/%d/0", i);
        char *name = trn_json_string(event->payload, path, NULL);
        if (name == NULL) {
            break;
        }
        if (strcmp(name, "mcp-session-id") == 0) {
            snprintf(path, sizeof path, "/headers/%d/1", i);
            response->session = trn_json_string(event->payload, path, NULL);
        }
        trn_string_free(name);
    }
}

static void on_chunk(struct response *response, const trn_event *event)
{
    size_t length = 0, before = response->body == NULL ? 0 : strlen(response->body);
    char *piece = trn_json_string(event->payload, "", &length);
    CHECK(piece != NULL && response->status != 0 && !response->over);
    response->body = realloc(response->body, before + length + 1);
    CHECK(response->body != NULL);
    memcpy(response->body + before, piece, length + 1);
    trn_string_free(piece);
}

static void on_event(trn_engine *engine, const trn_event *event, void *user)
{
    struct world *world = user;
    struct response *response = response_of(world, event->id);
    CHECK(engine == world->engine);
    if (event->target != 0) {
        on_call(world, event);
    } else if (event->kind == TRN_EVENT_CANCELLED) {
        world->cancelled++;
        trn_string_free(world->reason);
        world->reason = trn_json_string(event->payload, "reason", NULL);
    } else if (event->kind == TRN_EVENT_NOTIFICATION) {
        CHECK(event->id == world->server);
        check_string(event->payload.ptr, "event", "roots_changed");
        world->roots_changed++;
    } else if (response != NULL && event->kind == TRN_EVENT_HTTP_HEAD) {
        on_head(response, event);
    } else if (response != NULL && event->kind == TRN_EVENT_HTTP_CHUNK) {
        on_chunk(response, event);
    } else if (response != NULL) {
        response->over = 1;
        response->kind = trn_json_string(event->payload, "kind", NULL);
    } else if (event->id == world->question && event->kind == TRN_EVENT_RESULT) {
        on_answers(world, event);
    } else if (event->id == world->question && event->kind == TRN_EVENT_ERROR) {
        trn_string_free(world->ask_error);
        world->ask_error = trn_json_string(event->payload, "kind", NULL);
        trn_complete(engine, world->exchange, TRN_OUTCOME_ERROR, event->payload, NULL);
    }
}

static struct world *open_world_with(const char *server_options, const char *http_options)
{
    struct world *world = calloc(1, sizeof *world);
    char options[256];
    CHECK(world != NULL);
    snprintf(options, sizeof options, "{\"driver\":\"%s\"}", driver);
    OK(trn_engine_new(trn_cstr(options), &world->engine, &error));
    snprintf(options, sizeof options, "{\"name\":\"carried\",\"version\":\"1\"%s}", server_options);
    OK(trn_server_new(world->engine, trn_cstr(options), &world->server, &error));
    for (size_t i = 0; i < COUNT(items); i++) {
        OK(trn_server_add(world->engine, world->server, items[i].item, trn_cstr(items[i].definition),
                          trn_cstr(items[i].options), items[i].target, &error));
    }
    snprintf(options, sizeof options, "{\"carried\":true%s}", http_options);
    OK(trn_serve_http(world->engine, world->server, trn_cstr(options), &world->endpoint, &error));
    return world;
}

static struct world *open_world(void)
{
    return open_world_with("", "");
}

static void close_world(struct world *world)
{
    for (size_t i = 0; i < COUNT(world->open); i++) {
        CHECK(world->open[i] == NULL);
    }
    OK(trn_server_close(world->engine, world->server, &error));
    check_nothing_lives(world->engine, on_event, world);
    trn_engine_free(world->engine);
    trn_string_free(world->session);
    trn_string_free(world->reason);
    trn_string_free(world->ask_error);
    free(world);
}

/* Hand a request in. `headers`: JSON members of the list of headers, each with a comma in front. */
static struct response *send(struct world *world, const char *method, const char *headers, const char *body)
{
    char head[1024], session[256] = "";
    if (world->session != NULL) {
        snprintf(session, sizeof session, ",[\"Mcp-Session-Id\",\"%s\"],[\"MCP-Protocol-Version\",\"2025-11-25\"]",
                 world->session);
    }
    snprintf(head, sizeof head,
             "{\"method\":\"%s\",\"target\":\"/mcp\",\"peer\":\"127.0.0.1\",\"headers\":[[\"Host\",\"localhost\"],"
             "[\"Content-Type\",\"application/json\"],[\"Accept\",\"application/json, text/event-stream\"]%s%s]}",
             method, session, headers);
    struct response *response = calloc(1, sizeof *response);
    CHECK(response != NULL);
    OK(trn_http_request(world->engine, world->endpoint, trn_cstr(head), trn_cstr(body), &response->operation, &error));
    size_t free_place = 0;
    while (world->open[free_place] != NULL) {
        CHECK(++free_place < COUNT(world->open));
    }
    world->open[free_place] = response;
    return response;
}

static struct response *post(struct world *world, const char *body)
{
    return send(world, "POST", "", body);
}

/* A modern request about `name` with these further members of its params, by a client with these capabilities. */
static struct response *ask_modern(struct world *world, const char *method, const char *name, const char *capabilities,
                                   const char *members)
{
    static int id;
    char headers[256], body[4096], named[128] = "";
    if (name != NULL) {
        snprintf(named, sizeof named, ",[\"Mcp-Name\",\"%s\"]", name);
    }
    snprintf(headers, sizeof headers, ",[\"MCP-Protocol-Version\",\"2026-07-28\"],[\"Mcp-Method\",\"%s\"]%s", method,
             named);
    snprintf(named, sizeof named, name == NULL ? "%s" : "\"name\":\"%s\",", name == NULL ? "" : name);
    int length = snprintf(body, sizeof body,
                          "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"%s\",\"params\":{%s%s\"_meta\":{"
                          "\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","
                          "\"io.modelcontextprotocol/clientCapabilities\":%s}}}",
                          ++id, method, named, members, capabilities);
    CHECK(length > 0 && (size_t)length < sizeof body);
    return send(world, "POST", headers, body);
}

#define ALL "{\"elicitation\":{},\"sampling\":{},\"roots\":{}}"

static void until_over(struct world *world, const struct response *response)
{
    while (!response->over) {
        turn(world->engine, on_event, world);
    }
}

static void until_body_has(struct world *world, const struct response *response, const char *text)
{
    while (response->body == NULL || strstr(response->body, text) == NULL) {
        CHECK(!response->over);
        turn(world->engine, on_event, world);
    }
}

static void done(struct world *world, struct response *response)
{
    for (size_t i = 0; i < COUNT(world->open); i++) {
        if (world->open[i] == response) {
            world->open[i] = NULL;
        }
    }
    trn_string_free(response->session);
    trn_string_free(response->kind);
    free(response->body);
    free(response);
}

/* The JSON of the message that has this text: the body, or one event of a stream. Free it. */
static char *message_with(const struct response *response, const char *text)
{
    const char *at = response->body == NULL ? NULL : strstr(response->body, text);
    CHECK(at != NULL);
    while (at > response->body && at[-1] != '\n') {
        at--;
    }
    at += strncmp(at, "data: ", 6) == 0 ? 6 : 0;
    size_t length = strcspn(at, "\r\n");
    char *message = calloc(1, length + 1);
    CHECK(message != NULL);
    memcpy(message, at, length);
    return message;
}

static void check_message(const struct response *response, const char *text, const char *path, const char *wanted)
{
    char *message = message_with(response, text);
    check_string(message, path, wanted);
    free(message);
}

/* The requestState of an answer that asks something, as JSON. */
static char *state_of(const struct response *response)
{
    char *message = message_with(response, "\"input_required\"");
    trn_str state;
    CHECK(trn_json_raw(trn_cstr(message), "/result/requestState", &state));
    char *copy = calloc(1, state.len + 1);
    CHECK(copy != NULL);
    memcpy(copy, state.ptr, state.len);
    free(message);
    return copy;
}

/* Sends it again with the answers, and waits for the response. */
static struct response *retry(struct world *world, const char *method, const char *name, struct response *before,
                              const char *answers)
{
    char members[3072], *state = state_of(before);
    snprintf(members, sizeof members, "\"inputResponses\":%s,\"requestState\":%s,", answers, state);
    free(state);
    done(world, before);
    struct response *response = ask_modern(world, method, name, ALL, members);
    until_over(world, response);
    return response;
}

static void initialize(struct world *world)
{
    struct response *response =
        post(world, "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{"
                    "\"protocolVersion\":\"2025-11-25\",\"capabilities\":" ALL ","
                    "\"clientInfo\":{\"name\":\"c\",\"version\":\"1\"}}}");
    until_over(world, response);
    CHECK(response->status == 200 && response->session != NULL);
    world->session = response->session;
    response->session = NULL;
    done(world, response);
    response = post(world, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
    until_over(world, response);
    CHECK(response->status == 202);
    done(world, response);
}

static void end_session(struct world *world)
{
    struct response *response = send(world, "DELETE", "", NULL);
    until_over(world, response);
    CHECK(response->status >= 200 && response->status < 300);
    done(world, response);
}

/* Answers the question in `stream` that has this text. */
static void answer(struct world *world, struct response *stream, const char *text, const char *result)
{
    char body[512];
    trn_str id;
    until_body_has(world, stream, text);
    char *message = message_with(stream, text);
    CHECK(trn_json_raw(trn_cstr(message), "id", &id));
    snprintf(body, sizeof body, "{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"result\":%s}", (int)id.len, id.ptr, result);
    free(message);
    struct response *response = post(world, body);
    until_over(world, response);
    CHECK(response->status == 202);
    done(world, response);
}

static void a_request_is_carried(void)
{
    struct world *world = open_world();
    struct response *response = ask_modern(world, "tools/call", "add", "{}", "");
    until_over(world, response);
    CHECK(response->status == 200 && response->kind == NULL);
    check_message(response, "\"result\"", "/result/content/0/text", "sum");
    done(world, response);
    response = send(world, "POST", ",[\"Origin\",\"https://evil.example\"]", "{}");
    until_over(world, response);
    CHECK(response->status == 403);
    done(world, response);
    response = send(world, "PUT", "", "{}");
    until_over(world, response);
    CHECK(response->status == 405);
    done(world, response);
    uint64_t operation = 1;
    CHECK_FAILS(USAGE, trn_http_request(world->engine, world->endpoint, trn_cstr("{\"method\":"), NONE, &operation,
                                        &error));
    CHECK(operation == 0);
    CHECK_FAILS(CLOSED, trn_http_request(world->engine, 999999, trn_cstr("{}"), NONE, &operation, &error));
    close_world(world);
}

static void a_caller_who_leaves(void)
{
    struct world *world = open_world();
    struct response *response = ask_modern(world, "tools/call", "hang", "{}", "");
    while (world->runs == 0) {
        turn(world->engine, on_event, world);
    }
    OK(trn_cancel(world->engine, response->operation, NONE, &error));
    until_over(world, response);
    CHECK_TEXT(response->kind, TRN_KIND_CANCELLED);
    while (world->cancelled == 0) {
        turn(world->engine, on_event, world);
    }
    CHECK(trn_remember(world->engine, world->exchange, trn_cstr("k"), trn_cstr("1"), NULL) == TRN_STATUS_FALSE);
    CHECK(trn_close_stream(world->engine, world->exchange, NULL) == TRN_STATUS_FALSE);
    done(world, response);
    close_world(world);
}

/* The run ends as if cancelled and is run again; its side effect between the questions happens once. */
static void a_modern_client_is_asked(void)
{
    struct world *world = open_world();
    world->asked_model = 1;
    struct response *response = ask_modern(world, "tools/call", "book", ALL, "");
    until_over(world, response);
    check_message(response, "\"input_required\"", "/result/inputRequests/seats/method", "elicitation/create");
    CHECK_TEXT(world->reason, "input_required");
    CHECK_TEXT(world->ask_error, TRN_KIND_CANCELLED);
    CHECK(world->runs == 1 && world->holds == 0 && world->cancelled == 1);

    response = retry(world, "tools/call", "book", response, "{\"seats\":" ACCEPT("3") "}");
    check_message(response, "\"input_required\"", "/result/inputRequests/where/method", "roots/list");
    CHECK(world->runs == 2 && world->holds == 1 && world->cancelled == 2);

    response = retry(world, "tools/call", "book", response, "{\"model\":" MODELLED ",\"where\":" ROOTS "}");
    check_message(response, "\"result\"", "/result/content/0/text", "booked");
    CHECK(world->runs == 3 && world->holds == 1 && world->cancelled == 2);
    done(world, response);
    close_world(world);
}

static void a_legacy_client_is_asked(void)
{
    struct world *world = open_world();
    world->asked_model = 1;
    initialize(world);
    struct response *response =
        post(world, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"book\"}}");
    answer(world, response, "elicitation/create", ACCEPT("3"));
    answer(world, response, "sampling/createMessage", MODELLED);
    answer(world, response, "roots/list", ROOTS);
    until_over(world, response);
    check_message(response, "\"content\":[", "/result/content/0/text", "booked");
    CHECK(world->runs == 1 && world->holds == 1 && world->cancelled == 0);
    done(world, response);
    end_session(world);
    close_world(world);
}

static void a_prompt_asks(void)
{
    struct world *world = open_world();
    struct response *response = ask_modern(world, "prompts/get", "asking", ALL, "");
    until_over(world, response);
    response = retry(world, "prompts/get", "asking", response, "{\"seats\":" ACCEPT("3") "}");
    check_message(response, "\"result\"", "/result/messages/0/content/text", "booked");
    done(world, response);
    close_world(world);
}

/* Neither a client that cannot be asked nor an answer that does not fit reaches the handler as an answer. */
static void questions_that_fail(void)
{
    struct world *world = open_world();
    struct response *response = ask_modern(world, "tools/call", "book", "{}", "");
    until_over(world, response);
    CHECK(response->status == 400);
    CHECK_TEXT(world->ask_error, TRN_KIND_MISSING_CAPABILITY);
    char *message = message_with(response, "\"error\"");
    CHECK(number_at(message, "/error/code") == TRN_STATUS_MISSING_CAPABILITY);
    free(message);
    done(world, response);
    response = ask_modern(world, "tools/call", "book", ALL, "\"inputResponses\":{\"seats\":" ACCEPT("11") "},");
    until_over(world, response);
    CHECK_TEXT(world->ask_error, TRN_KIND_INVALID_PARAMS);
    done(world, response);

    response = ask_modern(world, "tools/call", "hang", ALL, "");
    while (world->runs < 3) {
        turn(world->engine, on_event, world);
    }
    CHECK_FAILS(USAGE, trn_request(world->engine, world->exchange, "ask", trn_cstr("{}"), NONE, &world->question,
                                   &error));
    CHECK_FAILS(USAGE, trn_request(world->engine, world->exchange, "ping", NONE, NONE, &world->question, &error));
    CHECK_FAILS(USAGE, trn_remember(world->engine, world->exchange, trn_cstr("k"), trn_cstr("{"), &error));
    enum { TOO_MUCH = 300 << 10 };
    char *much = malloc(TOO_MUCH);
    CHECK(much != NULL);
    memset(much, 'x', TOO_MUCH);
    much[0] = much[TOO_MUCH - 1] = '"';
    trn_str value = {much, TOO_MUCH};
    CHECK_FAILS(LIMIT, trn_remember(world->engine, world->exchange, trn_cstr("k"), value, &error));
    free(much);
    complete(world, world->exchange, TRN_OUTCOME_TEXT, "over");
    until_over(world, response);
    CHECK(trn_request(world->engine, world->exchange, "ask", trn_cstr(SEATS), NONE, &world->question, NULL) !=
          TRN_STATUS_OK);
    done(world, response);
    close_world(world);
}

static void what_is_asked_before(void)
{
    struct world *world = open_world();
    struct response *response = ask_modern(world, "tools/call", "declared", ALL, "");
    until_over(world, response);
    CHECK(world->runs == 0);
    response = retry(world, "tools/call", "declared", response, "{\"where\":" ROOTS "}");
    check_message(response, "\"result\"", "/result/content/0/text", "declared");
    CHECK(world->runs == 1);
    done(world, response);
    CHECK_FAILS(USAGE, trn_server_add(world->engine, world->server, "tool",
                                      trn_cstr("{\"name\":\"x\"," EMPTY_SCHEMA "}"),
                                      trn_cstr("{\"asks\":{\"q\":{\"op\":\"dance\"}}}"), 1, &error));
    close_world(world);
}

/* The value of the last `id:` line of a stream. */
static void last_id(const struct response *response, char *id, size_t size)
{
    const char *found = NULL;
    for (const char *at = response->body; (at = strstr(at, "id: ")) != NULL; at++) {
        if (at == response->body || at[-1] == '\n') {
            found = at + 4;
        }
    }
    CHECK(found != NULL);
    snprintf(id, size, "%.*s", (int)strcspn(found, "\r\n"), found);
}

static void a_stream_is_let_go(void)
{
    struct world *world = open_world();
    initialize(world);
    struct response *response =
        post(world, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"poll\"}}");
    until_over(world, response);
    CHECK(response->status == 200 && world->cancelled == 0);
    char id[128], headers[256];
    last_id(response, id, sizeof id);
    done(world, response);
    complete(world, world->exchange, TRN_OUTCOME_TEXT, "later");
    snprintf(headers, sizeof headers, ",[\"Last-Event-ID\",\"%s\"]", id);
    response = send(world, "GET", headers, NULL);
    until_over(world, response);
    check_message(response, "\"content\"", "/result/content/0/text", "later");
    done(world, response);
    end_session(world);

    trn_string_free(world->session);
    world->session = NULL;
    response = ask_modern(world, "tools/call", "poll", "{}", "");
    until_over(world, response);
    check_message(response, "\"result\"", "/result/content/0/text", "no stream");
    done(world, response);
    close_world(world);
}

/* Any process that has the keys can take a call on from where another left it. */
static void processes_share_their_keys(void)
{
    static const char *const keys = ",\"stateKeys\":[\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"]";
    struct world *first = open_world_with(keys, ""), *second = open_world_with(keys, ""), *stranger = open_world();
    struct response *response = ask_modern(first, "tools/call", "book", ALL, "");
    until_over(first, response);
    char members[2048], *state = state_of(response);
    snprintf(members, sizeof members, "\"inputResponses\":{\"seats\":" ACCEPT("3") "},\"requestState\":%s,", state);
    free(state);
    done(first, response);
    response = ask_modern(stranger, "tools/call", "book", ALL, members);
    until_over(stranger, response);
    CHECK(stranger->runs == 0);
    char *message = message_with(response, "\"error\"");
    CHECK(number_at(message, "/error/code") == TRN_STATUS_INVALID_PARAMS);
    free(message);
    done(stranger, response);
    response = ask_modern(second, "tools/call", "book", ALL, members);
    until_over(second, response);
    check_message(response, "\"result\"", "/result/content/0/text", "booked");
    done(second, response);
    close_world(stranger);
    close_world(second);
    close_world(first);
}

static void options_of_the_endpoint(void)
{
    struct world *world = open_world_with("", ",\"sessions\":false,\"publicUrl\":\"https://mcp.example/mcp\"");
    struct response *response =
        post(world, "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{"
                    "\"protocolVersion\":\"2025-11-25\",\"capabilities\":{},"
                    "\"clientInfo\":{\"name\":\"c\",\"version\":\"1\"}}}");
    until_over(world, response);
    CHECK(response->status == 200 && response->session == NULL);
    done(world, response);
    response = send(world, "PUT", ",[\"Origin\",\"https://mcp.example\"]", "{}");
    until_over(world, response);
    CHECK(response->status == 405);
    done(world, response);
    uint64_t endpoint = 0;
    CHECK_FAILS(USAGE, trn_serve_http(world->engine, world->server, trn_cstr("{\"publicUrl\":\"mcp.example\"}"),
                                      &endpoint, &error));
    close_world(world);
}

static void changes_are_told(void)
{
    struct world *world = open_world();
    struct response *listening =
        ask_modern(world, "subscriptions/listen", NULL, "{}",
                   "\"notifications\":{\"toolsListChanged\":true,\"resourceSubscriptions\":[\"test://note\"]},");
    until_body_has(world, listening, "acknowledged");
    OK(trn_notify(world->engine, world->server, "resource_updated", trn_cstr("{\"uri\":\"test://note\"}"), &error));
    until_body_has(world, listening, "notifications/resources/updated");
    check_message(listening, "resources/updated", "/params/uri", "test://note");
    OK(trn_notify(world->engine, world->server, "tools_changed", NONE, &error));
    until_body_has(world, listening, "notifications/tools/list_changed");
    CHECK_FAILS(USAGE, trn_notify(world->engine, world->server, "weather_changed", NONE, &error));
    CHECK_FAILS(USAGE, trn_notify(world->engine, world->server, "resource_updated", NONE, &error));
    CHECK(trn_notify(world->engine, 999999, "tools_changed", NONE, NULL) == TRN_STATUS_FALSE);
    OK(trn_cancel(world->engine, listening->operation, NONE, &error));
    until_over(world, listening);
    done(world, listening);

    initialize(world);
    struct response *response =
        post(world, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/roots/list_changed\"}");
    until_over(world, response);
    done(world, response);
    while (world->roots_changed == 0) {
        turn(world->engine, on_event, world);
    }
    end_session(world);
    close_world(world);
}

static const char CALL_ADD[] =
    "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\",\"params\":{\"name\":\"add\",\"arguments\":{}}}";

static void servers_share_a_store(void)
{
    char folder[] = "/tmp/trunnion-XXXXXX", option[128], file[64];
    CHECK(mkdtemp(folder) != NULL);
    snprintf(option, sizeof option, ",\"store\":\"%s/db\"", folder);
    struct world *one = open_world_with(option, ""), *other = open_world_with(option, "");

    initialize(one);
    other->session = one->session;
    struct response *response = post(other, CALL_ADD);
    until_over(other, response);
    CHECK(response->status == 200);
    check_message(response, "sum", "/result/content/0/text", "sum");
    done(other, response);
    end_session(other);
    int64_t status = 0;
    while (status != 404) { /* The news may take a moment. What a handler answers could meet it half-way. */
        response = post(one, "{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"tools/list\"}");
        until_over(one, response);
        status = response->status;
        done(one, response);
    }
    other->session = NULL;
    trn_string_free(one->session);
    one->session = NULL;

    response = ask_modern(one, "subscriptions/listen", NULL, "{}", "\"notifications\":{\"toolsListChanged\":true},");
    until_body_has(one, response, "acknowledged");
    OK(trn_notify(other->engine, other->server, "tools_changed", NONE, &error));
    until_body_has(one, response, "notifications/tools/list_changed");
    OK(trn_cancel(one->engine, response->operation, NONE, &error));
    until_over(one, response);
    done(one, response);
    close_world(one);
    close_world(other);
    static const char *const files[] = {"db", "db-wal", "db-shm"};
    for (size_t i = 0; i < COUNT(files); i++) {
        snprintf(file, sizeof file, "%s/%s", folder, files[i]);
        unlink(file);
    }
    CHECK(rmdir(folder) == 0);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(a_request_is_carried),  TEST(a_caller_who_leaves),  TEST(a_modern_client_is_asked),
        TEST(a_legacy_client_is_asked), TEST(a_prompt_asks),     TEST(questions_that_fail),
        TEST(what_is_asked_before),  TEST(a_stream_is_let_go),   TEST(changes_are_told),
        TEST(processes_share_their_keys), TEST(options_of_the_endpoint), TEST(servers_share_a_store),
    };
    static const char *const drivers[] = {"threaded", "hosted"};
    for (size_t i = 0; i < COUNT(drivers); i++) {
        driver = drivers[i];
        printf("driver %s\n", driver);
        run_tests(tests, COUNT(tests), argc, argv);
    }
    return 0;
}
