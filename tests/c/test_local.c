/* A client and a server in one engine, with either driver: calls, answers, progress, cancelling, exits. */
#define _POSIX_C_SOURCE 200809L

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "harness.h"

enum { ADD = 1, ECHO, HANG, TWICE, LATE, STEPS, WHO, FAIL, LOG, ODD, NOTE, DATA, PROMPT, COMPLETION };

struct world {
    trn_engine *engine;
    uint64_t server, client;
    /* The state that handlers and tests share. */
    uint64_t call, hanging, second_client;
    int cancel_when_hanging, close_when_hanging, cancelled_seen, closed_seen, progress_seen, results;
    double progress;
    trn_status logged;
    char *log;
    pthread_t helper;
    int helper_runs;
};

static const struct {
    const char *item, *definition;
    uint64_t target;
} items[] = {
    {"tool",
     "{\"name\":\"add\",\"inputSchema\":{\"type\":\"object\",\"required\":[\"a\",\"b\"],"
     "\"properties\":{\"a\":{\"type\":\"number\"},\"b\":{\"type\":\"number\"}}}}",
     ADD},
    {"tool", "{\"name\":\"echo\",\"inputSchema\":{\"type\":\"object\"}}", ECHO},
    {"tool", "{\"name\":\"hang\",\"inputSchema\":{\"type\":\"object\"}}", HANG},
    {"tool", "{\"name\":\"twice\",\"inputSchema\":{\"type\":\"object\"}}", TWICE},
    {"tool", "{\"name\":\"late\",\"inputSchema\":{\"type\":\"object\"}}", LATE},
    {"tool", "{\"name\":\"steps\",\"inputSchema\":{\"type\":\"object\"}}", STEPS},
    {"tool", "{\"name\":\"who\",\"inputSchema\":{\"type\":\"object\"}}", WHO},
    {"tool", "{\"name\":\"fail\",\"inputSchema\":{\"type\":\"object\"}}", FAIL},
    {"tool", "{\"name\":\"note\",\"inputSchema\":{\"type\":\"object\"}}", LOG},
    {"tool", "{\"name\":\"odd\",\"inputSchema\":{\"type\":\"object\"}}", ODD},
    {"resource", "{\"uri\":\"test://note\",\"name\":\"note\",\"mimeType\":\"text/plain\"}", NOTE},
    {"resource_template", "{\"uriTemplate\":\"test://data/{id}\",\"name\":\"data\"}", DATA},
    {"prompt", "{\"name\":\"greet\",\"arguments\":[{\"name\":\"whom\"}]}", PROMPT},
    {"completion", "{\"ref\":{\"type\":\"ref/prompt\",\"name\":\"greet\"}}", COMPLETION},
};

static void complete(struct world *world, const trn_event *event, trn_outcome outcome, const char *payload)
{
    OK(trn_complete(world->engine, event->id, (uint32_t)outcome, trn_cstr(payload), &error));
}

static void *answer_late(void *user)
{
    struct world *world = user;
    OK(trn_complete(world->engine, world->hanging, TRN_OUTCOME_TEXT, trn_cstr("late"), &error));
    return NULL;
}

static void on_call(struct world *world, const trn_event *event)
{
    char text[64], *owned;
    switch (event->target) {
    case ADD:
        snprintf(text, sizeof text, "{\"sum\":%g}", number_at(event->payload.ptr, "a") + number_at(event->payload.ptr, "b"));
        complete(world, event, TRN_OUTCOME_VALUE, text);
        break;
    case ECHO:
        owned = trn_json_string(event->payload, "text", NULL);
        complete(world, event, TRN_OUTCOME_TEXT, owned);
        trn_string_free(owned);
        break;
    case HANG:
        world->hanging = event->id;
        if (world->cancel_when_hanging) {
            OK(trn_cancel(world->engine, world->call, trn_cstr("changed my mind"), &error));
        }
        if (world->close_when_hanging) {
            OK(trn_client_close(world->engine, world->client, &error));
        }
        break;
    case TWICE:
        complete(world, event, TRN_OUTCOME_TEXT, "first");
        CHECK(trn_complete(world->engine, event->id, TRN_OUTCOME_TEXT, trn_cstr("second"), NULL) == TRN_STATUS_FALSE);
        break;
    case LATE:
        world->hanging = event->id;
        world->helper_runs = 1;
        CHECK(pthread_create(&world->helper, NULL, answer_late, world) == 0);
        break;
    case STEPS:
        OK(trn_progress(world->engine, event->id, trn_cstr("{\"progress\":1,\"total\":2,\"message\":\"half\"}"), &error));
        OK(trn_progress(world->engine, event->id, trn_cstr("{\"progress\":2,\"total\":2}"), &error));
        CHECK_FAILS(USAGE, trn_progress(world->engine, event->id, trn_cstr("{\"progress\":"), &error));
        complete(world, event, TRN_OUTCOME_TEXT, "done");
        break;
    case WHO:
        owned = trn_context(world->engine, event->id);
        complete(world, event, TRN_OUTCOME_VALUE, owned);
        trn_string_free(owned);
        CHECK(trn_context(world->engine, event->id) == NULL);
        break;
    case LOG:
        CHECK_FAILS(USAGE, trn_log(world->engine, event->id, trn_cstr("{\"level\":"), &error));
        world->logged = trn_log(world->engine, event->id,
                                trn_cstr("{\"level\":\"warning\",\"data\":{\"left\":3},\"logger\":\"disk\"}"), NULL);
        complete(world, event, TRN_OUTCOME_TEXT, "logged");
        break;
    case FAIL:
        complete(world, event, TRN_OUTCOME_TOOL_ERROR, "it broke");
        break;
    default:
        complete(world, event, TRN_OUTCOME_ERROR, "{\"code\":-32099,\"message\":\"odd\",\"data\":{\"why\":\"because\"}}");
    }
}

static void on_event(trn_engine *engine, const trn_event *event, void *user)
{
    struct world *world = user;
    CHECK(engine == world->engine);
    CHECK(event->payload.ptr[event->payload.len] == '\0');
    char *name;
    switch (event->kind) {
    case TRN_EVENT_CALL_TOOL:
        on_call(world, event);
        break;
    case TRN_EVENT_READ_RESOURCE:
        if (event->target == NOTE) {
            complete(world, event, TRN_OUTCOME_TEXT, "a note");
        } else {
            CHECK(event->target == DATA);
            name = trn_json_string(event->payload, "/params/id", NULL);
            complete(world, event, TRN_OUTCOME_TEXT, name);
            trn_string_free(name);
        }
        break;
    case TRN_EVENT_GET_PROMPT:
        CHECK(event->target == PROMPT);
        name = trn_json_string(event->payload, "whom", NULL);
        complete(world, event, TRN_OUTCOME_TEXT, name);
        trn_string_free(name);
        break;
    case TRN_EVENT_COMPLETE:
        CHECK(event->target == COMPLETION);
        check_string(event->payload.ptr, "/argument/name", "whom");
        complete(world, event, TRN_OUTCOME_VALUE, "[\"world\",\"wide\"]");
        break;
    case TRN_EVENT_CANCELLED:
        CHECK(event->id == world->hanging);
        world->cancelled_seen++;
        break;
    case TRN_EVENT_NOTIFICATION:
        CHECK(event->id == world->client);
        check_string(event->payload.ptr, "event", "log");
        trn_string_free(world->log);
        world->log = trn_json_string(event->payload, "/params/logger", NULL);
        CHECK(number_at(event->payload.ptr, "/params/data/left") == 3);
        break;
    case TRN_EVENT_CLOSED:
        world->closed_seen++;
        break;
    case TRN_EVENT_PROGRESS:
        CHECK(event->id == world->call);
        world->progress_seen++;
        world->progress = number_at(event->payload.ptr, "progress");
        break;
    default:
        break;
    }
}

static const char *driver, *telemetry = "";

static struct world *open_world(void)
{
    struct world *world = calloc(1, sizeof *world);
    char options[128], target[64];
    CHECK(world != NULL);
    snprintf(options, sizeof options, "{\"driver\":\"%s\"%s}", driver, telemetry);
    OK(trn_engine_new(trn_cstr(options), &world->engine, &error));
    OK(trn_server_new(world->engine, trn_cstr("{\"name\":\"local\",\"version\":\"1\"}"), &world->server, &error));
    for (size_t i = 0; i < COUNT(items); i++) {
        OK(trn_server_add(world->engine, world->server, items[i].item, trn_cstr(items[i].definition), NONE,
                          items[i].target, &error));
    }
    snprintf(target, sizeof target, "{\"server\":%" PRIu64 "}", world->server);
    OK(trn_connect(world->engine, trn_cstr(target), NONE, &world->client, &error));
    OK(trn_run(world->engine, world->client, on_event, world, NULL, &error));
    return world;
}

static void close_world(struct world *world)
{
    OK(trn_client_close(world->engine, world->client, &error));
    OK(trn_client_close(world->engine, world->client, &error));
    while (!world->closed_seen) {
        turn(world->engine, on_event, world);
    }
    OK(trn_server_close(world->engine, world->server, &error));
    check_nothing_lives(world->engine, on_event, world);
    OK(trn_close(world->engine, 1000, &error));
    trn_engine_free(world->engine);
    trn_string_free(world->log);
    if (world->helper_runs) {
        pthread_join(world->helper, NULL);
    }
    free(world);
}

static trn_status request(struct world *world, const char *op, const char *params, const char *options, char **result,
                          trn_error **error)
{
    trn_status status = trn_request(world->engine, world->client, op, trn_cstr(params), trn_cstr(options), &world->call,
                                    error);
    if (status == TRN_STATUS_OK) {
        status = trn_run(world->engine, world->call, on_event, world, result, error);
    }
    return status;
}

static char *expect(struct world *world, const char *op, const char *params, const char *options)
{
    char *result = NULL;
    OK(request(world, op, params, options, &result, &error));
    CHECK(result != NULL);
    return result;
}

static void tools_are_listed_and_called(void)
{
    struct world *world = open_world();
    char *tools = expect(world, TRN_OP_LIST_TOOLS, NULL, NULL);
    check_string(tools, "/tools/0/name", "add");
    check_string(tools, "/tools/9/name", "odd");
    trn_string_free(tools);
    char *sum = expect(world, TRN_OP_CALL_TOOL, "{\"name\":\"add\",\"arguments\":{\"a\":2,\"b\":3}}", NULL);
    CHECK(number_at(sum, "/structuredContent/sum") == 5);
    trn_string_free(sum);
    char *echo = expect(world, TRN_OP_CALL_TOOL,
                        "{\"name\":\"echo\",\"arguments\":{\"text\":\"h\u00e9llo \U0001F600\\n\"}}", NULL);
    check_string(echo, "/content/0/text", "h\u00e9llo \U0001F600\n");
    trn_string_free(echo);
    close_world(world);
}

static void resources_prompts_and_completion(void)
{
    struct world *world = open_world();
    char *note = expect(world, TRN_OP_READ_RESOURCE, "{\"uri\":\"test://note\"}", NULL);
    check_string(note, "/contents/0/text", "a note");
    char *data = expect(world, TRN_OP_READ_RESOURCE, "{\"uri\":\"test://data/42\"}", NULL);
    check_string(data, "/contents/0/text", "42");
    char *prompt = expect(world, TRN_OP_GET_PROMPT, "{\"name\":\"greet\",\"arguments\":{\"whom\":\"you\"}}", NULL);
    check_string(prompt, "/messages/0/content/text", "you");
    char *values = expect(world, TRN_OP_COMPLETE,
                          "{\"ref\":{\"type\":\"ref/prompt\",\"name\":\"greet\"},"
                          "\"argument\":{\"name\":\"whom\",\"value\":\"w\"}}",
                          NULL);
    check_string(values, "/completion/values/1", "wide");
    trn_string_free(values);
    trn_string_free(prompt);
    trn_string_free(data);
    trn_string_free(note);
    close_world(world);
}

static void failures_have_their_kind(void)
{
    struct world *world = open_world();
    char *result = expect(world, TRN_OP_CALL_TOOL, "{\"name\":\"fail\"}", NULL);
    CHECK(flag_at(result, "isError"));
    check_string(result, "/content/0/text", "it broke");
    trn_string_free(result);
    result = NULL;
    CHECK_FAILS(INVALID_PARAMS, request(world, TRN_OP_CALL_TOOL, "{\"name\":\"nope\"}", NULL, &result, &error));
    CHECK(result == NULL);

    trn_error *error = NULL;
    CHECK(request(world, TRN_OP_CALL_TOOL, "{\"name\":\"odd\"}", NULL, &result, &error) == TRN_STATUS_REMOTE);
    CHECK(error->code == -32099);
    CHECK_TEXT(error->kind, TRN_KIND_REMOTE);
    CHECK_TEXT(error->message, "odd");
    check_string(error->data, "why", "because");
    trn_error_free(error);
    CHECK_FAILS(USAGE, request(world, "dance", NULL, NULL, &result, &error));
    CHECK_FAILS(USAGE, request(world, TRN_OP_CALL_TOOL, "{\"name\":", NULL, &result, &error));
    CHECK_FAILS(USAGE, request(world, TRN_OP_LIST_TOOLS, NULL, "{\"noSuchOption\":1}", &result, &error));
    close_world(world);
}

static void answering_twice_harms_nobody(void)
{
    struct world *world = open_world();
    char *result = expect(world, TRN_OP_CALL_TOOL, "{\"name\":\"twice\"}", NULL);
    check_string(result, "/content/0/text", "first");
    trn_string_free(result);
    close_world(world);
}

static void another_thread_answers(void)
{
    struct world *world = open_world();
    char *result = expect(world, TRN_OP_CALL_TOOL, "{\"name\":\"late\"}", NULL);
    check_string(result, "/content/0/text", "late");
    trn_string_free(result);
    close_world(world);
}

static void progress_arrives_in_order(void)
{
    struct world *world = open_world();
    char *result = expect(world, TRN_OP_CALL_TOOL, "{\"name\":\"steps\"}", "{\"progress\":true}");
    trn_string_free(result);
    CHECK(world->progress_seen == 2 && world->progress == 2);
    close_world(world);
}

static void a_handler_sees_the_trace(void)
{
    static const char sent[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const char *plain = telemetry;
    for (int on = 0; on < 2; on++) {
        telemetry = on ? ",\"telemetry\":{\"endpoint\":\"http://127.0.0.1:9\"}" : plain;
        struct world *world = open_world();
        char options[128];
        snprintf(options, sizeof options, "{\"meta\":{\"traceparent\":\"%s\"}}", sent);
        char *result = expect(world, TRN_OP_CALL_TOOL, "{\"name\":\"who\"}", options);
        char *seen = trn_json_string(trn_cstr(result), "/structuredContent/meta/traceparent", NULL);
        CHECK(seen != NULL && strncmp(seen, sent, 36) == 0);
        CHECK((strcmp(seen, sent) == 0) == !on);
        trn_string_free(seen);
        trn_string_free(result);
        close_world(world);
    }
    telemetry = plain;
    trn_engine *engine = NULL;
    CHECK_FAILS(USAGE, trn_engine_new(trn_cstr("{\"telemetry\":{}}"), &engine, &error));
}

static void log_messages_reach_who_asked(void)
{
    struct world *world = open_world();
    char *result = expect(world, TRN_OP_CALL_TOOL, "{\"name\":\"note\"}",
                          "{\"meta\":{\"io.modelcontextprotocol/logLevel\":\"info\"}}");
    trn_string_free(result);
    CHECK(world->logged == TRN_STATUS_OK);
    CHECK_TEXT(world->log, "disk");
    trn_string_free(world->log);
    world->log = NULL;
    result = expect(world, TRN_OP_CALL_TOOL, "{\"name\":\"note\"}",
                    "{\"meta\":{\"io.modelcontextprotocol/logLevel\":\"error\"}}");
    trn_string_free(result);
    CHECK(world->log == NULL);
    close_world(world);
}

static void a_handler_knows_its_caller(void)
{
    struct world *world = open_world();
    char *result = expect(world, TRN_OP_CALL_TOOL, "{\"name\":\"who\"}", NULL);
    trn_str value;
    CHECK(trn_json_raw(trn_cstr(result), "/structuredContent/requestId", &value));
    CHECK(trn_json_raw(trn_cstr(result), "/structuredContent/clientCapabilities", &value));
    CHECK(trn_json_raw(trn_cstr(result), "/structuredContent/revision", &value));
    trn_string_free(result);
    close_world(world);
}

static void cancelling_reaches_the_handler(void)
{
    struct world *world = open_world();
    world->cancel_when_hanging = 1;
    CHECK_FAILS(CANCELLED, request(world, TRN_OP_CALL_TOOL, "{\"name\":\"hang\"}", NULL, NULL, &error));
    while (!world->cancelled_seen) {
        turn(world->engine, on_event, world);
    }
    CHECK(trn_complete(world->engine, world->hanging, TRN_OUTCOME_TEXT, trn_cstr("x"), NULL) == TRN_STATUS_FALSE);
    CHECK(trn_context(world->engine, world->hanging) == NULL);
    CHECK(trn_cancel(world->engine, world->call, NONE, NULL) == TRN_STATUS_FALSE);
    char *result = expect(world, TRN_OP_CALL_TOOL, "{\"name\":\"echo\",\"arguments\":{\"text\":\"on\"}}", NULL);
    trn_string_free(result);
    CHECK(world->cancelled_seen == 1);
    close_world(world);
}

static void closing_fails_what_is_in_flight(void)
{
    struct world *world = open_world();
    world->close_when_hanging = 1;
    CHECK_FAILS(CLOSED, request(world, TRN_OP_CALL_TOOL, "{\"name\":\"hang\"}", NULL, NULL, &error));
    CHECK_FAILS(CLOSED, request(world, TRN_OP_CALL_TOOL, "{\"name\":\"echo\"}", NULL, NULL, &error));
    close_world(world);
}

static void freeing_with_all_open(void)
{
    struct world *world = open_world();
    OK(trn_request(world->engine, world->client, TRN_OP_CALL_TOOL, trn_cstr("{\"name\":\"hang\"}"), NONE, &world->call,
                   &error));
    while (world->hanging == 0) {
        turn(world->engine, on_event, world);
    }
    trn_engine_free(world->engine);
    free(world);
}

/* An answer that is not JSON fails its own call and is not reported to the handler; other calls continue. */
static void answers_that_are_no_json(void)
{
    static const struct {
        trn_outcome outcome;
        const char *payload;
    } bad[] = {
        {TRN_OUTCOME_VALUE, "{\"sum\":"}, {TRN_OUTCOME_VALUE, ""},        {TRN_OUTCOME_RESULT, "nonsense"},
        {TRN_OUTCOME_RESULT, "[]"},        {TRN_OUTCOME_ERROR, "nonsense"}, {(trn_outcome)77, "x"},
    };
    struct world *world = open_world();
    for (size_t i = 0; i < COUNT(bad); i++) {
        world->hanging = 0;
        OK(trn_request(world->engine, world->client, TRN_OP_CALL_TOOL, trn_cstr("{\"name\":\"hang\"}"), NONE,
                       &world->call, &error));
        while (world->hanging == 0) {
            turn(world->engine, on_event, world);
        }
        OK(trn_complete(world->engine, world->hanging, (uint32_t)bad[i].outcome, trn_cstr(bad[i].payload), &error));
        CHECK_FAILS(INTERNAL_ERROR, trn_run(world->engine, world->call, on_event, world, NULL, &error));
    }
    char *result = expect(world, TRN_OP_CALL_TOOL, "{\"name\":\"echo\",\"arguments\":{\"text\":\"on\"}}", NULL);
    trn_string_free(result);
    close_world(world);
}

/* A call whose handler never answers times out after its own limit. */
static void a_tool_has_a_time_limit(void)
{
    struct world *world = open_world();
    OK(trn_server_add(world->engine, world->server, "tool",
                      trn_cstr("{\"name\":\"limited\",\"inputSchema\":{\"type\":\"object\"}}"),
                      trn_cstr("{\"timeoutMs\":1}"), HANG, &error));
    char *result = expect(world, TRN_OP_CALL_TOOL, "{\"name\":\"limited\"}", NULL);
    CHECK(flag_at(result, "isError"));
    trn_string_free(result);
    while (!world->cancelled_seen) {
        turn(world->engine, on_event, world);
    }
    close_world(world);
}

static void close_engine_at_call(trn_engine *engine, const trn_event *event, void *user)
{
    struct world *world = user;
    if (event->kind == TRN_EVENT_CALL_TOOL) {
        OK(trn_close(engine, 1000, &error));
        CHECK(trn_complete(engine, event->id, TRN_OUTCOME_TEXT, trn_cstr("late"), NULL) == TRN_STATUS_FALSE);
    }
    world->closed_seen += event->kind == TRN_EVENT_CLOSED;
}

static void a_handler_closes_the_engine(void)
{
    struct world *world = open_world();
    OK(trn_request(world->engine, world->client, TRN_OP_CALL_TOOL, trn_cstr("{\"name\":\"hang\"}"), NONE, &world->call,
                   &error));
    /* The event comes from the client or from the server, whichever was notified first. */
    trn_status status = trn_run(world->engine, world->call, close_engine_at_call, world, NULL, NULL);
    CHECK(status == TRN_STATUS_CLOSED || status == TRN_STATUS_INTERNAL_ERROR);
    check_nothing_lives(world->engine, close_engine_at_call, world);
    trn_engine_free(world->engine);
    free(world);
}

static void batches_of_answers(void)
{
    enum { MANY = 300 };
    struct world *world = open_world();
    trn_completion answers[MANY];
    size_t count = 0, results = 0;
    for (int i = 0; i < MANY; i++) {
        uint64_t call = 0;
        OK(trn_request(world->engine, world->client, TRN_OP_CALL_TOOL, trn_cstr("{\"name\":\"hang\"}"), NONE, &call,
                       &error));
    }
    while (results < MANY) {
        trn_batch *batch = NULL;
        if (count == 0) {
            OK(trn_wait(world->engine, LONG_MS, &error));
        }
        OK(trn_drain(world->engine, answers, count, &batch, &error));
        count = 0;
        for (size_t i = 0; i < trn_batch_len(batch); i++) {
            const trn_event *event = trn_batch_at(batch, i);
            CHECK(event->kind == TRN_EVENT_CALL_TOOL || event->kind == TRN_EVENT_RESULT);
            if (event->kind == TRN_EVENT_CALL_TOOL) {
                CHECK(count < MANY);
                answers[count].id = event->id;
                answers[count].outcome = TRN_OUTCOME_TEXT;
                answers[count++].payload = trn_cstr("ok");
            } else {
                results++;
            }
        }
        CHECK(trn_batch_at(batch, trn_batch_len(batch)) == NULL);
        trn_batch_free(batch);
    }
    close_world(world);
}

enum { ASKERS = 4, QUESTIONS = 50 };

static void *ask_often(void *user)
{
    struct world *world = user;
    for (int i = 0; i < QUESTIONS; i++) {
        uint64_t call = 0;
        OK(trn_request(world->engine, world->client, TRN_OP_CALL_TOOL,
                       trn_cstr("{\"name\":\"echo\",\"arguments\":{\"text\":\"me\"}}"), NONE, &call, &error));
    }
    return NULL;
}

static void count_result(trn_engine *engine, const trn_event *event, void *user)
{
    struct world *world = user;
    CHECK(event->kind != TRN_EVENT_ERROR);
    world->results += event->kind == TRN_EVENT_RESULT;
    on_event(engine, event, world);
}

static void many_threads_ask(void)
{
    struct world *world = open_world();
    pthread_t askers[ASKERS];
    for (int i = 0; i < ASKERS; i++) {
        CHECK(pthread_create(&askers[i], NULL, ask_often, world) == 0);
    }
    while (world->results < ASKERS * QUESTIONS) {
        turn(world->engine, count_result, world);
    }
    for (int i = 0; i < ASKERS; i++) {
        CHECK(pthread_join(askers[i], NULL) == 0);
    }
    close_world(world);
}

static void a_loop_on_the_descriptor(void)
{
    struct world *world = open_world();
    struct pollfd watched = {trn_fd(world->engine), POLLIN, 0};
    CHECK(watched.fd >= 0);
    OK(trn_request(world->engine, world->client, TRN_OP_CALL_TOOL, trn_cstr("{\"name\":\"steps\"}"),
                   trn_cstr("{\"progress\":true}"), &world->call, &error));
    for (int over = 0; !over;) {
        CHECK(poll(&watched, 1, LONG_MS) == 1);
        trn_batch *batch = NULL;
        OK(trn_drain(world->engine, NULL, 0, &batch, &error));
        for (size_t i = 0; i < trn_batch_len(batch); i++) {
            const trn_event *event = trn_batch_at(batch, i);
            over |= event->kind == TRN_EVENT_RESULT && event->id == world->call;
            on_event(world->engine, event, world);
        }
        trn_batch_free(batch);
    }
    CHECK(world->progress_seen == 2);
    close_world(world);
}

static void signal_pipe(void *user)
{
    const int *ends = user;
    char byte = 1;
    CHECK(write(ends[1], &byte, 1) == 1);
}

static void a_loop_that_is_woken(void)
{
    int ends[2];
    CHECK(pipe(ends) == 0);
    struct world *world = open_world();
    OK(trn_set_wake(world->engine, signal_pipe, ends, &error));
    OK(trn_request(world->engine, world->client, TRN_OP_CALL_TOOL,
                   trn_cstr("{\"name\":\"echo\",\"arguments\":{\"text\":\"awake\"}}"), NONE, &world->call, &error));
    for (int over = 0; !over;) {
        struct pollfd watched = {ends[0], POLLIN, 0};
        char byte;
        CHECK(poll(&watched, 1, LONG_MS) == 1);
        CHECK(read(ends[0], &byte, 1) == 1);
        for (size_t count = 1; count > 0;) {
            trn_batch *batch = NULL;
            OK(trn_drain(world->engine, NULL, 0, &batch, &error));
            count = trn_batch_len(batch);
            for (size_t i = 0; i < count; i++) {
                const trn_event *event = trn_batch_at(batch, i);
                over |= event->kind == TRN_EVENT_RESULT && event->id == world->call;
                on_event(world->engine, event, world);
            }
            trn_batch_free(batch);
        }
    }
    OK(trn_set_wake(world->engine, NULL, NULL, &error));
    close_world(world);
    close(ends[0]);
    close(ends[1]);
}

/* State of a callback: allocated for each engine, and freed with it. */
struct woken {
    atomic_int *calls, *late;
    atomic_int alive;
};

static void slow_callback(void *user)
{
    struct woken *woken = user;
    atomic_fetch_add(woken->calls, 1);
    for (int i = 0; i < 200; i++) {
        sched_yield();
        atomic_fetch_add(woken->late, !atomic_load(&woken->alive));
    }
}

/* Engines that end while their threads are calling back. */
static void no_callback_after_the_end(void)
{
    static struct woken kept[48];
    enum { FREED, CLOSED, REPLACED, WAYS };
    atomic_int calls = 0, late = 0;
    for (size_t i = 0; i < COUNT(kept); i++) {
        struct world *world = open_world();
        /* Some on the heap, for valgrind; the others stay, so that a late call can be counted. */
        struct woken *woken = i % 2 == 0 ? malloc(sizeof *woken) : &kept[i];
        woken->calls = &calls;
        woken->late = &late;
        atomic_init(&woken->alive, 1);
        OK(trn_set_wake(world->engine, slow_callback, woken, &error));
        for (int call = 0; call < 4; call++) {
            uint64_t operation = 0;
            OK(trn_request(world->engine, world->client, TRN_OP_CALL_TOOL, trn_cstr("{\"name\":\"fail\"}"), NONE,
                           &operation, &error));
        }
        trn_batch *batch = NULL;
        OK(trn_wait(world->engine, LONG_MS, &error));
        OK(trn_drain(world->engine, NULL, 0, &batch, &error));
        for (size_t at = 0; at < trn_batch_len(batch); at++) {
            on_event(world->engine, trn_batch_at(batch, at), world);
        }
        trn_batch_free(batch);
        switch (i / 2 % WAYS) {
        case CLOSED: OK(trn_close(world->engine, 0, &error)); break;
        case REPLACED: OK(trn_set_wake(world->engine, NULL, NULL, &error)); break;
        default: trn_engine_free(world->engine); world->engine = NULL;
        }
        atomic_store(&woken->alive, 0);
        if (i % 2 == 0) {
            free(woken);
        }
        trn_engine_free(world->engine);
        free(world);
    }
    CHECK(atomic_load(&calls) > 0);
    CHECK(atomic_load(&late) == 0);
}

static void waiting_has_an_end(void)
{
    struct world *world = open_world();
    trn_batch *batch = NULL;
    while (trn_wait(world->engine, 0, NULL) == TRN_STATUS_OK) {
        OK(trn_drain(world->engine, NULL, 0, &batch, &error));
        trn_batch_free(batch);
    }
    CHECK(trn_wait(world->engine, 1, NULL) == TRN_STATUS_FALSE);
    close_world(world);
}

/* Returns the bytes in use by malloc, if it reports them; 0 otherwise, and under valgrind, which checks
 * for itself. */
static size_t in_use(void)
{
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)
    return mallinfo2().uordblks;
#else
    return 0;
#endif
}

static void engines_leave_nothing_behind(void)
{
    enum { WARM_UP = 10, ROUNDS = 100, SLACK = 2048 * ROUNDS };
    int rounds = getenv("FEW_ROUNDS") == NULL ? WARM_UP + ROUNDS : 2;
    size_t before = SIZE_MAX - SLACK;
    for (int round = 0; round < rounds; round++) {
        if (round == WARM_UP) {
            before = in_use();
        }
        struct world *world = open_world();
        char *result = expect(world, TRN_OP_CALL_TOOL, "{\"name\":\"steps\"}", "{\"progress\":true}");
        trn_string_free(result);
        close_world(world);
    }
    /* Threads of the last engines may still be on their way out. */
    for (int tries = 0; in_use() > before + SLACK; tries++) {
        struct timespec moment = {0, 10000000};
        CHECK(tries < 1000);
        nanosleep(&moment, NULL);
    }
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(tools_are_listed_and_called),
        TEST(resources_prompts_and_completion),
        TEST(failures_have_their_kind),
        TEST(answering_twice_harms_nobody),
        TEST(another_thread_answers),
        TEST(progress_arrives_in_order),
        TEST(log_messages_reach_who_asked),
        TEST(a_handler_sees_the_trace),
        TEST(a_handler_knows_its_caller),
        TEST(cancelling_reaches_the_handler),
        TEST(closing_fails_what_is_in_flight),
        TEST(freeing_with_all_open),
        TEST(answers_that_are_no_json),
        TEST(a_tool_has_a_time_limit),
        TEST(a_handler_closes_the_engine),
        TEST(batches_of_answers),
        TEST(many_threads_ask),
        TEST(a_loop_on_the_descriptor),
        TEST(waiting_has_an_end),
        TEST(engines_leave_nothing_behind),
    };
    static const char *const drivers[] = {"threaded", "hosted"};
    for (size_t i = 0; i < COUNT(drivers); i++) {
        driver = drivers[i];
        printf("driver %s\n", driver);
        run_tests(tests, COUNT(tests), argc, argv);
        if (strcmp(driver, "threaded") == 0) {
            static const struct test threaded[] = {TEST(a_loop_that_is_woken), TEST(no_callback_after_the_end)};
            run_tests(threaded, COUNT(threaded), argc, argv);
        }
    }
    return 0;
}
