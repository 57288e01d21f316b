// Package server is the HTTP API: it turns requests into calls of the domain and what comes back into responses.
//
// It owns the route table (routes.go), the one place where an error becomes a status (errors.go), the JSON of messages
// (encode.go), rate limits, the OpenAPI document and the pages under /docs, logs of requests and their metrics.
//
// It promises that every answer is either what the OpenAPI document says or an RFC 9457 problem, that
// nothing a client can send ends in a 500, and that no token, password, SQL or stack leaves the process.
//
// It refuses to decide anything: who may see, do or find what is the domain's to say. It holds no state but the rate
// limits, which count in this process only: behind a balancer each server allows the configured rate.
package server
