import type { RawClient } from './intercept-pg.ts'
import type { DriverClient, Op } from './task.ts'

/** How long answers take here, so that the server is asked who waits only when an answer is late. */
export class Pace {
  #usualMs = 0.15

  note(ms: number): void {
    this.#usualMs += (Math.min(ms, 5) - this.#usualMs) / 16
  }

  get lookAfterMs(): number {
    return Math.min(2, Math.max(0.2, this.#usualMs * 2))
  }
}

/** Who may hold a lock, as far as the driver tells; and who waits for whom, as the server says. */
export class LockWatch {
  readonly #control: RawClient
  /** The task of each connection that was used in this schedule. */
  readonly #taskOf = new Map<DriverClient, string>()
  readonly #holding = new Set<DriverClient>()
  /** Connections with locks that outlive their transactions. */
  readonly #keeps = new Set<DriverClient>()

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
  answered({ client }: Op): void {
    if (client?.getTransactionStatus?.() === 'I' && !this.#keeps.has(client)) this.#holding.delete(client)
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

  /** The tasks that hold up this session; undefined when the server does not say that it waits for one of ours. */
  async blockers(pid: number): Promise<string[] | undefined> {
    const ours = [...this.#taskOf.keys()].flatMap(({ processID }) => processID ?? [])
    const { rows } = await this.#control.query(
      `select pg_catalog.pg_isolation_test_session_is_blocked($1, $2) as blocked, pg_catalog.pg_blocking_pids($1) as pids`,
      [pid, ours],
    )
    const [row] = rows as { blocked: boolean; pids: number[] }[]
    if (row?.blocked !== true) return undefined
    const names = row.pids.flatMap(
      (blocker) => [...this.#taskOf].find(([client]) => client.processID === blocker)?.[1] ?? [],
    )
    return [...new Set(names)].sort()
  }
}
