// What can be booked at a site, as its schedules say.

/** @typedef {{id: string, title: string, durationMinutes: number, bufferBefore?: number, bufferAfter?: number, resources?: string[]}} Service */
/** @typedef {{resource: string, title: string, timeZone: string, stepMinutes?: number, horizonDays?: number, services?: Service[]}} Schedule */

/**
 * One service, and the schedules of the resources that offer it. Without an `id` it is a plain appointment at
 * a site whose schedules have no services.
 * @typedef {{id: string, title: string, minutes: number[], offeredBy: Schedule[]}} Offer
 */

/**
 * Return the services of a site, each once.
 * @param {Schedule[]} schedules
 * @param {string} plainTitle the title of an appointment without a service
 * @returns {Offer[]}
 */
export function offersOf(schedules, plainTitle) {
  /** @type {Map<string, Offer>} */
  const offers = new Map();
  for (const schedule of schedules) {
    for (const { id, title, durationMinutes } of schedule.services ?? []) {
      const offer = offers.get(id) ?? { id, title, minutes: [], offeredBy: [] };
      offers.set(id, offer);
      offer.offeredBy.push(schedule);
      if (!offer.minutes.includes(durationMinutes)) offer.minutes.push(durationMinutes);
    }
  }
  if (offers.size || !schedules.length) return [...offers.values()];
  const minutes = Math.max(...schedules.map((schedule) => schedule.stepMinutes ?? 15));
  return [{ id: "", title: plainTitle, minutes: [minutes], offeredBy: schedules }];
}

/** The service of a schedule that an offer means. @param {Offer} offer @param {Schedule} schedule */
const serviceOf = (offer, schedule) => schedule.services?.find((service) => service.id === offer.id);

/**
 * Return the resources that a booking of an offer needs at one resource.
 * @param {Offer} offer @param {Schedule} schedule
 */
export const needed = (offer, schedule) => [schedule.resource, ...(serviceOf(offer, schedule)?.resources ?? [])];

/**
 * Return the time around a slot that a booking covers with its buffers, in Unix ms.
 * @param {Offer} offer @param {Schedule} schedule @param {string} slot
 * @returns {[number, number]}
 */
export function covered(offer, schedule, slot) {
  const service = serviceOf(offer, schedule);
  const minutes = service?.durationMinutes ?? offer.minutes[0];
  const at = Date.parse(slot);
  return [at - (service?.bufferBefore ?? 0) * 60000, at + (minutes + (service?.bufferAfter ?? 0)) * 60000];
}

/**
 * Return the fields by which free slots, holds and bookings name what is wanted.
 * @param {Offer} offer
 */
export const fieldsOf = (offer) => (offer.id ? { service: offer.id } : { durationMinutes: offer.minutes[0] });
