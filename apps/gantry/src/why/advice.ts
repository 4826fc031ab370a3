const rules: readonly (readonly [RegExp, string])[] = [
  [
    /exec: .*(no such file|not found in \$PATH)/i,
    'the command is not in the image: look at `command`, or list the image with another command',
  ],
  [/exec format error/i, 'the program is for another architecture: ./gantry inspecti IMAGE'],
  [
    /permission denied.*exec|exec.*permission denied/i,
    'the command is not executable in the image',
  ],
  [
    /OOMKilled|exit code 137/i,
    'it was killed, most often for memory: raise its limit, or look who stopped it',
  ],
  [/no space left on device/i, 'the disk is full: ./gantry doctor, ./gantry images, ./gantry rmi'],
  [
    /\bcni\b|network plugin|NetworkPlugin/i,
    'the network failed: ./gantry doctor, and the configuration in cni.conf_dir',
  ],
  [
    /image .*not found|manifest unknown/i,
    'the image is not there: ./gantry pull IMAGE, and look at its name',
  ],
  [
    /unauthorized|authentication required|denied: /i,
    'the registry wants credentials: ./gantry pull --creds USER:PASSWORD IMAGE',
  ],
  [/is missing: install Debian package/i, 'install it, then try again'],
  [
    /address already in use|port is already allocated/i,
    'another process has that port: choose another host port',
  ],
  [
    /: plugins: |it is at plugins$/,
    'an NRI plugin has a say in it: ./gantry nri shows them, and how slow they are',
  ],
  [/cgroup/i, 'look at the cgroup lines of ./gantry doctor'],
  [/exit code/i, 'what it wrote may say more: ./gantry logs ID'],
];

/** What to do about a failure, by its words; undefined for what we do not know. */
export function advice(trouble: string): string | undefined {
  return rules.find(([pattern]) => pattern.test(trouble))?.[1];
}
