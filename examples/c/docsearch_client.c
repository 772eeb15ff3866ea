/*
 * docsearch_client URL search QUERY [LIMIT]
 *
 * Asks the docsearch server and prints one line of JSON: {"hits":[…]}.
 */
#include <string.h>

#include "support.h"

int main(int argc, char **argv)
{
    if (argc < 4 || argc > 5 || strcmp(argv[2], "search") != 0) {
        fprintf(stderr, "usage: %s URL search QUERY [LIMIT]\n", argv[0]);
        return 2;
    }
    trn_engine *engine = NULL;
    trn_error *error = NULL;
    trn_str none = trn_cstr(NULL);
    check(trn_engine_new(none, &engine, &error), &error, "engine");

    uint64_t client = 0, call = 0;
    char *url = trn_json_escape(trn_cstr(argv[1]));
    char *target = format("{\"url\": %s}", url);
    check(trn_connect(engine, trn_cstr(target), none, &client, &error), &error, "connect");
    check(trn_run(engine, client, NULL, NULL, NULL, &error), &error, "connect");

    char *query = trn_json_escape(trn_cstr(argv[3]));
    char *arguments = argc == 5 ? format("{\"query\": %s, \"limit\": %d}", query, atoi(argv[4]))
                                : format("{\"query\": %s}", query);
    char *params = format("{\"name\": \"search\", \"arguments\": %s}", arguments);
    char *result = NULL;
    check(trn_request(engine, client, TRN_OP_CALL_TOOL, trn_cstr(params), none, &call, &error), &error, "search");
    check(trn_run(engine, call, NULL, NULL, &result, &error), &error, "search");

    trn_str hits = {NULL, 0};
    int failed = !trn_json_raw(trn_cstr(result), "/structuredContent/hits", &hits);
    if (failed) {
        fprintf(stderr, "search: no hits in the answer: %s\n", result);
    } else {
        /* A line break in JSON stands between tokens, never in a string. */
        printf("{\"hits\":");
        for (size_t i = 0; i < hits.len; i++) {
            putchar(hits.ptr[i] == '\n' || hits.ptr[i] == '\r' ? ' ' : hits.ptr[i]);
        }
        printf("}\n");
    }
    trn_string_free(result);
    trn_string_free(query);
    trn_string_free(url);
    free(params);
    free(arguments);
    free(target);
    trn_close(engine, 1000, NULL);
    trn_engine_free(engine);
    return failed;
}
