/** What went through a network interface, as seen from inside its namespace. */
export interface NetworkDevice {
  readonly name: string;
  readonly rxBytes: bigint;
  readonly rxErrors: bigint;
  readonly txBytes: bigint;
  readonly txErrors: bigint;
}

/** Reads /proc/<pid>/net/dev (proc_pid_net(5)); the loopback is left out. */
export function parseNetworkDevices(text: string): readonly NetworkDevice[] {
  return text
    .split('\n')
    .slice(2)
    .map(parseLine)
    .filter((device) => device !== undefined && device.name !== 'lo') as NetworkDevice[];
}

function parseLine(line: string): NetworkDevice | undefined {
  // Older kernels put no space after the colon; a name may hold one, but for the last.
  const colon = line.lastIndexOf(':');
  const counters = line
    .slice(colon + 1)
    .trim()
    .split(/\s+/);
  const [rxBytes, , rxErrors] = counters;
  const [txBytes, , txErrors] = counters.slice(8);
  return colon === -1 || [rxBytes, rxErrors, txBytes, txErrors].includes(undefined)
    ? undefined
    : {
        name: line.slice(0, colon).trim(),
        rxBytes: BigInt(rxBytes ?? 0),
        rxErrors: BigInt(rxErrors ?? 0),
        txBytes: BigInt(txBytes ?? 0),
        txErrors: BigInt(txErrors ?? 0),
      };
}
