import { spawnSync } from 'node:child_process';

/**
 * Makes our terminal a window onto that of a command, until it is disposed of or this process ends: what the
 * command writes is shown byte for byte, and with `input` every key, Ctrl-C too, is the command's. Does nothing
 * where stdin is no terminal.
 */
export function openOwnTerminal({ input }: { readonly input: boolean }): Disposable {
  const { stdin } = process;
  if (!stdin.isTTY) {
    return { [Symbol.dispose]: () => undefined };
  }
  const before = stty('-g');
  if (input) {
    stdin.setRawMode(true);
  }
  // Node's raw mode still puts a carriage return before each newline, which breaks what full-screen programs draw.
  stty('-opost');
  const restore = (): void => {
    process.off('exit', restore);
    if (input) {
      stdin.setRawMode(false);
    }
    if (before !== '') {
      stty(before);
    }
  };
  process.on('exit', restore);
  return { [Symbol.dispose]: restore };
}

/** Of the terminal that is our stdin. Gives what it prints; nothing where there is no stty. */
function stty(argument: string): string {
  const result = spawnSync('stty', [argument], { stdio: ['inherit', 'pipe', 'ignore'] });
  return result.error === undefined ? result.stdout.toString().trim() : '';
}
