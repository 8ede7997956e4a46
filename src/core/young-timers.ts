/** One of this length may be `YOUNG_MS` late; a shorter one has its timer at once. */
const LONG_MS = 1_000

/** How old an alarm gets before it is given a timer, and so how late it may be. */
export const YOUNG_MS = 10

interface Armable {
  arm(): void
}

let young: Armable[] = []
let sweeping = false
const plainSetTimeout = globalThis.setTimeout

/**
 * Calls `arm` of what is still there in `YOUNG_MS`, by one timer for all of that time. Most transactions and answers are
 * over before, and a timer of its own was a third of what a transaction of SQLite runs beside its statements; after each
 * wait for the disk that code is slow, since the caches are cold by then.
 *
 * False for a short one, and where timers are replaced (fake ones of a test, those of the explorer): there each has its own, in its own context.
 */
export function armWhenOlder(one: Armable, ms: number): boolean {
  if (ms < LONG_MS || globalThis.setTimeout !== plainSetTimeout) return false
  young.push(one)
  if (!sweeping) {
    sweeping = true
    setTimeout(sweep, YOUNG_MS)
  }
  return true
}

/** Lets go of it where that costs nothing; else it must do nothing when it is armed after its end. */
export function forget(one: Armable): void {
  if (young.at(-1) === one) young.pop()
}

function sweep(): void {
  sweeping = false
  const grown = young
  young = []
  for (const one of grown) one.arm()
}
