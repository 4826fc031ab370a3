import { quote, RuntimeError } from '@gantry/errors';
import type { OciCapabilities } from '@gantry/oci';
import { capabilityNames, defaultCapabilities } from './capability-names.ts';

/** What of LinuxContainerSecurityContext decides the capabilities. */
export interface CapabilityRequest {
  readonly privileged: boolean;
  readonly capabilities?:
    | {
        readonly addCapabilities: readonly string[];
        readonly dropCapabilities: readonly string[];
        readonly addAmbientCapabilities: readonly string[];
      }
    | undefined;
}

const known: ReadonlySet<string> = new Set(capabilityNames);

/**
 * The capability sets of a container's first process. `ALL` means what this
 * host can give (`available`); it is applied before single names, so that
 * "drop ALL, add X" and "add ALL, drop X" both do what they say, and a single
 * drop beats a single add. Single adds are given as asked: where the host lacks one, the
 * runtime says so. Throws `invalid-argument` for a name that no kernel knows.
 */
export function capabilitiesOf(
  request: CapabilityRequest,
  available: readonly string[],
): OciCapabilities {
  if (request.privileged) {
    return setsOf(inKernelOrder(available), []);
  }
  const { addCapabilities = [], dropCapabilities = [] } = request.capabilities ?? {};
  const add = addCapabilities.map((name) => canonicalName(name, 'add'));
  const drop = dropCapabilities.map((name) => canonicalName(name, 'drop'));
  const ambient = (request.capabilities?.addAmbientCapabilities ?? []).map((name) =>
    canonicalName(name, 'add_ambient'),
  );

  // Inside another container some of them may be gone: to give them would fail every start.
  const granted = new Set(defaultCapabilities.filter((name) => available.includes(name)));
  if (add.includes(all)) {
    grant(granted, available);
  }
  if (drop.includes(all)) {
    granted.clear();
  }
  grant(granted, add);
  // An ambient capability has to be permitted and inheritable too (capabilities(7)).
  grant(granted, ambient.includes(all) ? available : ambient);
  for (const name of drop) {
    granted.delete(name);
  }
  granted.delete(all);
  const names = inKernelOrder(granted);
  return setsOf(
    names,
    names.filter((name) => ambient.includes(all) || ambient.includes(name)),
  );
}

const all = 'ALL';

function grant(granted: Set<string>, names: readonly string[]): void {
  for (const name of names) {
    granted.add(name);
  }
}

function canonicalName(name: string, field: string): string {
  const upper = name.toUpperCase();
  if (upper === all || upper === 'CAP_ALL') {
    return all;
  }
  const canonical = upper.startsWith('CAP_') ? upper : `CAP_${upper}`;
  if (!known.has(canonical)) {
    throw new RuntimeError(
      'invalid-argument',
      `capabilities.${field}_capabilities: unknown capability ${quote(name)}`,
    );
  }
  return canonical;
}

function inKernelOrder(names: Iterable<string>): string[] {
  const wanted = new Set(names);
  return capabilityNames.filter((name) => wanted.has(name));
}

function setsOf(names: readonly string[], ambient: readonly string[]): OciCapabilities {
  return {
    bounding: [...names],
    effective: [...names],
    permitted: [...names],
    // Without ambient ones this stays empty: CVE-2022-24769.
    inheritable: [...ambient],
    ambient: [...ambient],
  };
}
