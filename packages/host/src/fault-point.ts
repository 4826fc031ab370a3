const wanted = process.env['GANTRY_FAULT'];
let remaining = 1;
let wantedName: string | undefined;

if (wanted !== undefined && wanted !== '') {
  const match = /^(.*):(\d+)$/.exec(wanted);
  wantedName = match?.[1] ?? wanted;
  remaining = Number(match?.[2] ?? 1);
}

/**
 * A place at which tests can make this process die as `kill -9` would: with
 * GANTRY_FAULT=`name` at once, with `name:3` at the third time that it passes.
 * Without that variable it costs one comparison. A name that is never passed
 * does nothing.
 */
export function faultPoint(name: string): void {
  if (wantedName !== name) {
    return;
  }
  remaining -= 1;
  if (remaining === 0) {
    process.kill(process.pid, 'SIGKILL');
    // The signal may reach another thread first: go no further on this one.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  }
}
