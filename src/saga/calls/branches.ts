/** Branches that run at the same time, each with names and positions of its own. */
import { anySignal } from '../../core/abort.ts'
import { ConfigError } from '../../core/errors.ts'
import { never } from '../activity.ts'
import type { SagaRun } from '../run.ts'
import { undoAll } from '../settle.ts'
import { assertName, type Call, Place } from './place.ts'

/** The code of each branch, which is given what it may call. */
export type Branches = Readonly<Record<string, (at: Place) => Promise<unknown>>>

interface Part {
  readonly key: string
  readonly place: Place
  run(): Promise<unknown>
}

export function callAll(place: Place, name: string, branches: Branches): Promise<unknown> {
  return place.begin('all', name, async (call) => {
    const controller = new AbortController()
    const parts = Object.keys(branches).map((key) => open(place, call, branches, key, controller.signal))
    const settled = parts.map(async (part): Promise<Outcome> => {
      try {
        return { ok: true, value: await part.run() }
      } catch (error) {
        controller.abort(error)
        return { ok: false, error, place: part.place }
      }
    })
    const outcomes = await whileBranchesRun(place.run, Promise.all(settled))
    for (const part of parts) {
      place.lastMs = Math.max(place.lastMs, part.place.lastMs)
      place.met(part.place.lastSeq)
    }
    const failed = firstFailed(outcomes)
    if (failed !== undefined) throw failed.error
    const results = outcomes.map((outcome) => outcome.ok && outcome.value)
    return Object.fromEntries(parts.map(({ key }, i) => [key, results[i]]))
  })
}

type Outcome =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly error: unknown; readonly place: Place }

/**
 * Of the branches that failed, the one that did first by the journal; those that were only stopped come last. When two
 * fail in the same moment a replay may run them in another order, and must throw the same error.
 */
function firstFailed(outcomes: readonly Outcome[]): { readonly error: unknown } | undefined {
  const failed = outcomes.filter((outcome) => !outcome.ok)
  failed.sort(
    (a, b) => Number(a.place.aborted) - Number(b.place.aborted) || a.place.lastSeq - b.place.lastSeq,
  )
  return failed[0]
}

export function callRace(place: Place, name: string, branches: Branches): Promise<unknown> {
  return place.begin('race', name, async (call) => {
    const { run } = place
    const recorded = call.answers[0]
    if (Object.keys(branches).length === 0) throw new ConfigError(`race "${name}"`, ['it has no branches'])
    const controllers = new Map<string, AbortController>()
    const parts = Object.keys(branches).map((key) => {
      const controller = new AbortController()
      controllers.set(key, controller)
      return open(place, call, branches, key, controller.signal)
    })
    let winner: string | undefined =
      recorded === undefined ? undefined : (JSON.parse(recorded.data ?? '""') as string)
    const stopOthers = (): void => {
      for (const [key, controller] of controllers)
        if (key !== winner) controller.abort(new RaceLostError(call.step, winner as string))
    }
    const settled = parts.map(async (part) => {
      const result = await part.run().then(
        (value) => ({ ok: true as const, value }),
        (error: unknown) => ({ ok: false as const, error }),
      )
      if (winner === undefined && !run.abort.aborted) {
        winner = part.key
        const entry = run.append('race', call.step, call.pos, JSON.stringify(part.key))
        place.reach(entry)
        stopOthers()
      } else if (winner === part.key) stopOthers()
      return [part.key, result] as const
    })
    const results = new Map(await whileBranchesRun(run, Promise.all(settled)))
    if (recorded !== undefined) place.reach(recorded)
    if (winner === undefined) throw run.abort.reason
    const lost = run.undos.filter((undo) =>
      parts.some(({ key }) => key !== winner && undo.branch.startsWith(`${call.step}/${key}/`)),
    )
    if (!(await undoAll(run, lost))) return never()
    const won = results.get(winner)
    if (won === undefined) return never()
    if (!won.ok) throw won.error
    return won.value
  })
}

/** Waiting for branches is no work of its own: when they all wait, the saga may be laid down. */
async function whileBranchesRun<T>(run: SagaRun, branches: Promise<T>): Promise<T> {
  run.leave()
  try {
    return await branches
  } finally {
    run.enter()
  }
}

function open(parent: Place, call: Call, branches: Branches, key: string, signal: AbortSignal): Part {
  assertName('branch', key)
  const place = new Place(parent.run, {
    path: `${call.step}/${key}/`,
    signal: anySignal(parent.signal, signal) as AbortSignal,
    forward: parent.forward,
    lastMs: parent.lastMs,
    lastSeq: parent.lastSeq,
  })
  return { key, place, run: async () => branches[key]?.(place) }
}

/** What a branch of a race that lost is aborted with. */
class RaceLostError extends Error {
  override readonly name = 'RaceLostError'
  constructor(step: string, winner: string) {
    super(`branch "${winner}" of "${step}" was first`)
  }
}
