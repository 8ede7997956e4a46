import { ConfigError } from '../../core/errors.ts'
import type { AttemptContext } from '../attempt.ts'
import type { StepOptions } from '../context.ts'
import { encodeValue } from '../value.ts'
import { commonSpec, perform, wrapUndo } from './perform.ts'
import type { Place } from './place.ts'

/** `(name, work, options)`, or `(name, input, work, options)` with a declared input. */
export function callStep(place: Place, name: string, rest: readonly unknown[]): Promise<unknown> {
  const declared = typeof rest[0] !== 'function'
  const [input, work, options = {}] = (declared ? rest : [undefined, ...rest]) as [
    unknown,
    (context: AttemptContext & { input: unknown }) => unknown,
    StepOptions<unknown, unknown>?,
  ]
  return place.begin('step', name, async (call) => {
    if (typeof work !== 'function') throw new ConfigError(`step "${name}"`, ['the work must be a function'])
    return perform(place, call, {
      ...commonSpec(name, options, declared ? encodeValue(`input of step "${name}"`, input) : null),
      phase: 'do',
      attempt: async (context) => ({
        value: await work(declared ? { ...context, input } : (context as never)),
      }),
      undo: wrapUndo(options.undo, input),
    })
  })
}
