import { RuntimeError } from '@gantry/errors';
import type { Invocation } from './invocation.ts';

/** The values of an option that may be given more than once. */
export function listOption(invocation: Invocation, name: string): readonly string[] {
  const value = invocation.options[name];
  return Array.isArray(value) ? value.map(String) : [];
}

/** `--label key=value` as a label selector. */
export function labelSelector(invocation: Invocation): Record<string, string> {
  return Object.fromEntries(
    listOption(invocation, 'label').map((text) => {
      const equals = text.indexOf('=');
      if (equals < 1) {
        throw new RuntimeError('invalid-argument', `--label ${text}: must be key=value`);
      }
      return [text.slice(0, equals), text.slice(equals + 1)];
    }),
  );
}
