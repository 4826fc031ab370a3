import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '@gantry/config';
import { RuntimeError } from '@gantry/errors';
import { hasCode, writeFileAtomic } from '@gantry/host';

const fileName = '10-gantry.conflist';

/** The network configurations in a directory, in the order in which they are looked at. */
export async function cniConfigs(dir: string): Promise<string[]> {
  try {
    return (await readdir(dir)).filter((name) => /\.(conf|conflist|json)$/.test(name)).sort();
  } catch (error) {
    if (hasCode(error, 'ENOENT')) {
      return [];
    }
    throw error;
  }
}

export interface CniOptions {
  /** Write a bridge configuration when there is none. */
  readonly write: boolean;
  readonly note: (text: string) => void;
}

/**
 * Says so when pods would get no network, or writes a configuration and announces it. Gives the file that is used; none where
 * there is none.
 */
export async function describeCni(
  config: Config,
  options: CniOptions,
): Promise<string | undefined> {
  const dir = config.cni.conf_dir;
  const [first] = await cniConfigs(dir);
  if (first !== undefined) {
    return join(dir, first);
  }
  if (!options.write) {
    options.note(
      `no CNI configuration in ${dir}: pods need one (host network apart). Install a network plugin, or let gantry write a bridge: gantry up --cni`,
    );
    return undefined;
  }
  const subnet = freeSubnet(await readFile('/proc/net/route', 'utf8'));
  await mkdir(dir, { recursive: true });
  const file = join(dir, fileName);
  await writeFileAtomic(file, bridgeConfig(config.state_dir, subnet));
  options.note(`wrote ${file}: a bridge with ${subnet} and masquerading`);
  return file;
}

/** A bridge with addresses, masquerading and host ports (CNI spec 1.0). Its leases go with state_dir at a reboot. */
export function bridgeConfig(stateDir: string, subnet: string): string {
  const conflist = {
    cniVersion: '1.0.0',
    name: 'gantry',
    plugins: [
      {
        type: 'bridge',
        bridge: bridgeName(stateDir),
        isGateway: true,
        ipMasq: true,
        hairpinMode: true,
        ipam: {
          type: 'host-local',
          dataDir: join(stateDir, 'ipam'),
          ranges: [[{ subnet }]],
          routes: [{ dst: '0.0.0.0/0' }],
        },
      },
      { type: 'portmap', capabilities: { portMappings: true } },
    ],
  };
  return `${JSON.stringify(conflist, null, 2)}\n`;
}

/** Stacks side by side must not share a bridge; a link's name has at most 15 bytes. */
function bridgeName(stateDir: string): string {
  if (stateDir === '/run/gantry') {
    return 'gantry0';
  }
  return `gantry${createHash('sha256').update(stateDir).digest('hex').slice(0, 6)}`;
}

interface Route {
  readonly destination: number;
  readonly mask: number;
}

/** The first of 10.85.0.0/16 to 10.125.0.0/16 that meets no route in the text of /proc/net/route. */
export function freeSubnet(routeTable: string): string {
  const routes = routeTable.split('\n').slice(1).flatMap(parseRoute);
  for (let second = 85; second <= 125; second += 1) {
    const network = (10 * 2 ** 24 + second * 2 ** 16) >>> 0;
    if (!routes.some((route) => overlaps(network, 0xffff0000, route))) {
      return `10.${second}.0.0/16`;
    }
  }
  throw new RuntimeError(
    'failed-precondition',
    'find a subnet for pods: routes cover all of 10.85.0.0 to 10.125.0.0. Write a CNI configuration by hand',
  );
}

function parseRoute(line: string): Route[] {
  const [, destination, , , , , , mask] = line.split('\t');
  if (destination === undefined || mask === undefined || !/^[0-9A-F]{8}$/.test(destination)) {
    return [];
  }
  const route = { destination: hostOrder(destination), mask: hostOrder(mask.trim()) };
  return route.mask === 0 ? [] : [route]; // The default route meets everything.
}

/** The kernel prints addresses as little-endian words. */
function hostOrder(hex: string): number {
  return Buffer.from(hex, 'hex').readUInt32LE();
}

function overlaps(network: number, mask: number, route: Route): boolean {
  const common = mask & route.mask;
  return ((network ^ route.destination) & common) === 0;
}
