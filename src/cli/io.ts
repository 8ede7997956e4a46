/** Where a command writes, and what it may know of its surroundings. The process's own in `main.ts`; a recorder in tests. */
export interface Io {
  out(text: string): void
  err(text: string): void
  /** Whether colours may be used: a terminal, and `NO_COLOR` not set. */
  readonly colour: boolean
  readonly env: Readonly<Record<string, string | undefined>>
}

/** The process's standard streams. A reader that went away (`holdfast status | head -1`) is no failure. */
export function processIo(): Io {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(process.exitCode ?? 0)
      throw error
    })
  }
  const { NO_COLOR } = process.env
  return {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    colour: process.stdout.isTTY === true && (NO_COLOR === undefined || NO_COLOR === ''),
    env: process.env,
  }
}
