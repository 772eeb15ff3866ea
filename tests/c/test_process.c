/* Servers in other processes and behind sockets. PROGRAMS must name the folder of the built programs. */
#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

struct peer {
    trn_engine *engine;
    uint64_t client, call, serving;
    int cancel_at_progress, closed, notifications;
    char *url;
    /* Calls that are to fail together. */
    uint64_t pending[3];
    size_t failed;
};

static void on_event(trn_engine *engine, const trn_event *event, void *user)
{
    struct peer *peer = user;
    char sum[64], *kind;
    switch (event->kind) {
    case TRN_EVENT_CALL_TOOL:
        snprintf(sum, sizeof sum, "{\"sum\":%g}", number_at(event->payload.ptr, "a") + number_at(event->payload.ptr, "b"));
        OK(trn_complete(engine, event->id, TRN_OUTCOME_VALUE, trn_cstr(sum), &error));
        break;
    case TRN_EVENT_LISTENING:
        CHECK(event->id == peer->serving);
        peer->url = trn_json_string(event->payload, "url", NULL);
        break;
    case TRN_EVENT_NOTIFICATION:
        peer->notifications++;
        break;
    case TRN_EVENT_PROGRESS:
        peer->notifications++;
        if (peer->cancel_at_progress && event->id == peer->call) {
            trn_cancel(engine, event->id, NONE, NULL);
        }
        break;
    case TRN_EVENT_CLOSED:
        CHECK(event->id == peer->client);
        peer->closed++;
        break;
    case TRN_EVENT_RESULT:
        for (size_t i = 0; i < COUNT(peer->pending); i++) {
            CHECK(event->id != peer->pending[i]);
        }
        break;
    case TRN_EVENT_ERROR:
        for (size_t i = 0; i < COUNT(peer->pending); i++) {
            if (event->id == peer->pending[i]) {
                kind = trn_json_string(event->payload, "kind", NULL);
                CHECK(strcmp(kind, TRN_KIND_CLOSED) == 0 || strcmp(kind, TRN_KIND_TRANSPORT) == 0);
                trn_string_free(kind);
                peer->failed++;
            }
        }
        break;
    default:
        break;
    }
}

static const char *driver;

static void open_engine(struct peer *peer)
{
    char options[64];
    memset(peer, 0, sizeof *peer);
    snprintf(options, sizeof options, "{\"driver\":\"%s\"}", driver);
    OK(trn_engine_new(trn_cstr(options), &peer->engine, &error));
}

static void connect_to(struct peer *peer, const char *target)
{
    OK(trn_connect(peer->engine, trn_cstr(target), NONE, &peer->client, &error));
    OK(trn_run(peer->engine, peer->client, on_event, peer, NULL, &error));
}

static void connect_to_program(struct peer *peer, const char *program, const char *argument)
{
    const char *folder = getenv("PROGRAMS");
    CHECK(folder != NULL);
    char path[4096], target[8300];
    snprintf(path, sizeof path, "%s/%s", folder, program);
    char *json = trn_json_escape(trn_cstr(path));
    snprintf(target, sizeof target, "{\"command\":[%s,\"--stdio\"%s]}", json, argument);
    trn_string_free(json);
    connect_to(peer, target);
}

static void close_engine(struct peer *peer)
{
    if (peer->client != 0) {
        OK(trn_client_close(peer->engine, peer->client, &error));
        while (!peer->closed) {
            turn(peer->engine, on_event, peer);
        }
    }
    check_nothing_lives(peer->engine, on_event, peer);
    OK(trn_close(peer->engine, 1000, &error));
    trn_engine_free(peer->engine);
    trn_string_free(peer->url);
}

static char *call(struct peer *peer, const char *params)
{
    char *result = NULL;
    OK(trn_request(peer->engine, peer->client, TRN_OP_CALL_TOOL, trn_cstr(params), trn_cstr("{\"progress\":true}"),
                   &peer->call, &error));
    OK(trn_run(peer->engine, peer->call, on_event, peer, &result, &error));
    return result;
}

static void check_add(struct peer *peer)
{
    char *result = call(peer, "{\"name\":\"add\",\"arguments\":{\"a\":2,\"b\":3}}");
    CHECK(number_at(result, "/structuredContent/sum") == 5);
    trn_string_free(result);
}

static void a_server_process(void)
{
    static const char *const arguments[] = {"", ",\"--threaded\""};
    for (size_t i = 0; i < COUNT(arguments); i++) {
        struct peer peer;
        open_engine(&peer);
        connect_to_program(&peer, "everything_server", arguments[i]);
        check_add(&peer);
        peer.cancel_at_progress = 1;
        OK(trn_request(peer.engine, peer.client, TRN_OP_CALL_TOOL,
                       trn_cstr("{\"name\":\"slow\",\"arguments\":{\"steps\":100000,\"delayMs\":1}}"),
                       trn_cstr("{\"progress\":true}"), &peer.call, &error));
        CHECK_FAILS(CANCELLED, trn_run(peer.engine, peer.call, on_event, &peer, NULL, &error));
        check_add(&peer);
        close_engine(&peer);
    }
}

static void the_server_of_the_guide(void)
{
    struct peer peer;
    open_engine(&peer);
    connect_to_program(&peer, "server", "");
    check_add(&peer);
    close_engine(&peer);
}

static void json_over_several_lines(void)
{
    struct peer peer;
    open_engine(&peer);
    connect_to_program(&peer, "dying_server", "");
    char *result = NULL;
    OK(trn_request(peer.engine, peer.client, TRN_OP_CALL_TOOL, trn_cstr("{\n\"name\":\r\n\"lines\"}"),
                   trn_cstr("{\"progress\":\ntrue,\n\"meta\":{\n\"io.modelcontextprotocol/logLevel\":\n\"info\"}}"),
                   &peer.call, &error));
    OK(trn_run(peer.engine, peer.call, on_event, &peer, &result, &error));
    CHECK(number_at(result, "/structuredContent/sum") == 5);
    CHECK(peer.notifications == 2);
    trn_string_free(result);
    close_engine(&peer);
}

/* Without a handler, the end of one call is stored while another one is waited for. */
static void several_questions_at_once(void)
{
    struct peer peer;
    uint64_t calls[8] = {0};
    open_engine(&peer);
    connect_to_program(&peer, "dying_server", "");
    for (size_t i = 0; i < COUNT(calls); i++) {
        OK(trn_request(peer.engine, peer.client, TRN_OP_CALL_TOOL, trn_cstr("{\"name\":\"lines\"}"), NONE, &calls[i],
                       &error));
    }
    for (size_t i = COUNT(calls); i-- > 0;) {
        char *result = NULL;
        OK(trn_run(peer.engine, calls[i], NULL, NULL, &result, &error));
        CHECK(number_at(result, "/structuredContent/sum") == 5);
        trn_string_free(result);
    }
    close_engine(&peer);
}

static void a_server_that_dies(void)
{
    static const char *const tools[] = {"hang", "hang", "die"};
    struct peer peer;
    open_engine(&peer);
    connect_to_program(&peer, "dying_server", "");
    for (size_t i = 0; i < COUNT(tools); i++) {
        char params[64];
        snprintf(params, sizeof params, "{\"name\":\"%s\",\"arguments\":{}}", tools[i]);
        OK(trn_request(peer.engine, peer.client, TRN_OP_CALL_TOOL, trn_cstr(params), NONE, &peer.pending[i], &error));
    }
    while (peer.failed < COUNT(tools) || !peer.closed) {
        turn(peer.engine, on_event, &peer);
    }
    uint64_t operation = 0;
    CHECK_FAILS(CLOSED,
                trn_request(peer.engine, peer.client, TRN_OP_LIST_TOOLS, NONE, NONE, &operation, &error));
    close_engine(&peer);
}

/* A C program does not ignore SIGPIPE, and the library may not make it die of it. */
static void a_peer_that_stops_reading(void)
{
    static const char *const arguments[] = {NULL, "--threaded"};
    for (size_t i = 0; i < COUNT(arguments); i++) {
        char path[4096];
        int input[2], output[2], status = 0;
        snprintf(path, sizeof path, "%s/everything_server", getenv("PROGRAMS"));
        CHECK(pipe(input) == 0 && pipe(output) == 0);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            dup2(input[0], 0);
            dup2(output[1], 1);
            close(input[0]);
            close(input[1]);
            close(output[0]);
            close(output[1]);
            execl(path, path, "--stdio", arguments[i], (char *)NULL);
            _exit(127);
        }
        close(input[0]);
        close(output[0]);
        close(output[1]);
        /* Each line gets an error for an answer, which nobody reads. */
        CHECK(write(input[1], "nonsense\nnonsense\n", 18) == 18);
        close(input[1]);
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
}

static void nobody_there(void)
{
    static const char *const targets[] = {"{\"command\":[\"/nonexistent/program\"]}", "{\"command\":[\"/bin/true\"]}",
                                          "{\"url\":\"http://127.0.0.1:1/mcp\"}"};
    for (size_t i = 0; i < COUNT(targets); i++) {
        struct peer peer;
        open_engine(&peer);
        trn_error *error = NULL;
        trn_status status = trn_connect(peer.engine, trn_cstr(targets[i]), NONE, &peer.client, &error);
        if (status == TRN_STATUS_OK) {
            status = trn_run(peer.engine, peer.client, NULL, NULL, NULL, &error);
        }
        CHECK(status == TRN_STATUS_TRANSPORT || status == TRN_STATUS_CLOSED);
        CHECK(error != NULL && strlen(error->message) > 0);
        trn_error_free(error);
        check_nothing_lives(peer.engine, NULL, NULL);
        trn_engine_free(peer.engine);
    }
}

static uint64_t serve(struct peer *peer, trn_str options)
{
    uint64_t server = 0;
    OK(trn_server_new(peer->engine, trn_cstr("{\"name\":\"http\",\"version\":\"1\"}"), &server, &error));
    OK(trn_server_add(peer->engine, server, "tool",
                      trn_cstr("{\"name\":\"add\",\"inputSchema\":{\"type\":\"object\",\"properties\":{"
                               "\"a\":{\"type\":\"number\"},\"b\":{\"type\":\"number\"}}}}"),
                      NONE, 0, &error));
    OK(trn_serve_http(peer->engine, server, options, &peer->serving, &error));
    while (peer->url == NULL) {
        turn(peer->engine, on_event, peer);
    }
    return server;
}

static void connect_to_url(struct peer *peer, const char *url)
{
    char target[256];
    snprintf(target, sizeof target, "{\"url\":\"%s\"}", url);
    connect_to(peer, target);
}

static void http_in_one_engine(void)
{
    struct peer peer;
    open_engine(&peer);
    uint64_t server = serve(&peer, NONE);
    connect_to_url(&peer, peer.url);
    check_add(&peer);
    check_add(&peer);
    OK(trn_server_close(peer.engine, server, &error));
    close_engine(&peer);
}

static void http_over_a_unix_socket(void)
{
    char folder[] = "/tmp/trunnion-XXXXXX", path[64], options[128];
    CHECK(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/socket", folder);
    snprintf(options, sizeof options, "{\"unixSocket\":\"%s\"}", path);
    struct peer peer;
    open_engine(&peer);
    uint64_t server = serve(&peer, trn_cstr(options));
    CHECK(strncmp(peer.url, "http+unix://", 12) == 0);
    connect_to_url(&peer, peer.url);
    check_add(&peer);
    OK(trn_server_close(peer.engine, server, &error));
    close_engine(&peer);
    CHECK(rmdir(folder) == 0); /* The socket is gone. */
}

static void *serve_until_closed(void *user)
{
    struct peer *peer = user;
    trn_run(peer->engine, peer->serving, on_event, peer, NULL, NULL);
    return NULL;
}

static void http_between_two_engines(void)
{
    struct peer host, guest;
    pthread_t thread;
    open_engine(&host);
    open_engine(&guest);
    uint64_t server = serve(&host, NONE);
    CHECK(pthread_create(&thread, NULL, serve_until_closed, &host) == 0);
    connect_to_url(&guest, host.url);
    check_add(&guest);
    close_engine(&guest);
    OK(trn_server_close(host.engine, server, &error));
    CHECK(pthread_join(thread, NULL) == 0);
    close_engine(&host);
}

static void a_port_in_use(void)
{
    struct peer first, second;
    open_engine(&first);
    open_engine(&second);
    uint64_t server = serve(&first, NONE), other = 0;
    char options[64];
    snprintf(options, sizeof options, "{\"port\":%s}", strrchr(first.url, ':') + 1);
    *strchr(options, '/') = '}';
    strchr(options, '}')[1] = '\0';
    OK(trn_server_new(second.engine, trn_cstr("{\"name\":\"late\",\"version\":\"1\"}"), &other, &error));
    trn_error *error = NULL;
    trn_status status = trn_serve_http(second.engine, other, trn_cstr(options), &second.serving, &error);
    if (status == TRN_STATUS_OK) {
        status = trn_run(second.engine, second.serving, NULL, NULL, NULL, &error);
    }
    CHECK(status == TRN_STATUS_TRANSPORT);
    CHECK(error != NULL);
    trn_error_free(error);
    OK(trn_server_close(second.engine, other, &error));
    close_engine(&second);
    OK(trn_server_close(first.engine, server, &error));
    close_engine(&first);
}

/* A program of its own that ends without closing anything, with its client idle or a call in flight. */
static int end_as_it_is(int in_flight)
{
    struct peer peer;
    open_engine(&peer);
    connect_to_program(&peer, "everything_server", "");
    check_add(&peer);
    if (in_flight) {
        OK(trn_request(peer.engine, peer.client, TRN_OP_CALL_TOOL,
                       trn_cstr("{\"name\":\"slow\",\"arguments\":{\"steps\":100000,\"delayMs\":1}}"),
                       trn_cstr("{\"progress\":true}"), &peer.call, &error));
        for (int seen = peer.notifications; seen == peer.notifications;) {
            turn(peer.engine, on_event, &peer);
        }
    }
    return 0;
}

static const char *self;

static void programs_may_end_as_they_are(void)
{
    static const char *const how[] = {"idle", "in-flight"};
    for (size_t i = 0; i < COUNT(how); i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            execl(self, self, "ends", driver, how[i], (char *)NULL);
            _exit(127);
        }
        int status = -1;
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
}

int main(int argc, char **argv)
{
    self = argv[0];
    if (argc == 4 && strcmp(argv[1], "ends") == 0) {
        driver = argv[2];
        return end_as_it_is(strcmp(argv[3], "in-flight") == 0);
    }
    static const struct test tests[] = {
        TEST(a_server_process),
        TEST(programs_may_end_as_they_are),
        TEST(the_server_of_the_guide),
        TEST(json_over_several_lines),
        TEST(several_questions_at_once),
        TEST(a_server_that_dies),
        TEST(a_peer_that_stops_reading),
        TEST(nobody_there),
        TEST(http_in_one_engine),
        TEST(http_over_a_unix_socket),
        TEST(http_between_two_engines),
        TEST(a_port_in_use),
    };
    static const char *const drivers[] = {"threaded", "hosted"};
    for (size_t i = 0; i < COUNT(drivers); i++) {
        driver = drivers[i];
        printf("driver %s\n", driver);
        run_tests(tests, COUNT(tests), argc, argv);
    }
    return 0;
}
