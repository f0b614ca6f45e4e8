/** The games of a configuration. */

import type { Game } from './catalog.ts';
import type { Config } from './config.ts';

/** Returns the configured games, in the sizes that they are to have. */
export function games(config: Pick<Config, 'games' | 'sizes'>, catalogue: ReadonlyMap<string, Game>): Game[] {
  return config.games.flatMap((id) => {
    const game = catalogue.get(id);
    return game === undefined ? [] : [{ ...game, ...config.sizes.get(id) }];
  });
}
