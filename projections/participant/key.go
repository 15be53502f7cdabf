package participant

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/nats-io/nats.go"

	"github.com/jetsaga/jetsaga/saga"
)

// Header is the name of the header, of HTTP and of NATS, that bears the idempotency key:
// draft-ietf-httpapi-idempotency-key-header.
const Header = "Idempotency-Key"

// ReplayedHeader is on an answer that was given before.
const ReplayedHeader = "Idempotency-Replayed"

// retryHeader is RFC 9110's, on a refusal that will not last.
const retryHeader = "Retry-After"

// maxKey is the longest key that is taken, in bytes.
const maxKey = 128

// DefaultMaxBody is the largest request and the largest answer, in bytes, unless [MaxBody] says otherwise.
const DefaultMaxBody = 512 << 10

// SetHTTP has a request bear the idempotency key of the step whose context is given.
func SetHTTP(ctx context.Context, r *http.Request) {
	r.Header.Set(Header, saga.FromContext(ctx).IdempotencyKey())
}

// SetNATS has a message bear the idempotency key of the step whose context is given.
func SetNATS(ctx context.Context, m *nats.Msg) {
	if m.Header == nil {
		m.Header = nats.Header{}
	}
	m.Header.Set(Header, saga.FromContext(ctx).IdempotencyKey())
}

// config is what options say.
type config struct {
	optional bool
	maxBody  int
}

// Option changes how a handler is wrapped.
type Option func(*config)

// Optional lets requests without an idempotency key pass, as they would without the wrapper. Default: they are refused.
func Optional() Option { return func(c *config) { c.optional = true } }

// MaxBody is the largest request that is taken, and the largest answer that is kept, in bytes. The store has to take a third
// more, since it keeps bodies in base64. Default: [DefaultMaxBody].
func MaxBody(n int) Option { return func(c *config) { c.maxBody = n } }

func configure(opts []Option) config {
	c := config{maxBody: DefaultMaxBody}
	for _, opt := range opts {
		opt(&c)
	}
	return c
}

// fault tells what is wrong with a key; empty where nothing is.
func fault(key string) string {
	if key == "" {
		return "the header " + Header + " is missing: send a key that is the same whenever the request is repeated"
	}
	if len(key) > maxKey {
		return fmt.Sprintf("the header %s has %d bytes, at most %d are allowed", Header, len(key), maxKey)
	}
	for i := range len(key) {
		if key[i] <= ' ' || key[i] > '~' {
			return "the header " + Header + " must be of printable ASCII without blanks"
		}
	}
	return ""
}

// answer is what is kept of an answer.
type answer struct {
	Status int                 `json:"status,omitempty"` // of HTTP
	Code   string              `json:"code,omitempty"`   // of a NATS service's error
	Text   string              `json:"text,omitempty"`   // of that error
	Header map[string][]string `json:"header,omitempty"`
	Body   []byte              `json:"body,omitempty"`
	// Request is a digest of the request that was answered.
	Request string `json:"request"`
}

func digest(request []byte) string {
	sum := sha256.Sum256(request)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// otherRequest is why a key is refused that came with another request.
const otherRequest = "the idempotency key was used for another request: take a new key for each"

// readAnswer reads what was kept.
func readAnswer(data []byte) (*answer, error) {
	var a answer
	if err := json.Unmarshal(data, &a); err != nil {
		return nil, fmt.Errorf("the answer that was kept cannot be read: %w", err)
	}
	return &a, nil
}
