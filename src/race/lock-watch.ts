import type { RawClient } from './intercept-pg.ts'
import { asNobody, type DriverClient, type Op } from './task.ts'

/** How long answers take here, so that the server is asked who waits only when an answer is late. */
export class Pace {
  #usualMs = 0.15
  readonly #blocked = new Set<string>()
  /** True once a statement waited for a lock that no text told of: from then on the server is asked about every one. */
  hidden = false

  answered(text: string, ms: number): void {
    this.#usualMs += (Math.min(ms, 5) - this.#usualMs) / 16
    if (this.#blocked.size > TEXTS_MAX) this.#blocked.clear()
    this.#blocked.delete(text)
  }

  blocked(text: string, hidden: boolean): void {
    this.#blocked.add(text)
    this.hidden ||= hidden
  }

  /** A statement that waited the last time is likely to wait again, so it is asked about early. */
  lookAfterMs(text: string): number {
    return this.#blocked.has(text)
      ? Math.min(1, this.#usualMs / 2)
      : Math.min(2, Math.max(0.2, this.#usualMs * 2))
  }
}

/** Texts remembered as having waited; more are forgotten together. */
const TEXTS_MAX = 1_000

/** Statements that keep whatever lock their transaction holds, when they leave it open and in order. */
const KEEPS_LOCKS = /^\s*(select|insert|update|delete|merge|with|values|begin|start|savepoint|lock|set)\b/i
/** What a session waits for when only the end of a transaction can let it go. A tuple's lock may be given up earlier. */
const UNTIL_END = new Set(['transactionid', 'relation'])

const BLOCKED = {
  name: 'holdfast_race_blocked',
  text: `
    select b.pids, case when b.pids is not null then (select a.wait_event from pg_catalog.pg_stat_get_activity($1) a) end as event
    from (select case when pg_catalog.pg_isolation_test_session_is_blocked($1, $2) then pg_catalog.pg_blocking_pids($1) end as pids
          offset 0) b`,
}

/** Who may hold a lock, as far as the driver tells; and who waits for whom, as the server says. */
export class LockWatch {
  readonly #control: RawClient
  /** The task of each connection that was used in this schedule. */
  readonly #taskOf = new Map<DriverClient, string>()
  readonly #holding = new Set<DriverClient>()
  /** Connections with locks that outlive their transactions. */
  readonly #keeps = new Set<DriverClient>()

  /** How often something happened that may have released a lock. */
  #releases = 0
  /** Statements that wait for the end of a transaction, and `#releases` when the server said so. */
  readonly #untilEnd = new WeakMap<Op, number>()

  constructor(control: RawClient) {
    this.#control = control
  }

  sent(task: string, { client, text }: Op): void {
    if (client === undefined) return
    this.#taskOf.set(client, task)
    this.#holding.add(client)
    if (/advisory|prepare\s+transaction/i.test(text)) this.#keeps.add(client)
  }

  /** Where the driver does not say whether a transaction is open, it is taken to be. */
  answered({ client, text }: Op): void {
    if (client === undefined) return
    const status = client.getTransactionStatus?.()
    if (status === 'I' && !this.#keeps.has(client)) this.#holding.delete(client)
    if (status !== 'T' || !KEEPS_LOCKS.test(text)) this.#releases += 1
  }

  /** True where a statement that was seen to wait cannot have been let go since: no transaction has ended. */
  stillWaits(op: Op): boolean {
    for (const { _ending, _ended } of this.#taskOf.keys()) if (_ending || _ended) return false
    return this.#untilEnd.get(op) === this.#releases
  }

  /**
   * Whether another connection can hold a lock: it is in a transaction, or has a statement under way, or has asked for a
   * lock that outlives transactions. BEGIN and ROLLBACK wait for nobody.
   */
  mayWait({ client, text }: Op): boolean {
    if (/^\s*(begin|start\s+transaction|rollback|savepoint|release|set)\b/i.test(text)) return false
    for (const other of this.#holding) if (other !== client) return true
    return false
  }

  /**
   * Rolls back what ended tasks left open: code that forgets ROLLBACK on its way out gives its connection back inside a
   * transaction, whose locks would hold up the `setup` of the next schedule for ever.
   */
  async rollBackLeft(): Promise<void> {
    const left = [...this.#taskOf.keys()].filter(
      (client) =>
        client._ending !== true &&
        client._ended !== true &&
        /^[TE]$/.test(client.getTransactionStatus?.() ?? ''),
    )
    await Promise.all(left.map((client) => asNobody(() => (client as RawClient).query('rollback'))))
  }

  /** The tasks that hold up this session; undefined when the server does not say that it waits for one of ours. */
  async blockers(op: Op, pid: number): Promise<string[] | undefined> {
    const releases = this.#releases
    const ours = [...this.#taskOf.keys()].flatMap(({ processID }) => processID ?? [])
    const { rows } = await this.#control.query({ ...BLOCKED, values: [pid, ours] })
    const [row] = rows as { pids: number[] | null; event: string | null }[]
    if (row?.pids == null) return undefined
    if (UNTIL_END.has(row.event ?? '')) this.#untilEnd.set(op, releases)
    const names = row.pids.flatMap(
      (blocker) => [...this.#taskOf].find(([client]) => client.processID === blocker)?.[1] ?? [],
    )
    return [...new Set(names)].sort()
  }
}
