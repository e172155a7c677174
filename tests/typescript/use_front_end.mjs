// Runs the front end against a gateway, and prints what it was told: node use_front_end.mjs URL SITE
import { Bookings, Refused } from "./out/front_end.js";

const [url, site] = process.argv.slice(2);
const bookings = new Bookings(url);
const slot = "2031-05-05T09:00:00.000Z";
const booked = await bookings.book({ slot, patientName: "Ada", site });
const refusal = await bookings.book({ slot, patientName: "Grace", site }).catch((error) => error);
const moved = await bookings.move(booked.id, "2031-05-05T10:00:00.000Z");
const day = [];
for await (const each of bookings.day(site, "default", "2031-05-05T00:00:00Z", "2031-05-06T00:00:00Z")) day.push(each.id);
const cancelled = await bookings.cancel(booked.id);
console.log(
  JSON.stringify({
    refused: refusal instanceof Refused && [refusal.status, refusal.type, refusal.message],
    moved: moved.id === booked.id && moved.slot,
    day: day.length === 1 && day[0] === booked.id,
    cancelled: cancelled.status,
  }),
);
