import type { BaseIssue, BaseSchema } from 'valibot';

/** A view of valibot's schemas that is enough to walk them. */
export interface SchemaNode extends BaseSchema<unknown, unknown, BaseIssue<unknown>> {
  readonly entries?: Readonly<Record<string, SchemaNode>>;
  readonly wrapped?: SchemaNode;
  readonly value?: SchemaNode;
  readonly options?: readonly string[];
  readonly literal?: unknown;
}
