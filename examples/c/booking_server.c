/*
 * A tool that asks its user twice, and does something between the questions that must happen only once.
 *
 * The handler is a small state machine. What it may rely on in any run:
 *  - a question that was answered before is answered at once, so a new run passes quickly through the old states;
 *  - what was stored with trn_remember is there, so a side effect of an earlier run is not repeated.
 */
#include <string.h>

#include "support.h"

#define SEATS                                                                                                     \
    "{\"seats\": {\"op\": \"elicit\", \"params\": {\"message\": \"How many seats?\", \"requestedSchema\": {"      \
    "  \"type\": \"object\", \"required\": [\"count\"],"                                                          \
    "  \"properties\": {\"count\": {\"type\": \"integer\", \"minimum\": 1, \"maximum\": 10}}}}}}"
#define CONFIRM                                                                                                   \
    "{\"confirm\": {\"op\": \"elicit\", \"params\": {\"message\": \"Hold %lld has %lld seats. Book them?\","      \
    "  \"requestedSchema\": {\"type\": \"object\", \"properties\": {}}}}}"

/* One run of the handler that waits for an answer. */
struct booking {
    struct booking *next;
    uint64_t exchange, question;
    enum { ASKED_SEATS, ASKED_CONFIRM } state;
    int64_t seats;
};

static struct booking *bookings;

/* The part that must happen only once: seats are held for this call. */
static int64_t hold_seats(void)
{
    static int64_t holds;
    return ++holds;
}

/* Ask and go to the next state. False: the question could not be sent, and the call was answered with that. */
static bool ask(trn_engine *engine, struct booking *booking, const char *questions)
{
    trn_error *error = NULL;
    trn_status status = trn_request(engine, booking->exchange, "ask", trn_cstr(questions), trn_cstr(NULL),
                                    &booking->question, &error);
    if (status != TRN_STATUS_OK) {
        trn_complete(engine, booking->exchange, TRN_OUTCOME_TOOL_ERROR, trn_cstr(error->message), NULL);
        trn_error_free(error);
        return false;
    }
    return true;
}

/* The hold of this call: made in an earlier run, or made now and remembered for the next. */
static int64_t hold_once(trn_engine *engine, uint64_t exchange)
{
    int64_t hold = 0;
    char *context = trn_context(engine, exchange);
    if (!trn_json_integer(trn_cstr(context), "/memory/hold", &hold)) {
        hold = hold_seats();
        char *value = format("%lld", (long long)hold);
        trn_remember(engine, exchange, trn_cstr("hold"), trn_cstr(value), NULL);
        free(value);
    }
    trn_string_free(context);
    return hold;
}

/* An answer has come. Returns whether the handler asks on. */
static bool advance(trn_engine *engine, struct booking *booking, trn_str answers)
{
    const char *key = booking->state == ASKED_SEATS ? "/seats/action" : "/confirm/action";
    char *action = trn_json_string(answers, key, NULL);
    bool accepted = action != NULL && strcmp(action, "accept") == 0;
    trn_string_free(action);
    if (!accepted) {
        trn_complete(engine, booking->exchange, TRN_OUTCOME_TEXT, trn_cstr("Nothing was booked."), NULL);
        return false;
    }
    if (booking->state == ASKED_SEATS) {
        trn_json_integer(answers, "/seats/content/count", &booking->seats);
        char *confirm =
            format(CONFIRM, (long long)hold_once(engine, booking->exchange), (long long)booking->seats);
        booking->state = ASKED_CONFIRM;
        bool asked = ask(engine, booking, confirm);
        free(confirm);
        return asked;
    }
    char *done = format("Booked %lld seats of hold %lld.", (long long)booking->seats,
                        (long long)hold_once(engine, booking->exchange));
    trn_complete(engine, booking->exchange, TRN_OUTCOME_TEXT, trn_cstr(done), NULL);
    free(done);
    return false;
}

static void start(trn_engine *engine, uint64_t exchange)
{
    struct booking *booking = calloc(1, sizeof *booking);
    if (booking == NULL) {
        abort();
    }
    booking->exchange = exchange;
    booking->state = ASKED_SEATS;
    if (!ask(engine, booking, SEATS)) {
        free(booking);
        return;
    }
    booking->next = bookings;
    bookings = booking;
}

/* The run that waits in this exchange, or for this question. */
static struct booking **find(uint64_t id)
{
    struct booking **at = &bookings;
    while (*at != NULL && (*at)->exchange != id && (*at)->question != id) {
        at = &(*at)->next;
    }
    return at;
}

static void end(struct booking **at)
{
    struct booking *booking = *at;
    *at = booking->next;
    free(booking);
}

static void on_event(trn_engine *engine, const trn_event *event, void *user)
{
    (void)user;
    struct booking **at = find(event->id);
    if (event->kind == TRN_EVENT_CALL_TOOL) {
        start(engine, event->id);
    } else if (*at == NULL) {
        return;
    } else if (event->kind == TRN_EVENT_RESULT) {
        if (!advance(engine, *at, event->payload)) {
            end(at);
        }
    } else if (event->kind == TRN_EVENT_ERROR) {
        /* The client cannot be asked, or gave no answer that fits: its error is ours. */
        trn_complete(engine, (*at)->exchange, TRN_OUTCOME_ERROR, event->payload, NULL);
        end(at);
    } else if (event->kind == TRN_EVENT_CANCELLED) {
        /* The caller has left, or (reason input_required) will call again with the answers. */
        end(at);
    }
}

int main(void)
{
    trn_str none = trn_cstr(NULL);
    trn_engine *engine = NULL;
    trn_error *error = NULL;
    uint64_t server = 0, serving = 0;
    check(trn_engine_new(none, &engine, &error), &error, "engine");
    check(trn_server_new(engine, trn_cstr("{\"name\": \"booking\", \"version\": \"1.0.0\"}"), &server, &error), &error,
          "server");
    check(trn_server_add(engine, server, "tool",
                         trn_cstr("{\"name\": \"book\", \"description\": \"Books seats.\", \"inputSchema\": {"
                                  "  \"type\": \"object\", \"properties\": {}}}"),
                         none, 0, &error),
          &error, "book");
    check(trn_serve_stdio(engine, server, none, &serving, &error), &error, "serve");
    check(trn_run(engine, serving, on_event, NULL, NULL, &error), &error, "run");
    while (bookings != NULL) {
        end(&bookings);
    }
    trn_engine_free(engine);
    return 0;
}
