import type { CommandEntry } from './command-table/entry.ts';
import { imageCommands } from './command-table/image-commands.ts';
import { lookCommands } from './command-table/look-commands.ts';
import { podCommands } from './command-table/pod-commands.ts';
import { stackCommands } from './command-table/stack-commands.ts';

/** What the help page says of the commands that have only others below them. */
export const groups: Readonly<Record<string, string>> = {
  image: 'images in archives, what images take on disk, pulls under way',
  config: 'print, check and translate config files',
};

/** Every command, under the headings of the help page and in its order. */
export const chapters: Readonly<Record<string, readonly CommandEntry[]>> = {
  'The stack and its host': stackCommands,
  'Pods and containers': podCommands,
  Images: imageCommands,
  'Look inside': lookCommands,
};

export const commands: readonly CommandEntry[] = Object.values(chapters).flat();
