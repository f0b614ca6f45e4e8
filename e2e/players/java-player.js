// A player of Minecraft Java (mineflayer). Arguments: host, port, name. SIGUSR2: walks from then on; SIGTERM: leaves.
import { createRequire } from 'node:module'

const { createBot } = createRequire(import.meta.url)('mineflayer')

const [host, port, username] = process.argv.slice(2)
const bot = createBot({ host, port: Number(port), username, version: '1.16.5', auth: 'offline', viewDistance: 'tiny' })
bot.once('spawn', () => console.log('spawned'))
bot.on('kicked', (reason) => console.log(`kicked: ${reason}`))
bot.on('error', (error) => console.log(`error: ${error.message}`))
bot.on('end', () => process.exit(0))
process.on('SIGUSR2', () => bot.setControlState('forward', true))
process.on('SIGTERM', () => bot.quit())
