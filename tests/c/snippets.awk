# Writes every C block of a guide to a file of its own. "```c" holds declarations and functions; "```c body"
# statements, which get a function around them with the names the guide uses.
/^```c( body)?$/ {
    inside = 1
    file = sprintf("%s/snippet-%02d.c", out, ++count)
    body = $2 == "body"
    printf "#define _POSIX_C_SOURCE 200809L\n#include <poll.h>\n#include <stdint.h>\n#include <stdio.h>\n" > file
    printf "#include <stdlib.h>\n#include <string.h>\n#include <trunnion.h>\n" > file
    if (body)
        printf "void snippet(trn_engine *engine, uint64_t server, uint64_t client, trn_str none,\n" \
               "             const trn_event *event, trn_error *error);\n" \
               "void snippet(trn_engine *engine, uint64_t server, uint64_t client, trn_str none,\n" \
               "             const trn_event *event, trn_error *error)\n{\n" > file
    printf "#line %d \"%s\"\n", NR + 1, FILENAME > file
    next
}
/^```$/ && inside {
    if (body)
        print "}" > file
    close(file)
    inside = 0
    next
}
inside { print > file }
END {
    if (inside || count == 0)
        exit 1
}
