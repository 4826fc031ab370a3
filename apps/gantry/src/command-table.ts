import type { CommandFunction } from './invocation.ts';

/** One command of the command line. */
export interface CommandEntry {
  /** With the names of its groups before it: `image import`. */
  readonly name: string;
  readonly about: string;
  /** Positional arguments in commander's notation. */
  readonly args?: string;
  /** Flags, what they do, and a default. */
  readonly options?: readonly (readonly [string, string, string?])[];
  readonly hidden?: boolean;
  /** Options after the first argument belong to that, as in `exec ID ls -l`. */
  readonly passThrough?: boolean;
  readonly load: () => Promise<CommandFunction>;
}

/** Every command, in the order of the help page. */
export const commands: readonly CommandEntry[] = [
  {
    name: 'up',
    about: 'start NATS and every service, and leave them running',
    options: [
      ['--compact', 'run every service in one process'],
      ['--foreground', 'stay in the foreground, for systemd'],
      ['--install', 'install the Debian packages that are missing'],
      ['--cni', 'write a bridge network configuration when there is none'],
    ],
    load: async () => (await import('./commands/up.ts')).up,
  },
  {
    name: 'down',
    about: 'stop the services and NATS; pods keep running',
    options: [['--pods', 'stop and remove every pod first']],
    load: async () => (await import('./commands/down.ts')).down,
  },
  {
    name: 'status',
    about: 'show what runs of this stack',
    load: async () => (await import('./commands/status.ts')).status,
  },
  {
    name: 'supervise',
    about: 'keep the services running (started by `gantry up`)',
    options: [['--compact', 'run every service in one process']],
    hidden: true,
    load: async () => (await import('./commands/supervise.ts')).supervise,
  },
];
