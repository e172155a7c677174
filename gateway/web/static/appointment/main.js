// One appointment (`/appointments/{id}`).
