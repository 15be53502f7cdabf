package streams

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// stored is a message as it stands in a stream.
type stored struct {
	Subject  string
	Sequence uint64
	Header   nats.Header // as it was sent, beside what the answer that brought it adds
	Data     []byte
	Time     time.Time // when it was stored
	// Previous is the sequence that the subject's message before it had when this one was sent: its condition,
	// which is kept with it. It is a hint, since sequences change when a shard moves.
	Previous uint64
}

// Headers and statuses of direct gets, from nats-server's server/stream.go and ADR-31.
const (
	headerSequence = "Nats-Sequence"
	headerSubject  = "Nats-Subject"
	headerTime     = "Nats-Time-Stamp"
	headerPending  = "Nats-Num-Pending"
	statusHeader   = "Status"
	statusNoBody   = "404"
	statusEnd      = "204"
)

// readTimeout bounds one read, or one batch of a longer one.
const readTimeout = 5 * time.Second

// batchSize is how many messages one batched direct get asks for, and batchBytes how many bytes: the message that is over them is
// the last that comes.
const (
	batchSize  = 256
	batchBytes = 2 << 20
)

// errNotStored tells that a subject has no message where one was looked for.
var errNotStored = errors.New("no such message")

// lastDirect gives the last message of a subject from any replica.
func (n *Namespace) lastDirect(ctx context.Context, stream, subject string) (stored, error) {
	return n.direct(ctx, n.api+"DIRECT.GET."+stream+"."+subject, nil)
}

// direct carries out a direct get that gives one message.
func (n *Namespace) direct(ctx context.Context, api string, request []byte) (stored, error) {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	m, err := n.nc.RequestWithContext(ctx, api, request)
	if err != nil {
		return stored{}, err
	}
	return parseDirect(m)
}

func parseDirect(m *nats.Msg) (stored, error) {
	if status := m.Header.Get(statusHeader); status != "" {
		if status == statusNoBody {
			return stored{}, errNotStored
		}
		return stored{}, fmt.Errorf("direct get: status %s %s", status, m.Header.Get("Description"))
	}
	sequence, err := strconv.ParseUint(m.Header.Get(headerSequence), 10, 64)
	if err != nil {
		return stored{}, fmt.Errorf("direct get: header %s: %w", headerSequence, err)
	}
	at, err := time.Parse(time.RFC3339Nano, m.Header.Get(headerTime))
	if err != nil {
		return stored{}, fmt.Errorf("direct get: header %s: %w", headerTime, err)
	}
	return stored{m.Header.Get(headerSubject), sequence, m.Header, m.Data, at, previous(m.Header)}, nil
}

// previous reads the condition that a message was sent with; 0 where there is none.
func previous(h nats.Header) uint64 {
	sequence, err := strconv.ParseUint(h.Get(jetstream.ExpectedLastSubjSeqHeader), 10, 64)
	if err != nil {
		return 0
	}
	return sequence
}

// leaderRequest is the body of STREAM.MSG.GET, which only the stream's leader answers.
type leaderRequest struct {
	Sequence uint64    `json:"seq,omitempty"`
	Since    time.Time `json:"start_time,omitzero"` // in place of a sequence: that of the first message stored since
	LastFor  string    `json:"last_by_subj,omitempty"`
	NextFor  string    `json:"next_by_subj,omitempty"`
}

// fromLeader asks the stream's leader for one message.
func (n *Namespace) fromLeader(ctx context.Context, stream string, r leaderRequest) (stored, error) {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	body, err := json.Marshal(r)
	if err != nil {
		return stored{}, err
	}
	m, err := n.nc.RequestWithContext(ctx, n.api+"STREAM.MSG.GET."+stream, body)
	if err != nil {
		return stored{}, err
	}
	var response struct {
		Error   *jetstream.APIError `json:"error"`
		Message *struct {
			Subject  string    `json:"subject"`
			Sequence uint64    `json:"seq"`
			Header   []byte    `json:"hdrs"`
			Data     []byte    `json:"data"`
			Time     time.Time `json:"time"`
		} `json:"message"`
	}
	if err := json.Unmarshal(m.Data, &response); err != nil {
		return stored{}, fmt.Errorf("stream %s: message get: %w", stream, err)
	}
	switch {
	case response.Error != nil && response.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return stored{}, errNotStored
	case response.Error != nil:
		return stored{}, response.Error
	case response.Message == nil:
		return stored{}, fmt.Errorf("stream %s: message get: empty answer", stream)
	}
	answer := stored{
		Subject: response.Message.Subject, Sequence: response.Message.Sequence, Data: response.Message.Data, Time: response.Message.Time,
	}
	if len(response.Message.Header) > 0 {
		h, err := nats.DecodeHeadersMsg(response.Message.Header)
		if err != nil {
			return stored{}, fmt.Errorf("stream %s: message get: headers: %w", stream, err)
		}
		answer.Header, answer.Previous = h, previous(h)
	}
	return answer, nil
}

// back gives the messages of one subject that lead up to last, itself included, oldest first: from each it goes to the
// one before by its sequence, which costs the server no search. It gives up, with what it has, after so many steps, at
// the subject's first message, and where a hint proves wrong.
func (n *Namespace) back(ctx context.Context, stream string, last stored, steps int, done func(stored) bool) ([]stored, error) {
	messages := []stored{last}
	for m := last; m.Previous != 0 && len(messages) <= steps && !done(m); {
		body, err := json.Marshal(leaderRequest{Sequence: m.Previous})
		if err != nil {
			return nil, err
		}
		before, err := n.direct(ctx, n.api+"DIRECT.GET."+stream, body)
		if errors.Is(err, errNotStored) || err == nil && before.Subject != last.Subject {
			break
		}
		if err != nil {
			return nil, err
		}
		messages = append(messages, before)
		m = before
	}
	slices.Reverse(messages)
	return messages, nil
}

// between gives the messages of one literal subject from one sequence to another, both included, by batched
// direct gets. A lagging replica may give fewer; the caller checks.
func (n *Namespace) between(ctx context.Context, stream, subject string, from, to uint64) ([]stored, error) {
	inbox := n.nc.NewInbox()
	answers := make(chan *nats.Msg, batchSize+1) // SubscribeSync would make one for 65,536
	sub, err := n.nc.ChanSubscribe(inbox, answers)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	var messages []stored
	for from <= to {
		got, more, err := n.batch(ctx, stream, batchRequest{leaderRequest{Sequence: max(from, 1), NextFor: subject}, batchSize, batchBytes}, inbox, answers)
		if err != nil {
			return nil, err
		}
		for _, m := range got {
			if m.Sequence <= to {
				messages = append(messages, m)
			}
		}
		if !more {
			break
		}
		from = got[len(got)-1].Sequence + 1
	}
	return messages, nil
}

// oldest gives the first messages of one literal subject: a batch at the most. A lagging replica may give some that are gone.
func (n *Namespace) oldest(ctx context.Context, stream, subject string, count int) ([]stored, error) {
	inbox := n.nc.NewInbox()
	answers := make(chan *nats.Msg, batchSize+1)
	sub, err := n.nc.ChanSubscribe(inbox, answers)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	first := leaderRequest{Sequence: 1, NextFor: subject}
	messages, _, err := n.batch(ctx, stream, batchRequest{first, min(count, batchSize), batchBytes}, inbox, answers)
	return messages, err
}

// batchRequest asks for several messages, from one on.
type batchRequest struct {
	leaderRequest
	Batch    int `json:"batch"`
	MaxBytes int `json:"max_bytes"`
}

// batch asks for one batch and gathers it from what comes to the inbox. It reports whether there is more behind it.
func (n *Namespace) batch(ctx context.Context, stream string, r batchRequest, inbox string, answers <-chan *nats.Msg) (batch []stored, more bool, _ error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, false, err
	}
	if err := n.nc.PublishRequest(n.api+"DIRECT.GET."+stream, inbox, body); err != nil {
		return nil, false, err
	}
	batch, more, err = readBatch(ctx, answers)
	if err != nil {
		return nil, false, fmt.Errorf("stream %s: reading %s: %w", stream, r.NextFor, err)
	}
	return batch, more, nil
}

// readBatch gathers one batch, which ends with a message of status 204, or 404 where nothing was found. It reports whether there is
// more behind it.
func readBatch(ctx context.Context, answers <-chan *nats.Msg) (batch []stored, more bool, _ error) {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	for {
		var m *nats.Msg
		select {
		case m = <-answers:
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
		if m.Header.Get(statusHeader) == statusEnd {
			return batch, len(batch) > 0 && m.Header.Get(headerPending) != "0", nil
		}
		one, err := parseDirect(m)
		if errors.Is(err, errNotStored) {
			return batch, false, nil
		}
		if err != nil {
			return nil, false, err
		}
		batch = append(batch, one)
	}
}

// all gives all messages of one literal subject, oldest first, and the sequence of the last, as the stream's leader has
// them at the time of the call. What is read comes oldest first, so nothing is missing as long as the last is there; it is not
// when all have given way to another meanwhile, and then that is read.
func (n *Namespace) all(ctx context.Context, stream, subject string) (messages []stored, last uint64, err error) {
	whole := func() bool { return len(messages) > 0 && messages[len(messages)-1].Sequence == last }
	for {
		end, err := n.fromLeader(ctx, stream, leaderRequest{LastFor: subject})
		if errors.Is(err, errNotStored) {
			return nil, 0, nil
		}
		if err != nil {
			return nil, 0, err
		}
		last = end.Sequence
		for _, read := range []func() ([]stored, error){
			func() ([]stored, error) { return n.between(ctx, stream, subject, 1, last) },
			func() ([]stored, error) { return n.each(ctx, stream, subject, last) },
		} {
			if messages, err = read(); err != nil || whole() {
				return messages, last, err
			}
		}
	}
}

// each gives the messages of one literal subject up to a sequence, one by one from the leader: slow, and never behind.
func (n *Namespace) each(ctx context.Context, stream, subject string, to uint64) ([]stored, error) {
	var messages []stored
	for next := uint64(1); next <= to; {
		m, err := n.fromLeader(ctx, stream, leaderRequest{Sequence: next, NextFor: subject})
		if errors.Is(err, errNotStored) {
			break
		}
		if err != nil {
			return nil, err
		}
		messages = append(messages, m)
		next = m.Sequence + 1
	}
	return messages, nil
}

// withTimeout bounds a read: an answer that has not come soon was lost with a connection or a server.
func withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, readTimeout)
}
