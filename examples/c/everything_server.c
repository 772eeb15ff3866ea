/*
 * everything_server --stdio | --http PORT [--threaded]
 *
 * One of everything a server can offer, on the program's own poll loop: the engine is one descriptor in it,
 * timers for the slow tools are another part, and a signal ends it in good order. What it offers is in
 * everything_offers.c, the handlers that ask the client something in everything_asks.c.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "everything.h"

/* Work that goes on between events: a tool that reports its steps. */
struct job {
    struct job *next;
    uint64_t id;
    int64_t step, steps, delay_ms, due_ms;
    void (*report)(struct app *app, const struct job *job);
    /* The outcome. */
    trn_outcome outcome;
    const char *text;
};

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
    job->outcome = TRN_OUTCOME_TEXT;
    job->text = "done";
    job->next = app->jobs;
    app->jobs = job;
    return job;
}

static void report_step(struct app *app, const struct job *job)
{
    long long step = (long long)job->step, steps = (long long)job->steps;
    char *report =
        format("{\"progress\":%lld,\"total\":%lld,\"message\":\"step %lld of %lld\"}", step, steps, step, steps);
    trn_progress(app->engine, job->id, trn_cstr(report), NULL);
    free(report);
}

static void report_percent(struct app *app, const struct job *job)
{
    char *report = format("{\"progress\":%lld,\"total\":100}", (long long)(job->step - 1) * 50);
    trn_progress(app->engine, job->id, trn_cstr(report), NULL);
    free(report);
}

static void report_log(struct app *app, const struct job *job)
{
    char *report = format("{\"level\":\"info\",\"data\":\"step %lld\"}", (long long)job->step);
    trn_log(app->engine, job->id, trn_cstr(report), NULL);
    free(report);
}

void slow(struct app *app, const trn_event *event)
{
    struct job *job = start(app, event);
    job->report = report_step;
    trn_json_integer(event->payload, "steps", &job->steps);
    trn_json_integer(event->payload, "delayMs", &job->delay_ms);
    job->due_ms = now_ms() + job->delay_ms;
}

static void three_reports(struct app *app, const trn_event *event,
                          void (*report)(struct app *app, const struct job *job))
{
    struct job *job = start(app, event);
    job->report = report;
    job->steps = 3;
    job->delay_ms = 50;
    job->due_ms = now_ms();
}

void with_progress(struct app *app, const trn_event *event)
{
    three_reports(app, event, report_percent);
}

void with_logging(struct app *app, const trn_event *event)
{
    three_reports(app, event, report_log);
}

/* Reports the progress of the work, and the point where another process continues if this one dies. */
static void report_work(struct app *app, const struct job *job)
{
    uint64_t stored = 0;
    char *report = format("{\"progress\":%lld,\"total\":10}", (long long)job->step);
    char *checkpoint = format("{\"value\":%lld}", (long long)job->step);
    trn_progress(app->engine, job->id, trn_cstr(report), NULL);
    trn_request(app->engine, job->id, "checkpoint", trn_cstr(checkpoint), trn_cstr(NULL), &stored, NULL);
    free(checkpoint);
    free(report);
}

void compute(struct app *app, const trn_event *event)
{
    struct job *job = start(app, event);
    double seconds = 0;
    char *context = trn_context(app->engine, event->id);
    trn_json_number(event->payload, "seconds", &seconds);
    trn_json_integer(trn_cstr(context), "checkpoint", &job->step);
    trn_string_free(context);
    job->report = report_work;
    job->steps = 10;
    job->delay_ms = seconds < 0 ? 0 : seconds > 600 ? 60000 : (int64_t)(seconds * 100);
    job->due_ms = now_ms() + job->delay_ms;
}

void fail_later(struct app *app, const trn_event *event)
{
    struct job *job = start(app, event);
    job->due_ms = now_ms() + 1000;
    job->outcome = TRN_OUTCOME_TOOL_ERROR;
    job->text = "the job has failed";
}

/* Lets its caller's connection go; the answer waits for the client to come back. */
void reconnect(struct app *app, const trn_event *event)
{
    trn_close_stream(app->engine, event->id, NULL);
    start(app, event)->due_ms = now_ms() + 100;
}

/* Takes the next step of a job. Returns 0 when it is done. */
static int advance(struct app *app, struct job *job)
{
    if (job->step < job->steps) {
        job->step++;
        job->report(app, job);
        job->due_ms += job->delay_ms;
    }
    if (job->step < job->steps) {
        return 1;
    }
    reply(app, job->id, job->outcome, job->text);
    return 0;
}

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

/* The timeout of poll: until the next job is due, or unlimited. */
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
                stop_waiting(app, event->id);
            } else if (event->kind == TRN_EVENT_LISTENING) {
                char *url = trn_json_string(event->payload, "url", NULL);
                fprintf(stderr, "listening on %s\n", url);
                trn_string_free(url);
            } else if (event->id == serving && event->kind == TRN_EVENT_RESULT) {
                serve = 0;
            } else if (event->id == serving && event->kind == TRN_EVENT_ERROR) {
                fprintf(stderr, "serve: %s\n", event->payload.ptr);
                exit(1);
            } else if (event->kind == TRN_EVENT_RESULT || event->kind == TRN_EVENT_ERROR) {
                answered(app, event);
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
    struct app app = {0};
    trn_error *error = NULL;
    int threaded = strcmp(argv[argc - 1], "--threaded") == 0;
    check(trn_engine_new(trn_cstr(threaded ? "{\"driver\":\"threaded\"}" : "{\"driver\":\"hosted\"}"), &app.engine,
                         &error),
          &error, "engine");
    trn_str none = trn_cstr(NULL);
    uint64_t serving = 0;
    check(trn_server_new(app.engine, trn_cstr("{\"name\":\"everything-c\",\"version\":\"1.0.0\"}"), &app.server,
                         &error),
          &error, "server");
    for (size_t i = 0; i < offer_count; i++) {
        check(trn_server_add(app.engine, app.server, offers[i].item, trn_cstr(offers[i].definition),
                             trn_cstr(offers[i].options), (uint64_t)(uintptr_t)&offers[i], &error),
              &error, offers[i].definition);
    }
    if (http) {
        char *options = format("{\"port\":%d,\"ssePath\":\"/sse\"}", atoi(argv[2]));
        check(trn_serve_http(app.engine, app.server, trn_cstr(options), &serving, &error), &error, "serve");
        free(options);
    } else {
        check(trn_serve_stdio(app.engine, app.server, none, &serving, &error), &error, "serve");
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
    stop_waiting(&app, 0);
    trn_engine_free(app.engine);
    return 0;
}
