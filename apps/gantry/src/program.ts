import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Config, loadConfig } from '@gantry/config';
import { Command } from 'commander';
import { type CommandEntry, commands, groups } from './command-table.ts';
import type { Invocation } from './invocation.ts';

/**
 * The command line. A command's code is loaded when it is run, so that `gantry ps` does not
 * pay for `gantry demo`. `exit` gets the exit code of a command that ran.
 */
export function makeProgram(exit: (code: number) => void): Command {
  const program = new Command('gantry')
    .description('A Kubernetes container runtime. Start with: sudo gantry demo')
    .version(ownVersion(), '-V, --version')
    .option('--config <file>', 'config file (default: /etc/gantry/config.toml)')
    .enablePositionalOptions()
    .showSuggestionAfterError()
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'gantry: ')) });
  for (const entry of commands) {
    addCommand(program, entry, exit);
  }
  return program;
}

function addCommand(program: Command, entry: CommandEntry, exit: (code: number) => void): void {
  const words = entry.name.split(' ');
  const verb = words.pop() ?? '';
  const command = groupOf(program, words)
    .command(`${verb}${entry.args === undefined ? '' : ` ${entry.args}`}`, {
      hidden: entry.hidden === true,
    })
    .description(entry.about)
    .option('--config <file>', 'config file');
  for (const [flags, about, fallback] of entry.options ?? []) {
    command.option(flags, about, fallback);
  }
  if (entry.passThrough === true) {
    // What follows the first argument is a command line of its own.
    command.passThroughOptions();
  }
  command.action(async () => {
    const run = await entry.load();
    const code = await run(invocationOf(command));
    exit(code ?? 0);
  });
}

function groupOf(program: Command, words: readonly string[]): Command {
  let group = program;
  for (const word of words) {
    group =
      group.commands.find((c) => c.name() === word) ??
      group
        .command(word)
        .description(groups[word] ?? '')
        .option('--config <file>', 'config file');
  }
  return group;
}

function invocationOf(command: Command): Invocation {
  const options = command.optsWithGlobals<Record<string, unknown>>();
  const named = options['config'];
  const configFile = typeof named === 'string' ? resolve(named) : undefined;
  let config: Config | undefined;
  return {
    args: command.args,
    options,
    configFile,
    config: () => (config ??= loadConfig(configFile)),
    out: (text) => process.stdout.write(text),
    note: (text) => process.stderr.write(`${text}\n`),
    signal: interruption(),
  };
}

// sudo, timeout and terminals may send what is one signal to them twice.
const sameSignalMs = 500;

/** Aborts at the first SIGINT or SIGTERM; a second one ends the process. */
function interruption(): AbortSignal {
  const controller = new AbortController();
  let firstMs = 0;
  const stop = (): void => {
    if (controller.signal.aborted) {
      if (performance.now() - firstMs > sameSignalMs) {
        process.exit(130);
      }
      return;
    }
    firstMs = performance.now();
    controller.abort(new DOMException('interrupted', 'AbortError'));
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  return controller.signal;
}

function ownVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
