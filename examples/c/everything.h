/* Declarations shared by the parts of everything_server. */
#ifndef EVERYTHING_H
#define EVERYTHING_H

#include "support.h"

struct job;
struct wait;

struct app {
    trn_engine *engine;
    uint64_t server;
    /* Work that goes on between events (everything_server.c). */
    struct job *jobs;
    /* Questions on their way (everything_asks.c). */
    struct wait *waits;
};

/* Something the server offers; its address is the target of its events. */
struct offer {
    const char *item;
    const char *definition;
    void (*run)(struct app *app, const trn_event *event);
    /* For offers that always answer, or ask, the same. */
    trn_outcome outcome;
    const char *text;
    /* JSON, or NULL. */
    const char *options;
};

/* everything_offers.c: all of them. */
extern const struct offer offers[];
extern const size_t offer_count;

static inline void reply(struct app *app, uint64_t exchange, trn_outcome outcome, const char *payload)
{
    trn_complete(app->engine, exchange, outcome, trn_cstr(payload), NULL);
}

/* everything_server.c: tools that take their time. */
void slow(struct app *app, const trn_event *event);
void with_progress(struct app *app, const trn_event *event);
void with_logging(struct app *app, const trn_event *event);
void reconnect(struct app *app, const trn_event *event);
void compute(struct app *app, const trn_event *event);
void fail_later(struct app *app, const trn_event *event);

/* everything_asks.c: handlers that ask the client, and what its loop has to hand over to them. */
void ask_same(struct app *app, const trn_event *event);
void ask_sampling(struct app *app, const trn_event *event);
void ask_elicitation(struct app *app, const trn_event *event);
void ask_what_it_can(struct app *app, const trn_event *event);
void ask_twice(struct app *app, const trn_event *event);
void ask_with_memory(struct app *app, const trn_event *event);
void confirm_delete(struct app *app, const trn_event *event);
void asked_before(struct app *app, const trn_event *event);
void answered(struct app *app, const trn_event *event);
void stop_waiting(struct app *app, uint64_t exchange);

#endif
