/** What users throw: anything, also what throws when it is looked at. */

/** How deep libraries put an error into their own. */
const DEPTH_MAX = 5
/** Under these names they do. */
const WITHIN = ['cause', 'driverError', 'original'] as const
/** By these an error is matched. */
const MATCHED = ['code', 'errcode', 'rawCode', 'outcome', 'deadlock', 'step', 'problems'] as const

/** What was thrown, or an error in its place where it throws when it is looked at: a Proxy, a getter, a `toString`. */
export function tame(thrown: unknown): unknown {
  try {
    lookAt(thrown, 0)
    return thrown
  } catch {
    return new Error('what was thrown cannot be looked at: its getters, its toString or a Proxy throw')
  }
}

/** Its message, or it as a text. */
export function messageOf(thrown: unknown): string {
  const tamed = tame(thrown)
  return tamed instanceof Error ? String(tamed.message) : String(tamed)
}

function lookAt(thrown: unknown, depth: number): void {
  if ((typeof thrown !== 'object' && typeof thrown !== 'function') || thrown === null || depth > DEPTH_MAX)
    return
  const values = thrown as Record<string, unknown>
  for (const name of MATCHED) void values[name]
  if (thrown instanceof Error) void `${thrown.name}: ${thrown.message}${thrown.stack}`
  else String(thrown)
  for (const name of WITHIN) lookAt(values[name], depth + 1)
}
