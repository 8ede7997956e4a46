import { ConfigError } from '../../core/errors.ts'
import { checkOptions, isName } from '../../core/options.ts'
import { never } from '../activity.ts'
import type { Entry, EntryKind } from '../entry.ts'
import { type ErrorRecord, PivotPassedError, SagaChangedError, StepFailedError } from '../errors.ts'
import type { SagaRun } from '../run.ts'

/** One call of a saga's code: its place, its name, and what the journal says of it. */
export interface Call {
  readonly kind: CallKind
  readonly step: string
  readonly pos: number
  /** The last entry that its branch had met when it was called. */
  readonly after: number
  readonly answers: readonly Entry[]
}

export type CallKind = 'step' | 'child' | 'message' | 'sleep' | 'receive' | 'race' | 'all'

/** The kinds of entry that may answer each kind of call. */
const ANSWERS: Readonly<Record<CallKind, readonly EntryKind[]>> = {
  step: ['step', 'failed'],
  child: ['child', 'step', 'failed'],
  message: ['sent', 'signal', 'timeout', 'step', 'failed'],
  sleep: ['timer'],
  receive: ['timer', 'signal', 'timeout'],
  race: ['race'],
  all: [],
}

const NAME_MAX = 100

export interface PlaceOptions {
  /** `` for the saga itself, `book/flight/` for a branch. */
  readonly path: string
  readonly signal: AbortSignal
  /** Behind the pivot. */
  readonly forward: boolean
  readonly lastMs: number
  readonly lastSeq: number
}

/** Where the code of one branch has come to: the position and the name of its next call, and the time there. */
export class Place {
  readonly run: SagaRun
  readonly path: string
  readonly signal: AbortSignal
  readonly forward: boolean
  /** The time of the last entry. */
  lastMs: number
  /** The number of the last entry. */
  lastSeq: number
  /** A call was stopped here, since the saga goes back or another branch has decided. */
  aborted = false
  /** How many values were derived here. */
  derived = 0
  readonly #names = new Map<string, number>()
  #pos = 0
  #closed: 'pivot' | 'ended' | undefined

  constructor(run: SagaRun, { path, signal, forward, lastMs, lastSeq }: PlaceOptions) {
    this.run = run
    this.path = path
    this.signal = signal
    this.forward = forward
    this.lastMs = lastMs
    this.lastSeq = lastSeq
  }

  /** The place behind the pivot, which goes on from here. */
  behindPivot(signal: AbortSignal): Place {
    const { path, lastMs, lastSeq } = this
    const next = new Place(this.run, { path, signal, forward: true, lastMs, lastSeq })
    next.#pos = this.#pos
    next.derived = this.derived
    for (const [name, count] of this.#names) next.#names.set(name, count)
    return next
  }

  /** The code has come behind this entry. */
  reach({ seq, atMs }: Entry): void {
    this.lastMs = atMs
    this.met(seq)
  }

  met(seq: number): void {
    this.lastSeq = Math.max(this.lastSeq, seq)
  }

  /** Nothing can be called here any more. */
  close(why: 'pivot' | 'ended'): void {
    this.#closed ??= why
  }

  /** Gives the call its place and its name, then does it. Whoever forgets to await it causes no unhandled rejection. */
  begin<T>(kind: CallKind, name: string, work: (call: Call) => Promise<T>): Promise<T> {
    const { run } = this
    if (run.over) return never()
    let call: Call
    try {
      this.assertUsable(name)
      assertName(kind, name)
      call = this.#next(kind, name)
    } catch (error) {
      const refused = Promise.reject(error)
      refused.catch(() => {})
      return refused
    }
    if (call.answers[0] !== undefined && !this.#fits(call, call.answers[0])) return never()
    run.enter()
    const done = work(call).finally(() => run.leave())
    done.catch((error: unknown) => {
      if (this.signal.aborted && error === this.signal.reason) this.aborted = true
    })
    return done
  }

  assertUsable(name: string): void {
    if (this.#closed === 'pivot') throw new PivotPassedError(name)
    if (this.#closed === 'ended') throw new ConfigError(`"${name}"`, ['the code of the saga has ended'])
  }

  /** @throws ConfigError on a branch: it concerns the saga as a whole */
  assertRoot(kind: string, name: string): void {
    if (this.path !== '')
      throw new ConfigError(`${kind} "${name}"`, ['it belongs to the saga itself, not to a branch'])
  }

  #next(kind: CallKind, name: string): Call {
    const count = (this.#names.get(name) ?? 0) + 1
    this.#names.set(name, count)
    const step = `${this.path}${count === 1 ? name : `${name}#${count}`}`
    const after = this.lastSeq
    if (kind === 'all') return { kind, step, pos: -1, after, answers: [] }
    const pos = this.#pos
    this.#pos += 1
    return { kind, step, pos, after, answers: this.run.history.answers(this.path, pos) }
  }

  #fits(call: Call, entry: Entry): boolean {
    if (entry.step === call.step && ANSWERS[call.kind].includes(entry.kind)) return true
    this.#changed(call, `${entry.kind} "${entry.step}"`, `${call.kind} "${call.step}"`)
    return false
  }

  /** Says so when the declared input is not the one that was recorded. */
  compareInput(call: Call, entry: Entry, hash: string | null): void {
    if (entry.hash === hash) return
    this.#changed(
      call,
      `${call.kind} "${call.step}" with an input of hash ${entry.hash ?? 'none'}`,
      `${call.kind} "${call.step}" with an input of hash ${hash ?? 'none'}`,
    )
  }

  #changed(call: Call, recorded: string, called: string): void {
    const where = this.path === '' ? 'the saga' : `branch "${this.path.slice(0, -1)}"`
    const place = `call ${call.pos + 1} of ${where}`
    this.run.codeChanged(new SagaChangedError(this.run.id, place, recorded, called))
  }

  /** What a call that failed for good throws, now or on replay. */
  failure(call: Call, entry: Entry, cause?: unknown): StepFailedError {
    this.reach(entry)
    const { error } = JSON.parse(entry.data ?? '{}') as { error: ErrorRecord }
    return new StepFailedError(call.step, error, cause === undefined ? undefined : { cause })
  }

  /** Whether the code takes a way that was put in place by a patch. */
  patched(id: string): boolean {
    const { run, path } = this
    this.assertUsable(id)
    const found = run.history.peek(path, this.#pos)
    if (found?.kind === 'patch' && found.step === `${path}${id}`) {
      run.history.answers(path, this.#pos)
      this.#pos += 1
      return true
    }
    if (run.history.hasAnswersFrom(path, this.#pos)) return false
    if (run.abort.aborted) return false
    if (!run.env.dry) run.append('patch', `${path}${id}`, this.#pos, null)
    this.#pos += 1
    return true
  }
}

export function assertName(kind: string, name: unknown): void {
  if (typeof name === 'string' && name !== '' && name.length <= NAME_MAX && !/[/\n\0]/.test(name)) return
  checkOptions(
    kind,
    {},
    [],
    [
      isName('the name', name, NAME_MAX),
      typeof name !== 'string' ||
        !/[/\n]/.test(name) ||
        `the name "${name}" must have no "/" and no line break`,
    ],
  )
}
