/*
 * Clients that sign in, against an MCP server that requires tokens and the authorization server that issues
 * them (core/engine/examples/auth_world.rs). AUTH_WORLD must name that program.
 */
#define _XOPEN_SOURCE 700

#include <arpa/inet.h>
#include <ftw.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define REDIRECT "\"redirectUri\":\"http://localhost:3000/callback\""

/* The servers, and what a client of them does when it is asked. */
struct world {
    pid_t child;
    int input;
    char *told, *mcp, *control;
    trn_engine *engine;
    /* The one record that the program stores. */
    char *record;
    int64_t version;
    int loads, swaps, pages, withdrawn;
    /* The behavior of the user: agrees, cannot be asked, or never decides. */
    enum { AGREES, LOST, UNDECIDED } user;
    uint64_t page, connecting;
};

/* The answer to a request of an http URL at 127.0.0.1, head and body. */
static char *answer_of(const char *method, const char *url, const char *body)
{
    unsigned port = 0;
    int used = 0;
    CHECK(sscanf(url, "http://127.0.0.1:%u%n", &port, &used) == 1);
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int tube = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(tube >= 0 && connect(tube, (struct sockaddr *)&place, sizeof place) == 0);
    size_t room = 256 * 1024, length = 0;
    char *text = calloc(1, room);
    CHECK(text != NULL);
    int head = snprintf(text, room, "%s %s HTTP/1.1\r\nhost: here\r\nconnection: close\r\ncontent-length: %zu\r\n\r\n%s",
                        method, url + used, strlen(body), body);
    CHECK(write(tube, text, (size_t)head) == head);
    memset(text, 0, room);
    for (ssize_t got; (got = read(tube, text + length, room - 1 - length)) > 0; length += (size_t)got) {
    }
    close(tube);
    return text;
}

/* Number of times that a text occurs in the log of the servers. */
static int seen(const struct world *world, const char *text)
{
    char *answer = answer_of("GET", world->control, "");
    int count = 0;
    for (const char *at = answer; (at = strstr(at, text)) != NULL; at++) {
        count++;
    }
    free(answer);
    return count;
}

static void begin(struct world *world)
{
    memset(world, 0, sizeof *world);
    const char *program = getenv("AUTH_WORLD");
    int input[2], output[2];
    CHECK(program != NULL && pipe(input) == 0 && pipe(output) == 0);
    world->child = fork();
    CHECK(world->child >= 0);
    if (world->child == 0) {
        dup2(input[0], 0);
        dup2(output[1], 1);
        close(input[0]);
        close(input[1]);
        close(output[0]);
        close(output[1]);
        execl(program, program, (char *)NULL);
        _exit(127);
    }
    close(input[0]);
    close(output[1]);
    world->input = input[1];
    world->told = calloc(1, 1024);
    CHECK(world->told != NULL);
    ssize_t got = 1;
    for (size_t used = 0; got > 0 && strchr(world->told, '\n') == NULL && used < 1023; used += (size_t)got) {
        got = read(output[0], world->told + used, 1023 - used);
    }
    close(output[0]);
    world->mcp = trn_json_string(trn_cstr(world->told), "mcp", NULL);
    world->control = trn_json_string(trn_cstr(world->told), "control", NULL);
    CHECK(world->mcp != NULL && world->control != NULL);
    OK(trn_engine_new(NONE, &world->engine, &error));
}

static void end(struct world *world)
{
    check_nothing_lives(world->engine, NULL, NULL);
    OK(trn_close(world->engine, 1000, &error));
    trn_engine_free(world->engine);
    close(world->input);
    int status = 1;
    CHECK(waitpid(world->child, &status, 0) == world->child && status == 0);
    free(world->told);
    free(world->record);
    trn_string_free(world->mcp);
    trn_string_free(world->control);
}

static void complete(struct world *world, uint64_t exchange, trn_outcome outcome, const char *payload)
{
    OK(trn_complete(world->engine, exchange, (uint32_t)outcome, trn_cstr(payload), &error));
}

/* The user is to agree at a page, which in this world is a redirect to the callback. */
static void on_page(struct world *world, const trn_event *event)
{
    world->pages++;
    world->page = event->id;
    CHECK(event->target == world->connecting);
    check_string(event->payload.ptr, "redirectUri", "http://localhost:3000/callback");
    if (world->user == LOST) {
        complete(world, event->id, TRN_OUTCOME_ERROR, "{\"message\":\"no display\"}");
        return;
    }
    if (world->user == UNDECIDED) {
        OK(trn_cancel(world->engine, world->connecting, trn_cstr("the user has left"), &error));
        return;
    }
    char *page = trn_json_string(event->payload, "url", NULL);
    char *answer = answer_of("GET", page, "");
    char *location = strstr(answer, "location: ");
    CHECK(location != NULL);
    location += strlen("location: ");
    location[strcspn(location, "\r\n")] = '\0';
    char *url = trn_json_escape(trn_cstr(location)), callback[1024];
    snprintf(callback, sizeof callback, "{\"url\":%s}", url);
    complete(world, event->id, TRN_OUTCOME_RESULT, callback);
    trn_string_free(url);
    trn_string_free(page);
    free(answer);
}

/* The program stores the credentials. */
static void on_credentials(struct world *world, const trn_event *event)
{
    char *op = trn_json_string(event->payload, "op", NULL);
    check_string(event->payload.ptr, "server", world->mcp);
    if (strcmp(op, "load") == 0) {
        world->loads++;
        complete(world, event->id, TRN_OUTCOME_RESULT, world->record == NULL ? "null" : world->record);
    } else {
        CHECK_TEXT(op, "swap");
        world->swaps++;
        trn_str record;
        bool fresh = number_at(event->payload.ptr, "expected") == (double)world->version;
        CHECK(trn_json_raw(event->payload, "record", &record));
        if (fresh) {
            free(world->record);
            world->record = calloc(1, record.len + 1);
            CHECK(world->record != NULL);
            memcpy(world->record, record.ptr, record.len);
            CHECK(trn_json_integer(record, "version", &world->version));
        }
        complete(world, event->id, TRN_OUTCOME_RESULT, fresh ? "true" : "false");
    }
    trn_string_free(op);
}

static void on_event(trn_engine *engine, const trn_event *event, void *user)
{
    struct world *world = user;
    CHECK(engine == world->engine);
    if (event->kind == TRN_EVENT_AUTHORIZE) {
        on_page(world, event);
    } else if (event->kind == TRN_EVENT_CREDENTIALS) {
        on_credentials(world, event);
    } else if (event->kind == TRN_EVENT_CANCELLED && event->id == world->page) {
        world->withdrawn++;
    }
}

/* Begins to connect. */
static uint64_t start(struct world *world, const char *auth)
{
    char target[256], options[2048];
    snprintf(target, sizeof target, "{\"url\":\"%s\"}", world->mcp);
    /* Valgrind takes its time. */
    snprintf(options, sizeof options, "{\"connectTimeoutMs\":0,\"timeoutMs\":0,\"auth\":{\"timeoutMs\":%d,%s}", LONG_MS,
             auth + 1);
    OK(trn_connect(world->engine, trn_cstr(target), trn_cstr(options), &world->connecting, &error));
    return world->connecting;
}

static uint64_t connected(struct world *world, const char *auth)
{
    uint64_t client = start(world, auth);
    OK(trn_run(world->engine, client, on_event, world, NULL, &error));
    return client;
}

static void hello(struct world *world, uint64_t client)
{
    uint64_t call = 0;
    char *result = NULL;
    OK(trn_request(world->engine, client, TRN_OP_CALL_TOOL, trn_cstr("{\"name\":\"hello\",\"arguments\":{}}"), NONE,
                   &call, &error));
    OK(trn_run(world->engine, call, on_event, world, &result, &error));
    check_string(result, "/content/0/text", "hello");
    trn_string_free(result);
}

static void leave(struct world *world, uint64_t client)
{
    OK(trn_client_close(world->engine, client, &error));
}

static void the_user_agrees_once(void)
{
    struct world world;
    begin(&world);
    uint64_t client = connected(&world, "{" REDIRECT ",\"clientName\":\"Shop assistant\"}");
    hello(&world, client);
    CHECK(world.pages == 1 && seen(&world, "\"register\"") == 1);
    leave(&world, client);
    end(&world);
}

static void a_client_acts_for_itself(void)
{
    struct world world;
    begin(&world);
    uint64_t client = connected(
        &world, "{\"grant\":\"client_credentials\",\"clientId\":\"me\",\"clientSecret\":\"s3cret\",\"trustFirstIssuer\":true}");
    hello(&world, client);
    CHECK(world.pages == 0 && seen(&world, "me:s3cret") == 1);
    leave(&world, client);
    end(&world);
}

static int removed(const char *path, const struct stat *stat, int flag, struct FTW *ftw)
{
    (void)stat, (void)flag, (void)ftw;
    return remove(path);
}

static void files_are_shared(void)
{
    struct world world;
    begin(&world);
    char folder[] = "/tmp/trunnion-auth-XXXXXX", auth[256];
    CHECK(mkdtemp(folder) != NULL);
    snprintf(auth, sizeof auth, "{" REDIRECT ",\"store\":\"%s/credentials\"}", folder);
    for (int round = 0; round < 2; round++) {
        uint64_t client = connected(&world, auth);
        hello(&world, client);
        leave(&world, client);
    }
    CHECK(world.pages == 1);
    CHECK(nftw(folder, removed, 8, FTW_DEPTH | FTW_PHYS) == 0);
    end(&world);
}

static void the_program_keeps_credentials(void)
{
    struct world world;
    begin(&world);
    const char *auth = "{" REDIRECT ",\"store\":{\"id\":\"the program's\"}}";
    uint64_t one = connected(&world, auth), two = connected(&world, auth);
    CHECK(world.pages == 1 && world.swaps == 1 && world.version == 1);
    CHECK(world.loads > 1 && strstr(world.record, "acc3ss") != NULL);
    /* One client finds the token that the other has refreshed. */
    free(answer_of("PUT", world.control, "{\"revoke\":true}"));
    hello(&world, one);
    hello(&world, two);
    CHECK(seen(&world, "token refresh_token") == 1 && world.version == 2 && world.pages == 1);
    leave(&world, one);
    leave(&world, two);
    end(&world);
}

static void why_there_is_no_way_in(void)
{
    struct world world;
    begin(&world);
    trn_error *error = NULL;
    world.user = LOST;
    start(&world, "{" REDIRECT "}");
    CHECK(trn_run(world.engine, world.connecting, on_event, &world, NULL, &error) == TRN_STATUS_UNAUTHORIZED);
    CHECK_TEXT(error->kind, TRN_KIND_UNAUTHORIZED);
    check_string(error->data, "reason", "redirect");
    CHECK(strstr(error->message, "no display") != NULL);
    trn_error_free(error);

    error = NULL;
    world.user = AGREES;
    free(answer_of("PUT", world.control, "{\"iss\":\"https://evil.example\"}"));
    start(&world, "{" REDIRECT "}");
    CHECK(trn_run(world.engine, world.connecting, on_event, &world, NULL, &error) == TRN_STATUS_UNAUTHORIZED);
    check_string(error->data, "reason", "wrong_iss");
    CHECK(strstr(error->message, "c0de") == NULL);
    trn_error_free(error);
    end(&world);
}

static void given_up_while_the_user_decides(void)
{
    struct world world;
    begin(&world);
    trn_error *error = NULL;
    world.user = UNDECIDED;
    start(&world, "{" REDIRECT "}");
    CHECK(trn_run(world.engine, world.connecting, on_event, &world, NULL, &error) == TRN_STATUS_CANCELLED);
    trn_error_free(error);
    while (world.withdrawn == 0) {
        turn(world.engine, on_event, &world);
    }
    CHECK(world.pages == 1 && world.withdrawn == 1);
    /* Too late. */
    CHECK(trn_complete(world.engine, world.page, TRN_OUTCOME_RESULT, trn_cstr("{\"url\":\"\"}"), NULL) ==
          TRN_STATUS_FALSE);
    end(&world);
}

static void options_that_are_wrong(void)
{
    static const struct {
        const char *auth, *told;
    } set[] = {
        {"{\"clientsecret\":\"s3cret\"}", "unknown field `clientsecret`"},
        {"\"s3cret\"", "auth must be an object"},
        {"{\"grant\":\"client_credentials\",\"clientId\":\"me\"}", "clientSecret or a signingKey"},
        {"{\"clientId\":\"me\",\"signingKey\":\"s3cret\"}", "auth.signingKey"},
        {"{\"timeoutMs\":\"s3cret\"}", "auth.timeoutMs"},
        {"{\"store\":{\"id\":\"\"}}", "store.id"},
        {"{\"dpop\":true,\"store\":{\"id\":\"mine\"}}", "dpop must be a key"},
    };
    trn_engine *engine = NULL;
    OK(trn_engine_new(NONE, &engine, &error));
    for (size_t i = 0; i < COUNT(set); i++) {
        char options[256];
        uint64_t client = 0;
        trn_error *error = NULL;
        snprintf(options, sizeof options, "{\"auth\":%s}", set[i].auth);
        CHECK(trn_connect(engine, trn_cstr("{\"url\":\"http://127.0.0.1:9/mcp\"}"), trn_cstr(options), &client,
                          &error) == TRN_STATUS_USAGE);
        if (strstr(error->message, set[i].told) == NULL || strstr(error->message, "s3cret") != NULL) {
            fprintf(stderr, "%s: %s\n", set[i].auth, error->message);
            exit(1);
        }
        trn_error_free(error);
    }
    trn_engine_free(engine);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(the_user_agrees_once),          TEST(a_client_acts_for_itself),
        TEST(files_are_shared),              TEST(the_program_keeps_credentials),
        TEST(why_there_is_no_way_in),        TEST(given_up_while_the_user_decides),
        TEST(options_that_are_wrong),
    };
    return run_tests(tests, COUNT(tests), argc, argv);
}
