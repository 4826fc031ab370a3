import { mkdir, readFile } from 'node:fs/promises';
import { BlockList, isIP } from 'node:net';
import { join } from 'node:path';
import { kindOf, messageOf, quote, RuntimeError } from '@gantry/errors';
import { writeFileAtomic } from '@gantry/host';
import { isMissing } from '../errno.ts';
import { renderTemplate, type TemplateFields } from './conf-template.ts';
import { parseNetworkConfig } from './network-config.ts';

/** Before those of plugins that bring their own, as in containerd. */
export const generatedFile = '10-gantry.conflist';

/** Throws `invalid-argument` unless it is one range of addresses, or some with commas between. */
export function parsePodCidr(text: string): readonly string[] {
  const ranges = text.split(',').map((range) => range.trim());
  for (const range of ranges) {
    const [address = '', prefix = ''] = range.split('/');
    const family = isIP(address);
    const isPrefix = /^\d{1,3}$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128);
    if (family === 0 || !isPrefix || range.split('/').length !== 2) {
      throw new RuntimeError(
        'invalid-argument',
        `update runtime config: network_config.pod_cidr: ${quote(range)} is no range of addresses`,
      );
    }
    // Throws for what only looks like an address.
    new BlockList().addSubnet(address, Number(prefix), family === 4 ? 'ipv4' : 'ipv6');
  }
  return ranges;
}

/**
 * Writes the configuration that a template gives for the ranges of a node.
 * Nothing is written that could not be read again; what is there already is not
 * written anew.
 */
export async function generateConfig(
  { confDir, template }: { readonly confDir: string; readonly template: string },
  ranges: readonly string[],
): Promise<void> {
  const target = join(confDir, generatedFile);
  const text = await filledIn(template, fieldsOf(ranges));
  if (text !== (await textOf(target))) {
    await mkdir(confDir, { recursive: true, mode: 0o755 });
    await writeFileAtomic(target, text, { mode: 0o600, durable: true });
  }
}

async function filledIn(template: string, fields: TemplateFields): Promise<string> {
  const doing = `cni configuration from ${template}`;
  try {
    const text = renderTemplate(await readFile(template, 'utf8'), fields);
    parseNetworkConfig(JSON.parse(text));
    return text;
  } catch (cause) {
    // A template of ours that is not there is nothing that a client could look for elsewhere.
    const kind = isMissing(cause) || cause instanceof SyntaxError ? undefined : kindOf(cause);
    throw new RuntimeError(kind ?? 'failed-precondition', `${doing}: ${messageOf(cause)}`);
  }
}

function fieldsOf(ranges: readonly string[]): TemplateFields {
  const families = new Set(ranges.map((range) => isIP(range.split('/')[0] ?? '')));
  return {
    PodCIDR: ranges[0] ?? '',
    PodCIDRRanges: ranges,
    Routes: [...(families.has(4) ? ['0.0.0.0/0'] : []), ...(families.has(6) ? ['::/0'] : [])],
  };
}

async function textOf(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch((error: unknown) => {
    if (isMissing(error)) {
      return undefined;
    }
    throw error;
  });
}
