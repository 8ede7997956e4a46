/** Fails when the run that a vitest JSON report tells of skipped anything: in CI every server is there. */
import { readFileSync } from 'node:fs'

const report = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const skipped = report.testResults.flatMap(({ name, assertionResults }) =>
  assertionResults
    .filter(({ status }) => status !== 'passed' && status !== 'failed')
    .map(({ fullName, status }) => `${name}: ${fullName} (${status})`),
)
for (const line of skipped) console.error(line)
if (report.numTotalTests === 0) console.error('no test ran')
process.exit(skipped.length > 0 || report.numTotalTests === 0 ? 1 : 0)
