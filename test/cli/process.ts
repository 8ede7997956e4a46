import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The built command line. */
export const main = join(fileURLToPath(new URL('../..', import.meta.url)), 'dist/cli/main.js')

export interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

export interface ProcessOptions {
  readonly file?: string
  readonly cwd?: string
  readonly env?: Record<string, string>
  readonly closeOutput?: boolean
}

/** Runs one command line as a process. */
export async function runHoldfast(
  args: readonly string[],
  { file = main, cwd, env = {}, closeOutput = false }: ProcessOptions = {},
): Promise<Ended> {
  const child = spawn(process.execPath, [file, ...args], { cwd, env: { ...process.env, ...env } })
  let out = ''
  let err = ''
  child.stdout.on('data', (data) => {
    out += String(data)
  })
  child.stderr.on('data', (data) => {
    err += String(data)
  })
  if (closeOutput) child.stdout.destroy()
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { code, out, err }
}
