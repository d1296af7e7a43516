// Logs every entry of a file with winston and winston-loki.
//
// In: the server's URL, the entries that `compare.py` wrote, `json` or `protobuf`. Out: pushes. Fails when one of them does.

const fs = require('node:fs')
const path = require('node:path')

const [url, file, how] = process.argv.slice(2)
// Installed elsewhere than this file lies.
const installed = name => require(path.join(process.env.CLIENTS_NODE, 'node_modules', name))
const winston = installed('winston')
const LokiTransport = installed('winston-loki')

const transport = new LokiTransport({
  host: url,
  json: how === 'json',
  interval: 1,
  labels: { client: `winston-loki-${how}`, place: "barn '3'" },
  format: winston.format.printf(info => info.message),
  onConnectionError: error => {
    console.error(error)
    process.exit(1)
  }
})
const logger = winston.createLogger({ level: 'debug', transports: [transport] })
const entries = JSON.parse(fs.readFileSync(file, 'utf8'))
for (const entry of entries) {
  logger.log({ level: entry.level, message: entry.line, order: entry.order, labels: { shelf: entry.shelf } })
}
transport.flush().then(() => process.exit(0))
