// Tools of the everything server that elicit or sample, and others that need a conversation.
import { setTimeout as sleep } from "node:timers/promises";
import { Question } from "trunnion";

const string = { type: "string" };
const form = (properties) => ({ type: "object", properties, required: Object.keys(properties) });
const titled = (...titles) => titles.map((title, i) => ({ const: `value${i + 1}`, title }));

const NAME = form({ name: { type: "string", description: "Your name." } });
const CONTACT = form({ username: { type: "string" }, email: { type: "string", format: "email" } });
const DEFAULTS = {
  type: "object",
  properties: {
    name: { type: "string", default: "John Doe" },
    age: { type: "integer", default: 30 },
    score: { type: "number", default: 95.5 },
    status: { type: "string", enum: ["active", "inactive", "pending"], default: "active" },
    verified: { type: "boolean", default: true },
  },
};
const CHOICES = {
  type: "object",
  properties: {
    untitledSingle: { type: "string", enum: ["option1", "option2", "option3"] },
    titledSingle: { type: "string", oneOf: titled("First", "Second", "Third") },
    legacyEnum: { type: "string", enum: ["opt1", "opt2", "opt3"], enumNames: ["One", "Two", "Three"] },
    untitledMulti: { type: "array", items: { type: "string", enum: ["option1", "option2", "option3"] } },
    titledMulti: { type: "array", items: { anyOf: titled("First", "Second", "Third") } },
  },
};
const ADDRESS_TOOL = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  type: "object",
  $defs: {
    address: {
      $anchor: "addressDef",
      type: "object",
      properties: { street: string, city: string },
    },
  },
  properties: {
    name: string,
    address: { $ref: "#/$defs/address" },
    contactMethod: { type: "string", enum: ["phone", "email"] },
    phone: string,
    email: string,
  },
  allOf: [{ anyOf: [{ required: ["phone"] }, { required: ["email"] }] }],
  if: { properties: { contactMethod: { const: "phone" } }, required: ["contactMethod"] },
  then: { required: ["phone"] },
  else: { required: ["email"] },
  additionalProperties: false,
};

/** Add them to a server. */
export function addAsking(server) {
  server
    .tool("test_tool_with_logging", { description: "Logs while it works." }, async (_, ctx) => {
      for (const message of ["Tool execution started", "Tool processing data", "Tool execution completed"]) {
        ctx.log("info", message);
        await sleep(50, undefined, { signal: ctx.signal });
      }
      return "done";
    })
    .tool("test_logging_tool", { description: "Logs for those who ask for it." }, (_, ctx) => {
      ctx.log("info", "This is a log message.");
      return "done";
    })
    .tool("test_sampling", { description: "Asks the client's model.", input: form({ prompt: string }) }, async ({ prompt }, ctx) => {
      const { content } = await ctx.sample(prompt, 100);
      return `LLM response: ${content.text}`;
    })
    .tool("test_elicitation", { description: "Asks the person.", input: form({ message: string }) }, async ({ message }, ctx) =>
      said(await ctx.elicit(message, CONTACT)),
    )
    .tool("test_elicitation_sep1034_defaults", { description: "Asks with defaults." }, async (_, ctx) =>
      said(await ctx.elicit("Please check your details.", DEFAULTS)),
    )
    .tool("test_elicitation_sep1330_enums", { description: "Asks with choices of every form." }, async (_, ctx) =>
      said(await ctx.elicit("Please choose.", CHOICES)),
    )
    .tool("test_streaming_elicitation", { description: "Asks the person, whoever streams." }, async (_, ctx) =>
      said(await ctx.elicit("What is your name?", NAME)),
    )
    .tool("test_missing_capability", { description: "Needs the client's model." }, async (_, ctx) => {
      const { content } = await ctx.sample("Say hello.", 10);
      return content.text;
    })
    .tool("test_reconnection", { description: "Lets its stream go and answers the one that comes back." }, async (_, ctx) => {
      ctx.closeStream();
      await sleep(100, undefined, { signal: ctx.signal });
      return "Reconnection test completed successfully.";
    })
    .tool("json_schema_2020_12_tool", { description: "Has a schema of many keywords.", input: ADDRESS_TOOL }, (args) =>
      JSON.stringify(args),
    )
    .tool("test_trigger_tool_change", { description: "Changes the list of tools." }, () => {
      server.tool("test_dynamic_tool", { description: "Is here for a moment." }, () => "here");
      server.remove("tool", "test_dynamic_tool");
      return "changed";
    })
    .tool("test_trigger_prompt_change", { description: "Changes the list of prompts." }, () => {
      server.prompt("test_dynamic_prompt", { description: "Is here for a moment." }, () => "here");
      server.remove("prompt", "test_dynamic_prompt");
      return "changed";
    });

  const name = (ctx, key) => ctx.elicit("What is your name?", NAME, { key });
  server
    .tool("test_input_required_result_elicitation", { description: "Asks for a name." }, async (_, ctx) =>
      greet(await name(ctx, "user_name")),
    )
    .tool("test_input_required_result_sampling", { description: "Asks the client's model." }, async (_, ctx) => {
      const { content } = await ctx.sample("What is the capital of France?", 100);
      return content.text;
    })
    .tool("test_input_required_result_list_roots", { description: "Asks for the roots." }, async (_, ctx) =>
      (await ctx.listRoots()).map(({ uri }) => uri).join("\n"),
    )
    .tool("test_input_required_result_request_state", { description: "Asks, and keeps something meanwhile." }, async (_, ctx) => {
      const begun = await ctx.once("begun", () => "state-ok");
      return `${begun}: ${said(await ctx.elicit("Please confirm.", form({ ok: { type: "boolean" } })))}`;
    })
    .tool(
      "test_input_required_result_multiple_inputs",
      {
        description: "Asks several things at once, before it begins.",
        asks: {
          user_name: Question.elicit("What is your name?", NAME),
          greeting: Question.sample("Write a greeting.", 50),
          client_roots: Question.listRoots(),
        },
      },
      (_, { answers }) =>
        `${greet(answers.user_name)} ${answers.greeting.content.text} ${answers.client_roots.length} roots.`,
    )
    .tool("test_input_required_result_multi_round", { description: "Asks one thing after the other." }, async (_, ctx) => {
      const who = await name(ctx, "step1");
      const color = await ctx.elicit("What is your favourite colour?", form({ color: string }), { key: "step2" });
      return `${greet(who)} ${said(color)}`;
    })
    .tool("test_input_required_result_tampered_state", { description: "Asks, with state that nobody may change." }, async (_, ctx) =>
      greet(await name(ctx)),
    )
    .tool("test_input_required_result_capabilities", { description: "Asks what the client can answer." }, async (_, ctx) => {
      if (ctx.request.clientCapabilities?.elicitation) return greet(await name(ctx));
      const { content } = await ctx.sample("Make up a name.", 50);
      return content.text;
    })
    .prompt("test_input_required_result_prompt", { description: "A prompt that asks for its context." }, async (_, ctx) => {
      const { content } = await ctx.elicit("What is it about?", form({ context: string }));
      return `Please help with ${content?.context ?? "nothing"}.`;
    })
    .resource(
      "test://watched-resource",
      { name: "watched-resource", description: "Something to subscribe to.", mimeType: "text/plain" },
      () => "This is the content of the watched resource.",
    );
}

function greet({ action, content }) {
  return action === "accept" ? `Hello, ${content.name}!` : `Never mind (${action}).`;
}

function said({ action, content }) {
  return `User response: action=${action}, content=${JSON.stringify(content ?? {})}`;
}
