package projections_test

import (
	"context"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/projections"
	"github.com/jetsaga/jetsaga/projections/idempotency"
	"github.com/jetsaga/jetsaga/saga"
)

// page gives a page of the documentation.
func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestEveryKeyIsInTheTableOfTheDocumentation(t *testing.T) {
	patterns := map[string]*regexp.Regexp{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(jetsaga:[^`]*)`").FindAllStringSubmatch(page(t, "read-models.md"), -1) {
		pattern := regexp.QuoteMeta(row[1])
		pattern = regexp.MustCompile(`<[a-z]+>`).ReplaceAllString(pattern, `[^{}]+?`)
		patterns[row[1]] = regexp.MustCompile("^" + pattern + "$")
	}
	s := newSite(t)
	s.worker()
	s.projector()
	s.view(perCustomer(1))
	s.publish(saga.Key{Definition: "order", ID: "bad"}, "evt", "no JSON")
	s.start(0, 20)
	s.ended(20)
	eventually(t, "the view", func() bool {
		orders, err := s.readView("orders")
		return err == nil && len(orders) == 7
	})
	s.remember()
	used := map[string]bool{}
	for _, key := range s.rdb.Keys(t.Context(), "*").Val() {
		known := false
		for name, pattern := range patterns {
			if pattern.MatchString(key) {
				known, used[name] = true, true
			}
		}
		if !known {
			t.Errorf("the key %q is of no pattern in docs/read-models.md", key)
		}
	}
	for name := range patterns {
		if !used[name] {
			t.Errorf("docs/read-models.md has the pattern %q, which no key is of", name)
		}
	}
}

// remember does all that there is to do with an idempotency key.
func (s *site) remember() {
	s.t.Helper()
	store, err := idempotency.New(idempotency.Config{Redis: s.rdb})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, end := range []func(*idempotency.Claim) error{
		func(c *idempotency.Claim) error { return c.Release(s.t.Context()) },
		func(c *idempotency.Claim) error {
			return errors.Join(c.Extend(s.t.Context()), c.Complete(s.t.Context(), nil))
		},
	} {
		claim, _, err := store.Begin(s.t.Context(), "key")
		if err != nil {
			s.t.Fatal(err)
		}
		if err := end(claim); err != nil {
			s.t.Fatal(err)
		}
	}
}

func TestTheDocumentedUserMayDoAllThatIsNeeded(t *testing.T) {
	s := newSite(t)
	rule := regexp.MustCompile("(?m)^ACL SETUSER jetsaga (.*)$").FindStringSubmatch(page(t, "read-models.md"))
	if rule == nil {
		t.Fatal("docs/read-models.md has no ACL")
	}
	words := []any{"ACL", "SETUSER", "jetsaga"}
	for word := range strings.FieldsSeq(rule[1]) {
		words = append(words, word)
	}
	if err := s.rdb.Do(t.Context(), words...).Err(); err != nil {
		t.Fatal(err)
	}
	admin := s.rdb
	s.rdb = redis.NewClient(&redis.Options{Addr: s.redis.Address(), Username: "jetsaga", Password: "secret"})
	t.Cleanup(func() { _ = s.rdb.Close() })
	var err error
	if s.client, err = engine.NewClient(t.Context(), engine.Config{Conn: s.nc, Redis: s.rdb, Logger: quiet()}); err != nil {
		t.Fatal(err)
	}
	s.worker()
	s.projector()
	s.view(projections.View{Name: "per_customer", Apply: func(w *projections.Writes, e projections.Event) error {
		w.Do("HINCRBY", w.Key("orders"), e.Key.ID, 1)
		return nil
	}})
	s.publish(saga.Key{Definition: "order", ID: "bad"}, "evt", "no JSON")
	s.start(0, 20)
	s.ended(20)
	s.remember()
	if _, err := projections.Rebuild(t.Context(), s.rdb, "default", "the test wants it"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the rebuild", func() bool {
		g, err := s.reader().Generations(t.Context())
		return err == nil && g.Next == ""
	})
	for _, key := range admin.Keys(t.Context(), "jetsaga:{default:*:counts").Val() {
		admin.HIncrBy(t.Context(), key, "order.completed", 1)
	}
	if v, _ := s.verify(projections.VerifyConfig{Repair: true}); v.Differences == 0 || v.Repaired != v.Differences {
		t.Errorf("of %d differences %d were repaired", v.Differences, v.Repaired)
	}
	if _, err := s.reader().Count(t.Context(), projections.Query{Definition: "order", Attributes: map[string]string{"customer": "customer-1"}}); err != nil {
		t.Error(err)
	}
	if _, err := s.reader().Poisoned(t.Context(), 1); err != nil {
		t.Error(err)
	}
	if err := projections.Forget(t.Context(), s.rdb, "default", saga.Key{Definition: "order", ID: "o-000001"}); err != nil {
		t.Error(err)
	}
	eventually(t, "the view", func() bool {
		orders, err := s.readView("orders")
		return err == nil && len(orders) == 20
	})
	if err := s.rdb.Get(t.Context(), "of another").Err(); !strings.HasPrefix(err.Error(), "NOPERM") {
		t.Errorf("a key of another was read: %v", err)
	}
}

func TestTheLagIsAMetric(t *testing.T) {
	s := newSite(t)
	reader := metric.NewManualReader()
	client, err := engine.NewClient(t.Context(), engine.Config{Conn: s.nc, Redis: s.rdb, Logger: quiet(),
		MeterProvider: metric.NewMeterProvider(metric.WithReader(reader))})
	if err != nil {
		t.Fatal(err)
	}
	s.client = client
	s.worker()
	s.projector()
	s.start(0, 20)
	s.ended(20)
	told := page(t, "metrics.md")
	eventually(t, "all records in the metrics", func() bool {
		var all metricdata.ResourceMetrics
		if err := reader.Collect(context.Background(), &all); err != nil {
			t.Fatal(err)
		}
		var records, lags int64
		for _, scope := range all.ScopeMetrics {
			for _, m := range scope.Metrics {
				if !strings.Contains(told, "`"+m.Name+"`") {
					t.Fatalf("docs/metrics.md does not tell of %s", m.Name)
				}
				switch data := m.Data.(type) {
				case metricdata.Sum[int64]:
					for _, p := range data.DataPoints {
						records += p.Value
					}
				case metricdata.Gauge[int64]:
					for _, p := range data.DataPoints {
						if _, ok := p.Attributes.Value(attribute.Key("stream")); ok {
							lags++
						}
					}
				}
			}
		}
		return records == 84 && lags == 4
	})

	// The streams know it where Redis cannot be asked.
	lag := func() (sum int64) {
		var all metricdata.ResourceMetrics
		if err := reader.Collect(context.Background(), &all); err != nil {
			t.Fatal(err)
		}
		for _, scope := range all.ScopeMetrics {
			for _, m := range scope.Metrics {
				if data, ok := m.Data.(metricdata.Gauge[int64]); ok && m.Name == "jetsaga.projector.lag" {
					for _, p := range data.DataPoints {
						sum += p.Value
					}
				}
			}
		}
		return sum
	}
	eventually(t, "no lag", func() bool { return lag() == 0 })
	if err := s.redis.Stop(); err != nil {
		t.Fatal(err)
	}
	s.start(20, 40)
	eventually(t, "a lag while Redis does not answer", func() bool { return lag() >= 80 })
	if err := s.redis.Continue(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "no lag again", func() bool { return lag() == 0 })
}
