package participant

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/jetsaga/jetsaga/projections/idempotency"
)

// Micro wraps a handler of a NATS micro service: a repeated request is answered as the first one was. A request is repeated where
// subject and the header [Header] are the same. The handler responds before it returns, and once.
//
//   - While the first is being worked on, a repeated one gets the error 409 with the header Retry-After.
//   - With other data under the same key it gets 422.
//   - Errors whose code begins with 5, and 408, 409, 425 and 429, are passed on and not kept: the request may be repeated. A
//     handler that does not respond gives 500.
//   - A request without a key, or with one that is not of printable ASCII, gets 400; see [Optional].
//   - While Redis is away, requests with a key get 503 with Retry-After.
//
// ctx is that of the service: it ends the work of all requests.
func Micro(ctx context.Context, store *idempotency.Store, next micro.Handler, opts ...Option) micro.Handler {
	conf := configure(opts)
	return micro.HandlerFunc(func(r micro.Request) {
		key := r.Headers().Get(Header)
		if key == "" && conf.optional {
			next.Handle(r)
			return
		}
		if f := fault(key); f != "" {
			refuseMicro(r, &refusal{statusBad, f, 0})
			return
		}
		if n := len(r.Data()); n > conf.maxBody {
			refuseMicro(r, &refusal{statusLarge, fmt.Sprintf("the request has %d bytes, at most %d are taken", n, conf.maxBody), 0})
			return
		}
		a, replayed, no := once(ctx, store, "nats/"+digest([]byte(r.Subject()))+"/"+key, r.Data(), func(context.Context) (*answer, bool) {
			recorded := &request{Request: r}
			next.Handle(recorded)
			if recorded.answer == nil {
				return &answer{Code: "500", Text: "the service has not responded"}, false
			}
			return recorded.answer, !passing(recorded.answer.Code) && len(recorded.answer.Body) <= conf.maxBody
		})
		if no != nil {
			refuseMicro(r, no)
			return
		}
		header := micro.Headers{}
		maps.Copy(header, a.Header)
		if replayed {
			header[ReplayedHeader] = []string{"true"}
		}
		// The one who asked may be gone; it will ask again.
		if a.Code != "" {
			_ = r.Error(a.Code, a.Text, a.Body, micro.WithHeaders(header))
			return
		}
		_ = r.Respond(a.Body, micro.WithHeaders(header))
	})
}

func refuseMicro(r micro.Request, no *refusal) {
	var opts []micro.RespondOpt
	if no.retryAfter > 0 {
		opts = append(opts, micro.WithHeaders(micro.Headers{retryHeader: {no.seconds()}}))
	}
	_ = r.Error(strconv.Itoa(no.status), no.text, nil, opts...)
}

// request takes an answer down in place of sending it.
type request struct {
	micro.Request
	answer *answer
}

func (r *request) Respond(data []byte, opts ...micro.RespondOpt) error {
	return r.take(&answer{Body: data}, opts)
}

func (r *request) RespondJSON(v any, opts ...micro.RespondOpt) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding the response: %w", err)
	}
	return r.Respond(data, opts...)
}

func (r *request) Error(code, description string, data []byte, opts ...micro.RespondOpt) error {
	if code == "" || description == "" {
		return micro.ErrArgRequired
	}
	return r.take(&answer{Code: code, Text: description, Body: data}, opts)
}

func (r *request) take(a *answer, opts []micro.RespondOpt) error {
	if r.answer != nil {
		return fmt.Errorf("the request on %s has been answered before", r.Subject())
	}
	m := &nats.Msg{Data: a.Body}
	for _, opt := range opts {
		opt(m)
	}
	a.Body, a.Header = m.Data, m.Header
	r.answer = a
	return nil
}
