import type pg from 'pg'

export interface Alteration {
  /** Has to match the whole of what is taken out. */
  readonly find: RegExp
  /** As `String.replace` takes it. */
  readonly put: string
}

/** A pool with one statement changed on its way to the server: the code above it is the code that is shipped. */
export class AlteredPool {
  /** For `postgres(…)`; the explorer gets the pool itself. */
  readonly pool: pg.Pool
  #alteration: Alteration | undefined
  #count = 0

  constructor(pool: pg.Pool) {
    // One for each connection: the store knows a connection again by it.
    const clients = new WeakMap<pg.PoolClient, pg.PoolClient>()
    this.pool = over(pool, 'connect', async () => {
      const client = await pool.connect()
      const altering = clients.get(client) ?? this.#altering(client)
      clients.set(client, altering)
      return altering
    })
  }

  use(alteration: Alteration): void {
    this.#alteration = alteration
    this.#count = 0
  }

  /** How often the statement went out altered since `use`. */
  get count(): number {
    return this.#count
  }

  #altering(client: pg.PoolClient): pg.PoolClient {
    return over(client, 'query', (of, given, ...rest) => {
      if (typeof given === 'object') this.#alter(given)
      return of.query(given, ...rest)
    })
  }

  #alter(sent: { text: string; name?: string | undefined }): void {
    const { find, put } = this.#alteration ?? { find: /(?!)/, put: '' }
    const text = sent.text.replace(find, put)
    if (text === sent.text) return
    this.#count += 1
    sent.text = text
    // A name stands for one text.
    sent.name = undefined
  }
}

// biome-ignore lint/suspicious/noExplicitAny: pg overloads its methods over callbacks, configs and submittables
type Any = any

/** The object, with one method replaced. */
function over<T extends object>(
  target: T,
  name: keyof T,
  method: (target: Any, ...given: Any[]) => unknown,
): T {
  return new Proxy(target, {
    get(of, property) {
      if (property === name) return (...given: Any[]) => method(of, ...given)
      const value = Reflect.get(of, property, of)
      return typeof value === 'function' && property !== 'Client' ? value.bind(of) : value
    },
  })
}
