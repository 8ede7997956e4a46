/**
 * A named place between two effects. Production code calls `failpoint('outbox.relay.published')`; nothing happens
 * unless `holdfast/testing` has armed the name, so the cost is one comparison.
 */
export type FailpointHook = (name: string) => void | Promise<void>

let hook: FailpointHook | undefined

/** Installs the hook that `holdfast/testing` arms failpoints with; `undefined` disarms all. */
export function setFailpointHook(next: FailpointHook | undefined): void {
  hook = next
}

export function failpoint(name: string): void | Promise<void> {
  return hook === undefined ? undefined : hook(name)
}

/** For code that must stay synchronous; an asynchronous reaction to this place is not waited for. */
export function failpointSync(name: string): void {
  hook?.(name)
}
