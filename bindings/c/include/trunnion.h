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

#ifndef TRUNNION_H
#define TRUNNION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRN_VERSION "0.1.0"
#define TRN_VERSION_MAJOR 0
#define TRN_VERSION_MINOR 1
#define TRN_VERSION_PATCH 0
/* Binary interface of this header; trn_abi() is that of the library in use. */
#define TRN_ABI 1

/* What a client can ask, for trn_request. */
#define TRN_OP_DISCOVER "discover"
#define TRN_OP_LIST_TOOLS "list_tools"
#define TRN_OP_CALL_TOOL "call_tool"
#define TRN_OP_LIST_RESOURCES "list_resources"
#define TRN_OP_LIST_RESOURCE_TEMPLATES "list_resource_templates"
#define TRN_OP_READ_RESOURCE "read_resource"
#define TRN_OP_LIST_PROMPTS "list_prompts"
#define TRN_OP_GET_PROMPT "get_prompt"
#define TRN_OP_COMPLETE "complete"
#define TRN_OP_PING "ping"

/* Error kinds, as in trn_error and in the payload of TRN_EVENT_ERROR. */
#define TRN_KIND_PARSE_ERROR "parse_error"
#define TRN_KIND_INVALID_REQUEST "invalid_request"
#define TRN_KIND_METHOD_NOT_FOUND "method_not_found"
#define TRN_KIND_INVALID_PARAMS "invalid_params"
#define TRN_KIND_INTERNAL_ERROR "internal_error"
#define TRN_KIND_HEADER_MISMATCH "header_mismatch"
#define TRN_KIND_MISSING_CAPABILITY "missing_capability"
#define TRN_KIND_UNSUPPORTED_VERSION "unsupported_version"
#define TRN_KIND_RESOURCE_NOT_FOUND "resource_not_found"
#define TRN_KIND_REMOTE "remote"
#define TRN_KIND_CLOSED "closed"
#define TRN_KIND_TIMEOUT "timeout"
#define TRN_KIND_CANCELLED "cancelled"
#define TRN_KIND_TRANSPORT "transport"
#define TRN_KIND_LIMIT "limit"
#define TRN_KIND_USAGE "usage"
#define TRN_KIND_PROTOCOL "protocol"
#define TRN_KIND_FORKED "forked"
#define TRN_KIND_PANIC "panic"

/*
 * Options: JSON objects with these keys.
 *
 * engine
 *   driver (string, default threaded)
 *     hosted: drain() itself does the I/O on the host's thread. threaded: the engine's own threads do it.
 *   threads (integer, default 0)
 *     I/O threads of the threaded driver; 0: one per core, at most 4.
 *   maxMessageBytes (integer, default 4194304)
 *     Largest message, line or HTTP body, in bytes.
 *   maxDepth (integer, default 128)
 *     Deepest nesting of a message.
 *   maxInFlight (integer, default 1024)
 *     Most requests of one connection that may wait for an answer at a time.
 *   maxConnections (integer, default 10000)
 *     Most open connections of one listener.
 *
 * server
 *   eras (array, default ["modern","legacy"])
 *     Which eras are served.
 *   ttlMs (integer, default 0)
 *     How long clients may cache lists and the discover result, in milliseconds.
 *   cacheScope (string, default private)
 *     Who may cache them: private or public.
 *   pageSize (integer, default 1000)
 *     Entries per page of a list.
 *
 * tool
 *   timeoutMs (integer, default 0)
 *     The handler is cancelled and the caller told after this long; 0: no limit.
 *
 * serve_http
 *   host (string, default 127.0.0.1)
 *     Address to bind.
 *   port (integer, default 0)
 *     Port to bind; 0: any free one.
 *   path (string, default /mcp)
 *     Path of the endpoint.
 *   allowedHosts (array, default [])
 *     Host header values accepted besides loopback names and the bound address; a * accepts all.
 *   allowedOrigins (array, default [])
 *     Origin header values accepted besides loopback ones; a * accepts all.
 *
 * connect
 *   clientInfo (object, default {"name":"trunnion","version":"<version>"})
 *     Who the client says it is: {name, version, title?}.
 *   capabilities (object, default {})
 *     The client's capabilities as the protocol spells them.
 *   era (string, default auto)
 *     auto: probe and fall back. modern or legacy: that era only.
 *   timeoutMs (integer, default 60000)
 *     Default time limit of a request, in milliseconds; progress restarts it.
 *   connectTimeoutMs (integer, default 10000)
 *     Time limit of connecting, era probe included.
 *   headers (object, default {})
 *     HTTP headers added to every request.
 *
 * request
 *   timeoutMs (integer, default the client's)
 *     Time limit of this request; progress restarts it.
 *   progress (boolean, default false)
 *     Ask for progress; PROGRESS events follow.
 *   meta (object, default {})
 *     Entries added to the request's _meta.
 */

// What a call came to: the codes of `error` in `bindings/surface.toml`.
typedef enum {
    // All is well.
    TRN_STATUS_OK = 0,
    // All is well, and the answer is no; each function says what that means.
    TRN_STATUS_FALSE = 100,
    // The peer could not parse the message.
    TRN_STATUS_PARSE_ERROR = -32700,
    // Not a valid JSON-RPC request.
    TRN_STATUS_INVALID_REQUEST = -32600,
    // The peer does not know this method in this revision.
    TRN_STATUS_METHOD_NOT_FOUND = -32601,
    // The parameters are wrong: an unknown tool, a missing field, a bad cursor.
    TRN_STATUS_INVALID_PARAMS = -32602,
    // The handler failed.
    TRN_STATUS_INTERNAL_ERROR = -32603,
    // An HTTP header is missing or does not match the body.
    TRN_STATUS_HEADER_MISMATCH = -32020,
    // The client lacks a capability that the request needs; data.requiredCapabilities names it.
    TRN_STATUS_MISSING_CAPABILITY = -32021,
    // The peer does not speak this revision; data.supported lists what it does.
    TRN_STATUS_UNSUPPORTED_VERSION = -32022,
    // No such resource (2025-11-25 and earlier).
    TRN_STATUS_RESOURCE_NOT_FOUND = -32002,
    // The peer answered with an error code of its own; code holds it.
    TRN_STATUS_REMOTE = 101,
    // The connection, server or engine is closed.
    TRN_STATUS_CLOSED = 1,
    // No answer within the time limit.
    TRN_STATUS_TIMEOUT = 2,
    // Given up by the caller.
    TRN_STATUS_CANCELLED = 3,
    // The connection failed: refused, reset, bad HTTP status, process ended.
    TRN_STATUS_TRANSPORT = 4,
    // A limit was exceeded; the message names its option key.
    TRN_STATUS_LIMIT = 5,
    // The host called wrongly: bad JSON, unknown handle, duplicate name, unknown option.
    TRN_STATUS_USAGE = 6,
    // The peer broke the protocol.
    TRN_STATUS_PROTOCOL = 7,
    // The engine was made in another process; engines do not survive fork.
    TRN_STATUS_FORKED = 8,
    // A defect in the engine; please report it.
    TRN_STATUS_PANIC = 9,
} trn_status;

// What an event tells.
typedef enum {
    // id: exchange. target: the tool. payload: the arguments object.
    TRN_EVENT_CALL_TOOL = 1,
    // id: exchange. target: the resource or template. payload: {uri, params: {variable: value}}.
    TRN_EVENT_READ_RESOURCE = 2,
    // id: exchange. target: the prompt. payload: the arguments object.
    TRN_EVENT_GET_PROMPT = 3,
    // id: exchange. target: the completion. payload: {argument: {name, value}, arguments: {…}}.
    TRN_EVENT_COMPLETE = 4,
    // id: exchange. The caller left; stop. Completing it has no effect any more. payload: {reason?}.
    TRN_EVENT_CANCELLED = 5,
    // id: operation (or client, for connect). payload: the result.
    TRN_EVENT_RESULT = 10,
    // id: operation (or client). payload: {code, kind, message, data?}. An operation ends with one RESULT or one ERROR.
    TRN_EVENT_ERROR = 11,
    // id: operation. payload: {progress, total?, message?}.
    TRN_EVENT_PROGRESS = 12,
    // id: serve operation. payload: {url, host, port}.
    TRN_EVENT_LISTENING = 13,
    // id: client. payload: {event, params}; event is log, tools_changed, resources_changed, prompts_changed, resource_updated.
    TRN_EVENT_NOTIFICATION = 14,
    // id: client. The connection is over. payload: {reason}.
    TRN_EVENT_CLOSED = 15,
} trn_event_kind;

// What a completion says, and so what its payload is.
typedef enum {
    // payload: the whole result object, as the model type of the method has it.
    TRN_OUTCOME_RESULT = 0,
    // payload: plain text. Tool: one text item. Resource: its text. Prompt: one user message.
    TRN_OUTCOME_TEXT = 1,
    // payload: JSON. Tool: structuredContent and its text. Completion: the array of values. Resource: text of type application/json.
    TRN_OUTCOME_VALUE = 2,
    // payload: {code?, message, data?}. A protocol error; code defaults to -32603.
    TRN_OUTCOME_ERROR = 3,
    // payload: plain text for the model. Tool: isError result. Elsewhere: a protocol error with that message.
    TRN_OUTCOME_TOOL_ERROR = 4,
    // payload: base64 text. Resource: a blob.
    TRN_OUTCOME_BASE64 = 5,
} trn_outcome;

// Events returned by one trn_drain. Freed by trn_batch_free.
typedef struct trn_batch trn_batch;

// One engine. Made by trn_engine_new, freed by trn_engine_free.
typedef struct trn_engine trn_engine;

// Borrowed UTF-8 text: `len` bytes at `ptr`. It need not end with a NUL. {NULL, 0} is the empty text; where
// JSON options are asked for, the empty text stands for {}.
typedef struct {
    // First byte.
    const char *ptr;
    // Number of bytes.
    size_t len;
} trn_str;

// One thing that happened. Valid until its batch is freed.
typedef struct {
    // One of trn_event_kind. Ignore kinds you do not know: later versions may add some.
    uint32_t kind;
    // Exchange, operation or client handle; see trn_event_kind.
    uint64_t id;
    // The `target` given to trn_server_add for events that ask something of a server, else 0.
    uint64_t target;
    // JSON text. A NUL follows it, so payload.ptr is also a C string.
    trn_str payload;
} trn_event;

// Why a call failed. Freed by trn_error_free.
typedef struct {
    // The code: negative ones are the protocol's, positive ones the library's. See trn_status.
    int64_t code;
    // The kind, one of the TRN_KIND_ texts.
    const char *kind;
    // One sentence for a person.
    const char *message;
    // JSON text of the error's data, or NULL.
    const char *data;
} trn_error;

// The answer to one exchange, for trn_drain.
typedef struct {
    // The exchange: the id of the event that asked.
    uint64_t id;
    // One of trn_outcome.
    uint32_t outcome;
    // JSON or plain text, by outcome.
    trn_str payload;
} trn_completion;

// Called when the queue turns from empty to non-empty. It may run on any thread and must only signal: no
// function of this library may be called from it.
typedef void (*trn_wake)(void *user);

// Called for one event. Answer at once or later, from this thread or another. C++: do not throw.
typedef void (*trn_handler)(trn_engine *engine, const trn_event *event, void *user);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Borrow a C string, without its NUL, as a trn_str. NULL gives the empty text.
trn_str trn_cstr(const char *text);

// Free a text that a function returned as `char *`. NULL is allowed.
void trn_string_free(char *text);

// Number of events in a batch. 0 for NULL.
size_t trn_batch_len(const trn_batch *batch);

// The event at `index`, or NULL beyond the end.
const trn_event *trn_batch_at(const trn_batch *batch, size_t index);

// Free a batch and its events. NULL is allowed.
void trn_batch_free(trn_batch *batch);

// Free an error. NULL is allowed.
void trn_error_free(trn_error *error);

// Make an engine. Nothing runs until something is served or connected.
// options: JSON, keys of scope `engine`. engine: receives the engine; free it with trn_engine_free.
trn_status trn_engine_new(trn_str options, trn_engine **engine, trn_error **error);

// Close the engine at once, if trn_close has not done so in its own time, and free it. NULL is allowed. No
// other function may be running on the engine; batches, texts and errors it gave out stay valid.
void trn_engine_free(trn_engine *engine);

// The one descriptor to watch: readable means there is something to drain. It belongs to the engine; do not
// read or close it. -1 where the platform has none, and for NULL.
int trn_fd(const trn_engine *engine);

// Apply `count` completions, make one turn of the hosted reactor, and take the queued events. With the
// hosted driver this is where reading and writing happens. Drain until a batch is empty, or watch trn_fd,
// which stays readable while more is queued.
// completions: may be NULL if count is 0; copied. Outcomes that come too late are dropped.
// batch: receives the events, maybe none; free it with trn_batch_free.
trn_status trn_drain(trn_engine *engine,
                     const trn_completion *completions,
                     size_t count,
                     trn_batch **batch,
                     trn_error **error);

// Block until there is something to drain, or until `timeout_ms` milliseconds have passed (negative: no
// limit; TRN_STATUS_FALSE says that they have). One thread at a time may wait.
trn_status trn_wait(trn_engine *engine, int64_t timeout_ms, trn_error **error);

// Set the callback that tells a loop which cannot watch a descriptor to drain; NULL takes it away.
// user: passed through. It must live until trn_engine_free has returned.
trn_status trn_set_wake(trn_engine *engine, trn_wake wake, void *user, trn_error **error);

// Answer one exchange: the id of an event that asks something. Any thread may.
// outcome: one of trn_outcome; it says what payload is.
// TRN_STATUS_FALSE: it was answered or cancelled before, which is no error.
trn_status trn_complete(trn_engine *engine,
                        uint64_t id,
                        uint32_t outcome,
                        trn_str payload,
                        trn_error **error);

// Report progress of an exchange.
// payload: JSON {progress, total?, message?}; progress must grow.
// TRN_STATUS_FALSE: the caller did not ask for progress, or the exchange is over.
trn_status trn_progress(trn_engine *engine, uint64_t id, trn_str payload, trn_error **error);

// Send a log message with an exchange.
// payload: JSON {level, data, logger?}.
// TRN_STATUS_FALSE: the level is below the one asked for, or the exchange is over.
trn_status trn_log(trn_engine *engine, uint64_t id, trn_str payload, trn_error **error);

// What is known of an exchange, as JSON: {requestId, era, revision, transport, progressToken?, clientInfo?,
// clientCapabilities, meta?}. Free it with trn_string_free. NULL when the exchange is over.
char *trn_context(trn_engine *engine, uint64_t id);

// Give up an operation (a call, a connect, a serve). Its TRN_EVENT_ERROR of kind `cancelled` follows.
// reason: told to the peer; may be empty. TRN_STATUS_FALSE: it had ended.
trn_status trn_cancel(trn_engine *engine, uint64_t operation, trn_str reason, trn_error **error);

// Stop everything: final frames, then at most `deadline_ms` milliseconds for what is under way, then a hard
// stop. Closing twice is allowed. The events that end the operations can still be drained.
trn_status trn_close(trn_engine *engine, uint64_t deadline_ms, trn_error **error);

// Live-handle counters, as JSON: {servers, clients, exchanges, operations, connections}. Free it with
// trn_string_free. NULL for NULL.
char *trn_live(trn_engine *engine);

// The version of the library in use, such as "0.1.0". Static text. Compare TRN_VERSION, which is that of
// the header.
const char *trn_version(void);

// The binary interface of the library in use. It must equal TRN_ABI, that of the header.
uint32_t trn_abi(void);

// Register a server.
// definition: JSON {name, version, title?, instructions?, websiteUrl?, icons?} plus keys of scope `server`.
// server: receives the handle.
trn_status trn_server_new(trn_engine *engine, trn_str definition, uint64_t *server, trn_error **error);

// Add something to a server.
// item: "tool", "resource", "resource_template", "prompt" or "completion".
// definition: JSON; the protocol's object of that name. Tool: {name, description?, inputSchema, …}.
// Resource: {uri, name, mimeType?, …}. Template: {uriTemplate, name, …}. Prompt: {name, arguments?, …}.
// Completion: {ref: {type: "ref/prompt", name} or {type: "ref/resource", uri}}.
// options: JSON, keys of scope `tool` for a tool.
// target: comes back in the events that ask for this item. An index, or a pointer cast to uint64_t.
trn_status trn_server_add(trn_engine *engine,
                          uint64_t server,
                          const char *item,
                          trn_str definition,
                          trn_str options,
                          uint64_t target,
                          trn_error **error);

// Remove what was added under that name, URI or template. TRN_STATUS_FALSE: there was none.
trn_status trn_server_remove(trn_engine *engine,
                             uint64_t server,
                             const char *item,
                             trn_str key,
                             trn_error **error);

// Serve the process's standard streams. The engine takes the real standard output and points descriptor 1 at
// standard error, so that printf cannot break the protocol.
// operation: receives its handle. TRN_EVENT_RESULT with it when the peer has closed them.
trn_status trn_serve_stdio(trn_engine *engine,
                           uint64_t server,
                           trn_str options,
                           uint64_t *operation,
                           trn_error **error);

// Serve Streamable HTTP.
// options: JSON, keys of scope `serve_http`.
// operation: receives its handle. TRN_EVENT_LISTENING with it says the URL, TRN_EVENT_RESULT ends it.
trn_status trn_serve_http(trn_engine *engine,
                          uint64_t server,
                          trn_str options,
                          uint64_t *operation,
                          trn_error **error);

// End every serve operation of a server and forget it. Forgetting it twice is allowed.
trn_status trn_server_close(trn_engine *engine, uint64_t server, trn_error **error);

// Connect to a server.
// target: JSON {url}, {command: [program, argument, …], env?, cwd?}, or {server: handle} for a server of
// this engine.
// options: JSON, keys of scope `connect`.
// client: receives the handle. TRN_EVENT_RESULT or TRN_EVENT_ERROR with it follows.
trn_status trn_connect(trn_engine *engine,
                       trn_str target,
                       trn_str options,
                       uint64_t *client,
                       trn_error **error);

// Ask the server one thing.
// op: one of the TRN_OP_ texts. params: JSON, the request's parameters; empty stands for {}.
// options: JSON, keys of scope `request`.
// operation: receives its handle. One TRN_EVENT_RESULT or TRN_EVENT_ERROR with it follows, before it
// perhaps TRN_EVENT_PROGRESS.
trn_status trn_request(trn_engine *engine,
                       uint64_t client,
                       const char *op,
                       trn_str params,
                       trn_str options,
                       uint64_t *operation,
                       trn_error **error);

// Disconnect. Pending calls fail with kind `closed`; TRN_EVENT_CLOSED follows. Closing twice is allowed.
trn_status trn_client_close(trn_engine *engine, uint64_t client, trn_error **error);

// Wait, drain and call `handler` for every event, on this thread, until `operation` ends: a serve, a
// request, or (with its client handle) a connect. The handler is given that last event too. An operation that
// had ended before is waited for in vain.
// handler: NULL drops the other events; right for a plain client, wrong with a server in the same engine.
// Do not call trn_run or trn_drain from it.
// result: receives the operation's result as JSON; free it with trn_string_free. NULL: not wanted.
// TRN_STATUS_OK: the operation ended with a result. Otherwise with the error given.
trn_status trn_run(trn_engine *engine,
                   uint64_t operation,
                   trn_handler handler,
                   void *user,
                   char **result,
                   trn_error **error);

// The value at `path`, as JSON text borrowed from `json`, byte for byte. False: there is none, or `json` is
// not JSON.
// path: the name of a member, or a JSON Pointer (RFC 6901) if it begins with '/': "/content/0/text". The
// empty text is the whole value. The other trn_json_ functions take the same.
bool trn_json_raw(trn_str json, const char *path, trn_str *value);

// The string at `path`, decoded, or NULL: no such value, or not a string. Free it with trn_string_free.
// len: receives the number of bytes without the NUL behind them, for strings that hold NULs; may be NULL.
char *trn_json_string(trn_str json, const char *path, size_t *len);

// The number at `path`. False: no such value, or not a number.
bool trn_json_number(trn_str json, const char *path, double *value);

// The whole number at `path`. False: no such value, or not a whole number of 64 bits. 3.0 is one.
bool trn_json_integer(trn_str json, const char *path, int64_t *value);

// The truth value at `path`. False: no such value, or neither true nor false.
bool trn_json_bool(trn_str json, const char *path, bool *value);

// Text as a JSON string, quotes included, ready for a "%s". Free it with trn_string_free. NULL: not UTF-8.
char *trn_json_escape(trn_str text);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* TRUNNION_H */
