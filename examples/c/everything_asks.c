/*
 * Tools and prompts of everything_server that ask the client something before they answer.
 *
 * A handler that asks is a small state machine: it sends its questions, notes what is to be done with the answers, and
 * returns. Legacy clients answer while it waits. For modern ones this run of the handler ends there, as if the caller
 * had left; they call again with the answers, and the new run, from its start, gets them as soon as it asks.
 */

#include "everything.h"

/* A handler that waits for the answers to its questions. */
struct wait {
    struct wait *next;
    uint64_t exchange, operation;
    /* The continuation, which receives {key: answer}. */
    void (*then)(struct app *app, uint64_t exchange, trn_str answers);
};

static void ask(struct app *app, uint64_t exchange, const char *questions,
                void (*then)(struct app *app, uint64_t exchange, trn_str answers))
{
    uint64_t operation = 0;
    trn_error *error = NULL;
    trn_status status =
        trn_request(app->engine, exchange, "ask", trn_cstr(questions), trn_cstr(NULL), &operation, &error);
    if (status != TRN_STATUS_OK) {
        reply(app, exchange, TRN_OUTCOME_TOOL_ERROR, error->message);
        trn_error_free(error);
        return;
    }
    struct wait *wait = calloc(1, sizeof *wait);
    if (wait == NULL) {
        abort();
    }
    wait->exchange = exchange;
    wait->operation = operation;
    wait->then = then;
    wait->next = app->waits;
    app->waits = wait;
}

/* An operation has ended: go on with the handler that waits for it, if one does. */
void answered(struct app *app, const trn_event *event)
{
    for (struct wait **at = &app->waits; *at != NULL; at = &(*at)->next) {
        if ((*at)->operation == event->id) {
            struct wait *wait = *at;
            *at = wait->next;
            if (event->kind == TRN_EVENT_RESULT) {
                wait->then(app, wait->exchange, event->payload);
            } else {
                /* It cannot be asked: its error is ours. */
                trn_complete(app->engine, wait->exchange, TRN_OUTCOME_ERROR, event->payload, NULL);
            }
            free(wait);
            return;
        }
    }
}

/* The caller has left, or will call again with the answers. 0: all of them. */
void stop_waiting(struct app *app, uint64_t exchange)
{
    for (struct wait **at = &app->waits; *at != NULL;) {
        struct wait *wait = *at;
        if (exchange == 0 || wait->exchange == exchange) {
            *at = wait->next;
            free(wait);
        } else {
            at = &wait->next;
        }
    }
}

static void answer_all(struct app *app, uint64_t exchange, trn_str answers)
{
    char *text = format("Answers: %.*s", (int)answers.len, answers.ptr);
    reply(app, exchange, TRN_OUTCOME_TEXT, text);
    free(text);
}

void ask_same(struct app *app, const trn_event *event)
{
    const struct offer *offer = (const struct offer *)(uintptr_t)event->target;
    ask(app, event->id, offer->text, answer_all);
}

void ask_sampling(struct app *app, const trn_event *event)
{
    trn_str prompt = trn_cstr("\"\"");
    trn_json_raw(event->payload, "prompt", &prompt);
    char *questions = format("{\"reply\":{\"op\":\"sample\",\"params\":{\"maxTokens\":100,\"messages\":[{"
                             "\"role\":\"user\",\"content\":{\"type\":\"text\",\"text\":%.*s}}]}}}",
                             (int)prompt.len, prompt.ptr);
    ask(app, event->id, questions, answer_all);
    free(questions);
}

void ask_elicitation(struct app *app, const trn_event *event)
{
    trn_str message = trn_cstr("\"\"");
    trn_json_raw(event->payload, "message", &message);
    char *questions = format("{\"user\":{\"op\":\"elicit\",\"params\":{\"message\":%.*s,\"requestedSchema\":{"
                             "\"type\":\"object\",\"properties\":{\"username\":{\"type\":\"string\"},"
                             "\"email\":{\"type\":\"string\"}},\"required\":[\"username\",\"email\"]}}}}",
                             (int)message.len, message.ptr);
    ask(app, event->id, questions, answer_all);
    free(questions);
}

/* Asks the user or the model, whichever this client offers. */
void ask_what_it_can(struct app *app, const trn_event *event)
{
    char *context = trn_context(app->engine, event->id);
    trn_str capability;
    if (trn_json_raw(trn_cstr(context), "/clientCapabilities/elicitation", &capability)) {
        ask(app, event->id,
            "{\"who\":{\"op\":\"elicit\",\"params\":{\"message\":\"Who is it?\",\"requestedSchema\":{"
            "\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"}}}}}}",
            answer_all);
    } else if (trn_json_raw(trn_cstr(context), "/clientCapabilities/sampling", &capability)) {
        ask(app, event->id,
            "{\"who\":{\"op\":\"sample\",\"params\":{\"maxTokens\":50,\"messages\":[{\"role\":\"user\",\"content\":"
            "{\"type\":\"text\",\"text\":\"Who are you?\"}}]}}}",
            answer_all);
    } else {
        reply(app, event->id, TRN_OUTCOME_TEXT, "There is nobody to ask.");
    }
    trn_string_free(context);
}

static void ask_color(struct app *app, uint64_t exchange, trn_str answers)
{
    (void)answers;
    ask(app, exchange,
        "{\"step2\":{\"op\":\"elicit\",\"params\":{\"message\":\"Step 2: which colour do you like?\","
        "\"requestedSchema\":{\"type\":\"object\",\"properties\":{\"color\":{\"type\":\"string\"}},"
        "\"required\":[\"color\"]}}}}",
        answer_all);
}

/* Every run asks the first question; a run that has the answer already asks the second. */
void ask_twice(struct app *app, const trn_event *event)
{
    ask(app, event->id,
        "{\"step1\":{\"op\":\"elicit\",\"params\":{\"message\":\"Step 1: what is your name?\",\"requestedSchema\":{"
        "\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"}},\"required\":[\"name\"]}}}}",
        ask_color);
}

static void answer_with_memory(struct app *app, uint64_t exchange, trn_str answers)
{
    (void)answers;
    char *context = trn_context(app->engine, exchange);
    char *state = trn_json_string(trn_cstr(context), "/memory/state", NULL);
    reply(app, exchange, TRN_OUTCOME_TEXT, state == NULL ? "The state is lost." : state);
    trn_string_free(state);
    trn_string_free(context);
}

/* The run with the answer sees the values that the first run stored. */
void ask_with_memory(struct app *app, const trn_event *event)
{
    char *context = trn_context(app->engine, event->id);
    trn_str state;
    if (!trn_json_raw(trn_cstr(context), "/memory/state", &state)) {
        trn_remember(app->engine, event->id, trn_cstr("state"), trn_cstr("\"state-ok\""), NULL);
    }
    trn_string_free(context);
    ask(app, event->id,
        "{\"confirm\":{\"op\":\"elicit\",\"params\":{\"message\":\"Please confirm.\",\"requestedSchema\":{"
        "\"type\":\"object\",\"properties\":{\"ok\":{\"type\":\"boolean\"}},\"required\":[\"ok\"]}}}}",
        answer_with_memory);
}

static void delete_or_not(struct app *app, uint64_t exchange, trn_str answers)
{
    bool confirm = false;
    trn_json_bool(answers, "/confirm/content/confirm", &confirm);
    reply(app, exchange, TRN_OUTCOME_TEXT, confirm ? "It is deleted." : "It stays.");
}

void confirm_delete(struct app *app, const trn_event *event)
{
    char *name = trn_json_string(event->payload, "filename", NULL);
    char *message = format("Delete %s?", name), *quoted = trn_json_escape(trn_cstr(message));
    char *questions = format("{\"confirm\":{\"op\":\"elicit\",\"params\":{\"message\":%s,\"requestedSchema\":{"
                             "\"type\":\"object\",\"properties\":{\"confirm\":{\"type\":\"boolean\"}},"
                             "\"required\":[\"confirm\"]}}}}",
                             quoted);
    ask(app, event->id, questions, delete_or_not);
    free(questions);
    trn_string_free(quoted);
    free(message);
    trn_string_free(name);
}

/* For offers with the option `asks`: the answers are there when the handler begins. */
void asked_before(struct app *app, const trn_event *event)
{
    char *context = trn_context(app->engine, event->id);
    trn_str answers = trn_cstr("{}");
    trn_json_raw(trn_cstr(context), "answers", &answers);
    answer_all(app, event->id, answers);
    trn_string_free(context);
}
