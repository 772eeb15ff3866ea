/*
 * everything_server --stdio | --http PORT [--threaded]
 *
 * One of everything a server can offer, on the program's own poll loop: the engine is one descriptor in it,
 * timers for the slow tools are another part, and a signal ends it in good order.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "support.h"

/* A red dot and a millisecond of silence. */
#define PNG "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
#define WAV "UklGRiwAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQgAAACAgICAgICAgA=="

#define RESOURCE(uri, text) \
    "{\"type\":\"resource\",\"resource\":{\"uri\":" uri ",\"mimeType\":\"text/plain\",\"text\":\"" text "\"}}"
#define TEXT(text) "{\"type\":\"text\",\"text\":\"" text "\"}"
#define IMAGE "{\"type\":\"image\",\"data\":\"" PNG "\",\"mimeType\":\"image/png\"}"
#define NO_ARGUMENTS "\"inputSchema\":{\"type\":\"object\",\"properties\":{}}"

/* Work that goes on between events: a tool that reports its steps. */
struct job {
    struct job *next;
    uint64_t id;
    int64_t step, steps, delay_ms, due_ms;
    /* Report step of total; percent: 0, 50, 100 of 100 instead. */
    int percent;
};

struct app {
    trn_engine *engine;
    struct job *jobs;
};

/* Something the server offers; its address is the target of its events. */
struct offer {
    const char *item;
    const char *definition;
    void (*run)(struct app *app, const trn_event *event);
    /* For offers that always answer the same. */
    trn_outcome outcome;
    const char *answer;
};

static void reply(struct app *app, const trn_event *event, trn_outcome outcome, const char *payload)
{
    trn_complete(app->engine, event->id, outcome, trn_cstr(payload), NULL);
}

static void same(struct app *app, const trn_event *event)
{
    const struct offer *offer = (const struct offer *)(uintptr_t)event->target;
    reply(app, event, offer->outcome, offer->answer);
}

static void add(struct app *app, const trn_event *event)
{
    double a = 0, b = 0;
    trn_json_number(event->payload, "a", &a);
    trn_json_number(event->payload, "b", &b);
    char *sum = format("{\"sum\":%.17g}", a + b);
    reply(app, event, TRN_OUTCOME_VALUE, sum);
    free(sum);
}

static void answer_member(struct app *app, const trn_event *event, const char *name)
{
    trn_str text = {NULL, 0};
    char *decoded = trn_json_string(event->payload, name, &text.len);
    text.ptr = decoded;
    trn_complete(app->engine, event->id, TRN_OUTCOME_TEXT, text, NULL);
    trn_string_free(decoded);
}

static void echo(struct app *app, const trn_event *event)
{
    answer_member(app, event, "text");
}

static void region(struct app *app, const trn_event *event)
{
    answer_member(app, event, "region");
}

static void fail(struct app *app, const trn_event *event)
{
    char *message = trn_json_string(event->payload, "message", NULL);
    reply(app, event, TRN_OUTCOME_TOOL_ERROR, message);
    trn_string_free(message);
}

static void crash(struct app *app, const trn_event *event)
{
    trn_str message = trn_cstr("\"\"");
    trn_json_raw(event->payload, "message", &message);
    char *error = format("{\"message\":%.*s}", (int)message.len, message.ptr);
    reply(app, event, TRN_OUTCOME_ERROR, error);
    free(error);
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static struct job *start(struct app *app, const trn_event *event)
{
    struct job *job = calloc(1, sizeof *job);
    if (job == NULL) {
        abort();
    }
    job->id = event->id;
    job->next = app->jobs;
    app->jobs = job;
    return job;
}

static void slow(struct app *app, const trn_event *event)
{
    struct job *job = start(app, event);
    trn_json_integer(event->payload, "steps", &job->steps);
    trn_json_integer(event->payload, "delayMs", &job->delay_ms);
    job->due_ms = now_ms() + job->delay_ms;
}

static void with_progress(struct app *app, const trn_event *event)
{
    struct job *job = start(app, event);
    job->percent = 1;
    job->steps = 3;
    job->delay_ms = 50;
    job->due_ms = now_ms();
}

/* Take the next step of a job. Returns 0 when it is done. */
static int advance(struct app *app, struct job *job)
{
    if (job->step < job->steps) {
        job->step++;
        char *report = job->percent
                           ? format("{\"progress\":%lld,\"total\":100}", (long long)(job->step - 1) * 50)
                           : format("{\"progress\":%lld,\"total\":%lld,\"message\":\"step %lld of %lld\"}",
                                    (long long)job->step, (long long)job->steps, (long long)job->step,
                                    (long long)job->steps);
        trn_progress(app->engine, job->id, trn_cstr(report), NULL);
        free(report);
        job->due_ms += job->delay_ms;
    }
    if (job->step < job->steps) {
        return 1;
    }
    trn_complete(app->engine, job->id, TRN_OUTCOME_TEXT, trn_cstr("done"), NULL);
    return 0;
}

static void template_data(struct app *app, const trn_event *event)
{
    char *id = trn_json_string(event->payload, "/params/id", NULL);
    char *text = format("Data of %s", id);
    reply(app, event, TRN_OUTCOME_TEXT, text);
    free(text);
    trn_string_free(id);
}

static void prompt_with_arguments(struct app *app, const trn_event *event)
{
    char *first = trn_json_string(event->payload, "arg1", NULL);
    char *second = trn_json_string(event->payload, "arg2", NULL);
    char *text = format("Prompt with arguments: arg1='%s', arg2='%s'", first == NULL ? "" : first,
                        second == NULL ? "" : second);
    reply(app, event, TRN_OUTCOME_TEXT, text);
    free(text);
    trn_string_free(second);
    trn_string_free(first);
}

static void prompt_with_resource(struct app *app, const trn_event *event)
{
    trn_str uri = trn_cstr("\"test://example-resource\"");
    trn_json_raw(event->payload, "resourceUri", &uri);
    char *result = format("{\"messages\":["
                          "{\"role\":\"user\",\"content\":" RESOURCE("%.*s", "The embedded resource.") "},"
                          "{\"role\":\"user\",\"content\":" TEXT("Please use the resource above.") "}]}",
                          (int)uri.len, uri.ptr);
    reply(app, event, TRN_OUTCOME_RESULT, result);
    free(result);
}

static void completion(struct app *app, const trn_event *event)
{
    static const char *const known[] = {"paris", "park", "party"};
    char *argument = trn_json_string(event->payload, "/argument/name", NULL);
    char *value = trn_json_string(event->payload, "/argument/value", NULL);
    char values[64] = "[";
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (argument != NULL && value != NULL && strcmp(argument, "arg1") == 0 &&
            strncmp(known[i], value, strlen(value)) == 0) {
            size_t used = strlen(values);
            snprintf(values + used, sizeof values - used, "%s\"%s\"", used == 1 ? "" : ",", known[i]);
        }
    }
    strcat(values, "]");
    reply(app, event, TRN_OUTCOME_VALUE, values);
    trn_string_free(value);
    trn_string_free(argument);
}

static const struct offer offers[] = {
    {"tool", "{\"name\":\"test_simple_text\",\"description\":\"Answers with one text.\"," NO_ARGUMENTS "}", same,
     TRN_OUTCOME_TEXT, "This is a simple text response for testing."},
    {"tool",
     "{\"name\":\"add\",\"description\":\"Adds two numbers.\",\"inputSchema\":{\"type\":\"object\","
     "\"properties\":{\"a\":{\"type\":\"number\"},\"b\":{\"type\":\"number\"}},\"required\":[\"a\",\"b\"]},"
     "\"outputSchema\":{\"type\":\"object\",\"properties\":{\"sum\":{\"type\":\"number\"}},\"required\":[\"sum\"]}}",
     add, 0, NULL},
    {"tool",
     "{\"name\":\"echo\",\"description\":\"Answers with the text it is given.\",\"inputSchema\":{\"type\":\"object\","
     "\"properties\":{\"text\":{\"type\":\"string\"}},\"required\":[\"text\"]}}",
     echo, 0, NULL},
    {"tool",
     "{\"name\":\"test_x_mcp_header\",\"description\":\"Answers with the region, which proxies can read in the header"
     " Mcp-Param-Region.\",\"inputSchema\":{\"type\":\"object\",\"properties\":{\"region\":{\"type\":\"string\","
     "\"x-mcp-header\":\"Region\"}},\"required\":[\"region\"]}}",
     region, 0, NULL},
    {"tool",
     "{\"name\":\"slow\",\"description\":\"Takes its time, step by step, and reports each.\",\"inputSchema\":{"
     "\"type\":\"object\",\"properties\":{\"steps\":{\"type\":\"integer\",\"minimum\":0},"
     "\"delayMs\":{\"type\":\"integer\",\"minimum\":0}},\"required\":[\"steps\",\"delayMs\"]}}",
     slow, 0, NULL},
    {"tool",
     "{\"name\":\"fail\",\"description\":\"Fails with the message it is given.\",\"inputSchema\":{\"type\":\"object\","
     "\"properties\":{\"message\":{\"type\":\"string\"}},\"required\":[\"message\"]}}",
     fail, 0, NULL},
    {"tool",
     "{\"name\":\"crash\",\"description\":\"Fails in a way its author did not foresee.\",\"inputSchema\":{"
     "\"type\":\"object\",\"properties\":{\"message\":{\"type\":\"string\"}},\"required\":[\"message\"]}}",
     crash, 0, NULL},
    {"tool", "{\"name\":\"test_image_content\",\"description\":\"Answers with an image.\"," NO_ARGUMENTS "}", same,
     TRN_OUTCOME_RESULT, "{\"content\":[" IMAGE "]}"},
    {"tool", "{\"name\":\"test_audio_content\",\"description\":\"Answers with a sound.\"," NO_ARGUMENTS "}", same,
     TRN_OUTCOME_RESULT, "{\"content\":[{\"type\":\"audio\",\"data\":\"" WAV "\",\"mimeType\":\"audio/wav\"}]}"},
    {"tool", "{\"name\":\"test_embedded_resource\",\"description\":\"Answers with a resource.\"," NO_ARGUMENTS "}",
     same, TRN_OUTCOME_RESULT,
     "{\"content\":[" RESOURCE("\"test://embedded-resource\"", "This is an embedded resource content.") "]}"},
    {"tool",
     "{\"name\":\"test_multiple_content_types\",\"description\":\"Answers with text, image and resource.\"," NO_ARGUMENTS
     "}",
     same, TRN_OUTCOME_RESULT,
     "{\"content\":[" TEXT("Multiple content types test:") "," IMAGE "," RESOURCE(
         "\"test://mixed-content-resource\"", "The third item.") "]}"},
    {"tool", "{\"name\":\"test_error_handling\",\"description\":\"Always fails.\"," NO_ARGUMENTS "}", same,
     TRN_OUTCOME_TOOL_ERROR, "This tool intentionally returns an error for testing"},
    {"tool", "{\"name\":\"test_tool_with_progress\",\"description\":\"Reports progress.\"," NO_ARGUMENTS "}",
     with_progress, 0, NULL},

    {"resource",
     "{\"uri\":\"test://static-text\",\"name\":\"static-text\",\"description\":\"A text that never changes.\","
     "\"mimeType\":\"text/plain\"}",
     same, TRN_OUTCOME_TEXT, "This is the content of the static text resource."},
    {"resource",
     "{\"uri\":\"test://static-binary\",\"name\":\"static-binary\",\"description\":\"An image that never changes.\","
     "\"mimeType\":\"image/png\"}",
     same, TRN_OUTCOME_BASE64, PNG},
    {"resource_template",
     "{\"uriTemplate\":\"test://template/{id}/data\",\"name\":\"template\",\"description\":\"Data by id.\","
     "\"mimeType\":\"text/plain\"}",
     template_data, 0, NULL},

    {"prompt", "{\"name\":\"test_simple_prompt\",\"description\":\"A prompt without arguments.\"}", same,
     TRN_OUTCOME_TEXT, "This is a simple prompt for testing."},
    {"prompt",
     "{\"name\":\"test_prompt_with_arguments\",\"description\":\"A prompt with two arguments.\",\"arguments\":["
     "{\"name\":\"arg1\",\"description\":\"First argument\",\"required\":true},"
     "{\"name\":\"arg2\",\"description\":\"Second argument\",\"required\":true}]}",
     prompt_with_arguments, 0, NULL},
    {"prompt",
     "{\"name\":\"test_prompt_with_embedded_resource\",\"description\":\"A prompt that holds a resource.\","
     "\"arguments\":[{\"name\":\"resourceUri\",\"description\":\"URI of the resource\",\"required\":true}]}",
     prompt_with_resource, 0, NULL},
    {"prompt", "{\"name\":\"test_prompt_with_image\",\"description\":\"A prompt that holds an image.\"}", same,
     TRN_OUTCOME_RESULT,
     "{\"messages\":[{\"role\":\"user\",\"content\":" IMAGE "},"
     "{\"role\":\"user\",\"content\":" TEXT("Please analyze the image above.") "}]}"},
    {"completion", "{\"ref\":{\"type\":\"ref/prompt\",\"name\":\"test_prompt_with_arguments\"}}", completion, 0, NULL},
};

static int signals[2] = {-1, -1};

static void on_signal(int number)
{
    int saved = errno;
    char byte = (char)number;
    if (write(signals[1], &byte, 1) < 0) {
        /* The pipe is full of signals already. */
    }
    errno = saved;
}

/* How long poll may sleep: until the next job is due, or for ever. */
static int next_timeout(const struct app *app)
{
    int64_t now = now_ms(), soonest = -1;
    for (const struct job *job = app->jobs; job != NULL; job = job->next) {
        int64_t left = job->due_ms > now ? job->due_ms - now : 0;
        soonest = soonest < 0 || left < soonest ? left : soonest;
    }
    return soonest > 1000000 ? 1000000 : (int)soonest;
}

static void run_jobs(struct app *app)
{
    int64_t now = now_ms();
    for (struct job **at = &app->jobs; *at != NULL;) {
        struct job *job = *at;
        if (job->due_ms <= now && !advance(app, job)) {
            *at = job->next;
            free(job);
        } else {
            at = &job->next;
        }
    }
}

static void forget(struct app *app, uint64_t id)
{
    for (struct job **at = &app->jobs; *at != NULL; at = &(*at)->next) {
        if ((*at)->id == id) {
            struct job *job = *at;
            *at = job->next;
            free(job);
            return;
        }
    }
}

/* Handle what is queued. Returns 0 when serving has ended. */
static int dispatch(struct app *app, uint64_t serving)
{
    int serve = 1;
    size_t count;
    do {
        trn_batch *batch = NULL;
        trn_error *error = NULL;
        check(trn_drain(app->engine, NULL, 0, &batch, &error), &error, "drain");
        count = trn_batch_len(batch);
        for (size_t i = 0; i < count; i++) {
            const trn_event *event = trn_batch_at(batch, i);
            if (event->target != 0) {
                const struct offer *offer = (const struct offer *)(uintptr_t)event->target;
                offer->run(app, event);
            } else if (event->kind == TRN_EVENT_CANCELLED) {
                forget(app, event->id);
            } else if (event->kind == TRN_EVENT_LISTENING) {
                char *url = trn_json_string(event->payload, "url", NULL);
                fprintf(stderr, "listening on %s\n", url);
                trn_string_free(url);
            } else if (event->id == serving && event->kind == TRN_EVENT_RESULT) {
                serve = 0;
            } else if (event->id == serving && event->kind == TRN_EVENT_ERROR) {
                fprintf(stderr, "serve: %s\n", event->payload.ptr);
                exit(1);
            }
        }
        trn_batch_free(batch);
    } while (count > 0);
    return serve;
}

int main(int argc, char **argv)
{
    int stdio = argc > 1 && strcmp(argv[1], "--stdio") == 0;
    int http = argc > 2 && strcmp(argv[1], "--http") == 0;
    if (!stdio && !http) {
        fprintf(stderr, "usage: %s --stdio | --http PORT [--threaded]\n", argv[0]);
        return 2;
    }
    struct app app = {NULL, NULL};
    trn_error *error = NULL;
    int threaded = strcmp(argv[argc - 1], "--threaded") == 0;
    check(trn_engine_new(trn_cstr(threaded ? "{\"driver\":\"threaded\"}" : "{\"driver\":\"hosted\"}"), &app.engine,
                         &error),
          &error, "engine");
    trn_str none = trn_cstr(NULL);
    uint64_t server = 0, serving = 0;
    check(trn_server_new(app.engine, trn_cstr("{\"name\":\"everything-c\",\"version\":\"1.0.0\"}"), &server, &error),
          &error, "server");
    for (size_t i = 0; i < sizeof offers / sizeof *offers; i++) {
        check(trn_server_add(app.engine, server, offers[i].item, trn_cstr(offers[i].definition), none,
                             (uint64_t)(uintptr_t)&offers[i], &error),
              &error, offers[i].definition);
    }
    if (http) {
        char *options = format("{\"port\":%d}", atoi(argv[2]));
        check(trn_serve_http(app.engine, server, trn_cstr(options), &serving, &error), &error, "serve");
        free(options);
    } else {
        check(trn_serve_stdio(app.engine, server, none, &serving, &error), &error, "serve");
    }

    struct sigaction action = {0};
    action.sa_handler = on_signal;
    if (pipe(signals) != 0 || sigaction(SIGTERM, &action, NULL) != 0 || sigaction(SIGINT, &action, NULL) != 0) {
        perror("signals");
        return 1;
    }
    struct pollfd watched[2] = {{trn_fd(app.engine), POLLIN, 0}, {signals[0], POLLIN, 0}};
    while (dispatch(&app, serving)) {
        if (poll(watched, 2, next_timeout(&app)) < 0 && errno != EINTR) {
            perror("poll");
            return 1;
        }
        if (watched[1].revents != 0) {
            break;
        }
        run_jobs(&app);
    }
    trn_close(app.engine, 1000, NULL);
    while (app.jobs != NULL) {
        forget(&app, app.jobs->id);
    }
    trn_engine_free(app.engine);
    return 0;
}
