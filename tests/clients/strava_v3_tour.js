// strava-v3 of npm: all of it.
'use strict'

const strava = require('strava-v3')
const { axiosInstance, setBaseURL } = require('strava-v3/axiosUtility')
const fs = require('fs')
const path = require('path')
const { tour, led, SCOPE, GPX, expect, step, each, approve, run } = require('./led.js')

setBaseURL(tour.url + '/api/v3/')
axiosInstance.interceptors.request.use((config) => ({ ...config, url: led(config.url) }))

async function main () {
  strava.config({
    client_id: String(tour.client_id),
    client_secret: tour.client_secret,
    redirect_uri: 'http://localhost:3000/callback'
  })
  const tokens = await step('connect', async () => {
    const url = strava.oauth.getRequestAccessURL({ scope: SCOPE, state: 's' })
    const tokens = await strava.oauth.getToken(await approve(url))
    expect(tokens.athlete.id === tour.athlete_id, 'the athlete beside the tokens')
    return tokens
  })
  const renewed = await step('renew', () => strava.oauth.refreshToken(tokens.refresh_token))
  const client = new strava.client(renewed.access_token)

  const athlete = await step('athlete', () => client.athlete.get({}))
  await step('update athlete', async () => {
    const updated = await client.athlete.update({ weight: 71.5 })
    expect(updated.weight === 71.5, 'the new weight')
  })
  await step('zones', () => client.athlete.listZones({}))
  await step('stats', () => client.athletes.stats({ id: athlete.id }))
  await each('gear', [...athlete.bikes, ...athlete.shoes].map((gear) => gear.id), (id) => client.gear.get({ id }))
  await step('routes', () => client.athlete.listRoutes({}))
  const activities = await step('activities', async () => {
    const found = []
    for (let page = 1; ; page++) {
      const some = await client.athlete.listActivities({ page, per_page: 50 })
      if (some.length === 0) return found
      found.push(...some)
    }
  })
  expect(activities.length === tour.activities, 'all activities')
  const details = await each('activity', activities.map((one) => one.id),
    (id) => client.activities.get({ id, include_all_efforts: true }))
  const tracks = activities.filter((one) => one.map && one.map.summary_polyline).slice(0, 20).map((one) => one.id)
  await each('laps', tracks, (id) => client.activities.listLaps({ id }))
  await each('activity zones', tracks, (id) => client.activities.listZones({ id }))
  await each('comments', tracks, (id) => client.activities.listComments({ id }))
  await each('kudos', tracks, (id) => client.activities.listKudoers({ id }))
  await each('streams', tracks, (id) => client.streams.activity({ id, keys: ['time', 'latlng'], key_by_type: true }))

  const efforts = details.flatMap((detail) => detail.segment_efforts || [])
  expect(efforts.length, 'efforts')
  const segments = [...new Set(efforts.map((effort) => String(effort.segment.id)))].slice(0, 10)
  await each('segment', segments, (id) => client.segments.get({ id }))
  await each('star', segments.slice(0, 2), async (id) => {
    const segment = await client.segments.starSegment({ id, starred: true })
    expect(segment.starred === true, 'a starred segment')
  })
  await step('starred', () => client.segments.listStarred({}))
  await each('efforts of a segment', segments, (id) => client.segments.listEfforts({ id, per_page: 10 }))
  await step('explore', () => client.segments.explore({ bounds: '46.0,7.0,48.0,9.0', activity_type: 'riding' }))
  await each('effort', efforts.slice(0, 10).map((effort) => String(effort.id)), (id) => client.segmentEfforts.get({ id }))
  await each('effort streams', efforts.slice(0, 5).map((effort) => String(effort.id)),
    (id) => client.streams.effort({ id, keys: ['time', 'distance'], key_by_type: true }))
  await each('segment streams', segments,
    (id) => client.streams.segment({ id, keys: ['distance', 'altitude'], key_by_type: true }))

  const clubs = await step('clubs', () => client.athlete.listClubs({})) || []
  const clubIds = clubs.map((club) => club.id)
  await each('club', clubIds, (id) => client.clubs.get({ id }))
  await each('club members', clubIds, (id) => client.clubs.listMembers({ id }))
  await each('club admins', clubIds, (id) => client.clubs.listAdmins({ id }))
  await each('club activities', clubIds, (id) => client.clubs.listActivities({ id }))
  // It has no list of an athlete's routes; these are the tour's own request.
  const bearer = { headers: { Authorization: 'Bearer ' + renewed.access_token } }
  const routes = await (await fetch(`${tour.url}/api/v3/athletes/${tour.athlete_id}/routes`, bearer)).json()
  const routeIds = routes.map((route) => route.id_str)
  expect(routeIds.length, 'routes')
  await each('route', routeIds, async (id) => {
    const route = await client.routes.get({ id })
    expect(String(route.id_str) === id, 'the route that was asked for')
  })
  await each('route streams', routeIds, (id) => client.streams.route({ id }))
  await each('route gpx', routeIds, async (id) => {
    expect((await client.routes.getFile({ id, file_type: 'gpx' })).includes('<gpx'), 'GPX')
  })
  await each('route tcx', routeIds, async (id) => {
    expect((await client.routes.getFile({ id, file_type: 'tcx' })).includes('<Training'), 'TCX')
  })

  const made = await step('create activity', () => client.activities.create({
    name: 'By hand', sport_type: 'Run', start_date_local: '2026-01-05T12:00:00Z', elapsed_time: 600, distance: 2000
  })) || {}
  await step('update activity', async () => {
    const updated = await client.activities.update({ id: made.id, name: 'Renamed', commute: true })
    expect(updated.name === 'Renamed' && updated.commute === true, 'a changed activity')
  })
  await step('upload', async () => {
    const file = path.join(tour.folder, 'ride.gpx')
    fs.writeFileSync(file, GPX)
    const upload = await client.uploads.post({ file, data_type: 'gpx', name: 'Uploaded', maxStatusChecks: 20 })
    expect(upload.activity_id, 'an activity')
    return await client.activities.get({ id: String(upload.activity_id) })
  })
  await step('rate limits', async () => {
    const { shortTermLimit, readShortTermUsage } = strava.rateLimiting
    expect(shortTermLimit > 0 && readShortTermUsage > 0, 'limits that were read')
    expect(!strava.rateLimiting.exceeded(), 'room')
  })
  await step('subscriptions', async () => {
    const made = await strava.pushSubscriptions.create({ callback_url: tour.callback, verify_token: 'v' })
    const seen = await strava.pushSubscriptions.list()
    expect(seen.length === 1 && seen[0].id === made.id, 'the subscription that was made')
    await strava.pushSubscriptions.delete({ id: made.id })
    expect((await strava.pushSubscriptions.list()).length === 0, 'no subscription')
  })
  await step('deauthorize', async () => {
    const ended = await strava.oauth.deauthorize({ access_token: renewed.access_token })
    expect(ended.access_token === renewed.access_token, 'the token that ended')
  })
}

run(main)
