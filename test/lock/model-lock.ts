import type { LockMode, LockRequest } from 'holdfast/lock'

export interface ModelEntry {
  readonly holder: string
  readonly mode: LockMode
  readonly limit: number
  readonly token: bigint
  leftMs: number
}

/** A lock by the rule of docs/design/0003-locks.md, as a plain list. */
export class ModelLock {
  token = 0n
  #entries: ModelEntry[] = []

  running(): ModelEntry[] {
    return this.#entries.filter(({ leftMs }) => leftMs > 0)
  }

  ask({ holder, mode, limit, ttlMs }: LockRequest, wait: boolean) {
    this.#entries = this.running()
    const mine = this.#entries.find((entry) => entry.holder === holder)
    if (mine !== undefined) mine.leftMs = ttlMs
    else if (wait || (this.#entries.length < limit && this.#entries.every((entry) => entry.mode === mode)))
      this.#entries.push({ holder, mode, limit, token: ++this.token, leftMs: ttlMs })
    const index = this.#entries.findIndex((entry) => entry.holder === holder)
    if (index < 0) return { answered: 'refused', token: undefined }
    if (!this.#holds(this.#entries, index)) return { answered: 'waiting', token: undefined }
    return { answered: 'held', token: this.#entries[index]?.token }
  }

  /** An entry that has ended is there until somebody asks. */
  release({ holder }: LockRequest): boolean {
    const before = this.#entries.length
    this.#entries = this.#entries.filter((entry) => entry.holder !== holder)
    return this.#entries.length < before
  }

  renew({ holder, ttlMs }: LockRequest): boolean {
    const mine = this.running().find((entry) => entry.holder === holder)
    if (mine !== undefined) mine.leftMs = ttlMs
    return mine !== undefined
  }

  expel(): string[] {
    const running = this.running()
    const holders = running.filter((_, i) => this.#holds(running, i)).map(({ holder }) => holder)
    this.#entries = this.#entries.filter(({ holder }) => !holders.includes(holder))
    return holders
  }

  passTime(ms: number): void {
    for (const entry of this.#entries) entry.leftMs -= ms
  }

  #holds(entries: readonly ModelEntry[], index: number): boolean {
    const me = entries[index] as ModelEntry
    return index < me.limit && entries.slice(0, index).every(({ mode }) => mode === me.mode)
  }
}
