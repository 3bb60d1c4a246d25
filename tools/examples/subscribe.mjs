// Print the alarms of a running monitor and lose none: node tools/examples/subscribe.mjs [tcp://127.0.0.1:5556]
// Needs the package zeromq (npm install zeromq). docs/bus.md explains topics, fields and requests.
import { Dealer, Subscriber } from "zeromq"

const endpoint = process.argv[2] ?? "tcp://127.0.0.1:5556"
const control = endpoint.startsWith("ipc://")
  ? `${endpoint}.control`
  : endpoint.replace(/\d+$/, (port) => String(Number(port) + 2))
const ANSWER_MS = 3000

const read = new Map() // topic -> { epoch, seq } of the last message that was printed
let begun = "" // the run in which we began: topics of new beds are read from its start
let epoch = "" // the monitor's run now
const runs = new Set() // all runs so far: a late message of an earlier one is in the journal

// One request at a time, each with a socket of its own, so that a late reply is dropped.
async function ask(request) {
  const socket = new Dealer({ linger: 0, receiveTimeout: ANSWER_MS, sendTimeout: ANSWER_MS })
  try {
    socket.connect(control)
    await socket.send(["", JSON.stringify(request)])
    const frames = await socket.receive()
    return JSON.parse(frames.at(-1).toString())
  } catch {
    return { ok: false, error: `no answer from ${control}` }
  } finally {
    socket.close()
  }
}

function print({ time, epoch, seq, alarm }) {
  const { bed, priority, kind, state, text } = alarm
  console.log([time, bed, priority, kind, state, text, `(${epoch} ${seq})`].join(" "))
}

// Messages after our last one, from the journal: of this run and of a killed run before.
async function recover(topic) {
  for (;;) {
    const from = read.get(topic)
    const reply = await ask({ op: "since", topic, ...from })
    if (!reply.ok) return console.error(`${topic}: ${reply.error}; asking again`)
    if (!reply.complete) console.error(`${topic}: the monitor no longer has all messages; some are missing`)
    reply.messages.forEach(print)
    read.set(topic, { epoch: reply.data.epoch, seq: reply.data.seq })
    if (!reply.data.more) return
  }
}

// Begin with the current state. A heartbeat has come, so the subscriptions are active: no message is missed between.
async function join(beds) {
  const reply = await ask({ op: "snapshot" })
  if (!reply.ok || reply.epoch !== epoch) return
  begun = epoch
  reply.messages.filter((message) => message.alarm).forEach(print)
  for (const topic of beds.map(alarmsOf)) read.set(topic, { epoch, seq: reply.data.seqs[topic] ?? 0 })
}

const alarmsOf = (bed) => `v1/${bed}/alarm/`

const alarms = new Subscriber({ linger: 0 })
alarms.connect(endpoint)
alarms.subscribe("v1/") // also the heartbeat: it has the last seq of every topic, also of a silent one
for await (const [topicFrame, body] of alarms) {
  const topic = topicFrame.toString()
  const heartbeat = topic === "v1/monitor/heartbeat/"
  if (!heartbeat && !topic.endsWith("/alarm/")) continue
  const message = JSON.parse(body.toString())
  if (runs.has(message.epoch) && message.epoch !== epoch) continue
  runs.add((epoch = message.epoch))
  if (heartbeat) {
    if (!begun) await join(message.beds)
    if (!begun) continue
    for (const name of message.beds.map(alarmsOf)) if (!read.has(name)) read.set(name, { epoch: begun, seq: 0 })
    for (const [name, at] of read) {
      if (at.epoch !== epoch || (message.seqs[name] ?? 0) > at.seq) await recover(name)
    }
  } else if (read.has(topic)) {
    const at = read.get(topic)
    if (at.epoch === epoch && message.seq <= at.seq) continue // sent again for a new subscriber
    if (at.epoch === epoch && message.seq === at.seq + 1) {
      print(message)
      at.seq = message.seq
    } else {
      await recover(topic)
    }
  }
}
