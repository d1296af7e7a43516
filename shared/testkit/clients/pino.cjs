// Logs every entry of a file with pino and pino-loki, in its worker thread as its documentation has it.
//
// In: the server's URL, the entries that `compare.py` wrote. Out: pushes, all of them answered when it ends. pino-loki prints what
// fails and goes on; the comparison finds what is missing.

const fs = require('node:fs')
const path = require('node:path')

const [url, file] = process.argv.slice(2)
// Installed elsewhere than this file lies.
const installed = name => path.join(process.env.CLIENTS_NODE, 'node_modules', name)
const pino = require(installed('pino'))

const transport = pino.transport({
  target: installed('pino-loki/dist/index.cjs'),
  options: {
    host: url,
    batching: { interval: 1 },
    labels: { client: 'pino-loki', place: 'barn "3"' },
    propsToLabels: ['shelf']
  }
})
const logger = pino({ level: 'debug' }, transport)
const entries = JSON.parse(fs.readFileSync(file, 'utf8'))
for (const entry of entries) {
  logger[entry.level]({ shelf: entry.shelf, meta: { order: entry.order, count: 3, nested: { a: 1 } } }, entry.line)
}
transport.end()
