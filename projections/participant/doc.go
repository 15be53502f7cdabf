// Package participant makes a service idempotent that sagas call: a request that is repeated with the idempotency key of the one
// before is answered as that one was, and has no further effect. There are a middleware for net/http and a wrapper for handlers of
// NATS micro services; both keep answers in an [idempotency.Store].
//
// A step sends its key with [SetHTTP] or [SetNATS].
package participant
