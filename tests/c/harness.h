/* A small harness of the C tests: checks that stop the program, and a loop that records the events it
 * receives. */
#ifndef HARNESS_H
#define HARNESS_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <trunnion.h>

/* A limit against an endless hang, not a timing. */
#define LONG_MS 60000

#define CHECK(truth)                                                                        \
    do {                                                                                    \
        if (!(truth)) {                                                                     \
            fprintf(stderr, "%s:%d: %s: not so: %s\n", __FILE__, __LINE__, __func__, #truth); \
            exit(1);                                                                        \
        }                                                                                   \
    } while (0)

#define CHECK_TEXT(got, wanted)                                                                       \
    do {                                                                                              \
        const char *got_ = (got), *wanted_ = (wanted);                                                \
        if (got_ == NULL || strcmp(got_, wanted_) != 0) {                                             \
            fprintf(stderr, "%s:%d: %s: got %s, wanted %s\n", __FILE__, __LINE__, __func__,           \
                    got_ == NULL ? "NULL" : got_, wanted_);                                           \
            exit(1);                                                                                  \
        }                                                                                             \
    } while (0)

/* The call fails with this status, and its error agrees: CHECK_FAILS(USAGE, trn_x(..., &error)). */
#define CHECK_FAILS(wanted, call)                                                     \
    do {                                                                              \
        trn_error *error = NULL;                                                      \
        trn_status status_ = (call);                                                  \
        if (status_ != TRN_STATUS_##wanted || error == NULL) {                        \
            fprintf(stderr, "%s:%d: %s: status %d, wanted " #wanted "; %s\n", __FILE__, __LINE__, \
                    __func__, (int)status_, error == NULL ? "no error" : error->message); \
            exit(1);                                                                  \
        }                                                                             \
        CHECK_TEXT(error->kind, TRN_KIND_##wanted);                                   \
        CHECK(strlen(error->message) > 0);                                            \
        trn_error_free(error);                                                        \
    } while (0)

/* The call succeeds. */
#define OK(call)                                                                               \
    do {                                                                                       \
        trn_error *error = NULL;                                                               \
        trn_status status_ = (call);                                                           \
        if (status_ != TRN_STATUS_OK || error != NULL) {                                       \
            fprintf(stderr, "%s:%d: %s: %s: status %d; %s\n", __FILE__, __LINE__, __func__, #call, \
                    (int)status_, error == NULL ? "no error" : error->message);                \
            exit(1);                                                                           \
        }                                                                                      \
    } while (0)

#define NONE trn_cstr(NULL)
#define TEST(name) {#name, name}
#define COUNT(list) (sizeof(list) / sizeof *(list))

struct test {
    const char *name;
    void (*run)(void);
};

/* Runs all, or the one named on the command line. */
static inline int run_tests(const struct test *tests, size_t count, int argc, char **argv)
{
    for (size_t i = 0; i < count; i++) {
        if (argc < 2 || strcmp(argv[1], tests[i].name) == 0) {
            tests[i].run();
            printf("ok %s\n", tests[i].name);
            fflush(stdout);
        }
    }
    return 0;
}

/* The string at a path equals; checked and freed. */
static inline void check_string(const char *json, const char *path, const char *wanted)
{
    char *got = trn_json_string(trn_cstr(json), path, NULL);
    if (got == NULL) {
        fprintf(stderr, "no string %s in %s\n", path, json == NULL ? "NULL" : json);
        exit(1);
    }
    CHECK_TEXT(got, wanted);
    trn_string_free(got);
}

static inline double number_at(const char *json, const char *path)
{
    double number = 0;
    if (!trn_json_number(trn_cstr(json), path, &number)) {
        fprintf(stderr, "no number %s in %s\n", path, json == NULL ? "NULL" : json);
        exit(1);
    }
    return number;
}

static inline bool flag_at(const char *json, const char *path)
{
    bool flag = false;
    return trn_json_bool(trn_cstr(json), path, &flag) && flag;
}

/* Runs the loop once, blocking for events, and passes each to the handler. */
static inline void turn(trn_engine *engine, trn_handler handler, void *user)
{
    trn_batch *batch = NULL;
    OK(trn_wait(engine, LONG_MS, &error));
    OK(trn_drain(engine, NULL, 0, &batch, &error));
    for (size_t i = 0; i < trn_batch_len(batch); i++) {
        handler(engine, trn_batch_at(batch, i), user);
    }
    trn_batch_free(batch);
}

/* Everything that was open has been closed: run the loop until every counter is zero. */
static inline void check_nothing_lives(trn_engine *engine, trn_handler handler, void *user)
{
    static const char *const counters[] = {"servers", "clients", "exchanges", "operations",
                                           "connections", "sessions"};
    for (int tries = 0;; tries++) {
        char *live = trn_live(engine);
        int64_t sum = 0;
        for (size_t i = 0; i < COUNT(counters); i++) {
            int64_t count = -1;
            CHECK(trn_json_integer(trn_cstr(live), counters[i], &count));
            sum += count;
        }
        if (sum != 0 && tries > 1000) {
            fprintf(stderr, "still alive: %s\n", live);
            exit(1);
        }
        trn_string_free(live);
        if (sum == 0) {
            return;
        }
        trn_batch *batch = NULL;
        trn_wait(engine, 20, NULL);
        OK(trn_drain(engine, NULL, 0, &batch, &error));
        for (size_t i = 0; i < trn_batch_len(batch); i++) {
            if (handler != NULL) {
                handler(engine, trn_batch_at(batch, i), user);
            }
        }
        trn_batch_free(batch);
    }
}

#endif
