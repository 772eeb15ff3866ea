// A server in TypeScript, its schemas in zod.
import { Server, ToolError } from "trunnion";
import { z } from "zod";

export const server = new Server({ name: "weather", version: "1.0.0" });

const Place = z.object({
  city: z.string().min(1).describe("Name of the city."),
  unit: z.enum(["celsius", "fahrenheit"]).default("celsius"),
});
const Weather = z.object({ degrees: z.number(), unit: z.string() });

const CELSIUS: Record<string, number> = { berlin: 21, oslo: 12 };

server.tool("weather", { description: "Weather of a city.", input: Place, output: Weather }, ({ city, unit }) => {
  const celsius = CELSIUS[city.toLowerCase()];
  if (celsius === undefined) throw new ToolError(`no weather for ${city}`);
  return { degrees: unit === "celsius" ? celsius : (celsius * 9) / 5 + 32, unit };
});
