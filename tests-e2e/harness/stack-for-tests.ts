import { after } from 'node:test';
import { type Stack, type StackOptions, startStack } from './stack.ts';

/** One stack for all tests of a file, taken down after the last of them. */
export async function stackForTests(options?: StackOptions): Promise<Stack> {
  const stack = await startStack(options);
  after(() => stack[Symbol.asyncDispose]());
  return stack;
}
