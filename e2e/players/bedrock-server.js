// A Minecraft Bedrock server (bedrock-protocol) that lets people in and keeps nothing. Arguments: its port.
import { bedrock, VERSION } from './raknet.js'

const server = bedrock.createServer({
  host: '0.0.0.0',
  port: Number(process.argv[2]),
  version: VERSION,
  offline: true,
  maxPlayers: 20,
  motd: { motd: 'Dormouse', levelName: 'Dormouse' },
})
console.log('listening')
server.on('connect', (client) => {
  let name = 'somebody'
  client.on('join', () => {
    name = client.profile?.name ?? name
    console.log(`${name} joined`)
    client.write('resource_packs_info', {
      must_accept: false,
      has_addons: false,
      has_scripts: false,
      force_server_packs: false,
      behaviour_packs: [],
      texture_packs: [],
      resource_pack_links: [],
    })
  })
  client.on('close', () => console.log(`${name} left`))
  client.on('error', (error) => console.log(`error: ${error.message}`))
})
