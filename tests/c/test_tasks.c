/* Calls that become tasks, of servers and clients of one engine, with both drivers. */
#define _XOPEN_SOURCE 700

#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"

enum { WORK = 1, ASK, HANG, FAIL, PLAIN };

#define SURE                                                                                                      \
    "{\"sure\":{\"op\":\"elicit\",\"params\":{\"message\":\"Sure?\",\"requestedSchema\":{\"type\":\"object\"," \
    "\"properties\":{\"sure\":{\"type\":\"boolean\"}},\"required\":[\"sure\"]}}}}"
#define ACCEPT "{\"action\":\"accept\",\"content\":{\"sure\":true}}"

static const struct {
    const char *name, *options;
    uint64_t target;
} tools[] = {
    {"work", "{\"task\":\"optional\",\"resumable\":true,\"taskTtlMs\":60000,\"taskConcurrency\":4}", WORK},
    {"ask", "{\"task\":\"required\"}", ASK},
    {"hang", "{\"task\":\"optional\",\"resumable\":true}", HANG},
    {"fail", "{\"task\":\"required\"}", FAIL},
    {"plain", "{}", PLAIN},
};

struct world {
    trn_engine *engine;
    uint64_t server, client;
    /* The run of a handler that is under way, and what it waits for. */
    uint64_t exchange, question, storing;
    char *context;
    int runs, cancelled, elicited;
    /* The events that the client has received of the task that it follows. */
    uint64_t following;
    char *last;
    int asked;
};

static const char *driver;

static void keep(char **place, const char *text)
{
    free(*place);
    *place = calloc(1, strlen(text) + 1);
    CHECK(*place != NULL);
    strcpy(*place, text);
}

static void complete(struct world *world, uint64_t exchange, trn_outcome outcome, const char *payload)
{
    OK(trn_complete(world->engine, exchange, (uint32_t)outcome, trn_cstr(payload), &error));
}

static void on_call(struct world *world, const trn_event *event)
{
    world->exchange = event->id;
    world->runs++;
    char *context = trn_context(world->engine, event->id);
    keep(&world->context, context);
    switch (event->target) {
    case WORK:
        OK(trn_request(world->engine, event->id, "store", trn_cstr("{\"key\":\"k\",\"value\":5}"), NONE, &world->storing,
                       &error));
        break;
    case ASK:
        OK(trn_request(world->engine, event->id, "ask", trn_cstr(SURE), NONE, &world->question, &error));
        break;
    case FAIL:
        complete(world, event->id, TRN_OUTCOME_ERROR, "{\"code\":-32602,\"message\":\"no luck\"}");
        break;
    case PLAIN:
        complete(world, event->id, TRN_OUTCOME_TEXT, "plain");
        break;
    default:
        break;
    }
    trn_string_free(context);
}

/* A state of the task that the client follows: answer what it asks. */
static void on_state(struct world *world, const trn_event *event)
{
    trn_str state, request;
    check_string(event->payload.ptr, "event", "task_changed");
    CHECK(trn_json_raw(event->payload, "params", &state));
    char *status = trn_json_string(state, "status", NULL);
    keep(&world->last, status);
    if (trn_json_raw(state, "/inputRequests/sure", &request) && world->asked++ == 0) {
        char params[512];
        char *id = trn_json_string(state, "taskId", NULL);
        uint64_t answering = 0;
        CHECK_TEXT(status, "input_required");
        snprintf(params, sizeof params, "{\"taskId\":\"%s\",\"inputResponses\":{\"sure\":" ACCEPT "}}", id);
        OK(trn_request(world->engine, world->client, TRN_OP_UPDATE_TASK, trn_cstr(params), NONE, &answering, &error));
        trn_string_free(id);
    }
    trn_string_free(status);
}

static void on_event(trn_engine *engine, const trn_event *event, void *user)
{
    struct world *world = user;
    CHECK(engine == world->engine);
    switch (event->kind) {
    case TRN_EVENT_CALL_TOOL:
        on_call(world, event);
        break;
    case TRN_EVENT_CANCELLED:
        world->cancelled += event->id == world->exchange;
        break;
    case TRN_EVENT_ELICIT:
        world->elicited++;
        complete(world, event->id, TRN_OUTCOME_RESULT, ACCEPT);
        break;
    case TRN_EVENT_NOTIFICATION:
        if (event->id == world->following) {
            on_state(world, event);
        }
        break;
    case TRN_EVENT_RESULT:
        if (event->id == world->storing) {
            CHECK_TEXT(event->payload.ptr, "{}");
            world->storing = 0;
            complete(world, world->exchange, TRN_OUTCOME_TEXT, "worked");
        } else if (event->id == world->question) {
            world->question = 0;
            complete(world, world->exchange, TRN_OUTCOME_TEXT,
                     flag_at(event->payload.ptr, "/sure/content/sure") ? "sure" : "unsure");
        }
        break;
    default:
        break;
    }
}

static void begin(struct world *world, const char *definition, const char *connecting)
{
    char options[64];
    memset(world, 0, sizeof *world);
    snprintf(options, sizeof options, "{\"driver\":\"%s\"}", driver);
    OK(trn_engine_new(trn_cstr(options), &world->engine, &error));
    OK(trn_server_new(world->engine, trn_cstr(definition), &world->server, &error));
    for (size_t i = 0; i < COUNT(tools); i++) {
        char tool[128];
        snprintf(tool, sizeof tool, "{\"name\":\"%s\",\"inputSchema\":{\"type\":\"object\"}}", tools[i].name);
        OK(trn_server_add(world->engine, world->server, "tool", trn_cstr(tool), trn_cstr(tools[i].options),
                          tools[i].target, &error));
    }
    char target[64];
    snprintf(target, sizeof target, "{\"server\":%" PRIu64 "}", world->server);
    OK(trn_connect(world->engine, trn_cstr(target), trn_cstr(connecting), &world->client, &error));
    OK(trn_run(world->engine, world->client, on_event, world, NULL, &error));
}

static void end(struct world *world)
{
    OK(trn_client_close(world->engine, world->client, &error));
    OK(trn_server_close(world->engine, world->server, &error));
    check_nothing_lives(world->engine, on_event, world);
    OK(trn_close(world->engine, 1000, &error));
    trn_engine_free(world->engine);
    free(world->context);
    free(world->last);
}

#define DEFINITION "{\"name\":\"tasks\",\"version\":\"1\",\"taskPollMs\":1}"
#define ANSWERS "{\"capabilities\":{\"elicitation\":{}}}"

static uint64_t ask(struct world *world, const char *op, const char *params, const char *options)
{
    uint64_t operation = 0;
    OK(trn_request(world->engine, world->client, op, trn_cstr(params), trn_cstr(options), &operation, &error));
    return operation;
}

/* The result of a request; free it. */
static char *result_of(struct world *world, uint64_t operation)
{
    char *result = NULL;
    OK(trn_run(world->engine, operation, on_event, world, &result, &error));
    return result;
}

static void check_result(struct world *world, uint64_t operation, const char *path, const char *wanted)
{
    char *result = result_of(world, operation);
    check_string(result, path, wanted);
    trn_string_free(result);
}

/* {"taskId": …} of a new task. */
static void make_task(struct world *world, const char *tool, char *params, size_t room)
{
    char call[128];
    snprintf(call, sizeof call, "{\"name\":\"%s\",\"arguments\":{}}", tool);
    char *made = result_of(world, ask(world, TRN_OP_CALL_TOOL, call, "{\"task\":true}"));
    char *id = trn_json_string(trn_cstr(made), "/task/taskId", NULL);
    CHECK(id != NULL);
    snprintf(params, room, "{\"taskId\":\"%s\"}", id);
    trn_string_free(id);
    trn_string_free(made);
}

static void a_call_follows_its_task(void)
{
    struct world world;
    begin(&world, DEFINITION, ANSWERS);
    uint64_t call = ask(&world, TRN_OP_CALL_TOOL, "{\"name\":\"work\",\"arguments\":{}}", NULL);
    check_result(&world, call, "/content/0/text", "worked");
    CHECK(number_at(world.context, "/task/run") == 1);
    /* Its questions come as events. */
    call = ask(&world, TRN_OP_CALL_TOOL, "{\"name\":\"ask\",\"arguments\":{}}", NULL);
    check_result(&world, call, "/content/0/text", "sure");
    CHECK(world.elicited == 1);
    trn_error *error = NULL;
    call = ask(&world, TRN_OP_CALL_TOOL, "{\"name\":\"fail\",\"arguments\":{}}", NULL);
    CHECK(trn_run(world.engine, call, on_event, &world, NULL, &error) == TRN_STATUS_INVALID_PARAMS);
    CHECK_TEXT(error->message, "no luck");
    trn_error_free(error);
    end(&world);
}

static void a_task_is_followed_by_its_id(void)
{
    struct world world;
    char task[256];
    begin(&world, DEFINITION, ANSWERS);
    make_task(&world, "work", task, sizeof task);
    world.following = ask(&world, TRN_OP_TASK_RESULT, task, NULL);
    check_result(&world, world.following, "/content/0/text", "worked");
    CHECK_TEXT(world.last, "completed");
    char *state = result_of(&world, ask(&world, TRN_OP_GET_TASK, task, NULL));
    check_string(state, "status", "completed");
    CHECK(number_at(state, "ttlMs") == 60000);
    trn_string_free(state);

    /* Without an elicitation event, its state contains the question, and the test answers by hand. */
    make_task(&world, "ask", task, sizeof task);
    world.following = ask(&world, TRN_OP_TASK_RESULT, task, "{\"ask\":false}");
    check_result(&world, world.following, "/content/0/text", "sure");
    CHECK(world.elicited == 0 && world.asked > 0);

    /* A call that does not become a task is answered at once. */
    char *made = result_of(&world, ask(&world, TRN_OP_CALL_TOOL, "{\"name\":\"plain\"}", "{\"task\":true}"));
    check_string(made, "/result/content/0/text", "plain");
    trn_string_free(made);
    trn_error *error = NULL;
    uint64_t listing = ask(&world, TRN_OP_LIST_TASKS, "{}", NULL);
    CHECK(trn_run(world.engine, listing, on_event, &world, NULL, &error) == TRN_STATUS_METHOD_NOT_FOUND);
    trn_error_free(error);
    end(&world);
}

static void cancelling_reaches_the_handler(void)
{
    struct world world;
    char task[256];
    begin(&world, DEFINITION, ANSWERS);
    make_task(&world, "hang", task, sizeof task);
    while (world.runs == 0) {
        turn(world.engine, on_event, &world);
    }
    trn_string_free(result_of(&world, ask(&world, TRN_OP_CANCEL_TASK, task, NULL)));
    while (world.cancelled == 0) {
        turn(world.engine, on_event, &world);
    }
    trn_error *error = NULL;
    uint64_t waiting = ask(&world, TRN_OP_TASK_RESULT, task, NULL), late = 0;
    CHECK(trn_run(world.engine, waiting, on_event, &world, NULL, &error) == TRN_STATUS_CANCELLED);
    trn_error_free(error);
    error = NULL;
    CHECK(trn_request(world.engine, world.exchange, "checkpoint", trn_cstr("{\"value\":1}"), NONE, &late, &error) ==
          TRN_STATUS_CANCELLED);
    trn_error_free(error);

    /* Cancelling the operation that waits cancels the waiting, not the task. */
    world.runs = 0;
    make_task(&world, "hang", task, sizeof task);
    while (world.runs == 0) {
        turn(world.engine, on_event, &world);
    }
    world.cancelled = 0;
    waiting = ask(&world, TRN_OP_TASK_RESULT, task, NULL);
    OK(trn_cancel(world.engine, waiting, trn_cstr("no time"), &error));
    error = NULL;
    CHECK(trn_run(world.engine, waiting, on_event, &world, NULL, &error) == TRN_STATUS_CANCELLED);
    trn_error_free(error);
    /* The progress of the call is the status of the task. */
    OK(trn_progress(world.engine, world.exchange, trn_cstr("{\"progress\":1,\"message\":\"half\"}"), &error));
    for (bool told = false; !told;) {
        char *state = result_of(&world, ask(&world, TRN_OP_GET_TASK, task, NULL));
        char *said = trn_json_string(trn_cstr(state), "statusMessage", NULL);
        check_string(state, "status", "working");
        told = said != NULL && strcmp(said, "half (1)") == 0;
        trn_string_free(said);
        trn_string_free(state);
    }
    CHECK(world.cancelled == 0);
    complete(&world, world.exchange, TRN_OUTCOME_TEXT, "at last");
    check_result(&world, ask(&world, TRN_OP_TASK_RESULT, task, NULL), "/content/0/text", "at last");
    end(&world);
}

static int removed(const char *path, const struct stat *stat, int flag, struct FTW *ftw)
{
    (void)stat, (void)flag, (void)ftw;
    return remove(path);
}

static void a_task_outlives_an_engine(void)
{
    struct world world;
    char folder[] = "/tmp/trunnion-tasks-XXXXXX", definition[256], task[256];
    CHECK(mkdtemp(folder) != NULL);
    snprintf(definition, sizeof definition,
             "{\"name\":\"tasks\",\"version\":\"1\",\"taskPollMs\":1,\"store\":\"%s/tasks.db\"}", folder);
    begin(&world, definition, ANSWERS);
    /* An endpoint hands off its running tasks when it is closed. */
    uint64_t serving = 0;
    OK(trn_serve_http(world.engine, world.server, trn_cstr("{\"carried\":true}"), &serving, &error));
    make_task(&world, "hang", task, sizeof task);
    while (world.runs == 0) {
        turn(world.engine, on_event, &world);
    }
    static const char *const stored[][2] = {{"store", "{\"key\":\"k\",\"value\":5}"},
                                            {"checkpoint", "{\"value\":{\"page\":2}}"}};
    for (size_t i = 0; i < COUNT(stored); i++) {
        uint64_t storing = 0;
        OK(trn_request(world.engine, world.exchange, stored[i][0], trn_cstr(stored[i][1]), NONE, &storing, &error));
        trn_string_free(result_of(&world, storing));
    }
    end(&world);

    begin(&world, definition, ANSWERS);
    while (world.runs == 0) {
        turn(world.engine, on_event, &world);
    }
    CHECK(number_at(world.context, "/task/run") == 2 && number_at(world.context, "/memory/k") == 5);
    CHECK(number_at(world.context, "/checkpoint/page") == 2);
    complete(&world, world.exchange, TRN_OUTCOME_TEXT, "at last");
    check_result(&world, ask(&world, TRN_OP_TASK_RESULT, task, NULL), "/content/0/text", "at last");
    end(&world);
    CHECK(nftw(folder, removed, 8, FTW_DEPTH | FTW_PHYS) == 0);
}

static void who_knows_no_tasks_gets_none(void)
{
    struct world world;
    begin(&world, DEFINITION, "{\"tasks\":false}");
    uint64_t call = ask(&world, TRN_OP_CALL_TOOL, "{\"name\":\"work\",\"arguments\":{}}", NULL);
    check_result(&world, call, "/content/0/text", "worked");
    trn_str task;
    CHECK(!trn_json_raw(trn_cstr(world.context), "task", &task));
    trn_error *error = NULL;
    call = ask(&world, TRN_OP_CALL_TOOL, "{\"name\":\"fail\",\"arguments\":{}}", NULL);
    CHECK(trn_run(world.engine, call, on_event, &world, NULL, &error) == TRN_STATUS_MISSING_CAPABILITY);
    trn_error_free(error);
    end(&world);
}

static void older_sessions_list_their_tasks(void)
{
    struct world world;
    char task[256];
    begin(&world, DEFINITION, "{\"era\":\"legacy\"}");
    make_task(&world, "work", task, sizeof task);
    check_result(&world, ask(&world, TRN_OP_TASK_RESULT, task, NULL), "/content/0/text", "worked");
    check_result(&world, ask(&world, TRN_OP_LIST_TASKS, "{}", NULL), "/tasks/0/status", "completed");
    end(&world);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(a_call_follows_its_task),        TEST(a_task_is_followed_by_its_id),
        TEST(cancelling_reaches_the_handler), TEST(a_task_outlives_an_engine),
        TEST(who_knows_no_tasks_gets_none),   TEST(older_sessions_list_their_tasks),
    };
    static const char *const drivers[] = {"hosted", "threaded"};
    for (size_t i = 0; i < COUNT(drivers); i++) {
        driver = drivers[i];
        run_tests(tests, COUNT(tests), argc, argv);
    }
    return 0;
}
