import { kindOf } from '@gantry/errors';
import { failureText } from './failure.ts';
import { makeProgram } from './program.ts';

// The reader of a pipe (head, grep -q) may have seen enough: the command is interrupted (program.ts), undoes
// what it made, and has done well.
let outputError: NodeJS.ErrnoException | undefined;
const isCut = (): boolean => outputError?.code === 'EPIPE';
process.stdout.on('error', (error) => {
  outputError ??= error;
  if (!isCut()) {
    process.stderr.write(failureText(error));
  }
});
// There is nobody to tell.
process.stderr.on('error', () => undefined);
process.on('exit', () => {
  if (outputError !== undefined) {
    process.exitCode = isCut() ? 0 : 1;
  }
});

try {
  const program = makeProgram((code) => {
    process.exitCode = code;
  });
  await program.parseAsync(process.argv);
} catch (error) {
  if (outputError === undefined) {
    process.stderr.write(failureText(error));
  }
  process.exitCode = kindOf(error) === 'canceled' ? 130 : 1;
}
