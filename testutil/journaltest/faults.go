package journaltest

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/jetsaga/jetsaga/saga"
)

// ErrInjected is the error of a call that a [Rule] made fail, where the rule names none.
var ErrInjected = errors.New("journaltest: injected fault")

// Op is an operation of a [saga.Journal].
type Op string

// The operations.
const (
	Append Op = "append"
	Load   Op = "load"
)

// Call is one call of a journal, as rules see it.
type Call struct {
	Op          Op
	N           int // how many times the operation has been called, this time included
	Key         saga.Key
	Commit      *saga.Commit     // of an Append
	Consistency saga.Consistency // of a Load
}

// Rule says which calls go wrong, and how. Rules are built from [On] by narrowing and by naming a fault; their
// methods give changed copies, so a rule may be kept and varied:
//
//	journaltest.On(journaltest.Append).Nth(3).Drop()
//	journaltest.On(journaltest.Load).Saga(key).If(unlucky).Fail().With(io.ErrUnexpectedEOF)
type Rule struct {
	op    Op
	when  []func(Call) bool
	fault fault
	err   error
	hook  func(context.Context, Call)
}

// fault is what a rule does to a call.
type fault int

const (
	faultNone fault = iota
	faultFail
	faultDrop
	faultDuplicate
)

// On is a rule for every call of an operation. It does nothing yet.
func On(op Op) Rule { return Rule{op: op, err: ErrInjected} }

// Nth narrows the rule to some calls of its operation, counted from 1 over all sagas.
func (r Rule) Nth(n ...int) Rule {
	n = slices.Clone(n)
	return r.If(func(c Call) bool { return slices.Contains(n, c.N) })
}

// Saga narrows the rule to calls for one saga.
func (r Rule) Saga(key saga.Key) Rule { return r.If(func(c Call) bool { return c.Key == key }) }

// If narrows the rule to calls of which the predicate holds. It is asked only about calls that the rule's
// earlier conditions let through.
func (r Rule) If(holds func(Call) bool) Rule {
	r.when = append(slices.Clip(r.when), holds)
	return r
}

// Fail makes the call fail and have no effect.
func (r Rule) Fail() Rule { return r.do(faultFail) }

// Drop makes the call have its effect and fail all the same: the answer was lost, the outcome is ambiguous.
func (r Rule) Drop() Rule { return r.do(faultDrop) }

// Duplicate makes the call happen twice, as by a retry below the caller, who sees the second outcome: for an
// append that is a conflict with itself.
func (r Rule) Duplicate() Rule { return r.do(faultDuplicate) }

func (r Rule) do(f fault) Rule {
	r.fault = f
	return r
}

// With names the error of Fail and Drop. Default: [ErrInjected].
func (r Rule) With(err error) Rule {
	r.err = err
	return r
}

// Delay calls hook before anything else happens to the call. A hook that blocks holds the call up; it may make
// calls of its own, which lets others get in first.
func (r Rule) Delay(hook func(context.Context, Call)) Rule {
	r.hook = hook
	return r
}

func (r Rule) applies(c Call) bool {
	if r.op != c.Op {
		return false
	}
	for _, holds := range r.when {
		if !holds(c) {
			return false
		}
	}
	return true
}

// Faulty gives a journal that does what inner does, except where a rule applies. Every rule that applies delays
// the call; the first that names a fault decides its outcome.
func Faulty(inner saga.Journal, rules ...Rule) saga.Journal {
	return &faulty{inner: inner, rules: slices.Clone(rules), calls: map[Op]int{}}
}

type faulty struct {
	inner saga.Journal
	rules []Rule

	mu    sync.Mutex
	calls map[Op]int
}

func (f *faulty) Append(ctx context.Context, key saga.Key, at uint64, c *saga.Commit) (uint64, error) {
	call := Call{Op: Append, Key: key, Commit: c}
	return carryOut(ctx, f, call, func() (uint64, error) { return f.inner.Append(ctx, key, at, c) })
}

func (f *faulty) Load(ctx context.Context, key saga.Key, c saga.Consistency) (saga.Log, error) {
	call := Call{Op: Load, Key: key, Consistency: c}
	return carryOut(ctx, f, call, func() (saga.Log, error) { return f.inner.Load(ctx, key, c) })
}

// carryOut makes a call as the rules will have it.
func carryOut[T any](ctx context.Context, f *faulty, call Call, do func() (T, error)) (T, error) {
	var nothing T
	rule := f.rule(ctx, call)
	switch rule.fault {
	case faultFail:
		return nothing, rule.err
	case faultDrop:
		_, _ = do() // whatever came of it, the caller does not get to know
		return nothing, rule.err
	case faultDuplicate:
		_, _ = do() // only the second outcome is seen
	case faultNone:
	}
	return do()
}

// rule counts the call, delays it and gives the rule that decides its outcome; the zero Rule where none does.
func (f *faulty) rule(ctx context.Context, call Call) Rule {
	f.mu.Lock()
	f.calls[call.Op]++
	call.N = f.calls[call.Op]
	f.mu.Unlock()
	var decides Rule
	for _, r := range f.rules {
		if !r.applies(call) {
			continue
		}
		if r.hook != nil {
			r.hook(ctx, call)
		}
		if decides.fault == faultNone {
			decides = r
		}
	}
	return decides
}
