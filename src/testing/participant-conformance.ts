import { ConformanceClient, conformanceChecks } from '../participant/index.ts'
import type { TestKit } from './test-kit.ts'

/**
 * What every HTTP participant must do, in whatever language it is written, as a suite that runs against a URL. The
 * service offers `POST <url>/step` and `GET <url>/accounts/<id>` as docs/reference/participants.md says.
 */
export function describeParticipantConformance(
  { describe, it }: Pick<TestKit, 'describe' | 'it'>,
  name: string,
  url: () => string | Promise<string>,
  { timeoutMs = 10_000 }: { readonly timeoutMs?: number } = {},
): void {
  describe(`participant conformance: ${name}`, () => {
    for (const check of conformanceChecks) {
      it(check.name, async () => check.run(new ConformanceClient(await url(), timeoutMs)))
    }
  })
}
