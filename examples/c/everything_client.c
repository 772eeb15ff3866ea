/*
 * everything_client URL | stdio:COMMAND LINE
 *
 * Calls every feature of an everything_server and prints one line of JSON with the results. With
 * MCP_CONFORMANCE_SCENARIO in the environment it plays that scenario of the conformance suite instead.
 */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <netdb.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support.h"

struct peer {
    trn_engine *engine;
    uint64_t client;
    /* The call under way, its progress so far as a JSON array without its brackets, and whether to give it up. */
    uint64_t call;
    char progress[256];
    int cancel;
    /* The detected properties of the server, and the negotiated revision. */
    char *server, *revision;
};

/* The answer to one question: a result, or an error. */
struct answer {
    char *result;
    trn_error *error;
};

/* The head of the answer to a GET of an http URL; free it. NULL: there is none. */
static char *head_of(const char *url)
{
    if (strncmp(url, "http://", 7) != 0) {
        return NULL;
    }
    size_t length = strcspn(url + 7, "/");
    char *place = format("%.*s", (int)length, url + 7), *colon = strrchr(place, ':');
    if (colon != NULL) {
        *colon = '\0';
    }
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found = NULL;
    int tube = -1;
    if (getaddrinfo(place, colon == NULL ? "80" : colon + 1, &hints, &found) == 0) {
        for (struct addrinfo *at = found; at != NULL && tube < 0; at = at->ai_next) {
            tube = socket(at->ai_family, at->ai_socktype, at->ai_protocol);
            if (tube >= 0 && connect(tube, at->ai_addr, at->ai_addrlen) != 0) {
                close(tube);
                tube = -1;
            }
        }
        freeaddrinfo(found);
    }
    free(place);
    if (tube < 0) {
        return NULL;
    }
    char *request = format("GET %s HTTP/1.1\r\nhost: %.*s\r\nconnection: close\r\n\r\n", url + 7 + length,
                           (int)length, url + 7);
    char *head = calloc(1, 16 * 1024);
    size_t used = 0;
    ssize_t got = head == NULL ? -1 : write(tube, request, strlen(request));
    while (got > 0 && used + 1 < 16 * 1024 && (got = read(tube, head + used, 16 * 1024 - 1 - used)) > 0) {
        used += (size_t)got;
    }
    close(tube);
    free(request);
    return head;
}

/* The suite's user agrees at once: its page is a redirect to the callback. */
static void agree(trn_engine *engine, const trn_event *event)
{
    char *page = trn_json_string(event->payload, "url", NULL);
    char *head = head_of(page);
    const char *field = "\nlocation:", *at = head;
    while (at != NULL && (at = strchr(at, '\n')) != NULL && strncasecmp(at, field, strlen(field)) != 0) {
        at++;
    }
    if (at == NULL) {
        trn_complete(engine, event->id, TRN_OUTCOME_ERROR, trn_cstr("{\"message\": \"the page leads nowhere\"}"), NULL);
    } else {
        at += strlen(field);
        at += strspn(at, " ");
        trn_str location = {at, strcspn(at, "\r\n")};
        char *url = trn_json_escape(location);
        char *callback = format("{\"url\": %s}", url);
        trn_complete(engine, event->id, TRN_OUTCOME_RESULT, trn_cstr(callback), NULL);
        free(callback);
        trn_string_free(url);
    }
    free(head);
    trn_string_free(page);
}

static void on_event(trn_engine *engine, const trn_event *event, void *user)
{
    struct peer *peer = user;
    double progress = 0;
    /* Elicitation and sampling. Fields that a form leaves open get their defaults. */
    if (event->kind == TRN_EVENT_ELICIT) {
        trn_complete(engine, event->id, TRN_OUTCOME_RESULT, trn_cstr("{\"action\": \"accept\", \"content\": {}}"),
                     NULL);
        return;
    }
    if (event->kind == TRN_EVENT_SAMPLE) {
        trn_complete(engine, event->id, TRN_OUTCOME_RESULT,
                     trn_cstr("{\"role\": \"assistant\", \"model\": \"test-model\", \"stopReason\": \"endTurn\","
                              " \"content\": {\"type\": \"text\", \"text\": \"This is a test response.\"}}"),
                     NULL);
        return;
    }
    if (event->kind == TRN_EVENT_AUTHORIZE) {
        agree(engine, event);
        return;
    }
    if (event->kind != TRN_EVENT_PROGRESS || event->id != peer->call ||
        !trn_json_number(event->payload, "progress", &progress)) {
        return;
    }
    if (peer->cancel) {
        trn_cancel(engine, peer->call, trn_cstr("seen enough"), NULL);
        return;
    }
    size_t used = strlen(peer->progress);
    snprintf(peer->progress + used, sizeof peer->progress - used, "%s%g", used == 0 ? "" : ",", progress);
}

static struct answer ask(struct peer *peer, const char *op, const char *params)
{
    struct answer answer = {NULL, NULL};
    peer->progress[0] = '\0';
    if (trn_request(peer->engine, peer->client, op, trn_cstr(params), trn_cstr("{\"progress\": true}"), &peer->call,
                    &answer.error) == TRN_STATUS_OK) {
        trn_run(peer->engine, peer->call, on_event, peer, &answer.result, &answer.error);
    }
    return answer;
}

/* Returns the result of a call that must not fail. */
static char *expect(struct peer *peer, const char *op, const char *params)
{
    struct answer answer = ask(peer, op, params);
    if (answer.error != NULL) {
        fprintf(stderr, "%s %s: %s\n", op, params, answer.error->message);
        trn_error_free(answer.error);
        exit(1);
    }
    return answer.result;
}

/* Returns a string inside the result of a call that must not fail, as JSON. */
static char *expect_string(struct peer *peer, const char *op, const char *params, const char *path)
{
    char *result = expect(peer, op, params);
    char *string = trn_json_string(trn_cstr(result), path, NULL);
    if (string == NULL) {
        fprintf(stderr, "%s %s: no %s in %s\n", op, params, path, result);
        exit(1);
    }
    char *json = trn_json_escape(trn_cstr(string));
    trn_string_free(string);
    trn_string_free(result);
    return json;
}

static int is_error(const char *result)
{
    bool yes = false;
    return trn_json_bool(trn_cstr(result), "isError", &yes) && yes;
}

/* The refusal of a call: "isError" or the error's code, as JSON. */
static char *refusal(struct peer *peer, const char *params)
{
    struct answer answer = ask(peer, TRN_OP_CALL_TOOL, params);
    char *text = answer.error != NULL       ? format("%" PRId64, answer.error->code)
                 : is_error(answer.result) ? format("\"isError\"")
                                            : format("\"accepted\"");
    trn_string_free(answer.result);
    trn_error_free(answer.error);
    return text;
}

static int lists(const char *tools, const char *wanted)
{
    for (int i = 0;; i++) {
        char *path = format("/tools/%d/name", i);
        char *name = trn_json_string(trn_cstr(tools), path, NULL);
        free(path);
        int found = name != NULL && strcmp(name, wanted) == 0, end = name == NULL;
        trn_string_free(name);
        if (found || end) {
            return found;
        }
    }
}

static void tour(struct peer *peer)
{
    char *tools = expect(peer, TRN_OP_LIST_TOOLS, "{}");
    int all = lists(tools, "add") && lists(tools, "echo") && lists(tools, "slow") && lists(tools, "fail");

    double sum = 0;
    char *added = expect(peer, TRN_OP_CALL_TOOL, "{\"name\": \"add\", \"arguments\": {\"a\": 2, \"b\": 3}}");
    if (!trn_json_number(trn_cstr(added), "/structuredContent/sum", &sum)) {
        /* Before 2025-06-18 there is only the text. */
        char *text = trn_json_string(trn_cstr(added), "/content/0/text", NULL);
        if (text == NULL || !trn_json_number(trn_cstr(text), "sum", &sum)) {
            fprintf(stderr, "add: no sum in %s\n", added);
            exit(1);
        }
        trn_string_free(text);
    }
    char *echo = expect_string(
        peer, TRN_OP_CALL_TOOL,
        "{\"name\": \"echo\", \"arguments\": {\"text\": \"h\u00e9llo \u2713 \U0001F600\\n\\\"q\\\"\"}}",
        "/content/0/text");
    char *slow = expect_string(peer, TRN_OP_CALL_TOOL,
                               "{\"name\": \"slow\", \"arguments\": {\"steps\": 3, \"delayMs\": 5}}",
                               "/content/0/text");
    char *progress = format("[%s]", peer->progress);

    char *failed = expect(peer, TRN_OP_CALL_TOOL, "{\"name\": \"fail\", \"arguments\": {\"message\": \"boom\"}}");
    char *message = is_error(failed) ? trn_json_string(trn_cstr(failed), "/content/0/text", NULL) : NULL;
    char *fail = message == NULL ? NULL : trn_json_escape(trn_cstr(message));
    char *unknown = refusal(peer, "{\"name\": \"nope\", \"arguments\": {}}");
    char *invalid = refusal(peer, "{\"name\": \"add\", \"arguments\": {\"a\": \"x\"}}");

    peer->cancel = 1;
    struct answer given_up = ask(peer, TRN_OP_CALL_TOOL,
                                 "{\"name\": \"slow\", \"arguments\": {\"steps\": 100000, \"delayMs\": 1}}");
    peer->cancel = 0;
    const char *cancel = given_up.error == NULL ? "completed" : given_up.error->kind;

    char *resource =
        expect_string(peer, TRN_OP_READ_RESOURCE, "{\"uri\": \"test://static-text\"}", "/contents/0/text");
    char *of_template =
        expect_string(peer, TRN_OP_READ_RESOURCE, "{\"uri\": \"test://template/42/data\"}", "/contents/0/text");
    char *prompt = expect_string(peer, TRN_OP_GET_PROMPT,
                                 "{\"name\": \"test_prompt_with_arguments\","
                                 " \"arguments\": {\"arg1\": \"hello\", \"arg2\": \"world\"}}",
                                 "/messages/0/content/text");
    char *completed = expect(peer, TRN_OP_COMPLETE,
                             "{\"ref\": {\"type\": \"ref/prompt\", \"name\": \"test_prompt_with_arguments\"},"
                             " \"argument\": {\"name\": \"arg1\", \"value\": \"pa\"}}");
    trn_str values = trn_cstr("null");
    trn_json_raw(trn_cstr(completed), "/completion/values", &values);
    char *after = expect_string(peer, TRN_OP_CALL_TOOL,
                                "{\"name\": \"echo\", \"arguments\": {\"text\": \"still here\"}}",
                                "/content/0/text");

    printf("{\"revision\":\"%s\",\"tools\":%s,\"sum\":%g,\"echo\":%s,\"progress\":%s,\"slow\":%s,\"fail\":%s,\"unknown\":%s,"
           "\"invalid\":%s,\"cancel\":\"%s\",\"resource\":%s,\"template\":%s,\"prompt\":%s,\"completion\":%.*s,"
           "\"after\":%s}\n",
           peer->revision, all ? "true" : "false", sum, echo, progress, slow, fail == NULL ? "null" : fail, unknown, invalid, cancel,
           resource, of_template, prompt, (int)values.len, values.ptr, after);

    trn_error_free(given_up.error);
    char *owned[] = {tools, added,    echo,        slow,   failed,    message, fail, given_up.result,
                     resource, of_template, prompt, completed, after};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) {
        trn_string_free(owned[i]);
    }
    free(progress);
    free(unknown);
    free(invalid);
}

/* Ask `op` with {"<key>": <value of this path in each entry of the list>}, and no arguments. */
static void each(struct peer *peer, const char *list, const char *entries, const char *path, const char *op,
                 const char *key)
{
    for (int i = 0;; i++) {
        char *at = format("/%s/%d/%s", entries, i, path);
        trn_str value;
        bool there = trn_json_raw(trn_cstr(list), at, &value);
        free(at);
        if (!there) {
            return;
        }
        char *params = format("{\"%s\": %.*s}", key, (int)value.len, value.ptr);
        trn_string_free(expect(peer, op, params));
        free(params);
    }
}

/* The calls that the suite asks for: {"toolCalls": [{"name", "arguments"}, …]}. */
static void calls_of(struct peer *peer, const char *context)
{
    for (int i = 0;; i++) {
        char *at = format("/toolCalls/%d", i);
        trn_str call;
        bool there = trn_json_raw(trn_cstr(context), at, &call);
        free(at);
        if (!there) {
            return;
        }
        char *params = format("%.*s", (int)call.len, call.ptr);
        trn_string_free(expect(peer, TRN_OP_CALL_TOOL, params));
        free(params);
    }
}

/* Call the tool that gives a schema back with the schema of the tool that has the difficult one. */
static void echo_schema(struct peer *peer, const char *tools)
{
    for (int i = 0;; i++) {
        char *at = format("/tools/%d/name", i);
        char *name = trn_json_string(trn_cstr(tools), at, NULL);
        free(at);
        bool found = name != NULL && strcmp(name, "json_schema_2020_12_tool") == 0;
        bool end = name == NULL;
        trn_string_free(name);
        if (end) {
            fprintf(stderr, "there is no json_schema_2020_12_tool\n");
            exit(1);
        }
        if (found) {
            trn_str schema = trn_cstr("{}");
            at = format("/tools/%d/inputSchema", i);
            trn_json_raw(trn_cstr(tools), at, &schema);
            char *params = format("{\"name\": \"json_schema_echo\", \"arguments\": {\"schema\": %.*s}}",
                                  (int)schema.len, schema.ptr);
            trn_string_free(expect(peer, TRN_OP_CALL_TOOL, params));
            free(params);
            free(at);
            return;
        }
    }
}

/* Calls a tool without arguments. */
static void call(struct peer *peer, const char *tool)
{
    char *params = format("{\"name\": \"%s\", \"arguments\": {}}", tool);
    trn_string_free(expect(peer, TRN_OP_CALL_TOOL, params));
    free(params);
}

/* Returns a member of the suite's data for its client, as JSON. */
static trn_str told(const char *context, const char *name)
{
    trn_str value = trn_cstr("null");
    trn_json_raw(trn_cstr(context), name, &value);
    return value;
}

/* The authorization for the server of a scenario, as its users would configure it. Free it. */
static char *auth_of(const char *name, const char *context)
{
    trn_str id = told(context, "client_id"), secret = told(context, "client_secret");
    /* The suite says of few clients where they belong, and runs servers of its own. */
    const char *trusting = "\"trustFirstIssuer\": true";
    const char *user = "\"redirectUri\": \"http://localhost:3000/callback\"";
    if (strcmp(name, "auth/client-credentials-basic") == 0) {
        return format("{\"grant\": \"client_credentials\", \"clientId\": %.*s, \"clientSecret\": %.*s, %s}", (int)id.len,
                      id.ptr, (int)secret.len, secret.ptr, trusting);
    }
    if (strcmp(name, "auth/client-credentials-jwt") == 0) {
        trn_str key = told(context, "private_key_pem");
        return format("{\"grant\": \"client_credentials\", \"clientId\": %.*s, \"signingKey\": %.*s, %s}", (int)id.len,
                      id.ptr, (int)key.len, key.ptr, trusting);
    }
    if (strcmp(name, "auth/wif-jwt-bearer") == 0) {
        trn_str assertion = told(context, "valid_jwt");
        return format("{\"grant\": \"jwt_bearer\", \"clientId\": %.*s, \"assertion\": %.*s, %s}", (int)id.len, id.ptr,
                      (int)assertion.len, assertion.ptr, trusting);
    }
    if (strcmp(name, "auth/enterprise-managed-authorization") == 0) {
        trn_str endpoint = told(context, "idp_token_endpoint"), issuer = told(context, "idp_issuer");
        trn_str at_idp = told(context, "idp_client_id"), subject = told(context, "idp_id_token");
        return format("{\"grant\": \"enterprise\", \"clientId\": %.*s, \"clientSecret\": %.*s, %s, \"enterprise\":"
                      " {\"tokenEndpoint\": %.*s, \"issuer\": %.*s, \"clientId\": %.*s, \"subject\": %.*s}}",
                      (int)id.len, id.ptr, (int)secret.len, secret.ptr, trusting, (int)endpoint.len, endpoint.ptr,
                      (int)issuer.len, issuer.ptr, (int)at_idp.len, at_idp.ptr, (int)subject.len, subject.ptr);
    }
    if (strcmp(name, "auth/pre-registration") == 0) {
        trn_str issuer = told(context, "issuer");
        int named = issuer.len > 0 && issuer.ptr[0] == '"';
        return format("{%s, \"clientId\": %.*s, \"clientSecret\": %.*s, \"issuer\": %.*s%s%s}", user, (int)id.len,
                      id.ptr, (int)secret.len, secret.ptr, (int)issuer.len, issuer.ptr, named ? "" : ", ",
                      named ? "" : trusting);
    }
    if (strcmp(name, "auth/dpop") == 0 || strcmp(name, "auth/dpop-nonce") == 0) {
        return format("{%s, \"dpop\": true}", user);
    }
    return format("{%s, \"clientMetadataUrl\": \"https://conformance-test.local/client-metadata.json\"}", user);
}

/* Plays a scenario of the conformance suite. */
static void scenario(struct peer *peer, const char *name)
{
    const char *context = getenv("MCP_CONFORMANCE_CONTEXT");
    char *tools = expect(peer, TRN_OP_LIST_TOOLS, "{}");
    if (strcmp(name, "tools_call") == 0) {
        trn_string_free(expect(peer, TRN_OP_CALL_TOOL,
                               "{\"name\": \"add_numbers\", \"arguments\": {\"a\": 5, \"b\": 3}}"));
    } else if (strncmp(name, "auth/", 5) == 0) {
        trn_str tool;
        if (trn_json_raw(trn_cstr(tools), "/tools/0/name", &tool)) {
            char *params = format("{\"name\": %.*s, \"arguments\": {}}", (int)tool.len, tool.ptr);
            trn_string_free(expect(peer, TRN_OP_CALL_TOOL, params));
            free(params);
        }
    } else if (strcmp(name, "http-custom-headers") == 0) {
        calls_of(peer, context == NULL ? "{}" : context);
    } else if (strcmp(name, "http-invalid-tool-headers") == 0) {
        each(peer, tools, "tools", "name", TRN_OP_CALL_TOOL, "name");
    } else if (strcmp(name, "elicitation-sep1034-client-defaults") == 0) {
        call(peer, "test_client_elicitation_defaults");
    } else if (strcmp(name, "sse-retry") == 0) {
        call(peer, "test_reconnection");
    } else if (strcmp(name, "sep-2322-client-request-state") == 0) {
        call(peer, "test_mrtr_echo_state");
        call(peer, "test_mrtr_unrelated");
        call(peer, "test_mrtr_no_state");
        call(peer, "test_mrtr_no_result_type");
    } else if (strcmp(name, "json-schema-2020-12-preservation") == 0) {
        echo_schema(peer, tools);
    } else if (strcmp(name, "http-standard-headers") == 0) {
        each(peer, tools, "tools", "name", TRN_OP_CALL_TOOL, "name");
        char *resources = expect(peer, TRN_OP_LIST_RESOURCES, "{}");
        each(peer, resources, "resources", "uri", TRN_OP_READ_RESOURCE, "uri");
        trn_string_free(resources);
        char *prompts = expect(peer, TRN_OP_LIST_PROMPTS, "{}");
        each(peer, prompts, "prompts", "name", TRN_OP_GET_PROMPT, "name");
        trn_string_free(prompts);
    } else if (strcmp(name, "initialize") != 0 && strcmp(name, "request-metadata") != 0 &&
               strcmp(name, "json-schema-ref-no-deref") != 0) {
        fprintf(stderr, "unknown scenario: %s\n", name);
        exit(1);
    }
    trn_string_free(tools);
}

/* {"url": …}, or {"command": […]} from a command line split at spaces. */
static char *target_of(const char *argument)
{
    if (strncmp(argument, "stdio:", 6) != 0) {
        char *url = trn_json_escape(trn_cstr(argument));
        char *target = format("{\"url\": %s}", url);
        trn_string_free(url);
        return target;
    }
    char *target = format("{\"command\": [");
    const char *separator = "";
    for (const char *at = argument + 6; *at != '\0';) {
        size_t length = strcspn(at, " ");
        if (length > 0) {
            trn_str word = {at, length};
            char *json = trn_json_escape(word);
            char *longer = format("%s%s%s", target, separator, json);
            trn_string_free(json);
            free(target);
            target = longer;
            separator = ", ";
        }
        at += length + (at[length] == ' ');
    }
    char *whole = format("%s]}", target);
    free(target);
    return whole;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s URL | stdio:COMMAND\n", argv[0]);
        return 2;
    }
    struct peer peer = {0};
    trn_error *error = NULL;
    check(trn_engine_new(trn_cstr(NULL), &peer.engine, &error), &error, "engine");
    char *target = target_of(argv[argc - 1]);
    const char *era = getenv("MCP_INTEROP_ERA");
    const char *transport = getenv("MCP_INTEROP_TRANSPORT");
    const char *revision = getenv("MCP_INTEROP_REVISION");
    char *known = revision == NULL ? format("%s", "") : format(", \"revision\": \"%s\"", revision);
    const char *name = getenv("MCP_CONFORMANCE_SCENARIO");
    const char *asked = ", \"capabilities\": {\"sampling\": {}, \"elicitation\": {}},"
                        " \"roots\": [{\"uri\": \"file:///workspace\", \"name\": \"workspace\"}]";
    const char *context = getenv("MCP_CONFORMANCE_CONTEXT");
    char *auth = name == NULL || strncmp(name, "auth/", 5) != 0
                     ? format("%s", "null")
                     : auth_of(name, context == NULL ? "{}" : context);
    char *options =
        format("{\"clientInfo\": {\"name\": \"everything-client-c\", \"version\": \"1.0.0\"}, \"era\": \"%s\","
               " \"transport\": \"%s\", \"connectTimeoutMs\": 60000, \"auth\": %s%s%s}",
               era == NULL ? "auto" : era, transport == NULL ? "auto" : transport, auth, known,
               name == NULL ? "" : asked);
    check(trn_connect(peer.engine, trn_cstr(target), trn_cstr(options), &peer.client, &error), &error, "connect");
    check(trn_run(peer.engine, peer.client, on_event, &peer, &peer.server, &error), &error, "connect");
    peer.revision = trn_json_string(trn_cstr(peer.server), "revision", NULL);

    if (name == NULL) {
        tour(&peer);
    } else {
        scenario(&peer, name);
    }
    trn_string_free(peer.revision);
    trn_string_free(peer.server);
    free(options);
    free(auth);
    free(known);
    free(target);
    trn_close(peer.engine, 1000, NULL);
    trn_engine_free(peer.engine);
    return 0;
}
