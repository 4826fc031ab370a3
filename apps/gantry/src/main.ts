import { kindOf } from '@gantry/errors';
import { failureText } from './failure.ts';
import { makeProgram } from './program.ts';

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // The reader of a pipe (head, grep -q) has seen enough.
  process.exit(error.code === 'EPIPE' ? 0 : 1);
});

try {
  const program = makeProgram((code) => {
    process.exitCode = code;
  });
  await program.parseAsync(process.argv);
} catch (error) {
  process.stderr.write(failureText(error));
  process.exitCode = kindOf(error) === 'canceled' ? 130 : 1;
}
