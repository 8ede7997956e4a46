import type { Io } from '../../src/cli/io.ts'
import { runCli } from '../../src/cli/run-cli.ts'

export interface Outcome {
  readonly code: number
  readonly out: string
  readonly err: string
  /** The object that `--json` printed. */
  // biome-ignore lint/suspicious/noExplicitAny: each command has a shape of its own
  json(): any
}

/** Runs one command line in this process and records what it says. */
export async function holdfast(argv: readonly string[], env: Io['env'] = {}): Promise<Outcome> {
  let out = ''
  let err = ''
  const code = await runCli(argv, {
    out: (text) => {
      out += text
    },
    err: (text) => {
      err += text
    },
    colour: false,
    env,
  })
  return { code, out, err, json: () => JSON.parse(out) }
}
