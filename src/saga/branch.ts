/** The calls of a saga's code, on one branch of it: each is answered by the journal, or done and recorded. */
import { createHash } from 'node:crypto'
import { anySignal } from '../core/abort.ts'
import { ConfigError } from '../core/errors.ts'
import { failpoint } from '../core/failpoint.ts'
import { checkOptions, isDuration, isDurationOrZero, isName } from '../core/options.ts'
import { checkSchema } from '../core/standard-schema.ts'
import type { Store } from '../store/store.ts'
import type { OwnTransaction } from '../store/transaction.ts'
import { readChild, startChild, undoChild } from './child.ts'
import type {
  ForwardContext,
  HttpCall,
  MessageCall,
  ReceiveOptions,
  SagaContext,
  StepOptions,
  Tcc,
  TransactionStepOptions,
  UndoContext,
} from './context.ts'
import type { Entry, EntryKind } from './entry.ts'
import {
  describeThrown,
  type ErrorRecord,
  PivotPassedError,
  SagaChangedError,
  StepFailedError,
  WaitTimeoutError,
} from './errors.ts'
import { callHttp } from './http-step.ts'
import { publishStep } from './message-step.ts'
import { policyChecks, type ResolvedPolicy, type RetryPolicy, resolvePolicy } from './policy.ts'
import { type AttemptContext, never, type Phase, type SagaRun, type Undo } from './run.ts'
import type { Saga } from './saga.ts'
import { foreignTransaction, isCommitLost, ownTransaction } from './transaction-step.ts'
import { asReplayed, decodeValue, encodeValue, hashOf } from './value.ts'

/** One call: its place, its name, and what the journal says of it. */
export interface Call {
  readonly kind: string
  readonly step: string
  readonly pos: number
  readonly answers: readonly Entry[]
}

/** What is done for a step, whatever its kind. */
export interface StepSpec<Result> {
  readonly phase: 'do' | 'try'
  readonly hash: string | null
  readonly policy: ResolvedPolicy
  readonly timeoutMs: number
  readonly pivot?: boolean
  /** True where an effect without an entry cannot be, unless a COMMIT got no answer: `isLost` then says so. */
  readonly isLost?: () => boolean
  /** One attempt. `written` when it recorded the result in a transaction of its own. */
  attempt(context: AttemptContext): Promise<Attempted<Result>> | Attempted<Result>
  /** Undefined where there is nothing to give back. */
  readonly undo:
    | ((context: AttemptContext, result: Result | undefined) => Promise<undefined | 'written'>)
    | undefined
  readonly undoPolicy: ResolvedPolicy
  readonly confirm?: (context: AttemptContext, result: Result) => unknown
}

export interface Attempted<Result> {
  readonly value: Result
  /** The entry, where the attempt's own transaction has written it. */
  readonly written?: Entry
}

const STEP_TIMEOUT_MS = 60_000
const ATTEMPTS = 5
const UNDO_ATTEMPTS = 10
const NAME_MAX = 100

export class Branch {
  readonly #run: SagaRun
  /** `` for the saga itself, `book/flight/` for a branch. */
  readonly #path: string
  readonly #signal: AbortSignal
  readonly #forward: boolean
  readonly #names = new Map<string, number>()
  #pos: number
  #derived = 0
  #lastMs: number
  #closed: 'pivot' | 'ended' | undefined

  constructor(
    run: SagaRun,
    at: {
      path: string
      signal: AbortSignal
      forward: boolean
      pos?: number
      lastMs: number
      names?: Map<string, number>
      derived?: number
    },
  ) {
    this.#run = run
    this.#path = at.path
    this.#signal = at.signal
    this.#forward = at.forward
    this.#pos = at.pos ?? 0
    this.#lastMs = at.lastMs
    this.#derived = at.derived ?? 0
    for (const [name, count] of at.names ?? []) this.#names.set(name, count)
  }

  get sagaId(): string {
    return this.#run.id
  }

  close(): void {
    this.#closed ??= 'ended'
  }

  // --- what is derived ---------------------------------------------------------------------------------------------

  now(): number {
    return this.#lastMs
  }

  random(): number {
    return this.#derive().readUIntBE(0, 6) / 2 ** 48
  }

  id(): string {
    const bytes = this.#derive().subarray(0, 16)
    bytes[6] = ((bytes[6] as number) & 0x0f) | 0x80 // version 8, variant 1: RFC 9562
    bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80
    const hex = bytes.toString('hex')
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
  }

  #derive(): Buffer {
    this.#derived += 1
    return createHash('sha256').update(`${this.#run.id}\n${this.#path}\n${this.#derived}`).digest()
  }

  // --- steps -------------------------------------------------------------------------------------------------------

  step(name: string, ...rest: readonly unknown[]): Promise<unknown> {
    const declared = typeof rest[0] !== 'function'
    const [input, work, options = {}] = (declared ? rest : [undefined, ...rest]) as [
      unknown,
      (context: AttemptContext & { input: unknown }) => unknown,
      StepOptions<unknown, unknown>?,
    ]
    return this.#begin('step', name, async (call) => {
      if (typeof work !== 'function') throw new ConfigError(`step "${name}"`, ['the work must be a function'])
      return this.#perform(call, {
        ...this.#common(name, options, declared ? encodeValue(`input of step "${name}"`, input) : null),
        phase: 'do',
        attempt: async (context) => ({
          value: await work(declared ? { ...context, input } : (context as never)),
        }),
        undo: wrapUndo(options.undo, input),
      })
    })
  }

  transaction(
    name: string,
    store: Store,
    work: (tx: OwnTransaction, context: AttemptContext) => Promise<unknown>,
    options: TransactionStepOptions<unknown> = {},
  ): Promise<unknown> {
    return this.#begin('step', name, async (call) => {
      const run = this.#run
      const { undo } = options
      const own = store === run.env.store
      const transact = own ? ownTransaction : foreignTransaction
      const undoOnce =
        undo &&
        (async (context: AttemptContext, result: unknown): Promise<undefined | 'written'> => {
          const undone = await transact(run, store, { call, phase: 'undo', context }, (tx) =>
            undo(tx, { ...context, input: undefined, result }),
          )
          return undone.written === undefined ? undefined : 'written'
        })
      return this.#perform(call, {
        ...this.#common(name, options, null),
        phase: 'do',
        attempt: (context) => transact(run, store, { call, phase: 'do', context }, (tx) => work(tx, context)),
        undo: undoOnce,
        ...(own && { isLost: () => isCommitLost(run, call.step) }),
      })
    })
  }

  tcc(name: string, phases: Tcc<unknown>): Promise<unknown> {
    return this.#begin('step', name, async (call) => {
      if (this.#path !== '')
        throw new ConfigError(`tcc "${name}"`, ['it belongs to the saga itself, not to a branch'])
      return this.#perform(call, {
        ...this.#common(name, phases, null),
        phase: 'try',
        attempt: async (context) => ({ value: await phases.try(context) }),
        undo: wrapUndo(phases.cancel as never, undefined),
        confirm: (context, result) => phases.confirm({ ...context, input: undefined, result }),
      })
    })
  }

  http(name: string, http: HttpCall<unknown>): Promise<unknown> {
    return this.#begin('step', name, async (call) => {
      const send = (phase: Phase, context: AttemptContext): Promise<unknown> => callHttp(http, phase, context)
      return this.#perform(call, {
        ...this.#common(name, http, encodeValue(`input of step "${name}"`, http.input)),
        phase: 'do',
        attempt: async (context) => ({ value: await send('do', context) }),
        undo: http.undo
          ? async (context) => {
              await send('undo', context)
              return undefined
            }
          : undefined,
      })
    })
  }

  pivot(
    name: string,
    work: (context: AttemptContext) => unknown,
    options: StepOptions<unknown, unknown> = {},
  ): Promise<unknown> {
    return this.#begin('step', name, async (call) => {
      if (this.#path !== '')
        throw new ConfigError(`pivot "${name}"`, ['it belongs to the saga itself, not to a branch'])
      const result = await this.#perform(call, {
        ...this.#common(name, options, null),
        phase: 'do',
        pivot: true,
        attempt: async (context) => ({ value: await work(context) }),
        undo: undefined,
      })
      this.#closed = 'pivot'
      if (!(await this.#run.confirmAll(call.step))) return never()
      const { path, signal } = { path: this.#path, signal: this.#run.abort }
      const forward = new Branch(this.#run, {
        path,
        signal,
        forward: true,
        pos: this.#pos,
        lastMs: this.#lastMs,
        names: this.#names,
        derived: this.#derived,
      })
      return Object.assign(forward as unknown as ForwardContext, { result })
    })
  }

  child(
    name: string,
    child: Saga<unknown, unknown>,
    input: unknown,
    options: Pick<StepOptions<unknown, unknown>, 'undo' | 'undoRetry'> = {},
  ): Promise<unknown> {
    return this.#begin('child', name, async (call) => {
      const run = this.#run
      const childId = `${run.id}/${call.step}`
      const text = encodeValue(`input of saga "${childId}"`, input)
      const undo = wrapUndo(options.undo, input)
      const [started] = call.answers
      const ended = call.answers.find((entry) => entry.kind === 'step' || entry.kind === 'failed')
      if (started !== undefined) this.#same(call, started, hashOf(text))
      const register = (order: number, result: unknown, completed: boolean): void => {
        run.undos.push({
          step: call.step,
          order,
          branch: this.#path,
          phase: 'undo',
          policy: resolvePolicy(options.undoRetry, UNDO_ATTEMPTS),
          timeoutMs: STEP_TIMEOUT_MS,
          run: (context) =>
            undoChild(run, childId, context, completed ? (c) => undo?.(c, result) : undefined),
        })
      }
      if (ended !== undefined) {
        if (ended.kind === 'failed') throw this.#failure(call, ended)
        const result = decodeValue(ended.data)
        register(ended.seq, result, true)
        this.#lastMs = ended.atMs
        return result
      }
      try {
        await run.frontier(this.#signal)
        if (started === undefined) await startChild(run, call, child, childId, text)
        for (;;) {
          const end = await readChild(run, childId)
          if (end === 'running') {
            await run.wait(undefined, `saga "${childId}"`, this.#signal)
            continue
          }
          if (end.state === 'completed') {
            const entry = run.append('step', call.step, call.pos, end.output)
            register(entry.seq, decodeValue(end.output), true)
            this.#lastMs = entry.atMs
            return decodeValue(end.output)
          }
          const error = JSON.parse(end.reason ?? '{}') as ErrorRecord
          const failed = run.append('failed', call.step, call.pos, JSON.stringify({ error, unknown: false }))
          throw this.#failure(call, failed)
        }
      } catch (error) {
        if (started !== undefined || run.mayHaveBegun(call.step) || run.abort.aborted) {
          run.unknown.push(call.step)
          register(Number.MAX_SAFE_INTEGER, undefined, false)
        }
        throw error
      }
    })
  }

  message(name: string, message: MessageCall<unknown>): Promise<unknown> {
    return this.#begin('message', name, async (call) => {
      const run = this.#run
      const text = encodeValue(`payload of step "${name}"`, message.payload)
      const [sent] = call.answers
      if (sent !== undefined) this.#same(call, sent, hashOf(text))
      const register = (entry: Entry): void => {
        const { undo } = message
        if (undo === undefined) return
        run.undos.push({
          step: call.step,
          order: entry.seq,
          branch: this.#path,
          phase: 'undo',
          policy: resolvePolicy(undefined, UNDO_ATTEMPTS),
          timeoutMs: STEP_TIMEOUT_MS,
          run: async () => {
            const share = run.share()
            share.beside.push((tx) =>
              publishStep(tx, run, call.step, 'undo', {
                ...message,
                topic: undo.topic ?? message.topic,
                payload: undo.payload,
              }),
            )
            return undefined
          },
        })
      }
      let atMs: number
      if (sent === undefined) {
        await run.frontier(this.#signal)
        const entry = run.append('sent', call.step, call.pos, null, hashOf(text))
        run.share().beside.push((tx) => publishStep(tx, run, call.step, 'do', message))
        register(entry)
        atMs = entry.atMs
        this.#lastMs = atMs
      } else {
        register(sent)
        atMs = sent.atMs
        this.#lastMs = atMs
      }
      if (message.reply === undefined) return undefined
      const { schema, timeoutMs } = message.reply
      const untilMs = timeoutMs === undefined ? undefined : atMs + timeoutMs
      return this.#await(call, `reply:${call.step}`, { untilMs, timeoutMs, schema })
    })
  }

  // --- waits -------------------------------------------------------------------------------------------------------

  sleep(name: string, ms: number): Promise<void> {
    return this.#begin('sleep', name, async (call) => {
      checkOptions(`sleep "${name}"`, { ms }, ['ms'], [isDurationOrZeroLong(ms)])
      const run = this.#run
      let [timer] = call.answers
      if (timer === undefined) {
        await run.frontier(this.#signal)
        timer = run.append(
          'timer',
          call.step,
          call.pos,
          JSON.stringify({ untilMs: Math.ceil(run.env.nowMs() + ms) }),
        )
      }
      const { untilMs } = JSON.parse(timer.data ?? '{}') as { untilMs: number }
      if (untilMs > run.env.nowMs()) {
        if (call.answers.length > 0) await run.frontier(this.#signal)
        while (untilMs > run.env.nowMs()) await run.wait(untilMs, `sleep "${call.step}"`, this.#signal)
      }
      this.#lastMs = Math.max(this.#lastMs, untilMs)
    })
  }

  receive(name: string, options: ReceiveOptions<unknown> = {}): Promise<unknown> {
    return this.#begin('receive', name, async (call) => {
      const { timeoutMs, schema } = options
      checkOptions(
        `receive "${name}"`,
        options,
        ['timeoutMs', 'schema'],
        [timeoutMs === undefined || isDurationOrZeroLong(timeoutMs)],
      )
      let untilMs: number | undefined
      const timer = call.answers.find((entry) => entry.kind === 'timer')
      if (timer !== undefined) untilMs = (JSON.parse(timer.data ?? '{}') as { untilMs: number }).untilMs
      else if (timeoutMs !== undefined && !call.answers.some(isAnswer)) {
        await this.#run.frontier(this.#signal)
        untilMs = Math.ceil(this.#run.env.nowMs() + timeoutMs)
        this.#run.append('timer', call.step, call.pos, JSON.stringify({ untilMs }))
      }
      return this.#await(call, name, { untilMs, timeoutMs, schema })
    })
  }

  /** Takes the next signal of this name, or the answer that the journal has. */
  async #await(
    call: Call,
    signalName: string,
    how: {
      readonly untilMs: number | undefined
      readonly timeoutMs: number | undefined
      readonly schema: ReceiveOptions<unknown>['schema'] | undefined
    },
  ): Promise<unknown> {
    const run = this.#run
    let answer = call.answers.find(isAnswer)
    if (answer === undefined) {
      await run.frontier(this.#signal)
      for (;;) {
        const signal = run.takeSignal(signalName)
        if (signal !== undefined) {
          answer = run.append('signal', call.step, call.pos, signal.payload, `${signal.number}`)
          break
        }
        if (how.untilMs !== undefined && how.untilMs <= run.env.nowMs()) {
          answer = run.append('timeout', call.step, call.pos, null)
          break
        }
        await run.wait(how.untilMs, `signal "${signalName}"`, this.#signal)
      }
    }
    this.#lastMs = answer.atMs
    if (answer.kind === 'timeout') throw new WaitTimeoutError(`"${signalName}"`, how.timeoutMs ?? 0)
    const payload = decodeValue(answer.data)
    return how.schema === undefined ? payload : checkSchema(`"${signalName}"`, how.schema, payload)
  }

  patched(id: string): boolean {
    const run = this.#run
    this.#assertUsable(id)
    const found = run.peek(this.#path, this.#pos)
    if (found?.kind === 'patch' && found.step === `${this.#path}${id}`) {
      run.answers(this.#path, this.#pos)
      this.#pos += 1
      return true
    }
    if (run.hasAnswersFrom(this.#path, this.#pos)) return false
    if (run.abort.aborted) return false
    if (!run.env.dry) run.append('patch', `${this.#path}${id}`, this.#pos, null)
    this.#pos += 1
    return true
  }

  // --- branches ----------------------------------------------------------------------------------------------------

  all(name: string, branches: Readonly<Record<string, (s: never) => Promise<unknown>>>): Promise<unknown> {
    return this.#begin('all', name, async (call) => {
      const controller = new AbortController()
      const parts = this.#open(call, branches, controller.signal)
      let first: { error: unknown } | undefined
      const settled = parts.map(([, run]) =>
        run().catch((error: unknown) => {
          first ??= { error }
          controller.abort(error)
          return undefined
        }),
      )
      const results = await this.#whileBranchesRun(Promise.all(settled))
      for (const [, , branch] of parts) this.#lastMs = Math.max(this.#lastMs, branch.now())
      if (first !== undefined) throw first.error
      return Object.fromEntries(parts.map(([key], i) => [key, results[i]]))
    })
  }

  race(name: string, branches: Readonly<Record<string, (s: never) => Promise<unknown>>>): Promise<unknown> {
    return this.#begin('race', name, async (call) => {
      const run = this.#run
      const recorded = call.answers[0]
      const controllers = new Map<string, AbortController>()
      const parts = Object.entries(branches).map(([key, code]) => {
        const controller = new AbortController()
        controllers.set(key, controller)
        const [part] = this.#open(call, { [key]: code }, controller.signal)
        return part as NonNullable<typeof part>
      })
      let winner: string | undefined =
        recorded === undefined ? undefined : (JSON.parse(recorded.data ?? '""') as string)
      const stopOthers = (): void => {
        for (const [key, controller] of controllers)
          if (key !== winner) controller.abort(new RaceLostError(call.step, winner as string))
      }
      const settled = parts.map(async ([key, code]) => {
        let result: { readonly value?: unknown; readonly error?: unknown; readonly ok: boolean }
        try {
          result = { ok: true, value: await code() }
        } catch (error) {
          result = { ok: false, error }
        }
        if (winner === undefined && !run.abort.aborted) {
          winner = key
          const entry = run.append('race', call.step, call.pos, JSON.stringify(key))
          this.#lastMs = entry.atMs
          stopOthers()
        } else if (winner === key) stopOthers()
        return [key, result] as const
      })
      const results = new Map(await this.#whileBranchesRun(Promise.all(settled)))
      if (winner === undefined) throw run.abort.reason
      const lost = run.undos.filter((undo) =>
        parts.some(([key]) => key !== winner && undo.branch.startsWith(`${call.step}/${key}/`)),
      )
      if (!(await run.undoAll(lost))) return never()
      const won = results.get(winner)
      if (won === undefined) return never()
      if (!won.ok) throw won.error
      return won.value
    })
  }

  /** Waiting for branches is no work of its own: when they all wait, the saga may be laid down. */
  async #whileBranchesRun<T>(branches: Promise<T>): Promise<T> {
    this.#run.leave()
    try {
      return await branches
    } finally {
      this.#run.enter()
    }
  }

  #open(
    call: Call,
    branches: Readonly<Record<string, (s: never) => Promise<unknown>>>,
    signal: AbortSignal,
  ): (readonly [key: string, run: () => Promise<unknown>, branch: Branch])[] {
    const both = anySignal(this.#signal, signal) as AbortSignal
    return Object.entries(branches).map(([key, code]) => {
      assertName('branch', key)
      const branch = new Branch(this.#run, {
        path: `${call.step}/${key}/`,
        signal: both,
        forward: this.#forward,
        lastMs: this.#lastMs,
      })
      return [key, async () => code(branch as never), branch] as const
    })
  }

  // --- the inside of a call ----------------------------------------------------------------------------------------

  /** Gives the call its place and its name, then does it. Whoever forgets to await it causes no unhandled rejection. */
  #begin<T>(kind: string, name: string, work: (call: Call) => Promise<T>): Promise<T> {
    const run = this.#run
    if (run.over) return never()
    let call: Call
    try {
      this.#assertUsable(name)
      assertName(kind, name)
      call = this.#place(kind, name)
    } catch (error) {
      const refused = Promise.reject(error)
      refused.catch(() => {})
      return refused
    }
    if (call.answers[0] !== undefined && !this.#fits(call, call.answers[0])) return never()
    run.enter()
    const done = work(call).finally(() => run.leave())
    done.catch(() => {})
    return done
  }

  #assertUsable(name: string): void {
    if (this.#closed === 'pivot') throw new PivotPassedError(name)
    if (this.#closed === 'ended') throw new ConfigError(`"${name}"`, ['the code of the saga has ended'])
  }

  #place(kind: string, name: string): Call {
    const count = (this.#names.get(name) ?? 0) + 1
    this.#names.set(name, count)
    const step = `${this.#path}${count === 1 ? name : `${name}#${count}`}`
    if (kind === 'all') return { kind, step, pos: -1, answers: [] }
    const pos = this.#pos
    this.#pos += 1
    return { kind, step, pos, answers: this.#run.answers(this.#path, pos) }
  }

  #fits(call: Call, entry: Entry): boolean {
    const kinds = ANSWERS[call.kind] ?? []
    if (entry.step === call.step && kinds.includes(entry.kind)) return true
    this.#changed(call, `${entry.kind} "${entry.step}"`, `${call.kind} "${call.step}"`)
    return false
  }

  /** The declared input is the same as it was. */
  #same(call: Call, entry: Entry, hash: string | null): void {
    if (entry.hash === hash) return
    this.#changed(
      call,
      `${call.kind} "${call.step}" with an input of hash ${entry.hash ?? 'none'}`,
      `${call.kind} "${call.step}" with an input of hash ${hash ?? 'none'}`,
    )
  }

  #changed(call: Call, recorded: string, called: string): void {
    const place = `call ${call.pos + 1} of ${this.#path === '' ? 'the saga' : `branch "${this.#path.slice(0, -1)}"`}`
    this.#run.codeChanged(new SagaChangedError(this.#run.id, place, recorded, called))
  }

  #common(
    name: string,
    options: { readonly retry?: RetryPolicy; readonly undoRetry?: RetryPolicy; readonly timeoutMs?: number },
    input: string | null,
  ): Pick<StepSpec<unknown>, 'hash' | 'policy' | 'undoPolicy' | 'timeoutMs'> {
    const { retry, undoRetry, timeoutMs = STEP_TIMEOUT_MS } = options
    if (retry !== undefined || undoRetry !== undefined || timeoutMs !== STEP_TIMEOUT_MS) {
      checkOptions(
        `step "${name}"`,
        {},
        [],
        [
          ...policyChecks('retry', retry),
          ...policyChecks('undoRetry', undoRetry),
          isDuration('timeoutMs', timeoutMs),
        ],
      )
    }
    return {
      hash: hashOf(input),
      policy: retry === undefined ? STEP_POLICY : resolvePolicy(retry, ATTEMPTS),
      undoPolicy: undoRetry === undefined ? UNDO_POLICY : resolvePolicy(undoRetry, UNDO_ATTEMPTS),
      timeoutMs,
    }
  }

  async #perform(call: Call, spec: StepSpec<unknown>): Promise<unknown> {
    const run = this.#run
    const [recorded] = call.answers
    if (recorded !== undefined) {
      this.#same(call, recorded, spec.hash)
      if (run.over || run.changed !== undefined) return never()
      if (recorded.kind === 'failed') throw this.#failed(call, spec, recorded)
      return this.#done(call, spec, recorded, decodeValue(recorded.data))
    }
    try {
      if (spec.pivot) await this.#enterPivot(call)
      else await run.frontier(this.#signal)
      const tried = await run.attempts(
        { step: call.step, phase: spec.phase },
        {
          policy: spec.policy,
          timeoutMs: spec.timeoutMs,
          signal: spec.pivot ? run.beginPivot() : this.#signal,
        },
        async (context) => {
          const attempted = await spec.attempt(context)
          return attempted.written === undefined
            ? { ...attempted, text: encodeResult(call.step, attempted.value) }
            : { ...attempted, text: attempted.written.data }
        },
      )
      if (tried.kind === 'failed') {
        const unknown = spec.isLost === undefined ? tried.unknown : spec.isLost()
        return await this.#giveUp(call, spec, tried.error, unknown)
      }
      const { value, written, text } = tried.value
      const entry = written ?? run.append('step', call.step, call.pos, text, spec.hash)
      if (spec.pivot) {
        run.passPivot(call.step)
        run.endPivot()
      }
      await failpoint('saga.step.recorded')
      return this.#done(call, spec, entry, asReplayed(value, text))
    } catch (error) {
      // The failure of another branch, which stops this one, says nothing of this step.
      const ownFailure = error instanceof StepFailedError && error.step === call.step
      if (ownFailure || spec.pivot) throw error
      const mayStand = spec.isLost?.() ?? (run.begun.has(call.step) || run.mayHaveBegun(call.step))
      if (mayStand) {
        run.unknown.push(call.step)
        this.#register(call, spec, Number.MAX_SAFE_INTEGER, undefined)
      }
      throw error
    }
  }

  /** Whether the pivot may have been under way in a crash; then it is finished, whatever came since. */
  async #enterPivot(call: Call): Promise<void> {
    const run = this.#run
    try {
      await run.frontier(this.#signal)
    } catch (error) {
      if (run.isGoingBack || !run.mayHaveBegun(call.step)) throw error
      run.beginPivot()
      await run.durable()
    }
  }

  async #giveUp(call: Call, spec: StepSpec<unknown>, error: unknown, unknown: boolean): Promise<never> {
    const run = this.#run
    if (this.#forward || (spec.pivot && unknown)) {
      run.stuck(call.step, spec.phase, error, { pos: call.pos, hash: spec.hash })
      return never()
    }
    if (spec.pivot) run.endPivot()
    const data = JSON.stringify({ error: describeThrown(error), unknown })
    const entry = run.append('failed', call.step, call.pos, data, spec.hash)
    throw this.#failed(call, spec, entry, error)
  }

  #failed(call: Call, spec: StepSpec<unknown>, entry: Entry, cause?: unknown): StepFailedError {
    const { unknown } = JSON.parse(entry.data ?? '{}') as { unknown: boolean }
    if (unknown) this.#register(call, spec, entry.seq, undefined)
    return this.#failure(call, entry, cause)
  }

  #failure(call: Call, entry: Entry, cause?: unknown): StepFailedError {
    this.#lastMs = entry.atMs
    const { error } = JSON.parse(entry.data ?? '{}') as { error: ErrorRecord }
    return new StepFailedError(call.step, error, cause === undefined ? undefined : { cause })
  }

  #done(call: Call, spec: StepSpec<unknown>, entry: Entry, result: unknown): unknown {
    this.#lastMs = entry.atMs
    this.#register(call, spec, entry.seq, result)
    const { confirm } = spec
    if (confirm !== undefined) {
      this.#run.confirms.push({
        step: call.step,
        policy: spec.undoPolicy,
        timeoutMs: spec.timeoutMs,
        run: async (context) => void (await confirm(context, result)),
      })
    }
    return result
  }

  #register(call: Call, spec: StepSpec<unknown>, order: number, result: unknown): void {
    const { undo, undoPolicy, timeoutMs, phase } = spec
    if (undo === undefined) return
    const entry: Undo = {
      step: call.step,
      order,
      branch: this.#path,
      phase: phase === 'try' ? 'cancel' : 'undo',
      policy: undoPolicy,
      timeoutMs,
      run: (context) => undo(context, result),
    }
    this.#run.undos.push(entry)
  }
}

const STEP_POLICY = resolvePolicy(undefined, ATTEMPTS)
const UNDO_POLICY = resolvePolicy(undefined, UNDO_ATTEMPTS)

/** The kinds of entry that may answer each kind of call. */
const ANSWERS: Readonly<Record<string, readonly EntryKind[]>> = {
  step: ['step', 'failed'],
  child: ['child', 'step', 'failed'],
  message: ['sent', 'signal', 'timeout'],
  sleep: ['timer'],
  receive: ['timer', 'signal', 'timeout'],
  race: ['race'],
}

/** What a branch of a race that lost is aborted with. */
export class RaceLostError extends Error {
  override readonly name = 'RaceLostError'
  constructor(step: string, winner: string) {
    super(`branch "${winner}" of "${step}" was first`)
  }
}

function isAnswer({ kind }: Entry): boolean {
  return kind === 'signal' || kind === 'timeout'
}

/** The step has run, so what does not fit is an error after the effect. */
function encodeResult(step: string, value: unknown): string | null {
  try {
    return encodeValue(`result of step "${step}"`, value)
  } catch (cause) {
    throw Object.assign(new Error((cause as Error).message, { cause }), { final: true, outcome: 'unknown' })
  }
}

function wrapUndo(
  undo: ((context: UndoContext<never, unknown>) => unknown) | undefined,
  input: unknown,
): StepSpec<unknown>['undo'] {
  if (undo === undefined) return undefined
  return async (context, result) => {
    await undo({ ...context, input: input as never, result })
    return undefined
  }
}

function assertName(kind: string, name: unknown): void {
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

function isDurationOrZeroLong(ms: number): true | string {
  return (Number.isFinite(ms) && ms >= 0 && ms <= 3_155_760_000_000) || String(isDurationOrZero('ms', -1))
}

export type { SagaContext }
