import { RuntimeError } from '@gantry/errors';

/** Who a plugin is. Plugins are asked in the order of their index. */
export interface PluginName {
  /** Two digits. */
  readonly index: string;
  readonly name: string;
}

const indexPattern = /^[0-9]{2}$/;
const namePattern = /^[A-Za-z0-9_.+-]{1,128}$/;

/** Throws `invalid-argument` for what is not two digits and a plain name. */
export function checkPluginName({ index, name }: PluginName): PluginName {
  if (!indexPattern.test(index)) {
    throw new RuntimeError(
      'invalid-argument',
      `plugin index "${shown(index)}": must be two digits`,
    );
  }
  if (!namePattern.test(name)) {
    throw new RuntimeError(
      'invalid-argument',
      `plugin name "${shown(name)}": only letters, digits and _ . + - are allowed`,
    );
  }
  return { index, name };
}

/** `10-device-injector`, the name of its file. Throws as `checkPluginName`. */
export function parsePluginFile(file: string): PluginName {
  return checkPluginName({ index: file.slice(0, file.indexOf('-')), name: file.slice(3) });
}

export function fullNameOf({ index, name }: PluginName): string {
  return `${index}-${name}`;
}

function shown(text: string): string {
  return text.length > 32 ? `${text.slice(0, 32)}...` : text;
}
