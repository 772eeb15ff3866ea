// The types of the model: the objects of the protocol, and related types.

export type * from "./models.js";

/** Severity of a log message, least severe first. */
export type LogLevel = "debug" | "info" | "notice" | "warning" | "error" | "critical" | "alert" | "emergency";

/** JSON Schema 2020-12 as a plain object. */
export type JsonObject = Readonly<Record<string, unknown>>;
