// A Minecraft Java server (flying-squid) that keeps nothing. Arguments: its port.
import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)
const { createMCServer } = require('flying-squid')

const server = createMCServer({
  ...require('flying-squid/config/default-settings.json'),
  host: '0.0.0.0',
  port: Number(process.argv[2]),
  version: '1.16.5',
  motd: 'Dormouse',
  'online-mode': false,
  logging: false,
  generation: { name: 'superflat', options: {} },
  'view-distance': 2,
  worldFolder: undefined,
})
server.on('newPlayer', (player) => {
  player.on('spawned', () => console.log(`${player.username} joined`))
})
server.on('error', (error) => console.log(`error: ${error.message}`))
