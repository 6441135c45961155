// strava of npm: all of it.
'use strict'

const { Strava } = require('strava')
const { tour, led, SCOPE, GPX, expect, step, each, approve, run } = require('./led.js')

const ask = globalThis.fetch
globalThis.fetch = (url, options) => ask(led(url), options)

async function main () {
  const config = { client_id: String(tour.client_id), client_secret: tour.client_secret, refresh_token: '' }
  const asked = { client_id: config.client_id, redirect_uri: 'http://localhost', response_type: 'code', scope: SCOPE }
  const connected = await step('connect', async () =>
    await Strava.createFromTokenExchange(config, await approve(`${tour.url}/oauth/authorize?${new URLSearchParams(asked)}`)))
  config.refresh_token = connected.request.token.refresh_token
  const strava = new Strava(config)

  const athlete = await step('athlete, after a renewal of its own', () => strava.athletes.getLoggedInAthlete())
  expect(athlete.id === tour.athlete_id, 'the athlete')
  await step('update athlete', async () => {
    expect((await strava.athletes.updateLoggedInAthlete({ weight: 71.5 })).weight === 71.5, 'the new weight')
  })
  await step('zones', () => strava.athletes.getLoggedInAthleteZones())
  await step('stats', () => strava.athletes.getStats({ id: athlete.id }))
  await each('gear', [...athlete.bikes, ...athlete.shoes].map((gear) => gear.id), (id) => strava.gears.getGearById({ id }))

  const activities = await step('activities', async () => {
    const found = []
    for (let page = 1; ; page++) {
      const some = await strava.activities.getLoggedInAthleteActivities({ page, per_page: 50 })
      if (some.length === 0) return found
      found.push(...some)
    }
  })
  expect(activities.length === tour.activities, 'all activities')
  const details = await each('activity', activities.map((one) => one.id),
    (id) => strava.activities.getActivityById({ id, include_all_efforts: true }))
  const tracks = activities.filter((one) => one.map && one.map.summary_polyline).slice(0, 20).map((one) => one.id)
  await each('laps', tracks, (id) => strava.activities.getLapsByActivityId({ id }))
  await each('activity zones', tracks, (id) => strava.activities.getZonesByActivityId({ id }))
  await each('comments', tracks, (id) => strava.activities.getCommentsByActivityId({ id, page_size: 10 }))
  await each('kudos', tracks, (id) => strava.activities.getKudoersByActivityId({ id, per_page: 10 }))
  await each('streams', tracks, async (id) => {
    const streams = await strava.streams.getActivityStreams({ id, keys: ['time,latlng'] })
    expect(streams.latlng.data.length === streams.time.data.length, 'as many places as times')
  })

  const efforts = details.flatMap((detail) => detail.segment_efforts || [])
  expect(efforts.length, 'efforts')
  // JSON.parse rounds ids beyond 2**53, which those of efforts are.
  const segments = [...new Set(efforts.map((effort) => effort.segment.id))].slice(0, 10)
  await each('segment', segments, (id) => strava.segments.getSegmentById({ id }))
  await each('star', segments.slice(0, 2), async (id) => {
    expect((await strava.segments.starSegment({ id, starred: true })).starred === true, 'a starred segment')
  })
  await step('starred', () => strava.segments.getLoggedInAthleteStarredSegments({ per_page: 10 }))
  await step('explore', () => strava.segments.exploreSegments({ bounds: '46.0,7.0,48.0,9.0', activity_type: 'riding' }))
  await each('efforts of a segment', segments, (id) => strava.segmentEfforts.getEffortsBySegmentId({ segment_id: id }))
  await each('segment streams', segments, (id) => strava.streams.getSegmentStreams({ id, keys: ['distance,altitude'] }))

  const routes = await step('routes', () => strava.routes.getRoutesByAthleteId({ id: athlete.id, per_page: 50 }))
  const routeIds = routes.map((route) => route.id_str)
  expect(routeIds.length, 'routes')
  await each('route', routeIds, (id) => strava.routes.getRouteById({ id }))
  await each('route streams', routeIds, (id) => strava.streams.getRouteStreams({ id }))
  await each('route gpx', routeIds, async (id) => expect((await strava.routes.getRouteAsGPX({ id })).includes('<gpx'), 'GPX'))
  await each('route tcx', routeIds, async (id) => expect((await strava.routes.getRouteAsTCX({ id })).includes('<Training'), 'TCX'))
  const clubs = await step('clubs', () => strava.clubs.getLoggedInAthleteClubs({ per_page: 10 })) || []
  const clubIds = clubs.map((club) => club.id)
  await each('club', clubIds, (id) => strava.clubs.getClubById({ id }))
  await each('club members', clubIds, (id) => strava.clubs.getClubMembersById({ id }))
  await each('club admins', clubIds, (id) => strava.clubs.getClubAdminsById({ id }))
  await each('club activities', clubIds, (id) => strava.clubs.getClubActivitiesById({ id }))
  await step('running races', () => strava.runningRaces.getRunningRaces({ year: 2026 }))

  const made = await step('create activity', () => strava.activities.createActivity({
    name: 'By hand', sport_type: 'Run', start_date_local: '2026-01-05T12:00:00Z', elapsed_time: 600, distance: 2000
  })) || {}
  await step('update activity', async () => {
    const updated = await strava.activities.updateActivityById({ id: made.id, name: 'Renamed', commute: true })
    expect(updated.name === 'Renamed' && updated.commute === true, 'a changed activity')
  })
  await step('upload', async () => {
    const upload = await strava.uploads.createUpload({ file: GPX, data_type: 'gpx', name: 'Uploaded' })
    return await strava.uploads.getUploadById({ uploadId: upload.id })
  })
  await step('rate limits', () => expect(strava.getRateLimit().shortTermUsage > 0, 'limits that were read'))
  await step('subscriptions', async () => {
    const made = await strava.subscriptions.createSubscription({ callback_url: tour.callback, verify_token: 'v' })
    const seen = await strava.subscriptions.getSubscriptions()
    expect(seen.length === 1 && seen[0].id === made.id, 'the subscription that was made')
    await strava.subscriptions.deleteSubscription(made.id)
    expect((await strava.subscriptions.getSubscriptions()).length === 0, 'no subscription')
  })
}

run(main)
