// The patient's page (`/book/{site}`).
