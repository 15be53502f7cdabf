package simulation

import (
	"fmt"
	"io"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// Config says what to simulate.
type Config struct {
	// Seed decides everything: plans, handlers, timing and what goes wrong.
	Seed uint64
	// Broken is a safety rule to break on purpose. Default: none.
	Broken Mutation
	// Language has plans of all constructs, at random, in place of rows of steps.
	Language bool
	// Transcript takes a line for everything that happens. Default: nowhere.
	Transcript io.Writer
}

// Violation is an invariant that did not hold.
type Violation struct {
	Invariant Invariant
	Key       saga.Key // zero where it is not about one saga
	Detail    string
}

func (v Violation) String() string {
	if v.Key == (saga.Key{}) {
		return fmt.Sprintf("%s: %s", v.Invariant, v.Detail)
	}
	return fmt.Sprintf("%s: saga %s: %s", v.Invariant, v.Key, v.Detail)
}

// Report is what came of a run.
type Report struct {
	Seed       uint64
	Violations []Violation
	Seen       Situations
	Steps      int           // how many things happened
	Took       time.Duration // in virtual time
}

// maxSteps bounds a run. A world in which nothing is stuck needs a fraction of it.
const maxSteps = 20_000

// maxViolations is how many violations a run tells of before it stops: what follows the first is mostly its
// consequence.
const maxViolations = 8

// Run simulates one seed from the first Start until nothing is left to happen, and checks what came of it.
func Run(conf Config) (r Report) {
	w := newWorld(conf)
	defer func() {
		if v := recover(); v != nil {
			w.violate(NoPanic, saga.Key{}, "%v\n%s", v, debug.Stack())
			r = w.report()
		}
	}()
	w.open()
	if w.play() {
		w.checkEnd()
	}
	return w.report()
}

// world is one simulated installation: a journal, a consumer, workers, clients and the participants that the
// handlers call. Everything happens on one goroutine.
type world struct {
	conf   Config
	rng    *rand.Rand
	agenda agenda
	now    time.Duration // since epoch
	steps  int

	catalog      catalog
	store        *store
	consumer     *consumer
	workers      []*worker
	participants *participants
	subjects     []*subject
	byKey        map[saga.Key]*subject
	published    map[string]int // emissions, by their ids

	hazards   hazards
	parkAfter time.Duration
	maxCommit int  // bytes, beyond which a commit takes nothing further; 0 for the default
	skewed    bool // the workers' clocks differ

	violations []Violation
	seen       Situations
}

// epoch is when virtual time begins.
var epoch = time.Unix(1_700_000_000, 0).UTC()

func newWorld(conf Config) *world {
	w := &world{
		conf:  conf,
		rng:   rand.New(rand.NewPCG(conf.Seed, 0x6a657473616761)),
		byKey: map[saga.Key]*subject{}, published: map[string]int{},
	}
	w.hazards = newHazards(w.rng)
	w.parkAfter = pick(w.rng, 200*time.Millisecond, time.Second, saga.DefaultParkAfter)
	w.maxCommit = pick(w.rng, 0, 0, 0, 1, 500, 1500)
	w.store = newStore(w)
	w.consumer = &consumer{w: w}
	w.participants = newParticipants(w)
	if conf.Language {
		w.catalog = newLanguageCatalog(w)
	} else {
		w.catalog = newCatalog(w.rng)
	}
	return w
}

// open sets up the workers and the clients' first deeds.
func (w *world) open() {
	w.hireWorkers()
	w.openSagas()
	for range 5 {
		w.after(w.between(0, pick(w.rng, 300*time.Millisecond, 5*time.Second)), w.consumer.restart)
	}
}

// play lets everything happen. It reports whether the world came to rest.
func (w *world) play() bool {
	for len(w.violations) < maxViolations {
		next, ok := w.agenda.next()
		if !ok {
			if w.conf.Language && w.nudge() {
				continue
			}
			return true
		}
		if w.steps++; w.steps > maxSteps {
			w.violate(ComesToRest, saga.Key{}, "after %d steps and %v there is still something to do", maxSteps, w.now)
			return false
		}
		w.now = next.at
		next.do()
	}
	return false
}

func (w *world) report() Report {
	return Report{Seed: w.conf.Seed, Violations: w.violations, Seen: w.seen, Steps: w.steps, Took: w.now}
}

// after has something happen later.
func (w *world) after(d time.Duration, do func()) { w.agenda.enter(w.now+max(d, 0), do) }

// clock is the server's.
func (w *world) clock() time.Time { return epoch.Add(w.now) }

// sight notes that a situation was reached.
func (w *world) sight(s Situation) { w.seen.add(s) }

// violate notes that an invariant does not hold.
func (w *world) violate(i Invariant, key saga.Key, format string, args ...any) {
	v := Violation{Invariant: i, Key: key, Detail: fmt.Sprintf(format, args...)}
	w.violations = append(w.violations, v)
	w.say("VIOLATION %s", v)
}

// say writes a line of the transcript.
func (w *world) say(format string, args ...any) {
	if w.conf.Transcript == nil {
		return
	}
	_, _ = fmt.Fprintf(w.conf.Transcript, "%12.6f  %s\n", w.now.Seconds(), fmt.Sprintf(format, args...))
}

// chance is true with probability p.
func (w *world) chance(p float64) bool { return w.rng.Float64() < p }

// between gives a duration of at least lo and less than hi.
func (w *world) between(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(w.rng.Int64N(int64(hi-lo)))
}

// latency is what a message takes over the network.
func (w *world) latency() time.Duration { return w.between(50*time.Microsecond, 2*time.Millisecond) }

// pick gives one of several.
func pick[T any](rng *rand.Rand, of ...T) T { return of[rng.IntN(len(of))] }
