// What a page does with the API. The types in api.d.ts are made of gateway/docs/openapi.json by openapi-typescript.
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

type Appointment = components["schemas"]["Appointment"];
type Wish = components["schemas"]["SlotRequest"];

export class Refused extends Error {
  constructor(readonly status: number, readonly type: string | null, sentence: string) {
    super(sentence);
  }
}

export class Bookings {
  private readonly api;

  constructor(baseUrl: string) {
    this.api = createClient<paths>({ baseUrl });
  }

  /** Book; the key makes repeating safe, so one that was not answered is repeated. */
  async book(body: Wish, key: string = crypto.randomUUID()): Promise<Appointment> {
    const header = { "Idempotency-Key": key };
    for (let attempt = 1; ; attempt++) {
      const { data, error, response } = await this.api.POST("/api/book-appointment", { body, params: { header } });
      if (data) return data.appointment;
      if (!error.outcome || attempt === 3) throw refused(response, error.error);
      await new Promise((done) => setTimeout(done, 1000 * Number(response.headers.get("Retry-After") ?? 1)));
    }
  }

  async move(id: string, slot: string): Promise<Appointment> {
    const params = { path: { id } };
    const { data, error, response } = await this.api.PATCH("/api/appointments/{id}", { params, body: { slot } });
    if (!data) throw refused(response, error.error);
    return data.appointment;
  }

  async cancel(id: string): Promise<Appointment> {
    const { data, error, response } = await this.api.DELETE("/api/appointments/{id}", { params: { path: { id } } });
    if (!data) throw refused(response, error.error);
    return data.appointment;
  }

  /** A resource's day, page by page. */
  async *day(site: string, resource: string, from: string, to: string): AsyncGenerator<Appointment> {
    let cursor: string | undefined;
    do {
      const query = { site, resource: [resource], from, to, ...(cursor && { cursor }) };
      const { data, error, response } = await this.api.GET("/api/appointments", { params: { query } });
      if (!data) throw refused(response, error.error);
      yield* data.appointments;
      cursor = data.next;
    } while (cursor);
  }
}

function refused(response: Response, sentence: string): Refused {
  return new Refused(response.status, response.headers.get("Error-Type"), sentence);
}
