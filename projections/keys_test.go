package projections_test

import (
	"context"
	"errors"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/projections"
	"github.com/jetsaga/jetsaga/projections/idempotency"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/testutil"
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
	t.Parallel()
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

// rules gives the rules of the user in the documentation: what is always needed, then by what else it is needed for.
func rules(t *testing.T, also ...string) (words []string) {
	t.Helper()
	text := page(t, "read-models.md")
	for _, pattern := range append([]string{`on >secret .*`}, also...) {
		rule := regexp.MustCompile("(?m)^ACL SETUSER jetsaga (" + pattern + ")$").FindStringSubmatch(text)
		if rule == nil {
			t.Fatalf("docs/read-models.md has no ACL with %q", pattern)
		}
		words = append(words, strings.Fields(rule[1])...)
	}
	return words
}

// documented are the kinds of Redis that the documentation has a user for, each with what is added to its rules, and with a
// client of that user.
var documented = map[string]struct {
	also []string
	user func(t *testing.T, admin redis.UniversalClient) redis.UniversalClient
}{
	"redis-server": {nil, func(_ *testing.T, admin redis.UniversalClient) redis.UniversalClient {
		return redis.NewClient(&redis.Options{Addr: admin.(*redis.Client).Options().Addr, Username: "jetsaga", Password: "secret"})
	}},
	"another database": {[]string{`\+select`}, func(_ *testing.T, admin redis.UniversalClient) redis.UniversalClient {
		return redis.NewClient(&redis.Options{Addr: admin.(*redis.Client).Options().Addr, Username: "jetsaga", Password: "secret", DB: 1})
	}},
	"cluster": {[]string{`\+cluster\|slots`}, func(_ *testing.T, admin redis.UniversalClient) redis.UniversalClient {
		return redis.NewClusterClient(&redis.ClusterOptions{Addrs: admin.(*redis.ClusterClient).Options().Addrs, Username: "jetsaga", Password: "secret"})
	}},
}

// eachNode calls f for each server.
func eachNode(t *testing.T, rdb redis.UniversalClient, f func(ctx context.Context, node *redis.Client) error) {
	t.Helper()
	var err error
	switch rdb := rdb.(type) {
	case *redis.ClusterClient:
		var one sync.Mutex
		err = rdb.ForEachMaster(t.Context(), func(ctx context.Context, node *redis.Client) error {
			one.Lock()
			defer one.Unlock()
			return f(ctx, node)
		})
	case *redis.Client:
		err = f(t.Context(), rdb)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheDocumentedUserMayDoAllThatIsNeededAndNoMore(t *testing.T) {
	t.Parallel()
	for name, kind := range documented {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := kinds[name]
			if start == nil {
				start = kinds["redis-server"]
			}
			admin := start(t)
			words := rules(t, kind.also...)
			order := []any{"ACL", "SETUSER", "jetsaga"}
			for _, word := range words {
				order = append(order, word)
			}
			eachNode(t, admin, func(ctx context.Context, node *redis.Client) error {
				return errors.Join(node.Do(ctx, order...).Err(), node.ConfigResetStat(ctx).Err())
			})
			rdb := kind.user(t, admin)
			t.Cleanup(func() { _ = rdb.Close() })
			mayDoAll(t, siteWith(t, testutil.NATS(t).ClientURL(), rdb), func(damage func(ctx context.Context, node *redis.Client) error) {
				eachNode(t, admin, func(ctx context.Context, node *redis.Client) error {
					if opts := node.Options(); name == "another database" {
						db := *opts
						db.DB = 1
						node = redis.NewClient(&db)
						defer func() { _ = node.Close() }()
					}
					return damage(ctx, node)
				})
			})
			var used strings.Builder
			eachNode(t, admin, func(ctx context.Context, node *redis.Client) error {
				stats, err := node.Info(ctx, "commandstats").Result()
				used.WriteString(stats)
				return err
			})
			for _, word := range words {
				if command, allowed := strings.CutPrefix(word, "+"); allowed && !strings.Contains(used.String(), "cmdstat_"+command+":") {
					t.Errorf("docs/read-models.md allows %s, which nothing needs", command)
				}
			}
		})
	}
}

// mayDoAll has the user do all that it may have to.
func mayDoAll(t *testing.T, s *site, each func(func(ctx context.Context, node *redis.Client) error)) {
	t.Helper()
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
	if err := s.rdb.Ping(t.Context()).Err(); err != nil { // as sagactl does
		t.Error(err)
	}
	before, err := s.reader().Generations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := projections.Rebuild(t.Context(), s.rdb, "default", "the test wants it"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the rebuild, and that nothing is left of before", func() bool {
		g, err := s.reader().Generations(t.Context())
		left := 0
		each(func(ctx context.Context, node *redis.Client) error {
			keys, err := node.Keys(ctx, "jetsaga:{default:*}:m:"+before.Current+":*").Result()
			left += len(keys)
			return err
		})
		return err == nil && g.Next == "" && g.Current != before.Current && left == 0
	})
	each(func(ctx context.Context, node *redis.Client) error {
		keys, err := node.Keys(ctx, "jetsaga:{default:*:counts").Result()
		for _, key := range keys {
			err = errors.Join(err, node.HIncrByFloat(ctx, key, "order.completed", 1).Err())
		}
		return err
	})
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
	t.Parallel()
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
