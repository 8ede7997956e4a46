import type { Race } from './race.ts'

/** The races that a file exports as default: one or an array. Empty where it exports something else. */
export function racesOf(module: { readonly default?: unknown }): readonly Race[] {
  // A file of a package without "type": "module" comes wrapped once more.
  const given = (module.default as { default?: unknown } | undefined)?.default ?? module.default
  const races = [given].flat() as (Race | undefined)[]
  return races.some((race) => race?.definition?.tasks === undefined) ? [] : (races as Race[])
}
