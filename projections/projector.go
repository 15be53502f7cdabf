package projections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// ProjectorConfig says what a projector reads and where it writes. Redis and Source are required; the zero value of
// every other field is its default.
type ProjectorConfig struct {
	// Redis is where the read models are. The caller closes it after the projector has stopped.
	Redis redis.UniversalClient
	// Breaker, if any, is what the calls of Redis go through. Default: none.
	Breaker *Breaker
	// Source is the sagas' streams.
	Source Source
	// Logger takes what an operator may want to know. Default: slog.Default().
	Logger *slog.Logger
	// MeterProvider takes the projector's OpenTelemetry metrics. Default: none are made.
	MeterProvider metric.MeterProvider
	// Every is how often the projector looks whether a rebuild was asked for or the read models were lost.
	// Default: 250 ms.
	Every time.Duration
	// Remember is for how long purged sagas are remembered, at least: that of the retention. Read models that were not
	// written for longer may have missed purges, and are built anew. Default: [DefaultRemember].
	Remember time.Duration
}

// DefaultRemember is for how long purged sagas are remembered unless a retention says otherwise.
const DefaultRemember = 7 * 24 * time.Hour

// Projector keeps the read models up with the streams. Any number of projectors may run: of each stream one is active,
// and when it is gone another goes on within a second. Every write is guarded by how far the stream was read and by the
// saga's own version, so that repeated records and a projector that was replaced change nothing.
type Projector struct {
	conf ProjectorConfig
	kind kind

	mu       sync.Mutex
	state    map[follower]FeedState
	followed map[follower]bool // now
}

// kind is what distinguishes the read models of the sagas from a user's projection.
type kind struct {
	what   string // for people
	marker string // the key that says which generations there are
	feeds  string // what the names of the consumers begin with; the generation follows
	form   form
	// handler gives what writes a stream into a generation.
	handler func(generation, stream string, told func(pending uint64, applied int, last time.Time)) Handler
	// seen says where the writer of a stream notes when it last read it, by Redis's clock, in milliseconds.
	seen func(generation, stream string) (key, field string)
	// sweep removes the keys of generations that are not to be kept.
	sweep func(ctx context.Context, keep func(generation string) bool) error
}

// follower names what one goroutine does: one generation of one stream.
type follower struct {
	generation, stream string
}

// FeedState is how far a projector is with a stream of which it is, or was, the active member.
type FeedState struct {
	Generation string    `json:"generation"`
	Stream     string    `json:"stream"`
	Lag        uint64    `json:"lag"`       // records that were still to come after the last batch
	Applied    uint64    `json:"applied"`   // records, since the projector was started
	LastAt     time.Time `json:"last_at"`   // when the last record was stored
	BatchedAt  time.Time `json:"batch_at"`  // when the last batch was written
	Batches    uint64    `json:"batches"`   // since the projector was started
	BatchMost  int       `json:"batch_max"` // records of the largest batch
}

// NewProjector checks a configuration and gives a projector that does nothing yet.
func NewProjector(conf ProjectorConfig) (*Projector, error) {
	conf, err := conf.withDefaults()
	if err != nil {
		return nil, err
	}
	return newProjector(conf, conf.models()), nil
}

func newProjector(conf ProjectorConfig, k kind) *Projector {
	return &Projector{conf: conf, kind: k, state: map[follower]FeedState{}, followed: map[follower]bool{}}
}

// withDefaults checks the configuration, tells all that is wrong at once, and fills in defaults.
func (conf ProjectorConfig) withDefaults() (ProjectorConfig, error) {
	var errs []error
	if conf.Redis == nil {
		errs = append(errs, errors.New("projections.ProjectorConfig.Redis is required"))
	}
	if conf.Source == nil {
		errs = append(errs, errors.New("projections.ProjectorConfig.Source is required"))
	}
	if conf.Every < 0 {
		errs = append(errs, fmt.Errorf("projections.ProjectorConfig.Every is %v, must be positive", conf.Every))
	}
	if conf.Remember < 0 {
		errs = append(errs, fmt.Errorf("projections.ProjectorConfig.Remember is %v, must be positive", conf.Remember))
	}
	if len(errs) > 0 {
		return conf, errors.Join(errs...)
	}
	if conf.Logger == nil {
		conf.Logger = slog.Default()
	}
	if conf.Every == 0 {
		conf.Every = 250 * time.Millisecond
	}
	if conf.Remember == 0 {
		conf.Remember = DefaultRemember
	}
	return conf, nil
}

// models is the kind of the sagas' read models.
func (conf ProjectorConfig) models() kind {
	namespace := conf.Source.Namespace()
	return kind{
		what: "read models", marker: metaKey(namespace), feeds: feedPrefix, form: form{format: modelFormat},
		handler: func(generation, stream string, told func(uint64, int, time.Time)) Handler {
			return &writer{
				models: models{conf.client(), modelKeys{namespace, generation}}, source: conf.Source,
				namespace: namespace, stream: stream, log: conf.Logger, told: told, remember: conf.Remember,
			}
		},
		seen: func(generation, stream string) (key, field string) {
			return modelKeys{namespace, generation}.prefix(conf.Source.Shards(stream)[0]) + "at", seenField(stream)
		},
		sweep: func(ctx context.Context, keep func(string) bool) error {
			_, err := sweep(ctx, conf.Redis, namespace, keep)
			return err
		},
	}
}

// feedPrefix begins the names of the projector's consumers; the generation follows.
const feedPrefix = "models-"

// IsFeed reports whether a feed of a [Source] is a projector's of the sagas' read models. What is purged before such a one has
// read it is not in the read models, as it should be.
func IsFeed(feed string) bool { return strings.HasPrefix(feed, feedPrefix) }

// Run keeps the read models until ctx ends. While Redis or NATS is away it waits, and goes on where it was.
func (p *Projector) Run(ctx context.Context) error {
	stopMetrics, err := p.watch()
	if err != nil {
		return err
	}
	defer stopMetrics()
	running := map[follower]*following{}
	defer func() {
		for _, f := range running {
			f.stop()
		}
	}()
	ticker := time.NewTicker(p.conf.Every)
	defer ticker.Stop()
	s := supervision{p: p}
	for {
		if err := s.look(ctx, running); err != nil && ctx.Err() == nil && err.Error() != s.told {
			s.told = err.Error()
			p.conf.Logger.Warn(p.kind.what+" wait", "error", err)
		} else if err == nil {
			s.told = ""
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// supervision is what a projector remembers between two looks.
type supervision struct {
	p        *Projector
	told     string // the last complaint
	epoch    string // of the first stream
	streams  string // of all of them
	epochAt  time.Time
	sweepFor Generations // what was left over beside these is removed
	closing  closing
}

// closing is what is known of a generation under construction.
type closing struct {
	generation string
	upTo       map[string]uint64 // where the streams stood when it was looked at first
	looks      uint64            // at which it was close
}

// epochEvery is how often the streams are asked whether they are still the same.
const epochEvery = 10 * time.Second

// lookTimeout bounds one look.
const lookTimeout = 5 * time.Second

// look does what is to be done now: begin a generation, follow the streams for those there are, switch, clean up.
func (s *supervision) look(ctx context.Context, running map[follower]*following) error {
	p := s.p
	bounded, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	if time.Since(s.epochAt) > epochEvery {
		epoch, err := p.conf.Source.Epoch(bounded)
		if err != nil {
			return err
		}
		s.epoch, s.streams, s.epochAt = epoch[0], digest(epoch), time.Now()
	}
	begun, err := ensureScript.Run(bounded, p.conf.client(), []string{p.kind.marker},
		s.epoch, p.kind.form.format, p.kind.form.version, newGeneration(), time.Now().UnixMilli(), s.streams).Int()
	if err != nil {
		return fmt.Errorf("looking for %s: %w", p.kind.what, err)
	}
	g, err := readMarker(bounded, p.conf.client(), p.kind.marker)
	if err != nil {
		return err
	}
	if begun == 1 {
		p.conf.Logger.Info(p.kind.what+" are being built", "generation", g.Next, "why", g.Why)
	}
	s.follow(ctx, running, g)
	if g.Next != "" {
		s.sweepFor = Generations{} // what is left over after the switch is another's, though it have the same name
	}
	if g.Next != "" && g.nextForm == p.kind.form {
		if g, err = s.finish(bounded, g); err != nil {
			return err
		}
		s.follow(ctx, running, g)
	}
	if g.Next == "" && g != s.sweepFor {
		if err := s.clean(ctx, g); err != nil {
			return err
		}
		s.sweepFor = g
	}
	if len(s.wanted(g)) == 0 {
		return fmt.Errorf("%s: %w", p.kind.marker, ErrNewer)
	}
	return nil
}

// wanted gives the generations that this build writes: those of its form. A current one of an older form is kept up by
// the builds that have it, as long as there are any.
func (s *supervision) wanted(g Generations) []string {
	var names []string
	if g.Current != "" && g.currentForm == s.p.kind.form {
		names = append(names, g.Current)
	}
	if g.Next != "" && g.nextForm == s.p.kind.form {
		names = append(names, g.Next)
	}
	return names
}

// follow starts what is to be followed and is not, and stops what is not to be any more.
func (s *supervision) follow(ctx context.Context, running map[follower]*following, g Generations) {
	wanted := map[follower]bool{}
	for _, generation := range s.wanted(g) {
		for _, stream := range s.p.conf.Source.Streams() {
			wanted[follower{generation, stream}] = true
		}
	}
	for f := range wanted {
		if r := running[f]; r == nil || r.ended() {
			running[f] = s.p.start(ctx, f)
		}
	}
	for f, r := range running {
		if wanted[f] {
			continue
		}
		r.stop()
		delete(running, f)
		s.p.mu.Lock()
		delete(s.p.state, f)
		s.p.mu.Unlock()
	}
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	s.p.followed = wanted
}

// A generation takes the place of another when it is as far. Both follow streams that may not rest, so it may be behind
// by a little more at each look at which it is close. With nothing in its way it has to be close, and to have all that there
// was when it was begun.
const (
	eachLook  = 2    // records of a stream
	closeMost = 1000 // records of a stream
)

// seenWithin is how long ago a generation's writer may have noted that it reads a stream, for what the stream knows of it to be
// believed: a Redis that was set back has less of the generation than was acknowledged, until its writer has begun anew. What was lost
// in so short a time is read again in as short a one.
const seenWithin = noteEvery + noteEvery/2

// finish switches to the generation under construction, when it has caught up, and was found to have at the look before.
func (s *supervision) finish(ctx context.Context, g Generations) (Generations, error) {
	p := s.p
	if s.closing.generation != g.Next {
		upTo := map[string]uint64{}
		for _, stream := range p.conf.Source.Streams() {
			last, err := p.conf.Source.Last(ctx, stream)
			if err != nil {
				return g, err
			}
			upTo[stream] = last
		}
		s.closing = closing{generation: g.Next, upTo: upTo}
	}
	ready := true
	for _, stream := range p.conf.Source.Streams() {
		caughtUp, err := s.caughtUp(ctx, g, stream)
		if err != nil {
			s.closing.looks = 0
			return g, nil //nolint:nilerr // it has not been begun, or cannot be asked: not yet
		}
		ready = ready && caughtUp
	}
	s.closing.looks++
	if s.closing.looks == 1 {
		return g, nil
	}
	if !ready {
		return g, nil
	}
	switched, err := switchScript.Run(ctx, p.conf.client(), []string{p.kind.marker}, g.Next).Int()
	if err != nil {
		return g, fmt.Errorf("switching to new %s: %w", p.kind.what, err)
	}
	if switched == 1 {
		p.conf.Logger.Info(p.kind.what+" are built", "generation", g.Next, "took", time.Since(g.Began).Round(time.Millisecond))
	}
	return readMarker(ctx, p.conf.client(), p.kind.marker)
}

// caughtUp reports whether the generation under construction has enough of a stream. An error tells that this cannot be known yet.
func (s *supervision) caughtUp(ctx context.Context, g Generations, stream string) (bool, error) {
	p := s.p
	next, err := p.conf.Source.Progress(ctx, stream, p.kind.feeds+g.Next)
	if err != nil {
		return false, err
	}
	if s.closing.upTo[stream] == 0 && next.Lag == 0 {
		return true, nil // there has never been anything
	}
	key, field := p.kind.seen(g.Next, stream)
	seen, err := p.conf.client().HGet(ctx, key, field).Int64()
	if err != nil {
		return false, err
	}
	if now, err := p.conf.client().Time(ctx).Result(); err != nil || now.Sub(time.UnixMilli(seen)) > seenWithin {
		return false, errors.Join(errUnseen, err)
	}
	if g.Current != "" {
		now, err := p.conf.Source.Progress(ctx, stream, p.kind.feeds+g.Current)
		switch {
		case err == nil:
			return next.Lag <= now.Lag+eachLook*s.closing.looks, nil
		case g.currentForm == p.kind.form:
			return false, err // one of an older form nobody may be following any more
		}
	}
	return next.Lag == 0 || next.Lag <= closeMost && next.Acked >= s.closing.upTo[stream], nil
}

// errUnseen tells that the writer of a generation has not noted for some time that it reads a stream.
var errUnseen = errors.New("nobody has read the stream lately")

// clean removes what is left of other generations. A Redis that was set back may go on with an older one than there are feeds of. One
// that was begun since is not to be removed: the feeds are listed before it is asked again which generations there are, so that
// those of the list that are none of these are nobody's.
func (s *supervision) clean(ctx context.Context, g Generations) error {
	p := s.p
	feeds, err := p.conf.Source.Feeds(ctx, p.kind.feeds)
	if err != nil {
		return err
	}
	now, err := readMarker(ctx, p.conf.client(), p.kind.marker)
	if err != nil {
		return err
	}
	for _, name := range feeds {
		if generation := strings.TrimPrefix(name, p.kind.feeds); generation != now.Current && generation != now.Next {
			if err := p.conf.Source.EndFeed(ctx, name); err != nil {
				return err
			}
		}
	}
	return p.kind.sweep(ctx, func(generation string) bool { return generation >= g.Current })
}

// Lag gives how many records of a stream a generation of the read models does not have yet.
func Lag(ctx context.Context, source Source, stream, generation string) (uint64, error) {
	p, err := source.Progress(ctx, stream, feedPrefix+generation)
	return p.Lag, err
}

// following is a goroutine that follows one stream for one generation.
type following struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// ended reports whether it found that its generation was gone, as it may have been for a moment.
func (f *following) ended() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

func (f *following) stop() {
	f.cancel()
	<-f.done
}

// Between two failures of Redis a follower rests, longer and longer.
const (
	followRest     = 50 * time.Millisecond
	followRestMost = time.Second
)

func (p *Projector) start(ctx context.Context, name follower) *following {
	ctx, cancel := context.WithCancel(ctx)
	f := &following{cancel: cancel, done: make(chan struct{})}
	h := p.kind.handler(name.generation, name.stream,
		func(pending uint64, applied int, last time.Time) { p.tell(name, pending, applied, last) })
	go func() {
		defer close(f.done)
		rest := followRest
		for ctx.Err() == nil {
			begun := time.Now()
			err := p.conf.Source.Follow(ctx, name.stream, p.kind.feeds+name.generation, h)
			if errors.Is(err, errGone) || ctx.Err() != nil {
				break // the next look has it stopped, or begun anew
			}
			p.conf.Logger.Warn(p.kind.what+" wait", "stream", name.stream, "error", err)
			if time.Since(begun) > time.Minute {
				rest = followRest
			}
			select {
			case <-ctx.Done():
			case <-time.After(rest):
			}
			rest = min(2*rest, followRestMost)
		}
	}()
	return f
}

// tell takes note of a batch that was written.
func (p *Projector) tell(name follower, pending uint64, applied int, last time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.state[name]
	s.Generation, s.Stream, s.Lag, s.LastAt, s.BatchedAt = name.generation, name.stream, pending, last, time.Now()
	s.Applied += uint64(applied) //nolint:gosec // not negative
	s.Batches++
	s.BatchMost = max(s.BatchMost, applied)
	p.state[name] = s
}

// States tells how far this projector is with the streams of which it is, or was, the active member.
func (p *Projector) States() []FeedState {
	p.mu.Lock()
	defer p.mu.Unlock()
	states := make([]FeedState, 0, len(p.state))
	for s := range maps.Values(p.state) {
		states = append(states, s)
	}
	return states
}

// scope is the instrumentation scope of the metrics.
const scope = "github.com/jetsaga/jetsaga/projections"

// watch adds the metrics, until the returned function is called.
func (p *Projector) watch() (stop func(), err error) {
	if p.conf.MeterProvider == nil {
		return func() {}, nil
	}
	m := p.conf.MeterProvider.Meter(scope)
	lag, err := m.Int64ObservableGauge("jetsaga.projector.lag", metric.WithUnit("{record}"),
		metric.WithDescription("records that the read models do not have yet, by stream; every projector tells of all streams"))
	if err != nil {
		return nil, fmt.Errorf("projections: metrics: %w", err)
	}
	applied, err := m.Int64ObservableCounter("jetsaga.projector.records", metric.WithUnit("{record}"),
		metric.WithDescription("records that this projector has written into read models, by stream"))
	if err != nil {
		return nil, fmt.Errorf("projections: metrics: %w", err)
	}
	set := func(f follower) metric.MeasurementOption {
		return metric.WithAttributeSet(attribute.NewSet(
			attribute.String("of", p.kind.what), attribute.String("stream", f.stream), attribute.String("generation", f.generation)))
	}
	registration, err := m.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		for _, s := range p.States() {
			o.ObserveInt64(applied, int64(s.Applied), set(follower{s.Generation, s.Stream})) //nolint:gosec // far below 2^63
		}
		for f, n := range p.lags(ctx) {
			o.ObserveInt64(lag, int64(n), set(f)) //nolint:gosec // far below 2^63
		}
		return nil
	}, lag, applied)
	if err != nil {
		return nil, fmt.Errorf("projections: metrics: %w", err)
	}
	return func() { _ = registration.Unregister() }, nil
}

// lagTimeout bounds how long the metrics wait for the streams to tell of the lag.
const lagTimeout = 2 * time.Second

// lags asks the streams, which know it while Redis or the active member are away. What they do not tell is missing.
func (p *Projector) lags(ctx context.Context) map[follower]uint64 {
	ctx, cancel := context.WithTimeout(ctx, lagTimeout)
	defer cancel()
	p.mu.Lock()
	followed := p.followed
	p.mu.Unlock()
	var mu sync.Mutex
	var asking sync.WaitGroup
	lags := map[follower]uint64{}
	for f := range followed {
		asking.Go(func() {
			progress, err := p.conf.Source.Progress(ctx, f.stream, p.kind.feeds+f.generation)
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			lags[f] = progress.Lag
		})
	}
	asking.Wait()
	return lags
}
