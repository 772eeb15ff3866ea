/* The items of everything_server, and the handlers that answer immediately. */
#include <string.h>

#include "everything.h"

/* A tool without arguments. */
#define TOOL(name, description) \
    "{\"name\":\"" name "\",\"description\":\"" description "\"," \
    "\"inputSchema\":{\"type\":\"object\",\"properties\":{}}}"

/* A red dot and a millisecond of silence. */
#define PNG "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
#define WAV "UklGRiwAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQgAAACAgICAgICAgA=="

#define RESOURCE(uri, text) \
    "{\"type\":\"resource\",\"resource\":{\"uri\":" uri ",\"mimeType\":\"text/plain\",\"text\":\"" text "\"}}"
#define TEXT(text) "{\"type\":\"text\",\"text\":\"" text "\"}"
#define IMAGE "{\"type\":\"image\",\"data\":\"" PNG "\",\"mimeType\":\"image/png\"}"
#define WHO(message) \
    "{\"op\":\"elicit\",\"params\":{\"message\":\"" message "\",\"requestedSchema\":{\"type\":\"object\"," \
    "\"properties\":{\"name\":{\"type\":\"string\"}},\"required\":[\"name\"]}}}"

static void same(struct app *app, const trn_event *event)
{
    const struct offer *offer = (const struct offer *)(uintptr_t)event->target;
    reply(app, event->id, offer->outcome, offer->text);
}

static void add(struct app *app, const trn_event *event)
{
    double a = 0, b = 0;
    trn_json_number(event->payload, "a", &a);
    trn_json_number(event->payload, "b", &b);
    char *sum = format("{\"sum\":%.17g}", a + b);
    reply(app, event->id, TRN_OUTCOME_VALUE, sum);
    free(sum);
}

static void answer_member(struct app *app, const trn_event *event, const char *name)
{
    trn_str text = {NULL, 0};
    char *decoded = trn_json_string(event->payload, name, &text.len);
    text.ptr = decoded;
    trn_complete(app->engine, event->id, TRN_OUTCOME_TEXT, text, NULL);
    trn_string_free(decoded);
}

static void echo(struct app *app, const trn_event *event)
{
    answer_member(app, event, "text");
}

static void greet(struct app *app, const trn_event *event)
{
    char *name = trn_json_string(event->payload, "name", NULL);
    char *text = format("Hello, %s!", name);
    reply(app, event->id, TRN_OUTCOME_TEXT, text);
    free(text);
    trn_string_free(name);
}

static void region(struct app *app, const trn_event *event)
{
    answer_member(app, event, "region");
}

static void fail(struct app *app, const trn_event *event)
{
    char *message = trn_json_string(event->payload, "message", NULL);
    reply(app, event->id, TRN_OUTCOME_TOOL_ERROR, message);
    trn_string_free(message);
}

static void crash(struct app *app, const trn_event *event)
{
    trn_str message = trn_cstr("\"\"");
    trn_json_raw(event->payload, "message", &message);
    char *error = format("{\"message\":%.*s}", (int)message.len, message.ptr);
    reply(app, event->id, TRN_OUTCOME_ERROR, error);
    free(error);
}

static void template_data(struct app *app, const trn_event *event)
{
    char *id = trn_json_string(event->payload, "/params/id", NULL);
    char *text = format("Data of %s", id);
    reply(app, event->id, TRN_OUTCOME_TEXT, text);
    free(text);
    trn_string_free(id);
}

static void prompt_with_arguments(struct app *app, const trn_event *event)
{
    char *first = trn_json_string(event->payload, "arg1", NULL);
    char *second = trn_json_string(event->payload, "arg2", NULL);
    char *text = format("Prompt with arguments: arg1='%s', arg2='%s'", first == NULL ? "" : first,
                        second == NULL ? "" : second);
    reply(app, event->id, TRN_OUTCOME_TEXT, text);
    free(text);
    trn_string_free(second);
    trn_string_free(first);
}

static void prompt_with_resource(struct app *app, const trn_event *event)
{
    trn_str uri = trn_cstr("\"test://example-resource\"");
    trn_json_raw(event->payload, "resourceUri", &uri);
    char *result = format("{\"messages\":["
                          "{\"role\":\"user\",\"content\":" RESOURCE("%.*s", "The embedded resource.") "},"
                          "{\"role\":\"user\",\"content\":" TEXT("Please use the resource above.") "}]}",
                          (int)uri.len, uri.ptr);
    reply(app, event->id, TRN_OUTCOME_RESULT, result);
    free(result);
}

static void completion(struct app *app, const trn_event *event)
{
    static const char *const known[] = {"paris", "park", "party"};
    char *argument = trn_json_string(event->payload, "/argument/name", NULL);
    char *value = trn_json_string(event->payload, "/argument/value", NULL);
    char values[64] = "[";
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (argument != NULL && value != NULL && strcmp(argument, "arg1") == 0 &&
            strncmp(known[i], value, strlen(value)) == 0) {
            size_t used = strlen(values);
            snprintf(values + used, sizeof values - used, "%s\"%s\"", used == 1 ? "" : ",", known[i]);
        }
    }
    strcat(values, "]");
    reply(app, event->id, TRN_OUTCOME_VALUE, values);
    trn_string_free(value);
    trn_string_free(argument);
}

/* Answers with its arguments. */
static void arguments(struct app *app, const trn_event *event)
{
    trn_complete(app->engine, event->id, TRN_OUTCOME_TEXT, event->payload, NULL);
}

static void log_once(struct app *app, const trn_event *event)
{
    trn_log(app->engine, event->id, trn_cstr("{\"level\":\"info\",\"data\":\"called\"}"), NULL);
    reply(app, event->id, TRN_OUTCOME_TEXT, "logged");
}

/* Adds the offer, or removes it again; the engine notifies the clients that the list has changed. */
static void change(struct app *app, const trn_event *event, const struct offer *offer, const char *name)
{
    if (trn_server_remove(app->engine, app->server, offer->item, trn_cstr(name), NULL) == TRN_STATUS_FALSE) {
        trn_server_add(app->engine, app->server, offer->item, trn_cstr(offer->definition), trn_cstr(NULL),
                       (uint64_t)(uintptr_t)offer, NULL);
    }
    reply(app, event->id, TRN_OUTCOME_TEXT, "changed");
}

static void change_tools(struct app *app, const trn_event *event)
{
    static const struct offer offer = {
        "tool", TOOL("test_changed_tool", "Comes and goes."), same,
        TRN_OUTCOME_TEXT, "I am here.", NULL};
    change(app, event, &offer, "test_changed_tool");
}

static void change_prompts(struct app *app, const trn_event *event)
{
    static const struct offer offer = {
        "prompt", "{\"name\":\"test_changed_prompt\",\"description\":\"Comes and goes.\"}", same, TRN_OUTCOME_TEXT,
        "I am here.", NULL};
    change(app, event, &offer, "test_changed_prompt");
}

const struct offer offers[] = {
    {"tool", TOOL("test_simple_text", "Answers with one text."), same,
     TRN_OUTCOME_TEXT, "This is a simple text response for testing.", NULL},
    {"tool",
     "{\"name\":\"add\",\"description\":\"Adds two numbers.\",\"inputSchema\":{\"type\":\"object\","
     "\"properties\":{\"a\":{\"type\":\"number\"},\"b\":{\"type\":\"number\"}},\"required\":[\"a\",\"b\"]},"
     "\"outputSchema\":{\"type\":\"object\",\"properties\":{\"sum\":{\"type\":\"number\"}},\"required\":[\"sum\"]}}",
     add, 0, NULL, NULL},
    {"tool",
     "{\"name\":\"echo\",\"description\":\"Answers with the text it is given.\",\"inputSchema\":{\"type\":\"object\","
     "\"properties\":{\"text\":{\"type\":\"string\"}},\"required\":[\"text\"]}}",
     echo, 0, NULL, NULL},
    {"tool",
     "{\"name\":\"test_x_mcp_header\",\"description\":\"Answers with the region, which proxies can read in the header"
     " Mcp-Param-Region.\",\"inputSchema\":{\"type\":\"object\",\"properties\":{\"region\":{\"type\":\"string\","
     "\"x-mcp-header\":\"Region\"}},\"required\":[\"region\"]}}",
     region, 0, NULL, NULL},
    {"tool",
     "{\"name\":\"slow\",\"description\":\"Takes its time, step by step, and reports each.\",\"inputSchema\":{"
     "\"type\":\"object\",\"properties\":{\"steps\":{\"type\":\"integer\",\"minimum\":0},"
     "\"delayMs\":{\"type\":\"integer\",\"minimum\":0}},\"required\":[\"steps\",\"delayMs\"]}}",
     slow, 0, NULL, NULL},
    {"tool",
     "{\"name\":\"fail\",\"description\":\"Fails with the message it is given.\",\"inputSchema\":{\"type\":\"object\","
     "\"properties\":{\"message\":{\"type\":\"string\"}},\"required\":[\"message\"]}}",
     fail, 0, NULL, NULL},
    {"tool",
     "{\"name\":\"crash\",\"description\":\"Fails in a way its author did not foresee.\",\"inputSchema\":{"
     "\"type\":\"object\",\"properties\":{\"message\":{\"type\":\"string\"}},\"required\":[\"message\"]}}",
     crash, 0, NULL, NULL},
    {"tool", TOOL("test_image_content", "Answers with an image."), same,
     TRN_OUTCOME_RESULT, "{\"content\":[" IMAGE "]}", NULL},
    {"tool", TOOL("test_audio_content", "Answers with a sound."), same,
     TRN_OUTCOME_RESULT, "{\"content\":[{\"type\":\"audio\",\"data\":\"" WAV "\",\"mimeType\":\"audio/wav\"}]}", NULL},
    {"tool", TOOL("test_embedded_resource", "Answers with a resource."),
     same, TRN_OUTCOME_RESULT,
     "{\"content\":[" RESOURCE("\"test://embedded-resource\"", "This is an embedded resource content.") "]}", NULL},
    {"tool",
     TOOL("test_multiple_content_types", "Answers with text, image and resource."),
     same, TRN_OUTCOME_RESULT,
     "{\"content\":[" TEXT("Multiple content types test:") "," IMAGE "," RESOURCE(
         "\"test://mixed-content-resource\"", "The third item.") "]}", NULL},
    {"tool", TOOL("test_error_handling", "Always fails."), same,
     TRN_OUTCOME_TOOL_ERROR, "This tool intentionally returns an error for testing", NULL},
    {"tool", TOOL("test_tool_with_progress", "Reports progress."),
     with_progress, 0, NULL, NULL},
    {"tool", TOOL("test_tool_with_logging", "Logs what it does."),
     with_logging, 0, NULL, NULL},
    {"tool", TOOL("test_logging_tool", "Logs once."),
     log_once, 0, NULL, NULL},
    {"tool", TOOL("test_reconnection", "Lets the connection go and answers when the client is back."),
     reconnect, 0, NULL, NULL},
    {"tool",
     "{\"name\":\"json_schema_2020_12_tool\",\"description\":\"Has a schema of many keywords.\","
     "\"inputSchema\":{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"type\":\"object\","
     "\"$defs\":{\"address\":{\"$anchor\":\"addressDef\",\"type\":\"object\","
     "\"properties\":{\"street\":{\"type\":\"string\"},\"city\":{\"type\":\"string\"}}}},"
     "\"properties\":{\"name\":{\"type\":\"string\"},\"address\":{\"$ref\":\"#/$defs/address\"},"
     "\"contactMethod\":{\"type\":\"string\",\"enum\":[\"phone\",\"email\"]},\"phone\":{\"type\":\"string\"},"
     "\"email\":{\"type\":\"string\"}},\"allOf\":[{\"anyOf\":[{\"required\":[\"phone\"]},"
     "{\"required\":[\"email\"]}]}],\"if\":{\"properties\":{\"contactMethod\":{\"const\":\"phone\"}},"
     "\"required\":[\"contactMethod\"]},\"then\":{\"required\":[\"phone\"]},"
     "\"else\":{\"required\":[\"email\"]},\"additionalProperties\":false}}",
     arguments, 0, NULL, NULL},
    {"tool", TOOL("test_trigger_tool_change", "Adds a tool, or takes it away again."),
     change_tools, 0, NULL, NULL},
    {"tool", TOOL("test_trigger_prompt_change", "Adds a prompt, or takes it away again."),
     change_prompts, 0, NULL, NULL},
    {"tool",
     "{\"name\":\"test_sampling\",\"description\":\"Asks the model of the client.\","
     "\"inputSchema\":{\"type\":\"object\",\"properties\":{\"prompt\":{\"type\":\"string\"}},"
     "\"required\":[\"prompt\"]}}",
     ask_sampling, 0, NULL, NULL},
    {"tool",
     "{\"name\":\"test_elicitation\",\"description\":\"Asks the user who they are.\","
     "\"inputSchema\":{\"type\":\"object\",\"properties\":{\"message\":{\"type\":\"string\"}},"
     "\"required\":[\"message\"]}}",
     ask_elicitation, 0, NULL, NULL},
    {"tool", TOOL("test_elicitation_sep1034_defaults", "Asks with a form that is filled in."),
     ask_same, 0,
     "{\"form\":{\"op\":\"elicit\",\"params\":{\"message\":\"Please check these values.\","
     "\"requestedSchema\":{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\","
     "\"default\":\"John Doe\"},\"age\":{\"type\":\"integer\",\"default\":30},\"score\":{\"type\":\"number\","
     "\"default\":95.5},\"status\":{\"type\":\"string\",\"enum\":[\"active\",\"inactive\",\"pending\"],"
     "\"default\":\"active\"},\"verified\":{\"type\":\"boolean\",\"default\":true}}}}}}", NULL},
    {"tool", TOOL("test_elicitation_sep1330_enums", "Asks with choices of every kind."),
     ask_same, 0,
     "{\"form\":{\"op\":\"elicit\",\"params\":{\"message\":\"Please choose.\","
     "\"requestedSchema\":{\"type\":\"object\",\"properties\":{\"untitledSingle\":{\"type\":\"string\","
     "\"enum\":[\"option1\",\"option2\",\"option3\"]},\"titledSingle\":{\"type\":\"string\","
     "\"oneOf\":[{\"const\":\"value1\",\"title\":\"First\"},{\"const\":\"value2\",\"title\":\"Second\"},"
     "{\"const\":\"value3\",\"title\":\"Third\"}]},\"legacyEnum\":{\"type\":\"string\",\"enum\":[\"opt1\","
     "\"opt2\",\"opt3\"],\"enumNames\":[\"Option One\",\"Option Two\",\"Option Three\"]},"
     "\"untitledMulti\":{\"type\":\"array\",\"items\":{\"type\":\"string\",\"enum\":[\"option1\",\"option2\","
     "\"option3\"]}},\"titledMulti\":{\"type\":\"array\",\"items\":{\"anyOf\":[{\"const\":\"value1\","
     "\"title\":\"First\"},{\"const\":\"value2\",\"title\":\"Second\"},{\"const\":\"value3\","
     "\"title\":\"Third\"}]}}}}}}}", NULL},
    {"tool", TOOL("test_missing_capability", "Asks the model of the client."),
     ask_same, 0,
     "{\"reply\":{\"op\":\"sample\",\"params\":{\"maxTokens\":10,\"messages\":[{\"role\":\"user\","
     "\"content\":{\"type\":\"text\",\"text\":\"Say hello.\"}}]}}}", NULL},
    {"tool", TOOL("test_streaming_elicitation", "Asks for a confirmation."),
     ask_same, 0,
     "{\"confirm\":{\"op\":\"elicit\",\"params\":{\"message\":\"Go on?\",\"requestedSchema\":{\"type\":\"object\","
     "\"properties\":{\"ok\":{\"type\":\"boolean\"}},\"required\":[\"ok\"]}}}}", NULL},
    {"tool", TOOL("test_input_required_result_elicitation", "Asks for a name."),
     ask_same, 0,
     "{\"user_name\":{\"op\":\"elicit\",\"params\":{\"message\":\"What is your name?\","
     "\"requestedSchema\":{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"}},"
     "\"required\":[\"name\"]}}}}", NULL},
    {"tool", TOOL("test_input_required_result_sampling", "Asks the model of the client."),
     ask_same, 0,
     "{\"capital_question\":{\"op\":\"sample\",\"params\":{\"maxTokens\":100,\"messages\":[{\"role\":\"user\","
     "\"content\":{\"type\":\"text\",\"text\":\"What is the capital of France?\"}}]}}}", NULL},
    {"tool", TOOL("test_input_required_result_list_roots", "Asks for the roots before it begins."),
     asked_before, 0, NULL, "{\"asks\":{\"client_roots\":{\"op\":\"list_roots\"}}}"},
    {"tool", TOOL("test_input_required_result_request_state", "Remembers something while it asks."),
     ask_with_memory, 0, NULL, NULL},
    {"tool", TOOL("test_input_required_result_multiple_inputs", "Asks several things at once."),
     ask_same, 0,
     "{\"user_name\":{\"op\":\"elicit\",\"params\":{\"message\":\"What is your name?\","
     "\"requestedSchema\":{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"}},"
     "\"required\":[\"name\"]}}},\"greeting\":{\"op\":\"sample\",\"params\":{\"maxTokens\":50,"
     "\"messages\":[{\"role\":\"user\",\"content\":{\"type\":\"text\",\"text\":\"Write a greeting.\"}}]}},"
     "\"client_roots\":{\"op\":\"list_roots\"}}", NULL},
    {"tool", TOOL("test_input_required_result_multi_round", "Asks twice."),
     ask_twice, 0, NULL, NULL},
    {"tool", TOOL("test_input_required_result_tampered_state", "Remembers something while it asks."),
     ask_with_memory, 0, NULL, NULL},
    {"tool", TOOL("test_input_required_result_capabilities", "Asks whom the client lets it ask."),
     ask_what_it_can, 0, NULL, NULL},

    {"tool",
     "{\"name\":\"greet\",\"description\":\"Says hello.\",\"inputSchema\":{\"type\":\"object\","
     "\"properties\":{\"name\":{\"type\":\"string\"}},\"required\":[\"name\"]}}",
     greet, 0, NULL, NULL},
    {"tool",
     "{\"name\":\"slow_compute\",\"description\":\"Takes a while, and says how far it is.\",\"inputSchema\":{"
     "\"type\":\"object\",\"properties\":{\"seconds\":{\"type\":\"number\"},\"label\":{\"type\":\"string\"}},"
     "\"required\":[\"seconds\"]}}",
     compute, 0, NULL, "{\"task\":\"optional\",\"resumable\":true}"},
    {"tool", TOOL("failing_job", "Fails after a second."), fail_later, 0, NULL, "{\"task\":\"required\"}"},
    {"tool", TOOL("protocol_error_job", "Ends with a protocol error."), same, TRN_OUTCOME_ERROR,
     "{\"code\":-32603,\"message\":\"the job has met an error of the protocol\"}", "{\"task\":\"optional\"}"},
    {"tool",
     "{\"name\":\"confirm_delete\",\"description\":\"Asks the user before something is deleted.\",\"inputSchema\":{"
     "\"type\":\"object\",\"properties\":{\"filename\":{\"type\":\"string\"}},\"required\":[\"filename\"]}}",
     confirm_delete, 0, NULL, "{\"task\":\"optional\"}"},
    {"tool", TOOL("multi_input", "Asks the user two things at once."), ask_same, 0,
     "{\"first\":" WHO("Who is first?") ",\"second\":" WHO("Who is second?") "}", "{\"task\":\"optional\"}"},
    {"tool", TOOL("test_tool_with_task", "Asks for a name, then answers in a task."), asked_before, 0, NULL,
     "{\"task\":\"optional\",\"asks\":{\"user_name\":" WHO("What is your name?") "}}"},

    {"resource",
     "{\"uri\":\"test://static-text\",\"name\":\"static-text\",\"description\":\"A text that never changes.\","
     "\"mimeType\":\"text/plain\"}",
     same, TRN_OUTCOME_TEXT, "This is the content of the static text resource.", NULL},
    {"resource",
     "{\"uri\":\"test://static-binary\",\"name\":\"static-binary\",\"description\":\"An image that never changes.\","
     "\"mimeType\":\"image/png\"}",
     same, TRN_OUTCOME_BASE64, PNG, NULL},
    {"resource",
     "{\"uri\":\"test://watched-resource\",\"name\":\"watched-resource\",\"description\":\"A text to subscribe to.\","
     "\"mimeType\":\"text/plain\"}",
     same, TRN_OUTCOME_TEXT, "This is the content of the watched resource.", NULL},
    {"resource_template",
     "{\"uriTemplate\":\"test://template/{id}/data\",\"name\":\"template\",\"description\":\"Data by id.\","
     "\"mimeType\":\"text/plain\"}",
     template_data, 0, NULL, NULL},

    {"prompt", "{\"name\":\"test_simple_prompt\",\"description\":\"A prompt without arguments.\"}", same,
     TRN_OUTCOME_TEXT, "This is a simple prompt for testing.", NULL},
    {"prompt",
     "{\"name\":\"test_prompt_with_arguments\",\"description\":\"A prompt with two arguments.\",\"arguments\":["
     "{\"name\":\"arg1\",\"description\":\"First argument\",\"required\":true},"
     "{\"name\":\"arg2\",\"description\":\"Second argument\",\"required\":true}]}",
     prompt_with_arguments, 0, NULL, NULL},
    {"prompt",
     "{\"name\":\"test_prompt_with_embedded_resource\",\"description\":\"A prompt that holds a resource.\","
     "\"arguments\":[{\"name\":\"resourceUri\",\"description\":\"URI of the resource\",\"required\":true}]}",
     prompt_with_resource, 0, NULL, NULL},
    {"prompt", "{\"name\":\"test_prompt_with_image\",\"description\":\"A prompt that holds an image.\"}", same,
     TRN_OUTCOME_RESULT,
     "{\"messages\":[{\"role\":\"user\",\"content\":" IMAGE "},"
     "{\"role\":\"user\",\"content\":" TEXT("Please analyze the image above.") "}]}", NULL},
    {"prompt",
     "{\"name\":\"test_input_required_result_prompt\",\"description\":\"A prompt that asks for its context.\"}",
     ask_same, 0,
     "{\"user_context\":{\"op\":\"elicit\",\"params\":{\"message\":\"Which context?\","
     "\"requestedSchema\":{\"type\":\"object\",\"properties\":{\"context\":{\"type\":\"string\"}},"
     "\"required\":[\"context\"]}}}}",
     NULL},
    {"completion", "{\"ref\":{\"type\":\"ref/prompt\",\"name\":\"test_prompt_with_arguments\"}}", completion, 0, NULL,
     NULL},
};

const size_t offer_count = sizeof offers / sizeof *offers;
