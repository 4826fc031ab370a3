import { integer, maxValue, minValue, number, pipe, regex, string } from 'valibot';

// What values of the config may be, beside the types that TOML has.

export const absolutePath = pipe(string(), regex(/^\//, 'must be an absolute path'));
/** Or empty. */
export const httpUrl = pipe(
  string(),
  regex(/^(https?:\/\/[^\s/]+\S*)?$/, 'must be a URL such as http://127.0.0.1:4318'),
);
export const count = pipe(number(), integer(), minValue(0));
export const atLeastOne = pipe(number(), integer(), minValue(1));
export const port = pipe(number(), integer(), minValue(0), maxValue(65_535));
export const name = pipe(
  string(),
  regex(/^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$/i, 'must be a plain name'),
);
