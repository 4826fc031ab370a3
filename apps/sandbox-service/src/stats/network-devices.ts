/** What went through a network interface, as seen from inside its namespace. */
export interface NetworkDevice {
  readonly name: string;
  readonly rxBytes: bigint;
  readonly rxPackets: bigint;
  readonly rxErrors: bigint;
  readonly rxDropped: bigint;
  readonly txBytes: bigint;
  readonly txPackets: bigint;
  readonly txErrors: bigint;
  readonly txDropped: bigint;
}

/** Reads /proc/<pid>/net/dev (proc_pid_net(5)); the loopback is left out. */
export function parseNetworkDevices(text: string): readonly NetworkDevice[] {
  return text
    .split('\n')
    .slice(2)
    .map(parseLine)
    .filter((device) => device !== undefined && device.name !== 'lo') as NetworkDevice[];
}

/** Eight of what came in, eight of what went out. */
const fieldsOfLine = 16;

function parseLine(line: string): NetworkDevice | undefined {
  // Older kernels put no space after the colon; a name may hold one, but for the last.
  const colon = line.lastIndexOf(':');
  const counters = line
    .slice(colon + 1)
    .trim()
    .split(/\s+/);
  if (colon === -1 || counters.length < fieldsOfLine) {
    return undefined;
  }
  const at = (index: number): bigint => BigInt(counters[index] ?? 0);
  return {
    name: line.slice(0, colon).trim(),
    rxBytes: at(0),
    rxPackets: at(1),
    rxErrors: at(2),
    rxDropped: at(3),
    txBytes: at(8),
    txPackets: at(9),
    txErrors: at(10),
    txDropped: at(11),
  };
}
