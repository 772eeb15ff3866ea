// The package `trunnion`: Model Context Protocol servers and clients.

import { loadNative } from "./native.js";

export { MemoryStore } from "./auth.js";
export type {
  AuthOptions,
  AuthorizationCodeOptions,
  ClientAuthMethod,
  ClientCredentialsOptions,
  CommonAuthOptions,
  CredentialRecord,
  CredentialStore,
  EnterpriseOptions,
  JwtBearerOptions,
} from "./auth.js";
export { Question } from "./asking.js";
export type { AnswersOf, Elicited, ElicitUrlOptions, Questions, SampleOptions } from "./asking.js";
export type { Carrier, FetchHandler } from "./carried.js";
export { Changes } from "./changes.js";
export type { Change, ListenFilter } from "./changes.js";
export { Client, connect, Listing } from "./client.js";
export type {
  AskedQuestion,
  CallOptions,
  ClientEvents,
  ClientOptions,
  ClientTarget,
  RequestOptions,
  ServerDescription,
} from "./client.js";
export { Context } from "./context.js";
export type { NodeHandler, NodeRequest, NodeResponse } from "./incoming.js";
export type { KeyOption, RequestInfo, TaskRun } from "./context.js";
export { Engine } from "./engine.js";
export type { EngineOptions, LiveCounters } from "./engine.js";
export { McpError, ToolError } from "./errors.js";
export type { McpErrorInit } from "./errors.js";
export {
  ERROR_CLASSES,
  ERROR_CODES,
  ParseError,
  InvalidRequestError,
  MethodNotFoundError,
  InvalidParamsError,
  InternalError,
  HeaderMismatchError,
  MissingCapabilityError,
  UnsupportedVersionError,
  ResourceNotFoundError,
  RemoteError,
  ClosedError,
  TimeoutError,
  CancelledError,
  TransportError,
  LimitError,
  UsageError,
  ProtocolError,
  ForkedError,
  PanicError,
  UnauthorizedError,
} from "./generated.js";
export type { ErrorKind } from "./generated.js";
export { Visibility } from "./guard.js";
export type { Access, Claims, Introspection, JwtVerifier, ServerAuth, VisibilityJson, VisibleTo } from "./guard.js";
export { PromptResult, ReadResult, ToolResult } from "./results.js";
export type { ToolResultFields } from "./results.js";
export { jsonSchema } from "./schema.js";
export type { OutputOf, PlainSchema, Schema, StandardIssue, StandardResult, StandardSchema, TypedJsonSchema } from "./schema.js";
export { Server, Server as McpServer } from "./server.js";
export type {
  Asks,
  CarriedHttpOptions,
  CompletionRef,
  CompletionRequest,
  HttpServer,
  ItemOptions,
  PromptArguments,
  PromptDefinition,
  PromptReturn,
  PromptValues,
  ResourceDefinition,
  ResourceReturn,
  ServeHttpOptions,
  ServerOptions,
  ToolDefinition,
  ToolReturn,
} from "./server.js";
export type { TemplateVariables } from "./template.js";
export { Task } from "./tasks.js";
export type { TaskAnswer, TaskRequestOptions, TaskState, TaskStatus } from "./tasks.js";
export type * from "./types.js";

/** The engine's version. */
export function version(): string {
  return loadNative().version();
}
