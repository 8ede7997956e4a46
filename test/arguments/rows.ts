/** How a call is spoilt: what is wrong in every place, and the rows that say what is right. */
import { isHoldfastError } from 'holdfast'

/** What a caller without types may hand in. `a call without it` leaves the argument and those after it out. */
export const WRONG = {
  'left out': undefined,
  undefined: undefined,
  null: null,
  'a number': 7.5,
  'a text': 'no\0such',
  'an empty object': {},
  'a bare object': Object.create(null) as object,
  'an array': [],
  'a function': () => {},
  'a symbol': Symbol('wrong'),
} as const
export type Wrong = keyof typeof WRONG

/** One argument of a call: a right value, and which of the wrong ones are right here. */
export interface Place {
  readonly right: unknown
  readonly takes: readonly Wrong[]
  /** Set for options: they are known by name, and each of them is spoilt as well, but for those that take anything. */
  readonly options?: { readonly anything: readonly string[] }
}

/** An argument that has to be there. */
export function must(right: unknown, ...takes: readonly Wrong[]): Place {
  return { right, takes }
}

/** An argument that may be left out. */
export function may(right: unknown, ...takes: readonly Wrong[]): Place {
  return { right, takes: ['left out', 'undefined', ...takes] }
}

/** Options that may be left out, since each has a default. */
export function options(right: object = {}, ...anything: readonly string[]): Place {
  return {
    right,
    takes: ['left out', 'undefined', 'an empty object', 'a bare object'],
    options: { anything },
  }
}

/** Options of which some have to be given. */
export function required(right: object, ...anything: readonly string[]): Place {
  return { right, takes: [], options: { anything } }
}

/** An argument of which any value is right: a payload, an initial value, what was thrown. */
export function anything(right: unknown = 1): Place {
  return { right, takes: Object.keys(WRONG) as Wrong[] }
}

/** A call that takes no arguments, or in which none can be wrong. */
export const NOTHING: readonly Place[] = []

/** Why a call is in no row. */
export class Not {
  readonly why: string
  constructor(why: string) {
    this.why = why
  }
}

export type Row = readonly Place[] | Not

export interface Call {
  readonly title: string
  readonly given: readonly unknown[]
}

/** Every way to spoil a call, one at a time. */
export function spoilt(places: readonly Place[]): Call[] {
  const calls: Call[] = []
  const rights = places.map((place) => place.right)
  for (const [i, { takes, right, options }] of places.entries()) {
    const at = `argument ${i + 1}`
    for (const [name, value] of Object.entries(WRONG) as [Wrong, unknown][]) {
      if (takes.includes(name)) continue
      const given = name === 'left out' ? rights.slice(0, i) : rights.with(i, value)
      calls.push({ title: `${at} is ${name}`, given })
    }
    if (options !== undefined)
      calls.push({
        title: `${at} has an unknown option`,
        given: rights.with(i, { ...(right as object), noSuchOption: 1 }),
      })
  }
  return calls
}

/** The same with each option spoilt that `known` names. */
export function spoiltOptions(places: readonly Place[], i: number, known: readonly string[]): Call[] {
  const { right, options } = places[i] as Place
  const rights = places.map((place) => place.right)
  return known
    .filter((name) => !options?.anything.includes(name))
    .map((name) => ({
      title: `option ${name} is a symbol`,
      given: rights.with(i, { ...(right as object), [name]: Symbol('wrong') }),
    }))
}

const TIME_MS = 3_000

/** What became of a call, in a word: `refused`, or what is wrong with how it ended. */
export async function outcomeOf(
  call: () => unknown,
): Promise<{ readonly word: string; readonly error?: Error }> {
  let timer: NodeJS.Timeout | undefined
  try {
    const late = new Promise<string>((resolve) => {
      timer = setTimeout(resolve, TIME_MS, 'did not end')
    })
    const called = Promise.resolve(call()).then((value) => {
      // A part that runs, or something that holds a connection: it was started, and must not outlive the test.
      void (value as Partial<AsyncDisposable> | null | undefined)?.[Symbol.asyncDispose]?.()
      return 'was taken'
    })
    return { word: await Promise.race([called, late]) }
  } catch (error) {
    const known = isHoldfastError(error) && error.outcome === 'not-applied'
    return known ? { word: 'refused', error } : { word: `threw ${String(error)}`, error: error as Error }
  } finally {
    clearTimeout(timer)
  }
}

/** The names that a refusal of an unknown option lists. */
export function knownOptions(error: Error | undefined): string[] {
  const [, list] = /unknown option "noSuchOption" \(known: ([^)]*)\)/.exec(error?.message ?? '') ?? []
  return list === undefined ? [] : list.split(', ').filter((name) => name !== '')
}

/** Spoils a call in every way, and gives what was not refused as it should be. */
export async function notRefused(
  call: (...given: never[]) => unknown,
  places: readonly Place[],
): Promise<string[]> {
  const problems: string[] = []
  const run = async ({ title, given }: Call): Promise<Error | undefined> => {
    const { word, error } = await outcomeOf(() => call(...(given as never[])))
    if (word !== 'refused') problems.push(`${title}: ${word}`)
    return error
  }
  for (const one of spoilt(places)) await run(one)
  for (const [i, { options, right }] of places.entries()) {
    if (options === undefined) continue
    const given = places.map((place) => place.right).with(i, { ...(right as object), noSuchOption: 1 })
    const { error } = await outcomeOf(() => call(...(given as never[])))
    if (!/unknown (option|field) "noSuchOption"/.test(error?.message ?? ''))
      problems.push(
        `argument ${i + 1} has an unknown option, which the error does not name: ${error?.message}`,
      )
    for (const one of spoiltOptions(places, i, knownOptions(error))) await run(one)
  }
  return problems
}

/** The functions that an object has, its own and those of its class. */
export function methodsOf(object: object): string[] {
  const names = new Set<string>()
  for (
    let at: object | null = object;
    at !== null && at !== Object.prototype;
    at = Object.getPrototypeOf(at)
  ) {
    if (at === Function.prototype || at === EventTarget.prototype) break
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(at)))
      if (typeof value === 'function' && name !== 'constructor') names.add(name)
  }
  return [...names].sort()
}
