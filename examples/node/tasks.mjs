// Calls of the everything server that become tasks.
import { setTimeout as sleep } from "node:timers/promises";
import { InternalError, Question, ToolError } from "trunnion";

const string = { type: "string" };
const form = (properties) => ({ type: "object", properties, required: Object.keys(properties) });
const NAME = form({ name: string });
const named = ({ content }, nobody) => content?.name ?? nobody;

/** Add them to a server. */
export function addTasks(server) {
  server
    .tool("greet", { description: "Says hello.", input: form({ name: string }) }, ({ name }) => `Hello, ${name}!`)
    .tool(
      "slow_compute",
      {
        description: "Takes a while, and says how far it is.",
        input: { type: "object", properties: { seconds: { type: "number" }, label: string }, required: ["seconds"] },
        task: "optional",
        resumable: true,
      },
      async ({ seconds, label = "it" }, ctx) => {
        for (let step = (ctx.lastCheckpoint ?? 0) + 1; step <= 10; step++) {
          await sleep(Math.min(Math.max(seconds * 100, 0), 60_000), undefined, { signal: ctx.signal });
          ctx.progress(step, 10);
          await ctx.checkpoint(step);
        }
        return `${label} took ${seconds} s`;
      },
    )
    .tool("failing_job", { description: "Fails after a second.", task: "required" }, async (_, { signal }) => {
      await sleep(1000, undefined, { signal });
      throw new ToolError("the job has failed");
    })
    .tool("protocol_error_job", { description: "Ends with a protocol error.", task: "optional" }, () => {
      throw new InternalError("the job has met an error of the protocol");
    })
    .tool(
      "confirm_delete",
      { description: "Asks before something is deleted.", input: form({ filename: string }), task: "optional" },
      async ({ filename }, ctx) => {
        const { content } = await ctx.elicit(`Delete ${filename}?`, form({ confirm: { type: "boolean" } }));
        return content?.confirm ? `${filename} is deleted` : `${filename} stays`;
      },
    )
    .tool("multi_input", { description: "Asks two things at once.", task: "optional" }, async (_, ctx) => {
      const { first, second } = await ctx.ask({
        first: Question.elicit("Who is first?", NAME),
        second: Question.elicit("Who is second?", NAME),
      });
      return `first: ${named(first, "nobody")}, second: ${named(second, "nobody")}`;
    })
    .tool(
      "test_tool_with_task",
      {
        description: "Asks for a name, then greets in a task.",
        asks: { user_name: Question.elicit("What is your name?", NAME) },
        task: "optional",
      },
      (_, { answers }) => `Hello, ${named(answers.user_name, "stranger")}!`,
    );
}
