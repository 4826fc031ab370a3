import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogger } from '@gantry/telemetry';
import { logReport, plainReport } from './report.ts';

test('a line of the log is as the services write theirs', (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: 1000 });
  const lines: string[] = [];
  const write = (line: string) => void lines.push(line);
  logReport(write)('warn', 'it "ended"\nsoon');
  const own = { service: 'supervisor', instance: String(process.pid) };
  createLogger({ ...own, level: 'info', destination: { write } }).warn('it "ended"\nsoon');
  assert.equal(lines[0], lines[1]);
  plainReport(write)('warn', 'it ended');
  assert.equal(lines[2], '1970-01-01T00:00:01.000Z it ended\n');
});
