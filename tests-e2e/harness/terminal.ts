import { startProcess } from '@gantry/host';
import { openPseudoTerminal } from '@gantry/host/testing';
import { Transcript } from './stream-client.ts';

/** A program that runs in a terminal of its own. */
export interface TerminalProgram {
  readonly output: Transcript;
  type(keys: string): void;
  resize(rows: number, columns: number): void;
  kill(signal: NodeJS.Signals): void;
  readonly exitCode: Promise<number | null>;
}

/** Starts a program whose terminal has 24 rows of 80 characters; it is killed after the test `t`. */
export function startInTerminal(
  t: { after(fn: () => Promise<void>): void },
  command: string,
  args: readonly string[],
): TerminalProgram {
  const terminal = openPseudoTerminal();
  terminal.resize(24, 80);
  const { peerFd } = terminal;
  const program = startProcess(command, args, { stdio: [peerFd, peerFd, peerFd] });
  terminal.closePeer();
  t.after(async () => {
    program.kill();
    await program.exited;
    terminal[Symbol.dispose]();
  });
  return {
    output: new Transcript(terminal.stream),
    type: (keys) => {
      terminal.stream.write(keys);
    },
    resize: (rows, columns) => {
      terminal.resize(rows, columns);
      // It is no session leader, so the kernel does not tell it.
      program.kill('SIGWINCH');
    },
    kill: (signal) => {
      program.kill(signal);
    },
    exitCode: program.exited.then(({ exitCode }) => exitCode),
  };
}
