package saga

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// SignalType is a kind of signal whose payload is a P. Declare one in a variable beside the definition that awaits it,
// so that sender and receiver share it.
type SignalType[P any] struct {
	name string
}

// DeclareSignal names a kind of signal. The name is one token, as a step's; see [CheckName].
func DeclareSignal[P any](name string) SignalType[P] { return SignalType[P]{name} }

// Name gives the signal's name.
func (s SignalType[P]) Name() string { return s.name }

// Encode gives the payload as it travels.
func (s SignalType[P]) Encode(payload P) (json.RawMessage, error) {
	data, err := json.Marshal(payload)
	if err != nil {
		return nil, fmt.Errorf("signal %q: payload of type %T cannot be encoded: %w", s.name, payload, err)
	}
	return data, nil
}

// AwaitNode waits for a signal. Its methods give changed copies.
type AwaitNode[S any] struct {
	name    string
	what    string
	spec    AwaitSpec
	step    StepNode[S]
	late    []Node[S]
	limited bool // a timeout was given
	strict  bool // a refused approval fails the saga: there is nothing to make something else of it
}

// Await waits for a signal of a kind, and hands its payload to take. A signal that came before is kept; the oldest is
// taken first, and each is taken once, whoever sends it again. The handler runs as a step does, under the name of the
// wait: with retries, and its change of the state is kept when it returns nil. A payload that does not decode as P is put aside
// in the history, and the wait goes on.
func Await[S, P any](name string, signal SignalType[P], take func(ctx context.Context, state *S, payload P) error) AwaitNode[S] {
	n := AwaitNode[S]{name: name, what: "await", spec: AwaitSpec{Signal: signal.name}}
	if take != nil {
		n.step = Step(name, func(ctx context.Context, state *S) error {
			var payload P
			received := signalFrom(ctx)
			if err := json.Unmarshal(received.Payload, &payload); err != nil {
				return &SignalError{Signal: received.ID, Err: fmt.Errorf("the payload does not decode as %T: %w", payload, err)}
			}
			return take(ctx, state, payload)
		})
	} else {
		n.step = StepNode[S]{name: name}
	}
	return n
}

// Decision is the answer to an [Approval].
type Decision struct {
	Approved bool   `json:"approved"`
	By       string `json:"by"`
	Reason   string `json:"reason,omitempty"`
}

// Err gives nil for an approval, and for a rejection an error marked by [Permanent] that is [ErrRejected].
func (d Decision) Err() error {
	if d.Approved {
		return nil
	}
	return Permanent(fmt.Errorf("%w by %s: %s", ErrRejected, d.By, d.Reason))
}

// ErrRejected is what a saga fails with whose [Approval] was refused.
var ErrRejected = errors.New("saga: approval was refused")

// Approval waits until someone approves or rejects, with the token that [ApprovalToken] gives: whoever has it decides,
// once, so what stands before [Token.Decide] has to know who that is. The decision is recorded, with who and why, and handed to decided, which makes of it what it likes: it may take a rejection into
// the state and let the saga go on, or return [Decision.Err] and have it undone, which is also what nil for decided does.
func Approval[S any](name string, decided func(state *S, d Decision) error) AwaitNode[S] {
	n := AwaitNode[S]{name: name, what: "approval", spec: AwaitSpec{Approval: true}, strict: decided == nil}
	n.step = Step(name, func(ctx context.Context, state *S) error {
		var d Decision
		received := signalFrom(ctx)
		if err := json.Unmarshal(received.Payload, &d); err != nil {
			return &SignalError{Signal: received.ID, Err: fmt.Errorf("the decision does not decode: %w", err)}
		}
		if decided == nil {
			return d.Err()
		}
		return decided(state, d)
	})
	return n
}

// Timeout limits the wait, from when the saga gets there. When no signal has come by then, the nodes run instead;
// without any, the saga fails. Default: no limit.
func (n AwaitNode[S]) Timeout(d time.Duration, nodes ...Node[S]) AwaitNode[S] {
	n.spec.Timeout, n.late, n.limited = d, nodes, true
	return n
}

// OrElse runs the nodes when the handler has failed for good, or the approval was refused; the saga then goes on.
func (n AwaitNode[S]) OrElse(nodes ...Node[S]) AwaitNode[S] {
	n.step = n.step.Fallback(nodes...)
	return n
}

// Retry sets the retry policy of the handler. Default: the zero [RetryPolicy].
func (n AwaitNode[S]) Retry(p RetryPolicy) AwaitNode[S] {
	n.step = n.step.Retry(p)
	return n
}

// The label of what runs when a wait is over without a signal.
const labelTimeout = "timeout"

func (n AwaitNode[S]) build(b *builder[S]) *PlanNode {
	if !n.spec.Approval {
		if err := CheckName("signal", n.spec.Signal); err != nil {
			b.fault("%s %q: %v", n.what, n.name, err)
		}
	}
	if n.strict && b.pivot != "" && !n.step.instead {
		b.fault("%s %q: can be refused, but after the pivot %q nothing can be undone: give OrElse its nodes, or decide what a refusal means",
			n.what, n.name, b.pivot)
	}
	node := n.step.buildAs(b, n.what)
	node.Kind = KindAwait
	spec := n.spec
	node.Await = &spec
	switch {
	case n.limited && spec.Timeout <= 0:
		b.fault("%s %q: timeout %v is not positive", n.what, n.name, spec.Timeout)
	case len(n.late) > 0:
		node.Children = append(node.Children, b.branch(n.what, n.name, labelTimeout, n.late))
		b.labels(n.what, node)
	case n.limited && b.pivot != "":
		b.fault("%s %q: can time out, but after the pivot %q nothing can be undone: give the timeout its nodes", n.what, n.name, b.pivot)
	}
	return node
}

// SignalError tells that a signal was not understood: it is put aside, and the wait for another goes on.
type SignalError struct {
	Signal string // its id
	Err    error
}

func (e *SignalError) Error() string { return fmt.Sprintf("signal %s: %v", e.Signal, e.Err) }

// Unwrap gives the cause.
func (e *SignalError) Unwrap() error { return e.Err }

type signalKey struct{}

func withSignal(ctx context.Context, s *Signal) context.Context {
	return context.WithValue(ctx, signalKey{}, s)
}

func signalFrom(ctx context.Context) *Signal {
	if s, ok := ctx.Value(signalKey{}).(*Signal); ok {
		return s
	}
	return &Signal{}
}

// Token is what an approval is decided with: it names one wait of one run. It is an address and no password: whoever may read the
// saga can derive it.
type Token struct {
	Key    Key
	Step   string // the wait's key
	Secret string // derived from the run, so that it fits one wait of one run
}

// approvalSpace is the UUIDv5 namespace of approvals' secrets. It is part of links that people hold, so it never changes.
var approvalSpace = uuid.MustParse("3b0f1f0a-7f0a-5f3e-8f0e-617070726f76")

func newToken(key Key, run, step string) Token {
	secret := uuid.NewSHA1(approvalSpace, []byte(key.Definition+"\x00"+key.ID+"\x00"+run+"\x00"+step))
	return Token{Key: key, Step: step, Secret: secret.String()}
}

// ApprovalToken gives the token of an [Approval] of the running saga, for a handler to pass on, say in a mail. The name is the
// approval's; within a loop or over items, the token is for the same turn or item as the handler's.
func ApprovalToken(ctx context.Context, name string) string {
	info := FromContext(ctx)
	return newToken(info.Key, info.Run, name+info.turns()).String()
}

// String gives the token as one word that is safe in a link.
func (t Token) String() string {
	parts := strings.Join([]string{t.Key.Definition, t.Key.ID, t.Step, t.Secret}, "\x00")
	return base64.RawURLEncoding.EncodeToString([]byte(parts))
}

// ParseToken reads what [Token.String] gives.
func ParseToken(text string) (Token, error) {
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return Token{}, fmt.Errorf("approval token %q: %w", clip(text, 64), err)
	}
	parts := strings.Split(string(data), "\x00")
	if len(parts) != 4 {
		return Token{}, fmt.Errorf("approval token %q: has %d parts in place of 4", clip(text, 64), len(parts))
	}
	t := Token{Key: Key{parts[0], parts[1]}, Step: parts[2], Secret: parts[3]}
	if err := t.Key.Validate(); err != nil {
		return Token{}, fmt.Errorf("approval token: %w", err)
	}
	return t, nil
}

// decides reports whether the signal is the decision on an approval.
func (c Signal) decides() bool { return strings.HasPrefix(c.Name, approvalPrefix) }

// decision names one command that decides an approval. All have the id of its token.
func (o Owner) decision() string { return fmt.Sprintf("%s@%s/%d", o.Command, o.Stream, o.Sequence) }

// approvalPrefix begins the name of the signal that decides an approval; the wait's key follows.
const approvalPrefix = "approval/"

// Decide gives the signal that spends the token.
func (t Token) Decide(d Decision, run string, at time.Time) (Signal, error) {
	payload, err := json.Marshal(d)
	if err != nil {
		return Signal{}, fmt.Errorf("saga %s: decision: %w", t.Key, err)
	}
	return Signal{ID: t.Secret, Run: run, Name: approvalPrefix + t.Step, Payload: payload, By: d.By, Time: at}, nil
}

// Fits reports whether the token is the one of that run of the saga.
func (t Token) Fits(run string) bool { return newToken(t.Key, run, t.Step) == t }

// signalName is what a wait listens for.
func (n *PlanNode) signalName(key string) string {
	if n.Await.Approval {
		return approvalPrefix + key
	}
	return n.Await.Signal
}
