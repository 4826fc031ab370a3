/** Tells what the supervisor does, or what became of something: one line each. */
export type Report = (level: 'info' | 'warn' | 'error' | 'fatal', text: string) => void;

/** For a person who watches. */
export function plainReport(write: (line: string) => void): Report {
  return (_level, text) => write(`${new Date().toISOString()} ${text}\n`);
}

/** For a log: lines as the services write them (@gantry/telemetry), without the cost of their logger. */
export function logReport(write: (line: string) => void): Report {
  const base = { service: 'supervisor', instance: String(process.pid) };
  return (level, msg) => {
    write(`${JSON.stringify({ level, time: new Date().toISOString(), ...base, msg })}\n`);
  };
}
