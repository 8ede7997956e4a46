import { CliError } from './cli-error.ts'
import { EXIT } from './command.ts'

/**
 * A driver that only who needs it has installed.
 * @throws CliError naming the package to install
 */
export async function loadDriver<T extends object>(name: string, service: string): Promise<T> {
  try {
    const module = (await import(name)) as { readonly default?: T } & T
    return module.default ?? module
  } catch (cause) {
    throw new CliError(
      'DRIVER_MISSING',
      EXIT.unreachable,
      `the driver for ${service} is not installed: run "npm install ${name}"`,
      { cause },
    )
  }
}
