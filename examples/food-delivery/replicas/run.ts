import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FaultLevel } from '../shared/faults.ts'
import { chance } from '../shared/random.ts'
import { type Answer, type Audit, audit, type SiteDump } from './audit.ts'
import { planOperations, SITES, type SiteName } from './operations.ts'
import { Sites } from './sites.ts'
import type { Missing } from './without.ts'

export interface RunResult extends Audit {
  readonly mode: string
  readonly operations: number
  readonly answered: number
  readonly failed: number
  readonly unanswered: number
  readonly confirmed: number
  /** Answered while another site was down or cut off. */
  readonly answeredWhileApart: number
  /** The oldest that an answer said it may be; null: none could say. */
  readonly staleMsMax: number | null
  /** Answers that could not say how old they may be: their site had not yet pulled once from every other one. */
  readonly staleUnknown: number
  readonly kills: number
  readonly cuts: number
  readonly operationsPerSecond: number
  /** From the end of the faults until all sites read the same; null: not within the bound. */
  readonly settledMs: number | null
}

export interface RunOptions {
  readonly mode: 'naive' | 'holdfast'
  readonly without: Missing | undefined
  readonly orders: number
  readonly seed: number
  readonly faults: FaultLevel
  readonly signal: AbortSignal
}

const IN_HAND = 12
const WEATHER_MS = { none: 0, default: 1_200, heavy: 700 } as const
/** Between two operations of one customer, so that a run is long enough for the faults. */
const THINK_MS = 50
const AWAY_MS = 500
/** How long the last word waits for a site that was killed, or for a version that may never come where a mechanism is missing. */
const LAST_WORD_MS = 3_000
/** What cannot settle is not waited for. */
const SETTLE_MS = { broken: 6_000, holdfast: 45_000 } as const

/** Where the last word is spoken. */
const LAST = { kind: 'write', collection: 'cart', key: 'cart-0', confirm: false } as const

/** One run: operations at all sites while they are killed and cut off; then peace, and the audit. */
export async function run(options: RunOptions): Promise<RunResult> {
  const { mode, without, seed, faults, signal } = options
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-demo-'))
  const sites = new Sites((site, port) => ({
    site,
    mode,
    without,
    storePath: join(folder, `${site}.db`),
    queuePath: join(folder, 'queue.db'),
    port,
    faults,
    seed: seed + SITES.indexOf(site),
  }))
  const interrupted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
  interrupted.catch(() => {})
  try {
    await sites.start()
    return await Promise.race([new Run(sites, options).finish(), sites.failed, interrupted])
  } finally {
    await sites.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

class Run {
  readonly #sites: Sites
  readonly #options: RunOptions
  readonly #answers: Answer[] = []
  readonly #counts = {
    answered: 0,
    failed: 0,
    unanswered: 0,
    confirmed: 0,
    answeredWhileApart: 0,
    staleMsMax: null as number | null,
    staleUnknown: 0,
    cuts: 0,
  }
  #cut: readonly SiteName[] = []

  constructor(sites: Sites, options: RunOptions) {
    this.#sites = sites
    this.#options = options
  }

  async finish(): Promise<RunResult> {
    const { orders, seed, mode, without, signal } = this.#options
    const weather = new AbortController()
    const blowing = this.#weather(AbortSignal.any([weather.signal, signal])).catch(() => {})
    const startMs = performance.now()
    const waiting = planOperations(orders, seed)
    const customers = Array.from({ length: IN_HAND }, async (_, customer) => {
      for (let operation = waiting.shift(); operation; operation = waiting.shift()) {
        await this.#operate(operation, customer)
        await sleep(THINK_MS)
      }
    })
    await Promise.all(customers)
    const seconds = (performance.now() - startMs) / 1_000
    weather.abort()
    await blowing
    this.#sites.cut([])
    await this.#lastWord()
    const { dumps, settledMs } = await this.#settled()
    return {
      mode: without === undefined ? mode : `without ${without}`,
      operations: orders,
      ...this.#counts,
      kills: this.#sites.kills,
      operationsPerSecond: orders / seconds,
      settledMs,
      ...audit(dumps, this.#answers),
    }
  }

  async #operate(operation: ReturnType<typeof planOperations>[number], customer: number): Promise<void> {
    const { seed, signal } = this.#options
    const first = Math.floor(chance(seed, 'site', operation.id, customer) * SITES.length)
    // A customer whose site is down goes to the next one.
    for (let tries = 0; ; tries++) {
      signal.throwIfAborted()
      const site = SITES[(first + tries) % SITES.length] as SiteName
      if (!this.#sites.isUp(site)) {
        if (tries >= SITES.length) await sleep(20)
        continue
      }
      const outcome = await this.#sites.operate(site, operation)
      if (outcome.kind === 'unanswered') this.#counts.unanswered += 1
      else if (outcome.kind === 'failed') this.#counts.failed += 1
      else {
        const { confirmed, staleMs } = outcome.done
        this.#counts.answered += 1
        // A deletion of nothing commits nothing.
        if (operation.kind !== 'delete') this.#answers.push({ id: operation.id, site, confirmed })
        if (confirmed) this.#counts.confirmed += 1
        if (this.#cut.length > 0 || SITES.some((other) => !this.#sites.isUp(other)))
          this.#counts.answeredWhileApart += 1
        if (staleMs === null) this.#counts.staleUnknown += 1
        else this.#counts.staleMsMax = Math.max(this.#counts.staleMsMax ?? 0, staleMs)
      }
      return
    }
  }

  /**
   * One site writes, and another replaces that when it has seen it. Nobody writes there afterwards, so a version that was
   * replaced and comes back for want of a mechanism stands in the end, in every run.
   */
  async #lastWord(): Promise<void> {
    const [first, second] = SITES
    const { collection, key } = LAST
    const write = async (site: SiteName, id: string): Promise<void> => {
      await this.#until(() => this.#sites.isUp(site))
      const outcome = await this.#sites.operate(site, { ...LAST, id })
      if (outcome.kind === 'done') this.#answers.push({ id, site, confirmed: false })
    }
    await write(first, 'last-1')
    await this.#until(async () => {
      const dump = (await this.#sites.dump())?.find(({ site }) => site === second)
      const reading = dump?.readings.find((one) => one.collection === collection && one.key === key)
      return reading?.versions.includes('last-1') === true
    })
    await write(second, 'last-2')
  }

  async #until(holds: () => boolean | Promise<boolean>): Promise<void> {
    const untilMs = performance.now() + LAST_WORD_MS
    while (!(await holds()) && performance.now() < untilMs) {
      this.#options.signal.throwIfAborted()
      await sleep(50)
    }
  }

  /** Kills and cuts, as they follow from the seed; each weather lasts a while. */
  async #weather(signal: AbortSignal): Promise<void> {
    const { faults, seed } = this.#options
    const everyMs = WEATHER_MS[faults]
    if (everyMs === 0) return
    for (let n = 0; ; n++) {
      await sleep(everyMs, undefined, { signal })
      const drawn = chance(seed, 'weather', n)
      const whom = SITES[Math.floor(chance(seed, 'whom', n) * SITES.length)] as SiteName
      if (drawn < 0.3) this.#sites.kill(whom, AWAY_MS)
      this.#cut = drawn < 0.3 || drawn > 0.8 ? [] : drawn < 0.45 ? SITES : [whom]
      if (this.#cut.length > 0) this.#counts.cuts += 1
      this.#sites.cut(this.#cut)
    }
  }

  /** Until all read the same, three times in a row, or the bound has passed; the audit then says so. */
  async #settled(): Promise<{ dumps: readonly SiteDump[]; settledMs: number | null }> {
    const startMs = performance.now()
    const { mode, without, signal } = this.#options
    const untilMs = startMs + SETTLE_MS[mode === 'naive' || without !== undefined ? 'broken' : 'holdfast']
    let same = 0
    let before = ''
    for (;;) {
      signal.throwIfAborted()
      const dumps = await this.#sites.dump()
      const texts = new Set(dumps?.map(({ readings }) => JSON.stringify(normal(readings))))
      const now = [...texts].join()
      same = texts.size === 1 && now === before ? same + 1 : 0
      before = now
      if (dumps !== undefined && same >= 3) return { dumps, settledMs: performance.now() - startMs }
      if (dumps !== undefined && performance.now() > untilMs) return { dumps, settledMs: null }
      await sleep(250)
    }
  }
}

function normal(readings: SiteDump['readings']): unknown {
  return readings
    .filter(({ versions, total }) => versions.length > 0 || total > 0)
    .map(({ key, versions, total }) => [key, [...versions].sort(), total])
    .sort()
}
