// The variables of a URI template (RFC 6570), as types.

/**
 * Variables by name. Those of `{name}` and `{+name}` are present; those of the other operators, such as
 * `{?name}`, may be absent.
 */
export type TemplateVariables<U extends string> = string extends U
  ? Record<string, string>
  : { [K in Required<Expressions<U>>]: string } & { [K in Optional<Expressions<U>>]: string | undefined };

type Expressions<U extends string> = U extends `${string}{${infer E}}${infer Rest}` ? E | Expressions<Rest> : never;

type Operator = "#" | "." | "/" | ";" | "?" | "&";

type Required<E extends string> = E extends `${Operator}${string}` ? never : E extends `+${infer N}` ? Names<N> : Names<E>;

type Optional<E extends string> = E extends `${Operator}${infer N}` ? Names<N> : never;

type Names<N extends string> = N extends `${infer First},${infer Rest}` ? Name<First> | Names<Rest> : Name<N>;

type Name<N extends string> = N extends `${infer Plain}:${string}` ? Plain : N extends `${infer Plain}*` ? Plain : N;
