/** What each choice of a schedule touched in the database, and which neighbours may change places. */
import { type Meaning, meaningOf } from './meaning.ts'
import type { Relations } from './relations.ts'
import type { Transition } from './scheduler.ts'
import type { DriverClient, Op } from './task.ts'

/** `everything`: it changes places with nothing. */
export type Footprint = 'everything' | Touched

interface Touched {
  readonly reads: ReadonlySet<string>
  /** Tables whose rows it locks or changes. */
  readonly locks: ReadonlySet<string>
  /** Tables whose changes others see, and whose locks are free, from then on. */
  readonly publishes: ReadonlySet<string>
  readonly waits: boolean
}

/**
 * Whether two choices that were both possible lead to the same state in either order. At READ COMMITTED a read sees what is
 * committed, so it meets only commits; a lock meets locks and commits. Two that both wait may close a cycle, and the later one
 * is the deadlock's victim.
 */
export function independent(a: Footprint, b: Footprint): boolean {
  if (a === 'everything' || b === 'everything' || (a.waits && b.waits)) return false
  return !(meet(a.locks, b.locks) || meet(a.publishes, b.publishes) || seen(a, b) || seen(b, a))
}

function seen(by: Touched, of: Touched): boolean {
  return meet(of.publishes, by.reads) || meet(of.publishes, by.locks)
}

function meet(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  for (const name of a) if (b.has(name)) return true
  return false
}

/** What is known of a connection between two of its statements. */
interface Session {
  open: boolean
  /** Not understood any more. */
  strange: boolean
  /** Tables whose rows its open transaction has locked or changed. */
  readonly held: Set<string>
}

interface Mutable {
  reads: Set<string>
  locks: Set<string>
  publishes: Set<string>
  waits: boolean
  known: boolean
}

/**
 * One footprint per choice of a schedule that has ended, errors and waits included. Undefined where the texts do not tell what
 * the statements mean: the schema is changed, the clock of the database is read, a transaction is left open. Pure.
 */
export function footprintsOf(
  transitions: readonly Transition[],
  relations: Relations,
): readonly Footprint[] | undefined {
  const sessions = new Map<DriverClient, Session>()
  const waiting: { readonly op: Op; readonly touched: Mutable }[] = []
  const footprints: Footprint[] = []
  const shared = sharedClients(transitions)
  for (const { op, shook } of transitions) {
    if (op === undefined || op.kind !== 'statement' || op.client === undefined) {
      footprints.push('everything')
      continue
    }
    const session = sessions.get(op.client) ?? { open: false, strange: false, held: new Set<string>() }
    sessions.set(op.client, session)
    const touched = touch(op, session, relations)
    if (touched === undefined) return undefined
    // Another task's statements on the same connection stand in the same transaction.
    touched.known &&= op.own === true || !shared.has(op.client)
    const own = { ...touched }
    for (const other of waiting) if (waitsStill(other.op, op)) add(own, other.touched)
    if (touched.waits) waiting.push({ op, touched })
    footprints.push(shook || !own.known ? 'everything' : own)
  }
  const ended = [...sessions.values()].every(({ open, strange }) => strange || !open)
  return ended ? footprints : undefined
}

/** Connections that several tasks used. One that a pool hands from task to task is `own` to each in its time. */
function sharedClients(transitions: readonly Transition[]): ReadonlySet<DriverClient> {
  const users = new Map<DriverClient, string | undefined>()
  const shared = new Set<DriverClient>()
  for (const { op } of transitions) {
    if (op?.client === undefined) continue
    const task = op.step?.task
    if ((users.get(op.client) ?? task) !== task) shared.add(op.client)
    users.set(op.client, task)
  }
  return shared
}

function touch(op: Op, session: Session, relations: Relations): Mutable | undefined {
  const touched: Mutable = {
    reads: new Set(),
    locks: new Set(),
    publishes: new Set(),
    waits: op.step?.waitedFor !== undefined,
    known: true,
  }
  const { before, after } = op.with ?? {}
  for (const text of [before, op.text, after]) {
    if (text === undefined) continue
    const meaning: Meaning = op.lazy ? { kind: 'opaque' } : meaningOf(text, op.values, relations)
    if (meaning.kind === 'upsets') return undefined
    act(meaning, session, touched)
  }
  // What fails ends its transaction there and then, and lets go of its locks.
  if (op.answer === undefined || 'error' in op.answer) publish(session.held, touched)
  touched.known &&= !session.strange
  return touched
}

function act(meaning: Meaning, session: Session, touched: Mutable): void {
  switch (meaning.kind) {
    case 'begin':
      session.open = true
      break
    case 'end':
      publish(session.held, touched)
      session.held.clear()
      session.open = false
      break
    case 'access':
      for (const name of meaning.reads) touched.reads.add(name)
      for (const name of meaning.locks) {
        touched.locks.add(name)
        if (session.open) session.held.add(name)
        else touched.publishes.add(name)
      }
      break
    case 'opaque':
      session.strange = true
      break
  }
}

function publish(held: ReadonlySet<string>, touched: Mutable): void {
  for (const name of held) touched.publishes.add(name)
}

/** `now` is the choice that is looked at. A wait that the explorer itself ended counts as going on. */
function waitsStill(op: Op, now: Op): boolean {
  const { wokenAfter = Number.POSITIVE_INFINITY } = op.step ?? {}
  return wokenAfter >= (now.step?.number ?? 0)
}

/** A commit may go on to what waits for it. */
function add(to: Mutable, other: Mutable): void {
  to.reads = new Set([...to.reads, ...other.reads])
  to.locks = new Set([...to.locks, ...other.locks])
  to.publishes = new Set([...to.publishes, ...other.publishes])
  to.known &&= other.known
}
