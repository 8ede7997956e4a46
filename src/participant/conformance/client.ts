import { randomUUID } from 'node:crypto'
import { checkArguments, isDuration, isUrl } from '../../core/options.ts'
import { STEP_HEADERS } from '../http/wire.ts'
import type { StepPhase } from '../step.ts'

/** What the service under examination has to keep for an account; see docs/reference/participants.md. */
export interface Account {
  readonly balance: number
  readonly held: number
  /** How many times a `do` or a `confirm` was applied, less those undone. */
  readonly applied: number
}

/** The input of the step under examination. */
export interface AccountInput {
  readonly account: string
  readonly amount: number
  /** After the writes: refuse with reason `asked_to`, or fail as by a fault. */
  readonly outcome?: 'refuse' | 'fail'
}

export interface Answer {
  readonly status: number
  // biome-ignore lint/suspicious/noExplicitAny: a stranger's JSON, looked into field by field
  readonly body: any
  readonly repeated: boolean
  readonly contentType: string
}

/** One saga's calls to one service, sent as any client would: nothing of Holdfast's own client is used. */
export class ConformanceClient {
  readonly #url: string
  readonly #timeoutMs: number
  readonly account = `acc-${randomUUID()}`
  readonly saga = `conformance/${randomUUID()}`

  constructor(url: string, timeoutMs: number) {
    checkArguments('ConformanceClient', isUrl('url', url), isDuration('timeoutMs', timeoutMs))
    this.#url = url.replace(/\/+$/, '')
    this.#timeoutMs = timeoutMs
  }

  call(
    phase: StepPhase,
    options: { step?: string; saga?: string; epoch?: bigint; input?: Partial<AccountInput> } = {},
  ): Promise<Answer> {
    const { step = 'a', saga = this.saga, epoch = 1n, input = {} } = options
    return this.send({
      headers: {
        [STEP_HEADERS.saga]: saga,
        [STEP_HEADERS.step]: step,
        [STEP_HEADERS.phase]: phase,
        [STEP_HEADERS.epoch]: `${epoch}`,
      },
      body: JSON.stringify({ account: this.account, amount: 10, ...input }),
    })
  }

  async send(request: {
    readonly headers: Readonly<Record<string, string>>
    readonly body: string
  }): Promise<Answer> {
    const response = await fetch(`${this.#url}/step`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...request.headers },
      body: request.body,
      signal: AbortSignal.timeout(this.#timeoutMs),
    })
    return {
      status: response.status,
      body: parse(await response.text()),
      repeated: response.headers.get(STEP_HEADERS.repeated) === 'true',
      contentType: response.headers.get('content-type') ?? '',
    }
  }

  async look(account = this.account): Promise<Account> {
    const response = await fetch(`${this.#url}/accounts/${encodeURIComponent(account)}`, {
      signal: AbortSignal.timeout(this.#timeoutMs),
    })
    if (response.status !== 200) throw new Error(`GET /accounts/… answered ${response.status}, want 200`)
    return (await response.json()) as Account
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
