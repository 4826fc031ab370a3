import assert from 'node:assert/strict';
import { test } from 'node:test';
import { choosePlatform, formatPlatform, hostPlatforms, type Platform } from './platform.ts';

const entry = (architecture: string, variant?: string, os = 'linux') => ({
  platform: { os, architecture, variant } as Platform,
});
const choose = (cpu: string, ...entries: { platform?: Platform }[]) => {
  const platform = choosePlatform(entries, hostPlatforms(cpu))?.platform;
  return platform === undefined ? undefined : formatPlatform(platform);
};

test('the CPU of the host is taken, wherever it stands in the index', () => {
  assert.equal(choose('x64', entry('arm64'), entry('amd64')), 'linux/amd64');
  assert.equal(choose('arm64', entry('amd64'), entry('arm64', 'v8')), 'linux/arm64/v8');
});

test('an older CPU of the same family is second best', () => {
  assert.equal(choose('x64', entry('386')), 'linux/386');
  assert.equal(choose('arm64', entry('arm', 'v6'), entry('arm', 'v7')), 'linux/arm/v7');
  assert.equal(choose('arm', entry('arm', 'v6'), entry('arm')), 'linux/arm');
});

test('another system or CPU is never taken', () => {
  assert.equal(choose('x64', entry('amd64', undefined, 'windows'), entry('s390x')), undefined);
  assert.equal(choose('x64', entry('amd64', 'v3')), undefined);
  assert.equal(choose('x64', entry('unknown', undefined, 'unknown')), undefined);
});

test('an entry without platform is the last resort', () => {
  const plain = {};
  assert.equal(choosePlatform([plain], hostPlatforms('x64')), plain);
  assert.equal(choose('x64', plain, entry('amd64')), 'linux/amd64');
});
