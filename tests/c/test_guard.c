/* Servers that require a valid token, with both drivers. The client belongs to the same engine, over HTTP. */
#include "harness.h"

enum { WHOAMI = 1, WRITE, STAFF };

static const char *driver;

struct world {
    trn_engine *engine;
    uint64_t server, serving;
    char *url;
    /* The observations of the program. */
    int checks, calls;
    char *context;
};

/* Checks a token as the program does: valid, another user's, unknown, or not verifiable now. */
static void on_token(struct world *world, const trn_event *event)
{
    trn_outcome outcome = TRN_OUTCOME_ERROR;
    const char *payload = "{\"message\":\"unknown\"}";
    char *token = trn_json_string(event->payload, "token", NULL);
    CHECK(event->target == world->server && token != NULL);
    world->checks++;
    if (strcmp(token, "good") == 0 || strcmp(token, "other") == 0) {
        outcome = TRN_OUTCOME_RESULT;
        payload = *token == 'g' ? "{\"sub\":\"ann\",\"aud\":\"me\"}" : "{\"sub\":\"ann\",\"aud\":\"you\"}";
    } else if (strcmp(token, "down") == 0) {
        outcome = TRN_OUTCOME_TOOL_ERROR;
        payload = "the database is down";
    }
    OK(trn_complete(world->engine, event->id, (uint32_t)outcome, trn_cstr(payload), &error));
    trn_string_free(token);
}

static void on_event(trn_engine *engine, const trn_event *event, void *user)
{
    struct world *world = user;
    CHECK(engine == world->engine);
    if (event->kind == TRN_EVENT_VERIFY_TOKEN) {
        on_token(world, event);
    } else if (event->kind == TRN_EVENT_LISTENING) {
        world->url = trn_json_string(event->payload, "url", NULL);
    } else if (event->kind == TRN_EVENT_CALL_TOOL) {
        world->calls++;
        trn_string_free(world->context);
        world->context = trn_context(engine, event->id);
        OK(trn_complete(engine, event->id, TRN_OUTCOME_TEXT, trn_cstr("done"), &error));
    }
}

static void begin(struct world *world, const char *auth)
{
    static const struct {
        const char *definition, *options;
        uint64_t target;
    } tools[] = {
        {"{\"name\":\"whoami\",\"inputSchema\":{\"type\":\"object\"}}", "{}", WHOAMI},
        {"{\"name\":\"write\",\"inputSchema\":{\"type\":\"object\"}}", "{\"scopes\":[\"write\"]}", WRITE},
        {"{\"name\":\"staff\",\"inputSchema\":{\"type\":\"object\"}}",
         "{\"visibleTo\":{\"any\":[{\"claim\":\"groups\",\"is\":\"staff\"},{\"scope\":\"admin\"}]}}", STAFF},
    };
    char text[2048];
    memset(world, 0, sizeof *world);
    snprintf(text, sizeof text, "{\"driver\":\"%s\"}", driver);
    OK(trn_engine_new(trn_cstr(text), &world->engine, &error));
    snprintf(text, sizeof text, "{\"name\":\"files\",\"version\":\"1\",\"auth\":%s}", auth);
    OK(trn_server_new(world->engine, trn_cstr(text), &world->server, &error));
    for (size_t i = 0; i < COUNT(tools); i++) {
        OK(trn_server_add(world->engine, world->server, "tool", trn_cstr(tools[i].definition),
                          trn_cstr(tools[i].options), tools[i].target, &error));
    }
    OK(trn_serve_http(world->engine, world->server, NONE, &world->serving, &error));
    while (world->url == NULL) {
        turn(world->engine, on_event, world);
    }
}

static void end(struct world *world)
{
    OK(trn_server_close(world->engine, world->server, &error));
    check_nothing_lives(world->engine, on_event, world);
    OK(trn_close(world->engine, 1000, &error));
    trn_engine_free(world->engine);
    trn_string_free(world->url);
    trn_string_free(world->context);
}

/* Connects with a token; NULL: with none. 0: refused, with this in the message. */
static uint64_t come(struct world *world, const char *token, const char *refused)
{
    char target[128], options[2048] = "{}";
    uint64_t client = 0;
    trn_error *error = NULL;
    snprintf(target, sizeof target, "{\"url\":\"%s\"}", world->url);
    if (token != NULL) {
        snprintf(options, sizeof options, "{\"headers\":{\"authorization\":\"Bearer %s\"}}", token);
    }
    OK(trn_connect(world->engine, trn_cstr(target), trn_cstr(options), &client, &error));
    trn_status status = trn_run(world->engine, client, on_event, world, NULL, &error);
    if (refused == NULL) {
        CHECK(status == TRN_STATUS_OK);
        return client;
    }
    if (status == TRN_STATUS_OK || strstr(error->message, refused) == NULL || strstr(error->message, "database") != NULL) {
        fprintf(stderr, "%s: %d %s\n", token == NULL ? "none" : token, (int)status, error->message);
        exit(1);
    }
    trn_error_free(error);
    return 0;
}

static trn_status call(struct world *world, uint64_t client, const char *tool)
{
    char params[64];
    uint64_t operation = 0;
    snprintf(params, sizeof params, "{\"name\":\"%s\",\"arguments\":{}}", tool);
    OK(trn_request(world->engine, client, TRN_OP_CALL_TOOL, trn_cstr(params), NONE, &operation, &error));
    return trn_run(world->engine, operation, on_event, world, NULL, NULL);
}

/* The call is refused for this reason. */
static void check_refused(struct world *world, uint64_t client, const char *params, const char *reason)
{
    uint64_t operation = 0;
    trn_error *error = NULL;
    OK(trn_request(world->engine, client, TRN_OP_CALL_TOOL, trn_cstr(params), NONE, &operation, &error));
    CHECK(trn_run(world->engine, operation, on_event, world, NULL, &error) != TRN_STATUS_OK);
    check_string(error->data, "reason", reason);
    trn_error_free(error);
}

static void leave(struct world *world, uint64_t client)
{
    OK(trn_client_close(world->engine, client, &error));
}

static void fixed_tokens_scopes_and_visibility(void)
{
    struct world world;
    begin(&world, "{\"tokens\":{\"anns\":{\"sub\":\"ann\",\"scope\":\"read\"},"
                  "\"bobs\":{\"sub\":\"bob\",\"scope\":\"read write\",\"groups\":[\"staff\"]},"
                  "\"eves\":{\"sub\":\"eve\"}},\"requiredScopes\":[\"read\"]}");
    come(&world, NULL, "a token is required");
    come(&world, "nobodys", "not good");
    come(&world, "eves", "scopes do not suffice");
    uint64_t ann = come(&world, "anns", NULL);
    CHECK(call(&world, ann, "whoami") == TRN_STATUS_OK);
    check_string(world.context, "/claims/sub", "ann");
    check_string(world.context, "principal", "[\"tokens\",\"sub:ann\"]");
    check_refused(&world, ann, "{\"name\":\"write\",\"arguments\":{}}", "scope");
    CHECK(call(&world, ann, "staff") == TRN_STATUS_INVALID_PARAMS);
    CHECK(world.calls == 1);
    leave(&world, ann);
    uint64_t bob = come(&world, "bobs", NULL);
    CHECK(call(&world, bob, "write") == TRN_STATUS_OK && call(&world, bob, "staff") == TRN_STATUS_OK);
    CHECK(world.calls == 3);
    leave(&world, bob);
    end(&world);
}

static void the_program_checks_tokens(void)
{
    struct world world;
    begin(&world, "{\"host\":true,\"audience\":\"me\"}");
    come(&world, NULL, "a token is required");
    CHECK(world.checks == 0);
    come(&world, "bad", "the token was refused");
    come(&world, "other", "not for this server");
    come(&world, "down", "cannot be checked now");
    CHECK(world.checks >= 3);
    uint64_t ann = come(&world, "good", NULL);
    CHECK(call(&world, ann, "whoami") == TRN_STATUS_OK);
    check_string(world.context, "/claims/sub", "ann");
    leave(&world, ann);
    end(&world);
}

static void options_that_are_wrong(void)
{
    static const char *const set[] = {
        "{}", "{\"tokens\":{\"a\":{}}}", "{\"host\":true,\"dpop\":\"maybe\"}",
        "{\"jwt\":{\"issuer\":\"https://as.example\",\"algorithms\":[\"HS256\"]}}", "{\"host\":true,\"issuer\":\"x\"}",
    };
    trn_engine *engine = NULL;
    OK(trn_engine_new(NONE, &engine, &error));
    for (size_t i = 0; i < COUNT(set); i++) {
        char definition[256];
        uint64_t server = 0;
        snprintf(definition, sizeof definition, "{\"name\":\"files\",\"version\":\"1\",\"auth\":%s}", set[i]);
        CHECK_FAILS(USAGE, trn_server_new(engine, trn_cstr(definition), &server, &error));
    }
    trn_engine_free(engine);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(fixed_tokens_scopes_and_visibility),
        TEST(the_program_checks_tokens),
        TEST(options_that_are_wrong),
    };
    static const char *const drivers[] = {"hosted", "threaded"};
    for (size_t i = 0; i < COUNT(drivers); i++) {
        driver = drivers[i];
        run_tests(tests, COUNT(tests), argc, argv);
    }
    return 0;
}
