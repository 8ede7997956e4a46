#!/usr/bin/env node
import { processIo } from './io.ts'
import { runCli } from './run-cli.ts'

const exitCode = await runCli(process.argv.slice(2), processIo())
// The command is over once its output is out: a file of the user's that it loaded may have servers and pools open.
for (const stream of [process.stdout, process.stderr]) {
  await new Promise<void>((resolve) => stream.write('', () => resolve()))
}
process.exit(exitCode)
