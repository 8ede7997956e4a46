import type { Entry } from './entry.ts'
import type { ErrorRecord } from './errors.ts'

/** Why the saga goes back. */
export interface Cause {
  readonly kind: 'failed' | 'cancelled'
  readonly error: ErrorRecord
}

export interface Turn {
  readonly cause: Cause
  /** Steps that may have had an effect and have no entry. */
  readonly unknown: readonly string[]
}

const NONE: readonly Entry[] = []

/**
 * What the journal says of one saga: the answers to the calls of its code, the attempts that failed, and what belongs to
 * the whole. No clock, no I/O; entries are taken in their order.
 */
export class SagaHistory {
  readonly undone = new Set<string>()
  readonly confirmed = new Set<string>()
  /** Numbers of the signals that were received. */
  readonly received = new Set<number>()
  /** Set once it goes back; from then on it only does. */
  turn: Turn | undefined
  pivotPassed = false
  /** How often in a row its process went away while nothing was added. */
  interruptions = 0
  readonly #answers = new Map<string, Entry[]>()
  readonly #attempts = new Map<string, Entry[]>()
  #seq = 0

  constructor(entries: readonly Entry[]) {
    for (const entry of entries) this.#take(entry)
  }

  /** The number of the next entry. */
  nextSeq(): number {
    this.#seq += 1
    return this.#seq
  }

  #take(entry: Entry): void {
    this.#seq = Math.max(this.#seq, entry.seq)
    this.interruptions = entry.kind === 'interrupted' ? this.interruptions + 1 : 0
    switch (entry.kind) {
      case 'undoing':
        this.turn = JSON.parse(entry.data ?? '{}') as Turn
        return
      case 'undone':
        this.undone.add(entry.step)
        return
      case 'confirmed':
        this.confirmed.add(entry.step)
        return
      case 'skipped':
        this.undone.add(entry.step)
        this.confirmed.add(entry.step)
        return
      case 'pivot':
        this.pivotPassed = true
        return
      case 'attempt':
        push(this.#attempts, entry.step, entry)
        return
      case 'retried':
        this.#attempts.clear()
        return
      case 'stuck':
      case 'interrupted':
        return
      case 'signal':
        this.received.add(Number(entry.hash))
    }
    push(this.#answers, answerKey(branchOf(entry.step), entry.pos), entry)
  }

  /** Entries that answer the call at this place, taken out: each is given once. */
  answers(branch: string, pos: number): readonly Entry[] {
    const key = answerKey(branch, pos)
    const found = this.#answers.get(key)
    if (found === undefined) return NONE
    this.#answers.delete(key)
    return found
  }

  peek(branch: string, pos: number): Entry | undefined {
    return this.#answers.get(answerKey(branch, pos))?.[0]
  }

  /** True when there is an answer at this place or behind it, so that the code is being replayed here. */
  hasAnswersFrom(branch: string, pos: number): boolean {
    for (const [key, [entry]] of this.#answers) {
      if (key.startsWith(`${branch}\n`) && (entry as Entry).pos >= pos) return true
    }
    return false
  }

  /** Once the code waits or has ended: the first entry that no call asked for. */
  unanswered(): Entry | undefined {
    const [left] = this.#answers.values()
    return left?.[0]
  }

  /** The failed tries of a step, or of its undo. */
  attemptsOf(name: string): readonly Entry[] {
    return this.#attempts.get(name) ?? NONE
  }

  /** True when a failed try may have had its effect. */
  hasUnknownAttempt(name: string): boolean {
    return this.attemptsOf(name).some(
      ({ data }) => (JSON.parse(data ?? '{}') as { unknown?: boolean }).unknown === true,
    )
  }
}

function branchOf(step: string): string {
  return step.slice(0, step.lastIndexOf('/') + 1)
}

function answerKey(branch: string, pos: number): string {
  return `${branch}\n${pos}`
}

function push(map: Map<string, Entry[]>, key: string, entry: Entry): void {
  const list = map.get(key)
  if (list === undefined) map.set(key, [entry])
  else list.push(entry)
}
