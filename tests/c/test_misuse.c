/* Wrong calls: each is refused with kind `usage`, states the reason, and leaves the engine working. */
#define _POSIX_C_SOURCE 200809L

#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define TOOL "{\"name\": \"t\", \"description\": \"A tool.\", \"inputSchema\": {\"type\": \"object\"}}"
#define SERVER "{\"name\": \"s\", \"version\": \"1\"}"

static const trn_str bad_utf8 = {"{\"a\": \"\xff\"}", 10};
static const trn_str no_pointer = {NULL, 5};

static trn_engine *new_engine(void)
{
    trn_engine *engine = NULL;
    OK(trn_engine_new(NONE, &engine, &error));
    return engine;
}

static uint64_t new_server(trn_engine *engine)
{
    uint64_t server = 0;
    OK(trn_server_new(engine, trn_cstr(SERVER), &server, &error));
    CHECK(server != 0);
    return server;
}

static void versions_agree(void)
{
    CHECK_TEXT(trn_version(), TRN_VERSION);
    CHECK(trn_abi() == TRN_ABI);
    CHECK(TRN_CHECK(NULL) == TRN_STATUS_OK);
    CHECK(trn_check(TRN_ABI, "0.0.1", NULL) == TRN_STATUS_OK);
    CHECK(trn_check(TRN_ABI + 1, TRN_VERSION, NULL) == TRN_STATUS_UNSUPPORTED_VERSION);
    CHECK(trn_check(TRN_ABI, "99.0.0", NULL) == TRN_STATUS_UNSUPPORTED_VERSION);
    CHECK(trn_check(TRN_ABI, NULL, NULL) == TRN_STATUS_USAGE);
    char version[32];
    snprintf(version, sizeof version, "%d.%d.%d", TRN_VERSION_MAJOR, TRN_VERSION_MINOR, TRN_VERSION_PATCH);
    CHECK(strncmp(version, TRN_VERSION, strlen(version)) == 0);
}

static void null_is_safe_to_free(void)
{
    trn_engine_free(NULL);
    trn_batch_free(NULL);
    trn_error_free(NULL);
    trn_string_free(NULL);
    CHECK(trn_batch_len(NULL) == 0);
    CHECK(trn_batch_at(NULL, 0) == NULL);
}

static void null_engine(void)
{
    uint64_t handle = 1;
    trn_batch *batch = NULL;
    CHECK(trn_fd(NULL) == -1);
    CHECK(trn_live(NULL) == NULL);
    CHECK(trn_context(NULL, 1) == NULL);
    CHECK_FAILS(USAGE, trn_drain(NULL, NULL, 0, &batch, &error));
    CHECK(batch == NULL);
    CHECK_FAILS(USAGE, trn_wait(NULL, 0, &error));
    CHECK_FAILS(USAGE, trn_set_wake(NULL, NULL, NULL, &error));
    CHECK_FAILS(USAGE, trn_complete(NULL, 1, TRN_OUTCOME_TEXT, NONE, &error));
    CHECK_FAILS(USAGE, trn_progress(NULL, 1, NONE, &error));
    CHECK_FAILS(USAGE, trn_log(NULL, 1, NONE, &error));
    CHECK_FAILS(USAGE, trn_cancel(NULL, 1, NONE, &error));
    CHECK_FAILS(USAGE, trn_close(NULL, 0, &error));
    CHECK_FAILS(USAGE, trn_server_new(NULL, trn_cstr(SERVER), &handle, &error));
    CHECK(handle == 0);
    CHECK_FAILS(USAGE, trn_server_add(NULL, 1, "tool", trn_cstr(TOOL), NONE, 0, &error));
    CHECK_FAILS(USAGE, trn_server_remove(NULL, 1, "tool", trn_cstr("t"), &error));
    CHECK_FAILS(USAGE, trn_serve_stdio(NULL, 1, NONE, &handle, &error));
    CHECK_FAILS(USAGE, trn_serve_http(NULL, 1, NONE, &handle, &error));
    CHECK_FAILS(USAGE, trn_server_close(NULL, 1, &error));
    CHECK_FAILS(USAGE, trn_connect(NULL, trn_cstr("{}"), NONE, &handle, &error));
    CHECK_FAILS(USAGE, trn_request(NULL, 1, TRN_OP_PING, NONE, NONE, &handle, &error));
    CHECK_FAILS(USAGE, trn_client_close(NULL, 1, &error));
    char *result = NULL;
    CHECK_FAILS(USAGE, trn_run(NULL, 1, NULL, NULL, &result, &error));
    CHECK(result == NULL);
}

static void null_places(void)
{
    trn_engine *engine = new_engine();
    uint64_t server = new_server(engine), handle = 0;
    CHECK_FAILS(USAGE, trn_engine_new(NONE, NULL, &error));
    CHECK_FAILS(USAGE, trn_drain(engine, NULL, 0, NULL, &error));
    trn_batch *batch = NULL;
    CHECK_FAILS(USAGE, trn_drain(engine, NULL, 2, &batch, &error));
    CHECK_FAILS(USAGE, trn_server_new(engine, trn_cstr(SERVER), NULL, &error));
    CHECK_FAILS(USAGE, trn_server_add(engine, server, NULL, trn_cstr(TOOL), NONE, 0, &error));
    CHECK_FAILS(USAGE, trn_server_remove(engine, server, NULL, trn_cstr("t"), &error));
    CHECK_FAILS(USAGE, trn_serve_stdio(engine, server, NONE, NULL, &error));
    CHECK_FAILS(USAGE, trn_serve_http(engine, server, NONE, NULL, &error));
    CHECK_FAILS(USAGE, trn_connect(engine, trn_cstr("{}"), NONE, NULL, &error));
    CHECK_FAILS(USAGE, trn_request(engine, 1, TRN_OP_PING, NONE, NONE, NULL, &error));
    CHECK_FAILS(USAGE, trn_request(engine, 1, NULL, NONE, NONE, &handle, &error));
    /* The error argument is optional. */
    CHECK(trn_server_new(engine, trn_cstr("{"), &server, NULL) == TRN_STATUS_USAGE);
    trn_engine_free(engine);
}

static void bad_text(void)
{
    trn_engine *engine = new_engine(), *other = NULL;
    uint64_t server = new_server(engine), handle = 0;
    const trn_str bad[] = {bad_utf8, no_pointer};
    for (size_t i = 0; i < COUNT(bad); i++) {
        trn_completion completion = {1, TRN_OUTCOME_TEXT, bad[i]};
        trn_batch *batch = NULL;
        CHECK_FAILS(USAGE, trn_engine_new(bad[i], &other, &error));
        CHECK(other == NULL);
        CHECK_FAILS(USAGE, trn_drain(engine, &completion, 1, &batch, &error));
        CHECK_FAILS(USAGE, trn_complete(engine, 1, TRN_OUTCOME_TEXT, bad[i], &error));
        CHECK_FAILS(USAGE, trn_progress(engine, 1, bad[i], &error));
        CHECK_FAILS(USAGE, trn_log(engine, 1, bad[i], &error));
        CHECK_FAILS(USAGE, trn_cancel(engine, 1, bad[i], &error));
        CHECK_FAILS(USAGE, trn_server_new(engine, bad[i], &handle, &error));
        CHECK_FAILS(USAGE, trn_server_add(engine, server, "tool", bad[i], NONE, 0, &error));
        CHECK_FAILS(USAGE, trn_server_add(engine, server, "tool", trn_cstr(TOOL), bad[i], 0, &error));
        CHECK_FAILS(USAGE, trn_server_remove(engine, server, "tool", bad[i], &error));
        CHECK_FAILS(USAGE, trn_serve_http(engine, server, bad[i], &handle, &error));
        CHECK_FAILS(USAGE, trn_connect(engine, bad[i], NONE, &handle, &error));
        CHECK_FAILS(USAGE, trn_connect(engine, trn_cstr("{}"), bad[i], &handle, &error));
        CHECK_FAILS(USAGE, trn_request(engine, 1, TRN_OP_PING, bad[i], NONE, &handle, &error));
        CHECK_FAILS(USAGE, trn_request(engine, 1, TRN_OP_PING, NONE, bad[i], &handle, &error));
    }
    CHECK_FAILS(USAGE, trn_server_add(engine, server, "\xff", trn_cstr(TOOL), NONE, 0, &error));
    trn_engine_free(engine);
}

static void bad_json(void)
{
    static const char *const bad[] = {"{", "[]", "nonsense", "1", "{} {}"};
    trn_engine *engine = new_engine(), *other = NULL;
    uint64_t server = new_server(engine), handle = 0;
    for (size_t i = 0; i < COUNT(bad); i++) {
        CHECK_FAILS(USAGE, trn_engine_new(trn_cstr(bad[i]), &other, &error));
        CHECK_FAILS(USAGE, trn_server_new(engine, trn_cstr(bad[i]), &handle, &error));
        CHECK_FAILS(USAGE, trn_server_add(engine, server, "tool", trn_cstr(bad[i]), NONE, 0, &error));
        CHECK_FAILS(USAGE, trn_server_add(engine, server, "tool", trn_cstr(TOOL), trn_cstr(bad[i]), 0, &error));
        CHECK_FAILS(USAGE, trn_serve_http(engine, server, trn_cstr(bad[i]), &handle, &error));
        CHECK_FAILS(USAGE, trn_connect(engine, trn_cstr(bad[i]), NONE, &handle, &error));
        CHECK_FAILS(USAGE, trn_connect(engine, trn_cstr("{\"url\": \"http://127.0.0.1:1/mcp\"}"), trn_cstr(bad[i]),
                                       &handle, &error));
    }
    trn_engine_free(engine);
}

static void unknown_and_duplicate(void)
{
    trn_engine *engine = new_engine(), *other = NULL;
    uint64_t server = new_server(engine), handle = 0;
    trn_str option = trn_cstr("{\"noSuchOption\": 1}");
    CHECK_FAILS(USAGE, trn_engine_new(option, &other, &error));
    CHECK_FAILS(USAGE, trn_engine_new(trn_cstr("{\"driver\": \"steam\"}"), &other, &error));
    CHECK_FAILS(USAGE, trn_server_add(engine, server, "tool", trn_cstr(TOOL), option, 0, &error));
    CHECK_FAILS(USAGE, trn_serve_http(engine, server, option, &handle, &error));
    CHECK_FAILS(USAGE, trn_connect(engine, trn_cstr("{\"url\": \"http://127.0.0.1:1/mcp\"}"), option, &handle, &error));
    CHECK_FAILS(USAGE, trn_connect(engine, trn_cstr("{\"planet\": \"mars\"}"), NONE, &handle, &error));
    CHECK_FAILS(USAGE, trn_connect(engine, trn_cstr("{\"server\": 999999}"), NONE, &handle, &error));
    CHECK_FAILS(USAGE, trn_server_add(engine, server, "spanner", trn_cstr(TOOL), NONE, 0, &error));
    CHECK_FAILS(USAGE, trn_server_add(engine, 999999, "tool", trn_cstr(TOOL), NONE, 0, &error));
    CHECK_FAILS(USAGE, trn_server_remove(engine, 999999, "tool", trn_cstr("t"), &error));
    CHECK_FAILS(USAGE, trn_serve_stdio(engine, 999999, NONE, &handle, &error));
    CHECK_FAILS(USAGE, trn_serve_http(engine, 999999, NONE, &handle, &error));
    CHECK_FAILS(CLOSED, trn_request(engine, 999999, TRN_OP_PING, NONE, NONE, &handle, &error));
    OK(trn_server_add(engine, server, "tool", trn_cstr(TOOL), NONE, 0, &error));
    CHECK_FAILS(USAGE, trn_server_add(engine, server, "tool", trn_cstr(TOOL), NONE, 0, &error));
    OK(trn_server_remove(engine, server, "tool", trn_cstr("t"), &error));
    CHECK(trn_server_remove(engine, server, "tool", trn_cstr("t"), NULL) == TRN_STATUS_FALSE);

    /* An id that has ended or never existed returns false. */
    CHECK(trn_complete(engine, 999999, TRN_OUTCOME_TEXT, trn_cstr("x"), NULL) == TRN_STATUS_FALSE);
    CHECK(trn_complete(engine, 999999, 77, trn_cstr("x"), NULL) == TRN_STATUS_FALSE);
    CHECK(trn_progress(engine, 999999, trn_cstr("{\"progress\": 1}"), NULL) == TRN_STATUS_FALSE);
    CHECK(trn_cancel(engine, 999999, NONE, NULL) == TRN_STATUS_FALSE);
    CHECK(trn_context(engine, 999999) == NULL);
    OK(trn_server_close(engine, 999999, &error));
    OK(trn_client_close(engine, 999999, &error));
    trn_engine_free(engine);
}

static void closing_twice_and_after(void)
{
    trn_engine *engine = new_engine();
    uint64_t server = new_server(engine), handle = 0;
    OK(trn_server_close(engine, server, &error));
    OK(trn_server_close(engine, server, &error));
    OK(trn_close(engine, 1000, &error));
    OK(trn_close(engine, 1000, &error));
    CHECK_FAILS(CLOSED, trn_server_new(engine, trn_cstr(SERVER), &handle, &error));
    check_nothing_lives(engine, NULL, NULL);
    trn_engine_free(engine);
}

/* An engine that is closed has nothing more to wait for. */
static void running_a_closed_engine(void)
{
    static const char *const drivers[] = {"{\"driver\":\"threaded\"}", "{\"driver\":\"hosted\"}"};
    for (size_t i = 0; i < COUNT(drivers); i++) {
        trn_engine *engine = NULL;
        OK(trn_engine_new(trn_cstr(drivers[i]), &engine, &error));
        uint64_t server = new_server(engine), serving = 0;
        OK(trn_serve_http(engine, server, NONE, &serving, &error));
        OK(trn_close(engine, 1000, &error));
        trn_run(engine, serving, NULL, NULL, NULL, NULL);
        /* Its end has been seen now. */
        CHECK_FAILS(CLOSED, trn_run(engine, serving, NULL, NULL, NULL, &error));
        CHECK(trn_wait(engine, -1, NULL) == TRN_STATUS_FALSE);
        check_nothing_lives(engine, NULL, NULL);
        trn_engine_free(engine);
    }
}

/* In the child: the parent's engine refuses everything, and one of its own works. */
static void child_is_right(trn_engine *engine, const char *driver)
{
    uint64_t handle = 0;
    trn_batch *batch = NULL;
    trn_engine *own = NULL;
    CHECK_FAILS(FORKED, trn_server_new(engine, trn_cstr(SERVER), &handle, &error));
    CHECK_FAILS(FORKED, trn_drain(engine, NULL, 0, &batch, &error));
    CHECK_FAILS(FORKED, trn_wait(engine, -1, &error));
    CHECK_FAILS(FORKED, trn_run(engine, 1, NULL, NULL, NULL, &error));
    CHECK_FAILS(FORKED, trn_complete(engine, 1, TRN_OUTCOME_TEXT, NONE, &error));
    CHECK_FAILS(FORKED, trn_cancel(engine, 1, NONE, &error));
    CHECK_FAILS(FORKED, trn_close(engine, 0, &error));
    CHECK(trn_context(engine, 1) == NULL && trn_live(engine) == NULL && trn_fd(engine) == -1);

    OK(trn_engine_new(trn_cstr(driver), &own, &error));
    uint64_t server = new_server(own), serving = 0;
    OK(trn_server_add(own, server, "tool", trn_cstr(TOOL), NONE, 0, &error));
    OK(trn_serve_http(own, server, NONE, &serving, &error));
    char target[64];
    snprintf(target, sizeof target, "{\"server\":%llu}", (unsigned long long)server);
    OK(trn_connect(own, trn_cstr(target), NONE, &handle, &error));
    OK(trn_run(own, handle, NULL, NULL, NULL, &error));
    trn_engine_free(own);
}

static void a_fork_is_refused(void)
{
    static const char *const drivers[] = {"{\"driver\":\"threaded\"}", "{\"driver\":\"hosted\"}"};
    for (size_t i = 0; i < COUNT(drivers); i++) {
        trn_engine *engine = NULL;
        OK(trn_engine_new(trn_cstr(drivers[i]), &engine, &error));
        /* Tables that are not empty, with threads that wait for what is in them. */
        uint64_t server = new_server(engine), serving = 0, client = 0;
        char target[64];
        OK(trn_serve_http(engine, server, NONE, &serving, &error));
        snprintf(target, sizeof target, "{\"server\":%llu}", (unsigned long long)server);
        OK(trn_connect(engine, trn_cstr(target), NONE, &client, &error));
        OK(trn_run(engine, client, NULL, NULL, NULL, &error));
        fflush(NULL);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            child_is_right(engine, drivers[i]);
            trn_engine_free(engine);
            /* Not _exit(0): valgrind would count what the threads that are not here had in hand as lost. */
            execlp("true", "true", (char *)NULL);
            _exit(1);
        }
        int status = -1;
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        new_server(engine);
        trn_engine_free(engine);
    }
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(versions_agree), TEST(null_is_safe_to_free),  TEST(null_engine),           TEST(null_places),      TEST(bad_text),
        TEST(bad_json),       TEST(unknown_and_duplicate), TEST(closing_twice_and_after),
        TEST(running_a_closed_engine), TEST(a_fork_is_refused),
    };
    return run_tests(tests, COUNT(tests), argc, argv);
}
