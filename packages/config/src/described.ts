import {
  type BaseIssue,
  type BaseSchema,
  type DescriptionAction,
  description,
  type InferOutput,
  pipe,
  type SchemaWithPipe,
} from 'valibot';

/**
 * Gives a key of the config its sentence. It stands in the schema, so that the printed default file, docs/config.md
 * and the check of a config can't drift apart.
 */
export function described<S extends BaseSchema<unknown, unknown, BaseIssue<unknown>>>(
  text: string,
  schema: S,
): SchemaWithPipe<readonly [S, DescriptionAction<InferOutput<S>, string>]> {
  return pipe(schema, description<InferOutput<S>, string>(text));
}
