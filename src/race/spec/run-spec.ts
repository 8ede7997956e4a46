import { StoreUnavailableError } from '../../store/errors.ts'
import { blockedBy } from './blocked.ts'
import { SpecFailedError } from './errors.ts'
import { permutationsOf } from './permutations.ts'
import { printTable } from './print-table.ts'
import { runPermutation } from './run-permutation.ts'
import { wholeMessage } from './server-message.ts'
import type { Permutation, Spec } from './spec.ts'
import { type SpecClient, SpecConnection } from './spec-connection.ts'

export interface SpecRunOptions {
  /** Makes a client that is not connected yet: one per session and one of our own. */
  client(): SpecClient
  /** What `application_name` begins with; specs find their own sessions by it. */
  readonly applicationName: string
  /** The output, as the tester writes it. */
  out(text: string): void
  /** What the tester writes to standard error: a teardown that failed, a step that no permutation has. */
  err(text: string): void
  /** After so long a step is cancelled; after twice as long the run is given up. */
  readonly stepTimeoutMs: number
}

export interface SpecRun {
  readonly sessions: number
  readonly permutations: number
  /** Steps that were seen to wait. */
  readonly waits: number
}

/**
 * Runs every permutation of a spec as PostgreSQL's `isolationtester` does and writes the same text.
 *
 * Each session has a connection for the whole run; setup, teardown and the questions for lock waits have one more.
 * @throws SpecFailedError when the run has to be given up; what was written until then stands
 * @throws StoreUnavailableError, nothing was run
 */
export async function runSpec(spec: Spec, options: SpecRunOptions): Promise<SpecRun> {
  const { out, err } = options
  for (const name of spec.unused) err(`unused step name: ${name}\n`)
  out(`Parsed test spec with ${spec.sessions.length} sessions\n`)
  const watcher = options.client()
  const control = new SpecConnection('control connection', watcher, () => {})
  const sessions = spec.sessions.map(({ name }) => {
    return new SpecConnection(name, options.client(), (text) => out(`${name}: ${text}`))
  })
  try {
    await connect([control, ...sessions], options.applicationName)
    const isBlocked = await blockedBy(
      watcher,
      sessions.map(({ processId }) => processId),
    )
    const cancel = async (processId: number) => {
      await watcher.query('select pg_catalog.pg_cancel_backend($1)', [processId])
    }
    const stage = { spec, control, sessions, out, err }
    let permutations = 0
    let waits = 0
    for (const permutation of permutationsOf(spec)) {
      await prepare(stage, permutation)
      waits += await runPermutation(permutation, { ...options, out, sessions, isBlocked, cancel })
      await tearDown(stage)
      permutations += 1
    }
    return { sessions: sessions.length, permutations, waits }
  } finally {
    await Promise.all([...sessions, control].map((connection) => connection.close()))
  }
}

async function connect(connections: readonly SpecConnection[], applicationName: string): Promise<void> {
  try {
    for (const connection of connections) await connection.open(applicationName)
  } catch (cause) {
    throw new StoreUnavailableError('the store cannot be reached', 'not-applied', { cause })
  }
}

interface Stage {
  readonly spec: Spec
  readonly control: SpecConnection
  readonly sessions: readonly SpecConnection[]
  out(text: string): void
  err(text: string): void
}

async function prepare({ spec, control, sessions, out }: Stage, permutation: Permutation): Promise<void> {
  out(`\nstarting permutation:${permutation.map(({ step }) => ` ${step.name}`).join('')}\n`)
  const jobs = [
    ...spec.setups.map((sql) => ({ connection: control, sql, what: 'setup' })),
    ...spec.sessions.map(({ name, setup }, at) => ({
      connection: sessions[at] as SpecConnection,
      sql: setup,
      what: `setup of session ${name}`,
    })),
  ]
  for (const { connection, sql, what } of jobs) {
    const failure = await runAside(connection, sql, out)
    if (failure !== undefined) throw new SpecFailedError(`${what} failed: ${failure}`)
  }
}

/** A teardown that fails is said and gone on from: the next setup shows whether it matters. */
async function tearDown({ spec, control, sessions, out, err }: Stage): Promise<void> {
  const jobs = [
    ...spec.sessions.map(({ name, teardown }, at) => ({
      connection: sessions[at] as SpecConnection,
      sql: teardown,
      what: `teardown of session ${name}`,
    })),
    { connection: control, sql: spec.teardown, what: 'teardown' },
  ]
  for (const { connection, sql, what } of jobs) {
    const failure = await runAside(connection, sql, out)
    if (failure !== undefined) err(`${what} failed: ${failure}`)
  }
}

/** Runs a block that is no step. Only the rows of its last statement are shown. Returns the text of its error. */
async function runAside(
  connection: SpecConnection,
  sql: string | undefined,
  out: (text: string) => void,
): Promise<string | undefined> {
  if (sql === undefined) return undefined
  const last = (await connection.run(sql)).at(-1)
  if (last?.kind === 'rows') out(printTable(last.table))
  if (last?.kind !== 'error') return undefined
  return typeof last.message === 'string' ? last.message : wholeMessage(last.message, 'error', sql)
}
