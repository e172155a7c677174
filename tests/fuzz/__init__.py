"""A fuzzer of the gateway and the workers: any bytes over HTTP and NATS get an answer, and break nothing."""
