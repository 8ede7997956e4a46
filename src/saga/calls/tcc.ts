import type { Tcc } from '../context.ts'
import { commonSpec, perform, wrapUndo } from './perform.ts'
import type { Place } from './place.ts'

/** Try now; confirm at the pivot or the end, or cancel. */
export function callTcc(place: Place, name: string, phases: Tcc<unknown>): Promise<unknown> {
  return place.begin('step', name, async (call) => {
    place.assertRoot('tcc', name)
    return perform(place, call, {
      ...commonSpec(name, phases, null),
      phase: 'try',
      attempt: async (context) => ({ value: await phases.try(context) }),
      undo: wrapUndo(phases.cancel as never, undefined),
      confirm: (context, result) => phases.confirm({ ...context, input: undefined, result }),
    })
  })
}
