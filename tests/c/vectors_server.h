#ifndef VECTORS_SERVER_H
#define VECTORS_SERVER_H

/* Serves the golden transcripts until standard input ends. Returns the process's exit status. */
int serve_vectors(const char *definition, const char *options);

/*
 * Make such a server and free it, in the process that will fork: what the library reads once (the schema of schemas),
 * and what valgrind has translated, each fork then has beforehand. No engine is alive at the fork. 0: it worked.
 */
int prepare_vectors(void);

#endif
