/** Runs a TypeScript fixture as a process of its own, which a test may freeze and kill. */
import { type ChildProcess, spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { buildSync } from 'esbuild'
import { onTestFinished } from 'vitest'
import { type UntilOptions, until } from './wait.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface FixtureOptions {
  readonly args?: readonly string[]
  /** Added to the environment of the tests. */
  readonly env?: Readonly<Record<string, string>>
  /** Runs the file where it is, with tsx: for a program that starts others beside it. */
  readonly inPlace?: boolean
}

export interface Fixture<Line> {
  readonly pid: number
  /** What the process has written so far: each line of its standard output, parsed as JSON. */
  readonly lines: readonly Line[]
  readonly exited: Promise<Exit>
  stderr(): string
  /** Waits for a line that satisfies `matches`; fails at once when the process ends without one. */
  line(matches: (line: Line) => boolean, options?: UntilOptions): Promise<Line>
  /** Writes one value as a line of JSON to the standard input. */
  send(value: unknown): void
  kill(signal?: NodeJS.Signals): Promise<Exit>
  /** SIGSTOP: the process stays, with its connections, and does nothing until `thaw`. */
  freeze(): void
  thaw(): void
}

const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
  for (const path of bundles.values()) rmSync(path, { force: true })
})

/**
 * Starts `file`; `holdfast/x` means the source there too. Inside a test, what is left of the process is killed when the
 * test ends; started in a hook, it is for the caller to kill.
 */
export function startFixture<Line = Record<string, unknown>>(
  file: URL | string,
  { args = [], env = {}, inPlace = false }: FixtureOptions = {},
): Fixture<Line> {
  const path = file instanceof URL ? fileURLToPath(file) : file
  const program = inPlace ? ['--import', 'tsx', path] : ['--enable-source-maps', bundled(path)]
  const child = spawn(process.execPath, [...program, ...args], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  running.add(child)
  const lines: Line[] = []
  let stderr = ''
  let exit: Exit | undefined
  let malformed: string | undefined
  createInterface({ input: child.stdout }).on('line', (text) => {
    try {
      lines.push(JSON.parse(text) as Line)
    } catch {
      malformed ??= text
    }
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  child.stdin.on('error', () => {}) // writing to a process that was killed
  const exited = new Promise<Exit>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => {
      running.delete(child)
      exit = { code, signal }
      resolve(exit)
    })
  })

  async function kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<Exit> {
    if (exit === undefined) child.kill(signal)
    return await exited
  }

  async function line(matches: (line: Line) => boolean, options: UntilOptions = {}): Promise<Line> {
    const what = options.what ?? `a line of ${path}`
    const found = await until(
      () => {
        const match = lines.find(matches)
        if (match !== undefined) return { match }
        return malformed !== undefined || exit !== undefined ? { match } : undefined
      },
      { ...options, what },
    )
    if (found.match !== undefined) return found.match
    if (malformed !== undefined) throw new Error(`${path} wrote a line that is not JSON: ${malformed}`)
    throw new Error(`${path} ended (${JSON.stringify(exit)}) before ${what}\n${stderr}`)
  }

  if (insideTest()) onTestFinished(async () => void (await kill()))
  return {
    get pid() {
      return child.pid ?? 0
    },
    lines,
    exited,
    stderr: () => stderr,
    line,
    send: (value) => void child.stdin.write(`${JSON.stringify(value)}\n`),
    kill,
    freeze: () => void child.kill('SIGSTOP'),
    thaw: () => void child.kill('SIGCONT'),
  }
}

const bundles = new Map<string, string>()

/**
 * The fixture and our source as one file of JavaScript: compiled as it is loaded, each process would take a second to
 * start, and a suite of crashes starts many. The file is inside of the repository, where packages are found.
 */
function bundled(path: string): string {
  let outfile = bundles.get(path)
  if (outfile === undefined) {
    outfile = join(root, '.cache/fixtures', `${basename(path, '.ts')}-${process.pid}-${bundles.size}.mjs`)
    buildSync({
      entryPoints: [path],
      outfile,
      bundle: true,
      format: 'esm',
      platform: 'node',
      target: 'node20',
      packages: 'external',
      sourcemap: 'inline',
      tsconfig: join(root, 'tsconfig.json'), // with the paths for `holdfast/x`
      logLevel: 'error',
    })
    bundles.set(path, outfile)
  }
  return outfile
}

function insideTest(): boolean {
  try {
    onTestFinished(() => {})
    return true
  } catch {
    return false
  }
}
