import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Config, loadConfig } from '@gantry/config';
import { Command } from 'commander';
import type { CommandEntry } from './command-table/entry.ts';
import { chapters, groups } from './command-table.ts';
import type { Invocation } from './invocation.ts';

/**
 * The command line. A command's code is loaded when it is run, so that `gantry ps` does not
 * pay for `gantry demo`. `exit` gets the exit code of a command that ran.
 */
export function makeProgram(exit: (code: number) => void): Command {
  const program = new Command('gantry')
    .description('A Kubernetes container runtime. Start with: sudo gantry demo')
    .version(ownVersion(), '-V, --version')
    .option(...configOption)
    .configureHelp({ subcommandTerm, sortOptions: false })
    .enablePositionalOptions()
    .showSuggestionAfterError()
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'gantry: ')) });
  for (const [heading, entries] of Object.entries(chapters)) {
    program.commandsGroup(`${heading}:`);
    for (const entry of entries) {
      addCommand(program, entry, exit);
    }
  }
  // Made here to come under the last heading.
  program.addHelpCommand(
    new Command('help').argument('[command]').description('show the help of a command'),
  );
  return program;
}

const configOption = ['--config <file>', 'config file (default: /etc/gantry/config.toml)'] as const;

/** Without its options: every command has some. */
function subcommandTerm(command: Command): string {
  const args = command.registeredArguments.map((argument) => {
    const name = argument.variadic ? `${argument.name()}...` : argument.name();
    return argument.required ? ` <${name}>` : ` [${name}]`;
  });
  return command.name() + args.join('');
}

function addCommand(program: Command, entry: CommandEntry, exit: (code: number) => void): void {
  const words = entry.name.split(' ');
  const verb = words.pop() ?? '';
  const command = groupOf(program, words)
    .command(verb, { hidden: entry.hidden === true })
    .description(entry.about);
  for (const notation of entry.args?.split(' ') ?? []) {
    command.argument(notation, entry.argsAbout?.[notation.replace(/[^\w-]/g, '')]);
  }
  for (const [flags, about, fallback] of entry.options ?? []) {
    command.option(flags, about, fallback);
  }
  command.option(...configOption);
  if (entry.examples !== undefined) {
    const lines = entry.examples.map((example) => `\n  gantry ${example}`);
    command.addHelpText('after', `\nExamples:${lines.join('')}`);
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
        .option(...configOption)
        .configureHelp({ subcommandTerm });
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

/** Aborts at the first SIGINT or SIGTERM, or when terminal or output go; a second one ends the process. */
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
  process.on('SIGHUP', stop);
  process.stdout.once('error', stop);
  return controller.signal;
}

function ownVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
