export const WAIT_MS = 20_000

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

export async function waitUntil(ready: () => boolean, what: () => string): Promise<void> {
  const endMs = performance.now() + WAIT_MS
  while (!ready()) {
    if (performance.now() > endMs) throw new Error(`gave up waiting for ${what()}`)
    await sleep(5)
  }
}
