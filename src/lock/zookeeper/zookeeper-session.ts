import type { Clock } from '../../core/clock.ts'
import { within } from '../../core/timer.ts'
import { abandon, forgetHalfPackets } from './driver.ts'
import type { ZookeeperLike, ZookeeperStat } from './zookeeper-client.ts'

const EPHEMERAL_SEQUENTIAL = 3
/** Of ZooKeeper's protocol. */
const [NO_NODE, SESSION_EXPIRED] = [-101, -112]
const CONNECT_MS = 5_000

export interface ZookeeperSessionOptions {
  readonly client: ZookeeperLike
  readonly clock: Clock
  /** The connection was lost, or the session is over: watches that were set may not be heard of any more. */
  readonly onInterrupted: () => void
}

/**
 * One session of one client, with a bound on every answer.
 *
 * A session that does not answer within its own timeout is given up for a new one through another server: the driver does
 * not notice a server that was cut off and would wait for ever.
 */
export class ZookeeperSession {
  /** Rejects when no server was reached in time, or it is closed before. */
  readonly ready: Promise<void>
  readonly #client: ZookeeperLike
  readonly #clock: Clock
  readonly #onInterrupted: () => void
  #connected = false
  #refuse: (error: Error) => void = () => {}
  #over = false

  constructor({ client, clock, onInterrupted }: ZookeeperSessionOptions) {
    this.#client = client
    this.#clock = clock
    this.#onInterrupted = onInterrupted
    forgetHalfPackets(client)
    const connected = new Promise<void>((resolve, reject) => {
      this.#refuse = reject
      client.on('connected', () => {
        this.#connected = true
        resolve()
      })
    })
    this.ready = within(
      clock,
      CONNECT_MS,
      connected,
      () => new Error(`ZooKeeper was not connected within ${CONNECT_MS} ms`),
    )
    this.ready.catch(() => this.close())
    client.on('expired', () => this.#giveUp())
    client.on('authenticationFailed', () => this.#giveUp())
    client.on('disconnected', () => {
      this.#connected = false
      onInterrupted()
    })
    client.connect()
  }

  /** True when it has ended, as far as is known here. */
  get over(): boolean {
    return this.#over
  }

  get timeoutMs(): number {
    return this.#client.getSessionTimeout()
  }

  /** Ends it: the server then removes its nodes, at once where it is connected and else when the session's time is over. */
  close(): void {
    this.#over = true
    if (this.#connected) this.#client.close()
    else abandon(this.#client)
    this.#refuse(new Error('the session was closed before it was connected'))
  }

  /** Makes an ephemeral node whose name ends with the next number; its parent comes to be when it is missing. */
  async createNumbered(parent: string, start: string): Promise<void> {
    for (;;) {
      try {
        await this.#call<string>((done) =>
          this.#client.create(`${parent}/${start}`, Buffer.alloc(0), EPHEMERAL_SEQUENTIAL, done),
        )
        return
      } catch (error) {
        if (codeOf(error) !== NO_NODE) throw error
        await this.#call<string>((done) => this.#client.mkdirp(parent, done))
      }
    }
  }

  /** None where the node itself is missing. */
  async children(path: string): Promise<string[]> {
    try {
      return await this.#call<string[]>((done) => this.#client.getChildren(path, done))
    } catch (error) {
      if (codeOf(error) === NO_NODE) return []
      throw error
    }
  }

  /** Null when it is not there. With `changed`, the same step sets a watch, so that nothing between is missed. */
  stat(path: string, changed?: () => void): Promise<ZookeeperStat | null> {
    return this.#call((done) =>
      changed === undefined ? this.#client.exists(path, done) : this.#client.exists(path, changed, done),
    )
  }

  /** False when it was not there. */
  async remove(path: string): Promise<boolean> {
    try {
      await this.#call<void>((done) => this.#client.remove(path, done))
      return true
    } catch (error) {
      if (codeOf(error) === NO_NODE) return false
      throw error
    }
  }

  /** Removes a node that has no children; whether it did is not waited for. */
  removeIfEmpty(path: string): void {
    this.#client.remove(path, () => {})
  }

  #giveUp(): void {
    this.close()
    this.#onInterrupted()
  }

  #call<T>(start: (done: (error: unknown, value: T) => void) => void): Promise<T> {
    const answer = new Promise<T>((resolve, reject) =>
      start((error, value) => (error ? reject(error) : resolve(value))),
    )
    return within(this.#clock, this.timeoutMs, answer, () => {
      this.#giveUp()
      return new Error('ZooKeeper gave no answer within the time of the session')
    })
  }
}

export function isExpired(error: unknown): boolean {
  return codeOf(error) === SESSION_EXPIRED
}

function codeOf(error: unknown): number | undefined {
  return (error as { code?: number } | undefined)?.code
}
