// Follows events with AWS's own client library (@aws-amplify/api-graphql). Standard input is one JSON object:
//   packages   folder whose node_modules holds the library and ws
//   endpoint   https://host:port/event: this library speaks TLS alone
//   token      of the user
//   channels   to follow
//   forbidden  a channel that this user may not follow
//   wanted     how many events end it
// Prints one line of JSON for the word "ready", for each event, and for what was refused.

import { createRequire } from 'node:module'
import { text } from 'node:stream/consumers'

const { packages, endpoint, token, channels, forbidden, wanted } = JSON.parse(await text(process.stdin))
const require = createRequire(`${packages}/`)
globalThis.WebSocket ??= require('ws')  // Node 20 has none of its own
const { Amplify } = require('@aws-amplify/core')
const { events } = require('@aws-amplify/api-graphql')

const print = (line) => process.stdout.write(`${JSON.stringify(line)}\n`)
const auth = { authMode: 'lambda', authToken: token }
Amplify.configure({ API: { Events: { endpoint, region: 'us-east-1', defaultAuthMode: 'lambda' } } })

let left = wanted
await new Promise((resolve, reject) => {
  const next = (channel) => (told) => {
    print({ channel, event: told.event })
    left -= 1
    if (left === 0) resolve()
  }
  const follow = async () => {
    for (const name of channels) {
      const channel = await events.connect(name, auth)
      await channel.subscribe({ next: next(name), error: reject }, auth).ready
    }
    const other = await events.connect(forbidden, auth)
    const refusal = await new Promise((told) => {
      other.subscribe({ next: reject, error: told }, auth)
    })
    print({ refused: JSON.stringify(refusal).slice(0, 500) })
    print({ ready: true })
  }
  follow().catch(reject)
})
process.exit(0)
