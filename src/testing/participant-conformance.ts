import { checkOptions, isDuration, optionsOf } from '../core/options.ts'
import { ConformanceClient, conformanceChecks } from '../participant/index.ts'
import { checkSuite, type TestKit } from './test-kit.ts'

/**
 * What every HTTP participant must do, in whatever language it is written, as a suite that runs against a URL. The
 * service offers `POST <url>/step` and `GET <url>/accounts/<id>` as docs/reference/participants.md says.
 */
export function describeParticipantConformance(
  kit: Pick<TestKit, 'describe' | 'it'>,
  name: string,
  url: () => string | Promise<string>,
  options: { readonly timeoutMs?: number } = {},
): void {
  checkSuite('describeParticipantConformance', kit, name, url)
  const { describe, it } = kit
  const { timeoutMs = 10_000 } = optionsOf('describeParticipantConformance', options)
  checkOptions('describeParticipantConformance', options, ['timeoutMs'], [isDuration('timeoutMs', timeoutMs)])
  describe(`participant conformance: ${name}`, () => {
    for (const check of conformanceChecks) {
      it(check.name, async () => check.run(new ConformanceClient(await url(), timeoutMs)))
    }
  })
}
