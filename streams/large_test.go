package streams_test

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/streams"
	"github.com/jetsaga/jetsaga/testutil"
)

// startLarge starts sagas whose Starts are of about so many bytes each.
func startLarge(t *testing.T, ns *streams.Namespace, count, size int) {
	t.Helper()
	pad := strings.Repeat("x", size)
	for i := range count {
		start := saga.Start{Run: fmt.Sprintf("run-%d", i), State: state(t, `{"pad":"`+pad+`"}`), Time: time.Now().UTC()}
		if err := ns.Start(t.Context(), key(fmt.Sprintf("saga-%d", i)), start, 0); err != nil {
			t.Fatal(err)
		}
	}
}

// Whoever asks for many messages says how many bytes it takes: a server closes a connection that is slow to take more.
func TestRequestsForManyMessagesAreBoundedByBytes(t *testing.T) {
	ns := ensureOn(t, testutil.Connect(t, testutil.NATS(t)), streams.Config{Streams: 1})
	const count, size, most = 60, 300 << 10, 8 << 20
	startLarge(t, ns, count, size)
	var bounded atomic.Int32
	sub, err := ns.Conn().Subscribe("$JS.API.CONSUMER.MSG.NEXT.>", func(m *nats.Msg) {
		var r struct {
			Batch    int `json:"batch"`
			MaxBytes int `json:"max_bytes"`
		}
		if err := json.Unmarshal(m.Data, &r); err != nil {
			t.Errorf("%s: %q: %v", m.Subject, m.Data, err)
		}
		if r.MaxBytes > most || r.MaxBytes == 0 && r.Batch > most>>20 {
			t.Errorf("%s: asked for %d messages of %d bytes", m.Subject, r.Batch, r.MaxBytes)
		}
		if r.MaxBytes > 0 {
			bounded.Add(1)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()

	r := newReader(t)
	stop := following(t, ns, streams.FeedConfig{Name: "all"}, r)
	r.waitFor(count)
	_ = stop()
	if r.begins != 1 {
		t.Errorf("the feed has begun %d times", r.begins)
	}

	seen := 0
	if err := ns.Scan(t.Context(), ns.Streams()[0], func(streams.Record) error { seen++; return nil }); err != nil || seen != count {
		t.Errorf("a scan has seen %d of %d, %v", seen, count, err)
	}

	back := make(chan int, 1)
	var got atomic.Int32
	pullers, err := ns.Pull(t.Context(), "place-order", streams.PullHandlers{
		Delivered: func(_ *streams.Puller, d *streams.Delivery) { got.Add(1); _ = d.Ack() },
		Returned: func(_ *streams.Puller, slots int, err error) {
			if err != nil {
				t.Error(err)
			}
			back <- slots
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer pullers[0].Stop()
	if err := pullers[0].Request(2*count, time.Minute); err != nil {
		t.Fatal(err)
	}
	if slots := await(t, back); int(got.Load())+slots != 2*count || got.Load() > most/size {
		t.Errorf("%d slots were filled, %d came back", got.Load(), slots)
	}
	if bounded.Load() < 3 {
		t.Errorf("%d requests were bounded", bounded.Load())
	}
}

// What is stored may be larger than what the server takes today.
func TestWhatIsLargerThanARequestAllowsIsReadAllTheSame(t *testing.T) {
	o := server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true}
	o.MaxPayload = 16 << 20
	s := serve(t, o)
	startLarge(t, ensureOn(t, testutil.Connect(t, s), streams.Config{Streams: 1}), 1, 12<<20)
	o.MaxPayload, o.Port = 0, s.Addr().(*net.TCPAddr).Port
	s.Shutdown()
	s.WaitForShutdown()
	ns := ensureOn(t, testutil.Connect(t, serve(t, o)), streams.Config{})

	r := newReader(t)
	stop := following(t, ns, streams.FeedConfig{Name: "all"}, r)
	r.waitFor(1)
	_ = stop()

	seen := 0
	if err := ns.Scan(t.Context(), ns.Streams()[0], func(streams.Record) error { seen++; return nil }); err != nil || seen != 1 {
		t.Errorf("a scan has seen %d, %v", seen, err)
	}

	delivered := make(chan struct{}, 1)
	pullers, err := ns.Pull(t.Context(), "place-order", streams.PullHandlers{
		Delivered: func(_ *streams.Puller, d *streams.Delivery) { _ = d.Ack(); delivered <- struct{}{} },
		Returned: func(p *streams.Puller, slots int, err error) {
			if err == nil {
				err = p.Request(slots, time.Minute)
			}
			if err != nil {
				t.Error(err)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer pullers[0].Stop()
	if err := pullers[0].Request(100, time.Minute); err != nil {
		t.Fatal(err)
	}
	await(t, delivered)
}

func serve(t *testing.T, o server.Options) *server.Server {
	t.Helper()
	s, err := server.NewServer(&o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(patience) {
		t.Fatal("the server is not ready")
	}
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	return s
}
