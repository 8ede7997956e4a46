import type { Command, ForeignCommand } from './command.ts'
import { check } from './commands/check.ts'
import { deadLetterCommands } from './commands/dead-letters.ts'
import { demo } from './commands/demo.ts'
import { doctor } from './commands/doctor.ts'
import { idCommands } from './commands/id.ts'
import { lockCommands } from './commands/locks.ts'
import { migrateCommand } from './commands/migrate.ts'
import { participantCheck } from './commands/participant.ts'
import { raceCommand } from './commands/race.ts'
import { replicaCommands } from './commands/replicas.ts'
import { sagaCommands } from './commands/sagas.ts'
import { status } from './commands/status.ts'
import { twoPhaseCommands } from './commands/two-phase.ts'

/** The command table, in the order of the help. */
export const commands: readonly (Command | ForeignCommand)[] = [
  demo,
  migrateCommand,
  raceCommand,
  status,
  ...deadLetterCommands,
  ...sagaCommands,
  ...twoPhaseCommands,
  ...lockCommands,
  ...replicaCommands,
  participantCheck,
  ...idCommands,
  check,
  doctor,
]
