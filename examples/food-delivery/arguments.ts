import { type ParseArgsConfig, parseArgs } from 'node:util'
import { failpointNames } from 'holdfast/testing'
import { FAULT_LEVELS, type FaultLevel } from './shared/faults.ts'

/** Wrong usage; the message is one sentence. */
export class UsageError extends Error {}

/** What every flow of the demo is told in the same words. */
export interface CommonOptions<Mechanism extends string> {
  readonly help: boolean
  readonly orders: number
  readonly seed: number
  readonly faults: FaultLevel
  /** One run by itself; undefined for both. */
  readonly only: 'holdfast' | 'naive' | undefined
  /** What the run with Holdfast does without. */
  readonly without: Mechanism | undefined
  readonly json: boolean
}

/** The options of `CommonOptions`, and `--verbose`, which `holdfast demo` looks for before it knows the flow. */
export const COMMON_OPTIONS = {
  orders: { type: 'string' },
  seed: { type: 'string' },
  faults: { type: 'string' },
  only: { type: 'string' },
  without: { type: 'string' },
  json: { type: 'boolean' },
  verbose: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const

/** What was given on the command line, checked option by option. */
export class Arguments {
  readonly #values: Record<string, string | boolean | undefined>

  /** @param help the command that explains the options @throws UsageError for what is not among them */
  constructor(argv: readonly string[], options: NonNullable<ParseArgsConfig['options']>, help: string) {
    try {
      const { values } = parseArgs({ args: [...argv], strict: true, options })
      this.#values = values as Record<string, string | boolean | undefined>
    } catch (error) {
      const [sentence = ''] = (error as Error).message.split(/[.\n]/)
      const [, name] = /^Option '--([\w-]+).*' argument is ambiguous/.exec(sentence) ?? []
      const said =
        name === undefined
          ? `${sentence[0]?.toLowerCase() ?? ''}${sentence.slice(1)}`
          : `--${name} needs a value, which does not begin with -`
      throw new UsageError(`${said}: run "${help}"`)
    }
  }

  flag(name: string): boolean {
    return this.#values[name] === true
  }

  text(name: string): string | undefined {
    return this.#values[name] as string | undefined
  }

  /** @throws UsageError */
  whole(name: string, { fallback, min, max }: { fallback: number; min: number; max: number }): number {
    const text = this.text(name)
    if (text === undefined) return fallback
    const value = Number(text)
    if (/^\d+$/.test(text) && value >= min && value <= max) return value
    throw new UsageError(`--${name} must be a whole number from ${min} to ${max}, got "${text}"`)
  }

  /** @throws UsageError */
  oneOf<Choice extends string>(name: string, choices: readonly Choice[]): Choice | undefined {
    const text = this.text(name)
    if (text === undefined || choices.includes(text as Choice)) return text as Choice | undefined
    throw new UsageError(`--${name} must be one of ${choices.join(', ')}, got "${text}"`)
  }

  /** Names of failpoints, with commas between them. @throws UsageError */
  failpoints(name: string): string[] {
    const text = this.text(name)
    if (text === undefined) return []
    const list = text.split(',').map((part) => part.trim())
    const unknown = list.find((part) => !failpointNames.includes(part))
    if (unknown === undefined) return list
    throw new UsageError(
      `--${name} takes names of failpoints with commas between them, and "${unknown}" is none: docs/reference/failpoints.md lists them`,
    )
  }

  /** @throws UsageError, with `otherwise`: what happens without the option */
  postgresUrl(name: string, otherwise: string): string | undefined {
    const text = this.text(name)
    if (text === undefined) return undefined
    if (/^postgres(ql)?:\/\//i.test(text) && URL.canParse(text)) return text
    // The text may hold a password, so it is not repeated.
    throw new UsageError(`--${name} must be postgres://user@host/database; leave it out for ${otherwise}`)
  }

  /** `COMMON_OPTIONS`, with the flow's own defaults and mechanisms. @throws UsageError */
  common<Mechanism extends string>({
    orders,
    faults,
    mechanisms,
  }: {
    readonly orders: number
    readonly faults: FaultLevel
    readonly mechanisms: readonly Mechanism[]
  }): CommonOptions<Mechanism> {
    const only = this.oneOf('only', ['holdfast', 'naive'])
    const without = this.oneOf('without', mechanisms)
    if (without !== undefined && only === 'naive')
      throw new UsageError('--without takes a mechanism from the run with Holdfast: leave out --only naive')
    return {
      help: this.flag('help'),
      orders: this.whole('orders', { fallback: orders, min: 1, max: 100_000 }),
      seed: this.whole('seed', { fallback: 1, min: 0, max: 2 ** 32 - 2 }),
      faults: this.oneOf('faults', Object.keys(FAULT_LEVELS) as FaultLevel[]) ?? faults,
      only,
      without,
      json: this.flag('json'),
    }
  }
}
