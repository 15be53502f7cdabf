package participant

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/jetsaga/jetsaga/projections/idempotency"
)

// HTTP gives a middleware that answers a repeated request as the first one was answered. A request is repeated where method,
// path and the header [Header] are the same.
//
//   - While the first is being worked on, a repeated one gets 409 (Conflict) with Retry-After.
//   - With another body or another query under the same key it gets 422.
//   - Answers of 500 to 599, and 408, 409, 425 and 429, are passed on and not kept: the request may be repeated.
//   - A request without a key, or with one that is not of printable ASCII, gets 400; see [Optional].
//   - While Redis is away, requests with a key get 503 with Retry-After.
//
// The handler's answer is sent when it is complete: a handler that streams does not suit.
func HTTP(store *idempotency.Store, opts ...Option) func(http.Handler) http.Handler {
	conf := configure(opts)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			key := r.Header.Get(Header)
			if key == "" && conf.optional {
				next.ServeHTTP(w, r)
				return
			}
			if f := fault(key); f != "" {
				refuseHTTP(w, &refusal{statusBad, f, 0})
				return
			}
			body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(conf.maxBody)))
			if err != nil {
				refuseHTTP(w, unreadable(err, conf.maxBody))
				return
			}
			a, replayed, no := once(r.Context(), store, "http/"+digest([]byte(r.Method+" "+r.URL.Path))+"/"+key, asked(r, body), func(ctx context.Context) (*answer, bool) {
				again := r.WithContext(ctx)
				again.Body = io.NopCloser(bytes.NewReader(body))
				recorded := &recorder{header: http.Header{}}
				next.ServeHTTP(recorded, again)
				a := recorded.answer()
				return a, !passing(strconv.Itoa(a.Status)) && len(a.Body) <= conf.maxBody
			})
			if no != nil {
				refuseHTTP(w, no)
				return
			}
			maps.Copy(w.Header(), a.Header)
			if replayed {
				w.Header().Set(ReplayedHeader, "true")
			}
			w.WriteHeader(a.Status)
			_, _ = w.Write(a.Body) // the client may be gone
		})
	}
}

// asked gives what has to be the same for a request to be repeated: the query, where there is one, and the body.
func asked(r *http.Request, body []byte) []byte {
	if r.URL.RawQuery == "" {
		return body
	}
	return slices.Concat([]byte("?"+r.URL.RawQuery+"\x00"), body)
}

func unreadable(err error, most int) *refusal {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return &refusal{statusLarge, fmt.Sprintf("the body is larger than %d bytes", most), 0}
	}
	return &refusal{statusBad, "the body cannot be read", 0}
}

func refuseHTTP(w http.ResponseWriter, no *refusal) {
	if no.retryAfter > 0 {
		w.Header().Set(retryHeader, no.seconds())
	}
	http.Error(w, no.text, no.status)
}

// recorder takes an answer down.
type recorder struct {
	header http.Header
	sent   http.Header // as it was when the status was sent
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= http.StatusOK { // what comes before the answer is not passed on
		r.status, r.sent = status, r.header.Clone()
	}
}

func (r *recorder) Write(data []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(data)
}

func (r *recorder) answer() *answer {
	r.WriteHeader(http.StatusOK)
	return &answer{Status: r.status, Header: r.sent, Body: r.body.Bytes()}
}
