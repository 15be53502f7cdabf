package participant_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/jetsaga/jetsaga/projections/idempotency"
	"github.com/jetsaga/jetsaga/projections/participant"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/testutil"
)

func TestMain(m *testing.M) {
	logging.Disable() // of connections that tests break on purpose
	os.Exit(testutil.NoLeaks(m.Run)())
}

// newStore gives a store, and what takes its Redis away.
func newStore(t testing.TB) (s *idempotency.Store, away func()) {
	t.Helper()
	m := testutil.MiniRedis(t)
	rdb := redis.NewClient(&redis.Options{Addr: m.Addr(), MaxRetries: -1})
	t.Cleanup(func() { _ = rdb.Close() })
	s, err := idempotency.New(idempotency.Config{Redis: rdb})
	if err != nil {
		t.Fatal(err)
	}
	return s, m.Close
}

// reply is an answer, of either kind.
type reply struct {
	code, body, retryAfter string
	replayed               bool
	header                 string // of the handler's own
}

// payments is a service that counts what it does, behind either of the two.
type payments struct {
	done    atomic.Int64
	answers func(body string) (code int, text string)
	entered chan struct{} // told when a request that says "wait" has come
	leave   chan struct{} // closed to let it go on
}

func (p *payments) serve(body string) (code int, text string) {
	n := p.done.Add(1)
	if body == "wait" {
		p.entered <- struct{}{}
		<-p.leave
	}
	code, text = p.answers(body)
	return code, text + " " + strconv.FormatInt(n, 10)
}

// kinds are the ways to call the service: with a key, and data.
var kinds = map[string]func(t *testing.T, s *idempotency.Store, p *payments, opts ...participant.Option) func(key, body string) reply{
	"http": func(t *testing.T, s *idempotency.Store, p *payments, opts ...participant.Option) func(key, body string) reply {
		t.Helper()
		server := httptest.NewServer(participant.HTTP(s, opts...)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			data, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			w.Header().Set("Receipt", "7")
			code, text := p.serve(string(data))
			w.WriteHeader(code)
			_, _ = io.WriteString(w, text)
		})))
		t.Cleanup(server.Close)
		client := server.Client()
		return func(key, body string) reply {
			r, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodPost, server.URL+"/pay", strings.NewReader(body))
			if err != nil {
				t.Error(err)
				return reply{}
			}
			if key != "" {
				r.Header.Set(participant.Header, key)
			}
			got, err := client.Do(r)
			if err != nil {
				t.Error(err)
				return reply{}
			}
			defer func() { _ = got.Body.Close() }()
			data, _ := io.ReadAll(got.Body)
			return reply{
				strconv.Itoa(got.StatusCode), strings.TrimSpace(string(data)), got.Header.Get("Retry-After"),
				got.Header.Get(participant.ReplayedHeader) != "", got.Header.Get("Receipt"),
			}
		}
	},
	"micro": func(t *testing.T, s *idempotency.Store, p *payments, opts ...participant.Option) func(key, body string) reply {
		t.Helper()
		server := testutil.NATS(t)
		conn := testutil.Connect(t, server)
		service, err := micro.AddService(conn, micro.Config{Name: "payments", Version: "1.0.0"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = service.Stop() })
		handler := participant.Micro(t.Context(), s, micro.HandlerFunc(func(r micro.Request) {
			code, text := p.serve(string(r.Data()))
			header := micro.WithHeaders(micro.Headers{"Receipt": {"7"}})
			if code != http.StatusOK {
				_ = r.Error(strconv.Itoa(code), "no", []byte(text), header)
				return
			}
			_ = r.Respond([]byte(text), header)
		}), opts...)
		// One request at a time is served by a subscription: those that wait have their own.
		for _, subject := range []string{"pay", "pay.again"} {
			err := service.AddEndpoint(strings.ReplaceAll(subject, ".", "-"), micro.HandlerFunc(func(r micro.Request) { handler.Handle(onPay{r}) }), micro.WithEndpointSubject(subject))
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := conn.Flush(); err != nil { // the server knows the endpoints before anyone calls
			t.Fatal(err)
		}
		nc := testutil.Connect(t, server)
		var calls atomic.Int64
		return func(key, body string) reply {
			m := nats.NewMsg([]string{"pay", "pay.again"}[calls.Add(1)%2])
			m.Data = []byte(body)
			if key != "" {
				m.Header.Set(participant.Header, key)
			}
			got, err := nc.RequestMsg(m, 10*time.Second)
			if err != nil {
				t.Error(err)
				return reply{}
			}
			code, text := got.Header.Get(micro.ErrorCodeHeader), string(got.Data)
			if code == "" {
				code = "200"
			} else if text == "" {
				text = got.Header.Get(micro.ErrorHeader)
			}
			return reply{code, text, got.Header.Get("Retry-After"), got.Header.Get(participant.ReplayedHeader) != "", got.Header.Get("Receipt")}
		}
	},
}

// onPay is a request as if it had come on the one subject.
type onPay struct{ micro.Request }

func (onPay) Subject() string { return "pay" }

func each(t *testing.T, test func(t *testing.T, s *idempotency.Store, away func(), p *payments, call func(key, body string) reply)) {
	t.Helper()
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			p := &payments{
				entered: make(chan struct{}), leave: make(chan struct{}),
				answers: func(string) (int, string) { return http.StatusOK, "paid" },
			}
			s, away := newStore(t)
			test(t, s, away, p, kind(t, s, p, participant.MaxBody(1000)))
		})
	}
}

func TestARepeatedRequestIsAnsweredAsTheFirstWas(t *testing.T) {
	each(t, func(t *testing.T, _ *idempotency.Store, _ func(), p *payments, call func(key, body string) reply) {
		if got, want := call("k", "10 EUR"), (reply{"200", "paid 1", "", false, "7"}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		for range 2 {
			if got, want := call("k", "10 EUR"), (reply{"200", "paid 1", "", true, "7"}); got != want {
				t.Errorf("again: got %+v, want %+v", got, want)
			}
		}
		if got := call("k", "20 EUR"); got.code != "422" || !strings.Contains(got.body, "new key") {
			t.Errorf("another request with the key: %+v", got)
		}
		if got := call("k2", "10 EUR"); got.body != "paid 2" {
			t.Errorf("another key: %+v", got)
		}
		if p.done.Load() != 2 {
			t.Errorf("it was done %d times, want 2", p.done.Load())
		}
	})
}

func TestARefusalIsKeptAndAnOutageIsNot(t *testing.T) {
	each(t, func(t *testing.T, _ *idempotency.Store, _ func(), p *payments, call func(key, body string) reply) {
		code := http.StatusPaymentRequired
		p.answers = func(string) (int, string) { return code, "answer" }
		first := call("refused", "x")
		code = http.StatusOK
		if again := call("refused", "x"); first.code != "402" || again.code != "402" || again.body != first.body || !again.replayed {
			t.Errorf("got %+v, then %+v; want the refusal again", first, again)
		}
		for _, passing := range []int{408, 409, 425, 429, 500, 503} {
			code = passing
			key := strconv.Itoa(passing)
			first = call(key, "x")
			code = http.StatusOK
			if again := call(key, "x"); first.code != key || again.code != "200" || again.replayed {
				t.Errorf("got %+v, then %+v; want another attempt", first, again)
			}
		}
	})
}

func TestARequestThatComesMeanwhileIsToComeAgain(t *testing.T) {
	each(t, func(t *testing.T, _ *idempotency.Store, _ func(), p *payments, call func(key, body string) reply) {
		first := make(chan reply)
		go func() { first <- call("k", "wait") }()
		<-p.entered
		if got := call("k", "wait"); got.code != "409" || got.retryAfter != "1" {
			t.Errorf("meanwhile: %+v, want 409 and when to come again", got)
		}
		close(p.leave)
		if got := <-first; got.body != "paid 1" {
			t.Errorf("the first: %+v", got)
		}
		if got := call("k", "wait"); got.body != "paid 1" || !got.replayed {
			t.Errorf("afterwards: %+v", got)
		}
	})
}

func TestWhatIsWrongWithARequestIsSaid(t *testing.T) {
	each(t, func(t *testing.T, _ *idempotency.Store, away func(), p *payments, call func(key, body string) reply) {
		for _, c := range []struct{ key, body, code, text string }{
			{"", "x", "400", participant.Header},
			{"a b", "x", "400", participant.Header},
			{strings.Repeat("k", 129), "x", "400", participant.Header},
			{"k", strings.Repeat("x", 1001), "413", "1000 bytes"},
		} {
			if got := call(c.key, c.body); got.code != c.code || !strings.Contains(strings.ReplaceAll(got.body, "at most 1000", "1000 bytes"), c.text) {
				t.Errorf("key %q with %d bytes: %+v, want %s and %q", c.key, len(c.body), got, c.code, c.text)
			}
		}
		away()
		if got := call("k", "x"); got.code != "503" || got.retryAfter != "1" {
			t.Errorf("without Redis: %+v, want 503 and when to come again", got)
		}
		if p.done.Load() != 0 {
			t.Errorf("it was done %d times", p.done.Load())
		}
	})
}

func TestRequestsWithoutAKeyMayPass(t *testing.T) {
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			p := &payments{answers: func(string) (int, string) { return http.StatusOK, "paid" }}
			s, _ := newStore(t)
			call := kind(t, s, p, participant.Optional())
			if first, second := call("", "x"), call("", "x"); first.body != "paid 1" || second.body != "paid 2" {
				t.Errorf("got %+v, then %+v", first, second)
			}
		})
	}
}

func TestAPanicOfTheHandlerFreesTheKey(t *testing.T) {
	s, _ := newStore(t)
	failing := true
	handler := participant.HTTP(s)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if failing {
			panic(errors.New("no"))
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	call := func() (code int, panicked any) {
		defer func() { panicked = recover() }()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/pay", strings.NewReader("x"))
		r.Header.Set(participant.Header, "k")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w.Code, nil
	}
	if _, panicked := call(); panicked == nil {
		t.Error("the panic is gone")
	}
	failing = false
	if code, _ := call(); code != http.StatusAccepted {
		t.Errorf("the next request: %d", code)
	}
}

func TestAnotherQueryIsAnotherRequest(t *testing.T) {
	s, _ := newStore(t)
	done := 0
	handler := participant.HTTP(s)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		done++
		_, _ = io.WriteString(w, r.URL.RawQuery)
	}))
	for _, c := range []struct {
		url, body string
		code      int
	}{
		{"/pay?to=a", "x", 200}, {"/pay?to=a", "x", 200}, {"/pay?to=b", "x", 422}, {"/pay?to=a", "y", 422}, {"/pay", "x", 422}, {"/pay?", "x", 422},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, c.url, strings.NewReader(c.body))
		r.Header.Set(participant.Header, "k")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != c.code || w.Code == http.StatusOK && w.Body.String() != "to=a" {
			t.Errorf("%s with %s: %d, %q; want %d", c.url, c.body, w.Code, w.Body, c.code)
		}
	}
	if done != 1 {
		t.Errorf("it was done %d times, want once", done)
	}
}

func TestAStepSendsItsKey(t *testing.T) {
	info := saga.Info{Key: saga.Key{Definition: "d", ID: "1"}, Run: "r", Step: "pay", Attempt: 2}
	ctx := saga.NewContext(t.Context(), info)
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/pay", nil)
	participant.SetHTTP(ctx, r)
	var m nats.Msg
	participant.SetNATS(ctx, &m)
	if r.Header.Get(participant.Header) != info.IdempotencyKey() || m.Header.Get(participant.Header) != info.IdempotencyKey() {
		t.Errorf("the headers are %q and %q, want %q", r.Header.Get(participant.Header), m.Header.Get(participant.Header), info.IdempotencyKey())
	}
}
