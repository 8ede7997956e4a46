/** Starts the demo as a program, as `npm test` has built it: many processes are started, and none has to compile first. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished } from 'vitest'
import { tempFolder } from '../support/files.ts'

const main = fileURLToPath(new URL('../../dist/examples/food-delivery/main.js', import.meta.url))

export interface StartedDemo {
  readonly child: ChildProcess
  /** The exit code, or null when it was killed. */
  readonly exited: Promise<number | null>
  stdout(): string
  stderr(): string
  leftFolders(): string[]
}

/** Its temporary files go to a folder of the test's own, so that what is left there is what it left behind. */
export function startDemo(args: readonly string[]): StartedDemo {
  expect(existsSync(main), 'dist is built: npm run build').toBe(true)
  const folder = tempFolder('demo')
  onTestFinished(folder.remove)
  const child = spawn(process.execPath, [main, ...args], {
    env: { ...process.env, TMPDIR: folder.path, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const exited = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)))
  return {
    child,
    exited,
    stdout: () => stdout,
    stderr: () => stderr,
    leftFolders: () => readdirSync(folder.path).filter((name) => name.startsWith('holdfast-demo-')),
  }
}

/** Runs another flow to its end and reads what it said in JSON, of which `Run` is the part that a test looks at. */
export async function runFlow<Run>(
  flow: string,
  args: readonly string[],
): Promise<{ code: number | null; stderr: string; runs: Run[]; ok: boolean }> {
  const started = startDemo(['--flow', flow, '--json', ...args])
  const code = await started.exited
  return { code, stderr: started.stderr(), ...(JSON.parse(started.stdout()) as { runs: Run[]; ok: boolean }) }
}
