import { RuntimeError } from '@gantry/errors';
import { Signal } from '@gantry/proto';

/** A signal as the CRI and the kernel know it. */
export interface StopSignal {
  readonly cri: Signal;
  /** On Linux; the same on every CPU that Kubernetes runs on. */
  readonly number: number;
  readonly name: string;
}

/** Signal numbers 1 to 31 (signal(7)). */
const standard =
  'HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS'
    .split(' ')
    .map((name, index) => [`SIG${name}`, index + 1] as const);

const aliases: readonly (readonly [string, number])[] = [
  ['SIGCLD', 17],
  ['SIGIOT', 6],
  ['SIGPOLL', 29],
];

// C libraries keep 32 and 33 for themselves.
const rtMin = 34;
const rtMax = 64;
const realtime = Array.from({ length: rtMax - rtMin + 1 }, (_, i) => {
  const fromMin = i <= 15;
  const offset = fromMin ? i : rtMax - rtMin - i;
  const sign = fromMin ? '+' : '-';
  return [
    `SIGRT${fromMin ? 'MIN' : 'MAX'}${offset === 0 ? '' : sign + offset}`,
    rtMin + i,
  ] as const;
});

const numbers: ReadonlyMap<string, number> = new Map([...standard, ...aliases, ...realtime]);
const names: ReadonlyMap<number, string> = new Map(
  [...standard, ...realtime].map(([name, number]) => [number, name]),
);

/** The CRI's numbers are its own; its names are the kernel's with PLUS and MINUS spelt out. */
const ofCri: ReadonlyMap<Signal, string> = new Map(
  Object.entries(Signal)
    .filter(([, value]) => typeof value === 'number')
    .map(([key, value]) => [value, key.replace('PLUS', '+').replace('MINUS', '-')]),
);

/**
 * What ends a container politely: the CRI's stop_signal, else the image's
 * STOPSIGNAL (`SIGTERM`, `TERM`, `15`, `SIGRTMIN+3`), else SIGTERM. Throws
 * `invalid-argument` for a signal that does not exist.
 */
export function stopSignalOf(requested: Signal, image: string): StopSignal {
  if (requested === Signal.RUNTIME_DEFAULT) {
    return parseSignal(image === '' ? 'SIGTERM' : image);
  }
  const name = ofCri.get(requested) ?? '';
  const number = numbers.get(name);
  if (number === undefined) {
    throw new RuntimeError('invalid-argument', `stop_signal: ${requested} is no signal`);
  }
  return { cri: requested, number, name };
}

function parseSignal(text: string): StopSignal {
  const upper = text.trim().toUpperCase();
  const number = /^[0-9]+$/.test(upper)
    ? Number(upper)
    : (numbers.get(upper) ?? numbers.get(`SIG${upper}`) ?? relativeToRealtime(upper));
  const name = names.get(number);
  if (name === undefined) {
    throw new RuntimeError(
      'invalid-argument',
      `stop signal ${JSON.stringify(text)}: no such signal`,
    );
  }
  const key = name.replace('+', 'PLUS').replace('-', 'MINUS') as keyof typeof Signal;
  return { cri: Signal[key], number, name };
}

/** SIGRTMIN+20 is the same as SIGRTMAX-10. 0 when it is none of them. */
function relativeToRealtime(text: string): number {
  const [, end, sign, offset] = /^(?:SIG)?RT(MIN|MAX)([+-])([0-9]+)$/.exec(text) ?? [];
  const number = (end === 'MIN' ? rtMin : rtMax) + Number(`${sign}${offset}`);
  return number >= rtMin && number <= rtMax ? number : 0;
}
