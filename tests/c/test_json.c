/* The JSON accessors, and borrowed and owned text. */
#include "harness.h"

static const char sample[] = "{\"text\": \"h\\u00e9llo \\u2713 \\ud83d\\ude00\\n\\\"q\\\"\", \"n\": -2.5e3, \"i\": 3.0,"
                             " \"big\": 9007199254740993, \"yes\": true, \"no\": false, \"null\": null,"
                             " \"list\": [10, {\"a/b\": {\"m~n\": \"deep\"}}, []], \"\": \"empty key\","
                             " \"nul\": \"a\\u0000b\", \"twice\": 1, \"twice\": 2, \"1\": \"one\"}";

static void raw_text_is_borrowed_byte_for_byte(void)
{
    trn_str json = trn_cstr(sample), value = {NULL, 0};
    CHECK(trn_json_raw(json, "list", &value));
    CHECK(value.len == strlen("[10, {\"a/b\": {\"m~n\": \"deep\"}}, []]"));
    CHECK(value.ptr > sample && value.ptr + value.len < sample + sizeof sample);
    CHECK(memcmp(value.ptr, "[10, {\"a/b\"", 11) == 0);
    CHECK(trn_json_raw(json, "n", &value) && value.len == 6 && memcmp(value.ptr, "-2.5e3", 6) == 0);
    CHECK(trn_json_raw(json, "", &value) && value.len == json.len);
    CHECK(trn_json_raw(trn_cstr("  [1] "), "", &value) && value.len == 3);
}

static void paths_are_names_or_pointers(void)
{
    check_string(sample, "/list/1/a~1b/m~0n", "deep");
    check_string(sample, "/", "empty key");
    check_string(sample, "1", "one");
    CHECK(number_at(sample, "/list/0") == 10);
    CHECK(number_at(sample, "twice") == 2);
    trn_str value;
    static const char *const absent[] = {"nothing", "/list/3", "/list/01", "/list/-", "/list/a", "/text/0", "/n/x",
                                         "list/0", "/list/1/a"};
    for (size_t i = 0; i < COUNT(absent); i++) {
        CHECK(!trn_json_raw(trn_cstr(sample), absent[i], &value));
    }
}

static void strings_are_decoded(void)
{
    check_string(sample, "text", "h\u00e9llo \u2713 \U0001F600\n\"q\"");
    size_t length = 0;
    char *text = trn_json_string(trn_cstr(sample), "nul", &length);
    CHECK(length == 3 && memcmp(text, "a\0b", 4) == 0);
    trn_string_free(text);
    CHECK(trn_json_string(trn_cstr(sample), "n", NULL) == NULL);
    CHECK(trn_json_string(trn_cstr(sample), "null", NULL) == NULL);
}

static void numbers_and_truth(void)
{
    int64_t whole = 0;
    double number = 0;
    bool truth = false;
    trn_str json = trn_cstr(sample);
    CHECK(number_at(sample, "n") == -2500);
    CHECK(trn_json_integer(json, "i", &whole) && whole == 3);
    CHECK(trn_json_integer(json, "big", &whole) && whole == INT64_C(9007199254740993));
    CHECK(trn_json_integer(json, "n", &whole) && whole == -2500);
    CHECK(!trn_json_integer(trn_cstr("[2.5, 1e30]"), "/0", &whole));
    CHECK(!trn_json_integer(trn_cstr("[2.5, 1e30]"), "/1", &whole));
    CHECK(!trn_json_number(json, "text", &number));
    CHECK(!trn_json_number(json, "yes", &number));
    CHECK(trn_json_bool(json, "yes", &truth) && truth);
    CHECK(trn_json_bool(json, "no", &truth) && !truth);
    CHECK(!trn_json_bool(json, "i", &truth));
}

static void escape_and_back(void)
{
    trn_str odd = {"a\"\\\n\x01\0\xc3\xa9", 8};
    char *json = trn_json_escape(odd);
    CHECK_TEXT(json, "\"a\\\"\\\\\\n\\u0001\\u0000\u00e9\"");
    size_t length = 0;
    char *back = trn_json_string(trn_cstr(json), "", &length);
    CHECK(length == odd.len && memcmp(back, odd.ptr, length) == 0);
    trn_string_free(back);
    trn_string_free(json);
    json = trn_json_escape(NONE);
    CHECK_TEXT(json, "\"\"");
    trn_string_free(json);
}

static void bad_input_is_an_answer_not_a_crash(void)
{
    trn_str value, bad_utf8 = {"\xff\xfe", 2}, no_pointer = {NULL, 3};
    double number = 0;
    static const char *const broken[] = {"", "{", "{\"a\": 1", "[1 2]", "nonsense", "{\"a\": 1} x", "{\"a\": \"\\ud800\"}"};
    for (size_t i = 0; i < COUNT(broken); i++) {
        CHECK(!trn_json_number(trn_cstr(broken[i]), "a", &number));
        CHECK(trn_json_string(trn_cstr(broken[i]), "a", NULL) == NULL);
    }
    CHECK(!trn_json_raw(bad_utf8, "a", &value));
    CHECK(!trn_json_raw(no_pointer, "a", &value));
    CHECK(!trn_json_raw(trn_cstr(sample), NULL, &value));
    CHECK(!trn_json_raw(trn_cstr(sample), "\xff", &value));
    CHECK(!trn_json_raw(trn_cstr(sample), "n", NULL));
    CHECK(!trn_json_number(trn_cstr(sample), "n", NULL));
    CHECK(!trn_json_integer(trn_cstr(sample), "i", NULL));
    CHECK(!trn_json_bool(trn_cstr(sample), "yes", NULL));
    CHECK(trn_json_escape(bad_utf8) == NULL);
    CHECK(trn_json_escape(no_pointer) == NULL);

    size_t depth = 100000;
    char *deep = malloc(depth + 1);
    memset(deep, '[', depth);
    deep[depth] = '\0';
    CHECK(!trn_json_raw(trn_cstr(deep), "/0/0", &value));
    free(deep);
}

static void text_without_an_end(void)
{
    /* A borrowed text need not end with a NUL: a block of exactly its size, so that valgrind sees an overrun. */
    char *exact = malloc(8);
    memcpy(exact, "{\"a\":17}", 8);
    trn_str json = {exact, 8};
    double number = 0;
    CHECK(trn_json_number(json, "a", &number) && number == 17);
    free(exact);
    CHECK(trn_cstr(NULL).ptr == NULL && trn_cstr(NULL).len == 0 && trn_cstr("abc").len == 3);
    trn_string_free(NULL);
}

static void a_writer_writes(void)
{
    char *text = NULL;
    trn_str odd = {"\"\\\n\0\xc3\xa9", 6};
    trn_json *json = trn_json_new();
    trn_json_object_begin(json, NULL);
    trn_json_put_string(json, "text \"1\"", odd);
    trn_json_put_string(json, "empty", NONE);
    trn_json_put_number(json, "half", 0.5);
    trn_json_put_integer(json, "least", INT64_MIN);
    trn_json_put_bool(json, "yes", true);
    trn_json_put_null(json, "none");
    trn_json_array_begin(json, "list");
    trn_json_put_integer(json, NULL, 1);
    trn_json_object_begin(json, NULL);
    trn_json_object_end(json);
    trn_json_array_begin(json, NULL);
    trn_json_array_end(json);
    trn_json_array_end(json);
    trn_json_put_raw(json, "raw", trn_cstr(" {\"a\": [1]} "));
    trn_json_object_end(json);
    OK(trn_json_end(json, &text, &error));
    CHECK_TEXT(text, "{\"text \\\"1\\\"\":\"\\\"\\\\\\n\\u0000\xc3\xa9\",\"empty\":\"\",\"half\":0.5,"
                     "\"least\":-9223372036854775808,\"yes\":true,\"none\":null,\"list\":[1,{},[]],"
                     "\"raw\":{\"a\": [1]}}");
    trn_string_free(text);
    json = trn_json_new();
    trn_json_put_string(json, NULL, trn_cstr("alone"));
    OK(trn_json_end(json, &text, &error));
    CHECK_TEXT(text, "\"alone\"");
    trn_string_free(text);
    /* Cancelled. */
    json = trn_json_new();
    trn_json_array_begin(json, NULL);
    OK(trn_json_end(json, NULL, &error));
}

#define REFUSED(words, steps)                                               \
    do {                                                                    \
        char *text = (char *)"";                                            \
        trn_error *error = NULL;                                            \
        trn_json *json = trn_json_new();                                    \
        steps;                                                              \
        trn_json_put_null(json, NULL); /* What comes later is not told. */  \
        CHECK(trn_json_end(json, &text, &error) == TRN_STATUS_USAGE);       \
        CHECK(text == NULL && error != NULL);                               \
        CHECK_TEXT(error->message, "json: " words);                         \
        trn_error_free(error);                                              \
    } while (0)

static void a_writer_says_what_did_not_fit(void)
{
    trn_str bad_utf8 = {"\xff\xfe", 2};
    REFUSED("a value in an object needs a key", trn_json_object_begin(json, NULL); trn_json_put_bool(json, NULL, true));
    REFUSED("key \"a\" outside of an object", trn_json_array_begin(json, NULL); trn_json_put_bool(json, "a", true));
    REFUSED("key \"a\" outside of an object", trn_json_put_bool(json, "a", true));
    REFUSED("there is a whole value already", trn_json_put_integer(json, NULL, 1));
    REFUSED("no array is open here", trn_json_object_begin(json, NULL); trn_json_array_end(json));
    REFUSED("no object is open here", trn_json_object_end(json));
    REFUSED("an array is still open", trn_json_array_begin(json, NULL));
    REFUSED("inf is not a finite number", trn_json_put_number(json, NULL, 1e308 * 10));
    REFUSED("a raw value is not JSON: EOF while parsing an object at line 1 column 1",
            trn_json_put_raw(json, NULL, trn_cstr("{")));
    REFUSED("value is not UTF-8: invalid utf-8 sequence of 1 bytes from index 0",
            trn_json_put_string(json, NULL, bad_utf8));

    char *text = (char *)"";
    trn_json *json = trn_json_new();
    trn_json_object_begin(json, NULL);
    trn_json_object_begin(json, "\xff");
    CHECK_FAILS(USAGE, trn_json_end(json, &text, &error));
    CHECK_FAILS(USAGE, trn_json_end(trn_json_new(), &text, &error));
    CHECK_FAILS(USAGE, trn_json_end(NULL, &text, &error));
    CHECK(text == NULL);
    /* Without a writer nothing happens. */
    trn_json_object_begin(NULL, NULL);
    trn_json_put_null(NULL, NULL);
    trn_json_array_end(NULL);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(raw_text_is_borrowed_byte_for_byte), TEST(paths_are_names_or_pointers),        TEST(strings_are_decoded),
        TEST(numbers_and_truth),                  TEST(escape_and_back),
        TEST(bad_input_is_an_answer_not_a_crash), TEST(text_without_an_end),
        TEST(a_writer_writes),                    TEST(a_writer_says_what_did_not_fit),
    };
    return run_tests(tests, COUNT(tests), argc, argv);
}
