package streams

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/saga"
)

// Headers of a dead letter.
const (
	HeaderReason   = "Jetsaga-Reason"   // why the command was set aside
	HeaderStream   = "Jetsaga-Stream"   // where it came from
	HeaderSequence = "Jetsaga-Sequence" // and its sequence there
	HeaderSize     = "Jetsaga-Size"     // how many bytes the command has of which the letter holds only the first; else absent
)

// ErrNoLetter tells that there is no dead letter of that number: it was redriven or dropped, or never was.
var ErrNoLetter = errors.New("no such dead letter")

// ErrLetterCut tells that a dead letter cannot be redriven: it holds only the beginning of what was set aside.
var ErrLetterCut = errors.New("the dead letter was cut to fit the server's max_payload, and cannot be redriven")

// ErrLetterFilter tells that a [LetterFilter] has an ID and no Definition.
var ErrLetterFilter = errors.New("streams.LetterFilter: ID goes with Definition")

// DeadLetter is a command that was set aside.
type DeadLetter struct {
	// Number names the letter: its sequence in the stream of dead letters.
	Number uint64    `json:"number"`
	Key    saga.Key  `json:"key"`
	Time   time.Time `json:"time"` // when it was set aside
	Reason string    `json:"reason"`
	// Stream and Sequence are where the command was stored, and still is: it is only not delivered any more.
	Stream   string `json:"stream"`
	Sequence uint64 `json:"sequence"`
	Data     []byte `json:"data"` // the command, as it was sent
	// Size is how many bytes the command has where Data is only its beginning, because all of it and what is told of it would
	// burst the server's max_payload; 0 where Data is whole. No command of this package is as large as that.
	Size int `json:"size,omitempty"`
}

// Cut reports whether the letter holds only the beginning of the command. Such a one cannot be redriven.
func (d *DeadLetter) Cut() bool { return d.Size > 0 }

// LetterFilter says which dead letters are wanted. The zero value wants all.
type LetterFilter struct {
	Definition string // default: of all definitions
	ID         string // default: of all sagas; goes with a definition
}

// letters gives the subjects of the letters wanted.
func (s subjects) letters(f LetterFilter) (string, error) {
	switch {
	case f.ID != "" && f.Definition == "":
		return "", ErrLetterFilter
	case f.ID != "":
		key := saga.Key{Definition: f.Definition, ID: f.ID}
		return s.dead(key), key.Validate()
	case f.Definition != "":
		return s.prefix + "dead.*." + f.Definition + ".*", saga.CheckName("definition", f.Definition)
	default:
		return s.deadAll(), nil
	}
}

// SetAside stores a copy of a command that can never be carried out among the dead letters, with the reason, and
// takes the command off its consumer. It is stored once, however often the command is delivered, unless the letter was removed
// meanwhile. What is too large to be stored with the reason is cut: see [DeadLetter.Size].
func (n *Namespace) SetAside(ctx context.Context, d *Delivery, reason error) error {
	m := nats.NewMsg(n.subjects.dead(d.Key))
	m.Data = d.Data
	m.Header[jetstream.MsgIDHeader] = []string{d.Stream + "-" + strconv.FormatUint(d.Sequence, 10)}
	m.Header[HeaderReason] = []string{oneLine(reason.Error())}
	m.Header[HeaderStream] = []string{d.Stream}
	m.Header[HeaderSequence] = []string{strconv.FormatUint(d.Sequence, 10)}
	if room := max(0, int(n.nc.MaxPayload())-headerAllowance); len(d.Data) > room {
		m.Data = d.Data[:room]
		m.Header[HeaderSize] = []string{strconv.Itoa(len(d.Data))}
	}
	var err error
	if d.Count > 1 || d.Repeated { // whoever had it before may have died over it
		err = n.sendOnce(ctx, n.deadStream(), m)
	} else {
		_, err = n.pub.publish(ctx, m)
	}
	if err != nil {
		return fmt.Errorf("saga %s: setting a command aside: %w", d.Key, err)
	}
	return d.terminate(oneLine(reason.Error()))
}

// oneLine makes text fit for a header and for an ack. It is short enough for a letter to add no more than headerAllowance to
// the command, so that whatever was sent as a command fits into a letter.
func oneLine(text string) string {
	const longest = 512 // bytes
	line := make([]byte, 0, min(len(text), longest))
	for _, r := range text {
		if r < ' ' || r == 0x7f {
			r = ' '
		}
		if len(line)+utf8.RuneLen(r) > longest {
			break
		}
		line = utf8.AppendRune(line, r)
	}
	return string(line)
}

// DeadLetters gives how many commands were set aside.
func (n *Namespace) DeadLetters(ctx context.Context) (uint64, error) {
	stream, err := n.js.Stream(ctx, n.deadStream())
	if err != nil {
		return 0, fmt.Errorf("namespace %q: dead letters: %w", n.name, err)
	}
	return stream.CachedInfo().State.Msgs, nil
}

// LastDeadLetter gives the command that was set aside last; ok is false where there is none.
func (n *Namespace) LastDeadLetter(ctx context.Context) (d DeadLetter, ok bool, err error) {
	m, err := n.fromLeader(ctx, n.deadStream(), leaderRequest{LastFor: n.subjects.deadAll()})
	if errors.Is(err, errNotStored) {
		return d, false, nil
	}
	if err != nil {
		return d, false, fmt.Errorf("namespace %q: dead letters: %w", n.name, err)
	}
	return n.letter(m), true, nil
}

// LettersAfter gives the dead letters after a number, 0 for the first, in their order, at most limit of them.
func (n *Namespace) LettersAfter(ctx context.Context, f LetterFilter, after uint64, limit int) ([]DeadLetter, error) {
	subject, err := n.subjects.letters(f)
	if err != nil {
		return nil, err
	}
	var letters []DeadLetter
	for len(letters) < limit {
		m, err := n.fromLeader(ctx, n.deadStream(), leaderRequest{Sequence: after + 1, NextFor: subject})
		if errors.Is(err, errNotStored) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("namespace %q: dead letters: %w", n.name, err)
		}
		letters, after = append(letters, n.letter(m)), m.Sequence
	}
	return letters, nil
}

// Letter gives one dead letter. The error is [ErrNoLetter] where there is none of that number.
func (n *Namespace) Letter(ctx context.Context, number uint64) (DeadLetter, error) {
	m, err := n.fromLeader(ctx, n.deadStream(), leaderRequest{Sequence: max(number, 1)})
	if errors.Is(err, errNotStored) || err == nil && number == 0 {
		err = ErrNoLetter
	}
	if err != nil {
		return DeadLetter{}, fmt.Errorf("namespace %q: dead letter %d: %w", n.name, number, err)
	}
	return n.letter(m), nil
}

func (n *Namespace) letter(m stored) DeadLetter {
	d := DeadLetter{
		Number: m.Sequence, Time: m.Time, Reason: m.Header.Get(HeaderReason), Stream: m.Header.Get(HeaderStream), Data: m.Data,
	}
	d.Sequence, _ = strconv.ParseUint(m.Header.Get(HeaderSequence), 10, 64) // 0 for one that someone else has put there
	if size, err := strconv.Atoi(m.Header.Get(HeaderSize)); err == nil && size > len(m.Data) {
		d.Size = size
	}
	if tokens := strings.Split(strings.TrimPrefix(m.Subject, n.subjects.prefix+"dead."), "."); len(tokens) == 3 {
		d.Key = saga.Key{Definition: tokens[1], ID: tokens[2]}
	}
	return d
}

// redrivenID names the message that a letter's command is sent again in. A stream of dead letters that was made anew
// counts from one again, hence the time.
func (d *DeadLetter) redrivenID() string {
	return redrivenPrefix + strconv.FormatUint(d.Number, 10) + "-" + strconv.FormatInt(d.Time.UnixNano(), 36)
}

const redrivenPrefix = "redriven-"

// Redrive sends the command of a dead letter again, and then removes the letter. The error is [ErrNoLetter] where there
// is none of that number, and [ErrLetterCut] where the letter holds only a part of it.
//
// The command is stored before the letter is removed, and under a condition: that what was last sent to the saga is what
// was there when the saga's commands were looked through for this letter's. So a call that dies in between loses nothing,
// and the next call, or one that is made at the same time, finds the command sent and does not send it twice.
func (n *Namespace) Redrive(ctx context.Context, number uint64) (DeadLetter, error) {
	d, err := n.Letter(ctx, number)
	if err != nil {
		return d, err
	}
	if err = ErrLetterCut; !d.Cut() {
		err = n.sendLetter(ctx, &d)
	}
	if err != nil {
		return d, fmt.Errorf("saga %s: redriving dead letter %d: %w", d.Key, number, err)
	}
	return d, n.removeLetter(ctx, number)
}

// sendLetter stores the letter's command among those to its saga, unless it is there.
func (n *Namespace) sendLetter(ctx context.Context, d *DeadLetter) error {
	if err := d.Key.Validate(); err != nil {
		return err
	}
	m := nats.NewMsg(n.subjects.commands(d.Key))
	m.Data = d.Data
	m.Header[jetstream.MsgIDHeader] = []string{d.redrivenID()}
	return n.sendOnce(ctx, n.stream(d.Key), m)
}

// sendTries is how often a message is sent again that was refused because another came to its subject at the same time.
const sendTries = 20

// sendOnce stores a message among those of its subject, unless there is one with its id, however long since: the server itself
// knows ids for two minutes.
func (n *Namespace) sendOnce(ctx context.Context, stream string, m *nats.Msg) error {
	for try := 1; ; try++ {
		messages, last, err := n.all(ctx, stream, m.Subject)
		if err != nil {
			return err
		}
		for i := range messages {
			if messages[i].Header.Get(jetstream.MsgIDHeader) == m.Header.Get(jetstream.MsgIDHeader) {
				return nil
			}
		}
		m.Header[jetstream.ExpectedLastSubjSeqHeader] = []string{strconv.FormatUint(last, 10)}
		if _, err = n.pub.publish(ctx, m); !isConflict(err) || try == sendTries {
			return err
		}
		select {
		case <-time.After(refusalRest):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// DropLetter removes a dead letter; its command is not carried out. The error is [ErrNoLetter] where there is none of that
// number.
func (n *Namespace) DropLetter(ctx context.Context, number uint64) (DeadLetter, error) {
	d, err := n.Letter(ctx, number)
	if err != nil {
		return d, err
	}
	return d, n.removeLetter(ctx, number)
}

// removeLetter removes a letter, which another call may have done before.
func (n *Namespace) removeLetter(ctx context.Context, number uint64) error {
	stream, err := n.js.Stream(ctx, n.deadStream())
	if err == nil {
		err = stream.DeleteMsg(ctx, number)
	}
	if err == nil {
		return nil
	}
	if _, gone := n.Letter(ctx, number); errors.Is(gone, ErrNoLetter) {
		return nil
	}
	return fmt.Errorf("namespace %q: removing dead letter %d: %w", n.name, number, err)
}
