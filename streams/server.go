package streams

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// MinServerVersion is the oldest nats-server that the engine runs on. Older ones lack, or were not verified to
// have, what it rests on: see serverFeatures.
const MinServerVersion = "2.15.2"

// serverFeatures is what the engine needs of a server, for the error that refuses one.
const serverFeatures = "message schedules with cancellation by header, per-message TTL, batched direct gets and " +
	"consumer priority groups"

// ServerError tells that the server cannot carry sagas.
type ServerError struct {
	URL     string
	Version string
	Reason  string
	Err     error // what the server said, if it said anything
}

func (e *ServerError) Error() string {
	msg := fmt.Sprintf("NATS server %s (version %s): %s", e.URL, e.Version, e.Reason)
	if e.Err != nil {
		msg += ": " + e.Err.Error()
	}
	return msg
}

func (e *ServerError) Unwrap() error { return e.Err }

// checkServer refuses a server that is too old or has no JetStream for this account.
func checkServer(ctx context.Context, conf Config) error {
	version := conf.Conn.ConnectedServerVersion()
	refuse := func(reason string, err error) error {
		return &ServerError{URL: conf.Conn.ConnectedUrlRedacted(), Version: version, Reason: reason, Err: err}
	}
	if !atLeast(version, MinServerVersion) {
		return refuse(fmt.Sprintf("is older than %s, which is needed for %s", MinServerVersion, serverFeatures), nil)
	}
	_, err := conf.JetStream.AccountInfo(ctx)
	switch {
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return refuse("has no JetStream for this account; start it with -js, or enable it for the account", err)
	case err != nil:
		return refuse("does not answer for JetStream", err)
	}
	return nil
}

// atLeast compares dotted versions; what follows a '-' is not compared.
func atLeast(version, minimum string) bool {
	have, want := versionNumbers(version), versionNumbers(minimum)
	for i := range want {
		if have[i] != want[i] {
			return have[i] > want[i]
		}
	}
	return true
}

func versionNumbers(version string) (numbers [3]int) {
	version, _, _ = strings.Cut(strings.TrimPrefix(version, "v"), "-")
	for i, part := range strings.SplitN(version, ".", len(numbers)) {
		numbers[i], _ = strconv.Atoi(part) // what is no number counts as 0, which refuses
	}
	return numbers
}
