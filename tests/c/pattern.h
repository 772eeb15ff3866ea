/* The golden transcripts' patterns, compared on JSON text. The vectors are well-formed; output of the
 * server is checked with trn_json_raw before it gets here. */
#ifndef PATTERN_H
#define PATTERN_H

#include "harness.h"

static inline trn_str trimmed(trn_str json)
{
    while (json.len > 0 && strchr(" \t\r\n", *json.ptr) != NULL) {
        json.ptr++;
        json.len--;
    }
    return json;
}

/* Cut the value at the front off `rest`. */
static inline trn_str take_value(trn_str *rest)
{
    *rest = trimmed(*rest);
    trn_str value = {rest->ptr, 0};
    int depth = 0, quoted = 0;
    for (; value.len < rest->len; value.len++) {
        char c = value.ptr[value.len];
        if (quoted) {
            if (c == '\\') {
                value.len++;
            } else if (c == '"') {
                quoted = 0;
            }
        } else if (depth == 0 && strchr(",:]} \t\r\n", c) != NULL) {
            break;
        } else if (c == '"') {
            quoted = 1;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if ((c == '}' || c == ']') && --depth == 0) {
            value.len++;
            break;
        }
    }
    rest->ptr += value.len;
    rest->len -= value.len;
    return value;
}

/* The next element of a list, or key and value of an object, of which `rest` begins behind the last one. */
static inline bool take_next(trn_str *rest, trn_str *key, trn_str *value)
{
    *rest = trimmed(*rest);
    CHECK(rest->len > 0);
    char c = *rest->ptr;
    if (c == ']' || c == '}') {
        return false;
    }
    if (c == '{' || c == '[' || c == ',') {
        rest->ptr++;
        rest->len--;
        *rest = trimmed(*rest);
        if (*rest->ptr == ']' || *rest->ptr == '}') {
            return false;
        }
    }
    *value = take_value(rest);
    if (key != NULL) {
        *key = *value;
        *rest = trimmed(*rest);
        CHECK(*rest->ptr == ':');
        rest->ptr++;
        rest->len--;
        *value = take_value(rest);
    }
    return true;
}

/* Both are strings with the same text once decoded, or the first holds the second. */
static inline bool strings_fit(trn_str text, trn_str wanted, bool part)
{
    size_t length = 0, wanted_length = 0;
    char *decoded = trn_json_string(text, "", &length), *other = trn_json_string(wanted, "", &wanted_length);
    bool fits = decoded != NULL && other != NULL &&
                (part ? strstr(decoded, other) != NULL
                      : length == wanted_length && memcmp(decoded, other, length) == 0);
    trn_string_free(other);
    trn_string_free(decoded);
    return fits;
}

static inline bool member(trn_str object, trn_str wanted, trn_str *value)
{
    trn_str key;
    while (take_next(&object, &key, value)) {
        if (strings_fit(key, wanted, false)) {
            return true;
        }
    }
    return false;
}

static inline bool is(trn_str json, const char *text)
{
    return json.len == strlen(text) && memcmp(json.ptr, text, json.len) == 0;
}

static inline bool fits(trn_str pattern, trn_str message)
{
    trn_str key, wanted, value;
    double number = 0, other = 0;
    if (is(pattern, "\"*\"")) {
        return true;
    }
    switch (*pattern.ptr) {
    case '{':
        if (*message.ptr == '"') {
            return member(pattern, trn_cstr("\"contains\""), &wanted) && strings_fit(message, wanted, true);
        }
        if (*message.ptr != '{') {
            return false;
        }
        while (take_next(&pattern, &key, &wanted)) {
            if (is(key, "\"absent\"") && *wanted.ptr == '[') {
                trn_str name;
                while (take_next(&wanted, NULL, &name)) {
                    if (member(message, name, &value)) {
                        return false;
                    }
                }
            } else if (!member(message, key, &value) || !fits(wanted, value)) {
                return false;
            }
        }
        return true;
    case '[':
        if (*message.ptr != '[') {
            return false;
        }
        while (take_next(&pattern, NULL, &wanted)) {
            if (!take_next(&message, NULL, &value) || !fits(wanted, value)) {
                return false;
            }
        }
        return !take_next(&message, NULL, &value);
    case '"':
        return strings_fit(message, pattern, false);
    default:
        if (trn_json_number(pattern, "", &number)) {
            return trn_json_number(message, "", &other) && number == other;
        }
        return pattern.len == message.len && memcmp(pattern.ptr, message.ptr, message.len) == 0;
    }
}

#endif
