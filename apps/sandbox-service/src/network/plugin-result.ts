import { RuntimeError } from '@gantry/errors';
import { array, looseObject, number, optional, safeParse, string } from 'valibot';

const oldAddress = optional(looseObject({ ip: string() }));

/**
 * The parts of an ADD result that we read, the same in 0.3, 0.4 and 1.x (CNI spec 1.0, section 5);
 * `ip4` and `ip6` are of 0.1 and 0.2.
 */
const result = looseObject({
  ip4: oldAddress,
  ip6: oldAddress,
  interfaces: optional(array(looseObject({ name: string(), sandbox: optional(string(), '') }))),
  ips: optional(array(looseObject({ address: string(), interface: optional(number()) }))),
});

/**
 * The addresses of the pod's interface, without prefix length, in the plugin's order. An address
 * counts when the result puts it on no interface or on `ifName` inside the pod: a bridge lists
 * its own as well.
 */
export function ipsOf(data: unknown, ifName: string): string[] {
  const parsed = safeParse(result, data);
  if (!parsed.success) {
    throw new RuntimeError('internal', `result is not one of CNI: ${parsed.issues[0].message}`);
  }
  const { interfaces = [], ips = [], ip4, ip6 } = parsed.output;
  const ours = ips.filter(({ interface: index }) => {
    const link = index === undefined ? undefined : interfaces[index];
    return link === undefined || (link.name === ifName && link.sandbox !== '');
  });
  const addresses = [...ours.map(({ address }) => address), ip4?.ip, ip6?.ip];
  return addresses.flatMap((address) => address?.split('/', 1) ?? []);
}
