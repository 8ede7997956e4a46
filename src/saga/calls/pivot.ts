import { never } from '../activity.ts'
import type { AttemptContext } from '../attempt.ts'
import type { ForwardOptions } from '../context.ts'
import { confirmAll } from '../settle.ts'
import { commonSpec, perform } from './perform.ts'
import type { Place } from './place.ts'

/** Gives the place behind the pivot, with the step's result; nothing can be called at the one before it any more. */
export function callPivot(
  place: Place,
  name: string,
  work: (context: AttemptContext) => unknown,
  options: ForwardOptions = {},
): Promise<{ readonly forward: Place; readonly result: unknown }> {
  return place.begin('step', name, async (call) => {
    place.assertRoot('pivot', name)
    const result = await perform(place, call, {
      ...commonSpec(name, options, null),
      phase: 'do',
      pivot: true,
      attempt: async (context) => ({ value: await work(context) }),
      undo: undefined,
    })
    place.close('pivot')
    if (!(await confirmAll(place.run, call.step))) return never()
    return { forward: place.behindPivot(place.run.abort), result }
  })
}
