/* Functions shared by the examples: formatting text, and exiting on errors. */
#ifndef SUPPORT_H
#define SUPPORT_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <trunnion.h>

/* printf into new memory, for building JSON; put texts in with trn_json_escape. Free the result. */
__attribute__((format(printf, 1, 2))) static inline char *format(const char *pattern, ...)
{
    va_list list, again;
    va_start(list, pattern);
    va_copy(again, list);
    int length = vsnprintf(NULL, 0, pattern, list);
    char *text = length < 0 ? NULL : malloc((size_t)length + 1);
    if (text == NULL) {
        abort();
    }
    vsnprintf(text, (size_t)length + 1, pattern, again);
    va_end(again);
    va_end(list);
    return text;
}

/* Stops the program with a message if a call failed. */
static inline void check(trn_status status, trn_error **error, const char *what)
{
    if (status != TRN_STATUS_OK && status != TRN_STATUS_FALSE) {
        fprintf(stderr, "%s: %s\n", what, (*error)->message);
        trn_error_free(*error);
        exit(1);
    }
}

#endif
