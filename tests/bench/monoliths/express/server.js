// The usual monolith on Node: Express, Mongoose and ioredis in one process.
'use strict';

const { randomUUID } = require('node:crypto');
const express = require('express');
const Redis = require('ioredis');
const mongoose = require('mongoose');

const HOLD_SECONDS = 300;
const ISO_8601 =
  /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.(\d{1,9}))?)?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/;
const BOOKED = { error: 'Slot already booked' };
const HELD = { error: 'Slot is currently held by another user' };

const schema = new mongoose.Schema({
  slot: { type: Date, required: true, unique: true },
  patientName: { type: String, required: true, maxlength: 200 },
  status: { type: String, required: true, default: 'booked' },
  createdAt: { type: Date, required: true, default: () => new Date() },
});
const Appointment = mongoose.model('Appointment', schema);
const redis = new Redis(process.env.REDIS_URL);

class Invalid extends Error {}

function read(body) {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new Invalid('Body must be a JSON object');
  }
  const { slot, patientName, ...others } = body;
  if (!slot || !patientName) throw new Invalid('Missing slot or patientName');
  if (Object.keys(others).length) throw new Invalid('Unknown field');
  const match = typeof slot === 'string' && ISO_8601.exec(slot);
  const instant = match ? new Date(slot) : null;
  if (!match || Number.isNaN(instant.getTime())) {
    throw new Invalid('slot must be an ISO 8601 time with an offset');
  }
  if (/[1-9]/.test((match[1] || '').slice(3))) {
    throw new Invalid('slot must not be finer than a millisecond');
  }
  const name = typeof patientName === 'string' ? patientName.normalize('NFC').trim() : '';
  if (name.length < 1 || name.length > 200 || /\p{Cc}/u.test(name)) {
    throw new Invalid('patientName must have 1 to 200 characters');
  }
  return { slot: instant, patientName: name, key: `hold:${instant.toISOString()}` };
}

const isBooked = (slot) => Appointment.exists({ slot, status: 'booked' });

const app = express();
app.use(express.json({ limit: '16kb' }));

app.get('/readyz', (_request, response) => response.json({ status: 'ready' }));

app.post('/api/book-appointment', async (request, response) => {
  const { slot, patientName, key } = read(request.body);
  const held = await redis.get(key);
  if (held && JSON.parse(held).patientName !== patientName) {
    return response.status(409).json((await isBooked(slot)) ? BOOKED : HELD);
  }
  let booking;
  try {
    booking = await Appointment.create({ slot, patientName });
  } catch (error) {
    if (error.code === 11000) return response.status(409).json(BOOKED);
    throw error;
  }
  if (held) await redis.del(key);
  return response.status(201).json({
    message: 'Booking confirmed',
    appointment: { id: booking.id, slot, patientName, status: booking.status, createdAt: booking.createdAt },
  });
});

app.post('/api/hold-appointment', async (request, response) => {
  const { slot, patientName, key } = read(request.body);
  if (await isBooked(slot)) return response.status(409).json(BOOKED);
  const token = randomUUID();
  const set = await redis.set(key, JSON.stringify({ token, patientName }), 'EX', HOLD_SECONDS, 'NX');
  if (set === null) return response.status(409).json(HELD);
  const expiresAt = new Date(Date.now() + HOLD_SECONDS * 1000);
  return response.json({ message: 'Slot held for 5 minutes', hold: { token, slot, expiresAt } });
});

app.use((error, _request, response, _next) => {
  if (error instanceof Invalid) return response.status(400).json({ error: error.message });
  return response.status(error.status || 503).json({ error: 'Not executed' });
});

async function main() {
  await mongoose.connect(process.env.MONGO_URI, { w: 'majority', journal: true });
  await Appointment.init(); // the unique index
  const server = app.listen(Number(process.env.PORT), process.env.HOST);
  process.once('SIGTERM', () => {
    server.closeAllConnections();
    process.exit(0);
  });
}

main();
