// What the tours in JavaScript share: see led.py.
'use strict'

const tour = JSON.parse(process.env.TOUR)
const STRAVA = 'https://www.strava.com'

const led = (url) => url && url.startsWith(STRAVA) ? tour.url + url.slice(STRAVA.length) : url

const SCOPE = 'read,read_all,profile:read_all,profile:write,activity:read,activity:read_all,activity:write'
const GPX = `<?xml version="1.0"?><gpx version="1.1" creator="tour"><trk><trkseg>
<trkpt lat="47.4" lon="8.0"><ele>400</ele><time>2026-01-01T08:00:00Z</time></trkpt>
<trkpt lat="47.4" lon="8.001"><ele>401</ele><time>2026-01-01T08:01:00Z</time></trkpt>
</trkseg></trk></gpx>`

const expect = (truth, what) => { if (!truth) throw new Error('expected ' + what) }

async function step (name, work) {
  let error = null
  let result
  try {
    result = await work()
  } catch (failure) {
    const said = failure.data ? ' ' + JSON.stringify(failure.data) : ''
    error = `${failure.name}: ${failure.message}${said}`.slice(0, 600)
  }
  console.log(JSON.stringify({ step: name, error }))
  return result
}

async function each (name, ids, get) {
  return await step(name, async () => {
    const found = []
    for (const id of ids) found.push(await get(id))
    return found
  }) || []
}

async function approve (url) {
  const page = await (await fetch(led(url))).text()
  const form = new URLSearchParams({ action: 'authorize' })
  for (const [, name, value] of page.matchAll(/name="(request_id|athlete_id|scope)" value="([^"]+)"/g)) {
    form.append(name, value)
  }
  const answer = await fetch(led(url), { method: 'POST', body: form, redirect: 'manual' })
  return new URL(answer.headers.get('location')).searchParams.get('code')
}

function run (main) {
  main().catch((error) => {
    console.log(JSON.stringify({ step: 'the tour', error: String(error) }))
    process.exitCode = 1
  })
}

module.exports = { tour, led, SCOPE, GPX, expect, step, each, approve, run }
