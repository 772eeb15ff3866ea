/*
 * test_vectors FILE...: runs the golden transcripts against a C server in a process of its own, with either
 * driver. Each server is a fork that runs no other program, so that valgrind, which takes seconds to load the library
 * and its symbols, does so once for all of them; it checks every fork for itself when that exits.
 */
#define _POSIX_C_SOURCE 200809L

#include <sys/wait.h>
#include <unistd.h>

#include "pattern.h"
#include "vectors_server.h"

struct server {
    pid_t process;
    int input;
    FILE *output, *told;
    char *line;
    size_t room;
};

static void start(struct server *server, const char *definition, const char *driver)
{
    char options[64];
    int input[2], output[2], told[2];
    snprintf(options, sizeof options, "{\"driver\":\"%s\"}", driver);
    CHECK(pipe(input) == 0 && pipe(output) == 0 && pipe(told) == 0);
    server->process = fork();
    CHECK(server->process >= 0);
    if (server->process == 0) {
        dup2(input[0], 0);
        dup2(output[1], 1);
        dup2(told[1], 2);
        const int ends[] = {input[0], input[1], output[0], output[1], told[0], told[1]};
        for (size_t i = 0; i < COUNT(ends); i++) {
            close(ends[i]);
        }
        exit(serve_vectors(definition, options));
    }
    close(input[0]);
    close(output[1]);
    close(told[1]);
    server->input = input[1];
    server->output = fdopen(output[0], "r");
    server->told = fdopen(told[0], "r");
    CHECK(server->output != NULL && server->told != NULL);
}

/* No more output follows, and the server ends cleanly when its input does. */
static void stop(struct server *server)
{
    int status = -1;
    close(server->input);
    if (getline(&server->line, &server->room, server->output) != -1) {
        fprintf(stderr, "nobody asked for: %s", server->line);
        exit(1);
    }
    while (getline(&server->line, &server->room, server->told) != -1) {
        if (strncmp(server->line, "cancelled ", 10) != 0) {
            fputs(server->line, stderr);
        }
    }
    fclose(server->output);
    fclose(server->told);
    CHECK(waitpid(server->process, &status, 0) == server->process);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void put(const struct server *server, const char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t written = write(server->input, bytes, count);
        CHECK(written > 0);
        bytes += written;
        count -= (size_t)written;
    }
}

/* Sends a message on one line, without the white space between tokens. */
static void put_message(const struct server *server, trn_str json)
{
    char *line = malloc(json.len);
    size_t length = 0;
    int quoted = 0;
    for (size_t i = 0; i < json.len; i++) {
        char c = json.ptr[i];
        if (quoted && c == '\\') {
            line[length++] = c;
            c = json.ptr[++i];
        } else if (c == '"') {
            quoted = !quoted;
        } else if (!quoted && strchr(" \t\r\n", c) != NULL) {
            continue;
        }
        line[length++] = c;
    }
    put(server, line, length);
    free(line);
}

static void put_string(const struct server *server, trn_str json, const char *path)
{
    size_t length = 0;
    char *text = trn_json_string(json, path, &length);
    CHECK(text != NULL);
    put(server, text, length);
    trn_string_free(text);
}

static void run_step(struct server *server, trn_str step)
{
    trn_str value;
    int64_t times = 0;
    if (trn_json_raw(step, "send", &value)) {
        if (*value.ptr == '"') {
            put_string(server, value, "");
        } else {
            put_message(server, value);
        }
        put(server, "\n", 1);
    } else if (trn_json_raw(step, "repeat", &value)) {
        CHECK(trn_json_integer(value, "/1", &times));
        size_t length = 0;
        char *text = trn_json_string(value, "/0", &length);
        CHECK(text != NULL && length > 0);
        put_string(server, step, "/around/0");
        char *many = malloc(length * (size_t)times);
        CHECK(many != NULL);
        for (int64_t i = 0; i < times; i++) {
            memcpy(many + length * (size_t)i, text, length);
        }
        put(server, many, length * (size_t)times);
        free(many);
        trn_string_free(text);
        put_string(server, step, "/around/1");
        put(server, "\n", 1);
    } else if (trn_json_raw(step, "expect", &value)) {
        trn_str message;
        CHECK(getline(&server->line, &server->room, server->output) > 0);
        if (!trn_json_raw(trn_cstr(server->line), "", &message) || !fits(value, message)) {
            fprintf(stderr, "%.*s\ndoes not fit\n%s", (int)value.len, value.ptr, server->line);
            exit(1);
        }
    } else {
        char wanted[64];
        CHECK(trn_json_raw(step, "is", &value) && is(value, "\"cancelled\""));
        char *handler = trn_json_string(step, "handler", NULL);
        snprintf(wanted, sizeof wanted, "cancelled %s\n", handler);
        trn_string_free(handler);
        do {
            CHECK(getline(&server->line, &server->room, server->told) > 0);
        } while (strcmp(server->line, wanted) != 0);
    }
}

static void run_case(trn_str one, const char *driver)
{
    trn_str definition = trn_cstr("{\"name\":\"vectors\",\"version\":\"1.0.0\"}"), steps, step;
    struct server server = {0};
    trn_json_raw(one, "server", &definition);
    char *text = strndup(definition.ptr, definition.len);
    start(&server, text, driver);
    free(text);
    CHECK(trn_json_raw(one, "steps", &steps));
    while (take_next(&steps, NULL, &step)) {
        run_step(&server, step);
    }
    stop(&server);
    free(server.line);
}

static char *read_file(const char *path)
{
    char *text = NULL;
    size_t room = 0;
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    CHECK(getdelim(&text, &room, '\0', file) > 0);
    fclose(file);
    return text;
}

int main(int argc, char **argv)
{
    static const char *const drivers[] = {"hosted", "threaded"};
    CHECK(argc > 1);
    CHECK(prepare_vectors() == 0);
    for (int i = 1; i < argc; i++) {
        char *file = read_file(argv[i]);
        trn_str cases, one;
        CHECK(trn_json_raw(trn_cstr(file), "cases", &cases));
        while (take_next(&cases, NULL, &one)) {
            bool is_virtual = false;
            char *name = trn_json_string(one, "name", NULL);
            if (!trn_json_bool(one, "virtual", &is_virtual) || !is_virtual) {
                for (size_t driver = 0; driver < COUNT(drivers); driver++) {
                    run_case(one, drivers[driver]);
                }
                printf("ok %s\n", name);
                fflush(stdout);
            }
            trn_string_free(name);
        }
        free(file);
    }
    return 0;
}
