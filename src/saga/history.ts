import type { Phase } from './attempt.ts'
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
  /** Up to this entry its process went away while it went forwards: 0 for never. */
  #interruptedSeq = 0
  /** Steps and undos of which a try may have had its effect: what a person decides changes nothing about that. */
  readonly #unknown = new Set<string>()
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
        if (dataOf<{ unknown?: boolean }>(entry).unknown === true) this.#unknown.add(entry.step)
        push(this.#attempts, entry.step, entry)
        return
      case 'retried':
        this.#attempts.clear()
        return
      case 'stuck': {
        const { phase, unknown = isForward(phase), open = [] } = dataOf<StuckData>(entry)
        for (const step of unknown ? [entry.step, ...open] : open) this.#unknown.add(step)
        return
      }
      case 'interrupted':
        this.interrupt(entry.seq)
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

  /** Its process went away. What runs once it goes back is not forwards, and begins no step. */
  interrupt(seq: number): void {
    if (this.turn === undefined) this.#interruptedSeq = seq
  }

  /**
   * True when a call that no entry answers may have had an effect: a try of it was left without an answer, or a process
   * that died may have been at it. It cannot have been when something that comes before the call in its branch was
   * recorded only after that death.
   */
  mayHaveBegun({ step, after }: { readonly step: string; readonly after: number }): boolean {
    if (this.turn?.unknown.includes(step)) return true
    return this.#interruptedSeq > after || this.#unknown.has(step)
  }
}

/** What the journal says of a saga that got stuck. */
export interface StuckData {
  readonly phase: Phase
  readonly error: ErrorRecord
  /** Whether the step may have had its effect; where nothing is said, one that goes forwards may. */
  readonly unknown?: boolean
  /** Other steps that were under way. */
  readonly open?: readonly string[]
  /** The place of the step, where it may be skipped. */
  readonly pos?: number
  readonly hash?: string | null
}

function isForward(phase: Phase): boolean {
  return phase === 'do' || phase === 'try'
}

function dataOf<T>({ data }: Entry): T {
  return JSON.parse(data ?? '{}') as T
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
