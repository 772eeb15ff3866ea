/*
 * trunnion: the Model Context Protocol for C. Made by bindings/c/src/bin/header.rs; do not edit.
 *
 * How it works. An engine owns one queue of events. Wait for it (trn_run does it all; or watch trn_fd with
 * poll, epoll or kqueue; or block in trn_wait; or be told by trn_set_wake), take a batch with trn_drain, act
 * on each event, and answer those that ask something by their id with trn_complete, at once or later. The
 * library calls no code of yours, but for the handler given to trn_run, on the thread that called it, and
 * the wake callback.
 *
 * Threads. Every function may be called from any thread at any time, except that: one thread at a time is in
 * trn_wait or trn_run of an engine; trn_engine_free is called when no other call on that engine is running;
 * the wake callback runs on any thread and calls nothing here. An engine does not survive fork: in the child
 * its functions fail with kind `forked`; do not free it there.
 *
 * Memory. trn_str is borrowed: the library copies what it keeps before the call returns. What a function
 * returns as `char *` is yours and ends with a NUL: trn_string_free. Batches, errors and engines have free
 * functions of their own; all of them accept NULL and may run after the engine is gone. Pointers must be
 * NULL or valid; every function checks for NULL, none can check more.
 *
 * Errors. Functions that can fail return trn_status and take `trn_error **error` last. Pass NULL, or the
 * address of a pointer, which is set to NULL when all is well and else to an error that trn_error_free
 * frees. A failed call leaves its results NULL or 0. TRN_STATUS_FALSE is an answer, not an error.
 *
 * Text is UTF-8. JSON texts are checked by the engine; an unknown option key is refused with kind `usage`.
 */
