import { CliError } from '../cli-error.ts'
import { EXIT, type ForeignCommand } from '../command.ts'
import type { Io } from '../io.ts'

interface DemoModule {
  main(argv: readonly string[], io: Io): Promise<number>
}

/** The food-delivery system, which reads its own options: it is an example that is shipped with the package. */
export const demo: ForeignCommand = {
  name: 'demo',
  summary: 'run four services under faults, without and with Holdfast, and compare what broke',

  async runForeign(argv, io) {
    let example: DemoModule
    try {
      example = (await import(
        new URL('../../examples/food-delivery/main.js', import.meta.url).href
      )) as DemoModule
    } catch (cause) {
      throw new CliError('DEMO_MISSING', EXIT.problem, 'the demo was not built: run "npm run build"', {
        cause,
      })
    }
    return example.main(argv, io)
  },
}
