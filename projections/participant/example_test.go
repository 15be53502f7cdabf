package participant_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/jetsaga/jetsaga/projections/idempotency"
	"github.com/jetsaga/jetsaga/projections/participant"
)

// A request that is repeated, since its answer was lost, is answered as before, and charges nothing.
func ExampleHTTP() {
	server := miniredis.NewMiniRedis() // for the example; a service has a Redis of its own
	if err := server.Start(); err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer func() { _ = rdb.Close() }()

	store, err := idempotency.New(idempotency.Config{Redis: rdb, Namespace: "payments"})
	if err != nil {
		fmt.Println(err)
		return
	}
	charge := participant.HTTP(store)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Println("charging")
		_, _ = fmt.Fprint(w, "receipt 1")
	}))

	for range 2 {
		r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/charges", strings.NewReader(`{"cents":1000}`))
		r.Header.Set(participant.Header, "5f0c2d1e") // a step does this with participant.SetHTTP
		w := httptest.NewRecorder()
		charge.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Body, "replayed:", w.Header().Get(participant.ReplayedHeader) != "")
	}
	// Output:
	// charging
	// 200 receipt 1 replayed: false
	// 200 receipt 1 replayed: true
}

func FuzzReadAnswer(f *testing.F) {
	f.Add([]byte(`{"status":200,"header":{"A":["b"]},"body":"eA==","request":"d"}`))
	f.Add([]byte(`{`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := participant.Readable(data); err == nil && len(data) == 0 {
			t.Error("nothing is read as an answer")
		}
	})
}
