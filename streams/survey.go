package streams

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/shard"
)

// Surveyed is what a survey tells of a saga.
type Surveyed struct {
	Key saga.Key
	// Commit is the last of the saga's log, as some replica has it, and Err why it cannot be decoded.
	Commit saga.Commit
	Err    error
	// Unfinished: whoever purged the saga died over it. There is no Commit.
	Unfinished bool
}

// surveyBatch is how many sagas are asked for at a time. The server takes up to 1,024 subjects in one request
// (server/stream.go, maxAllowedResponses).
const surveyBatch = 200

// Survey calls see with each saga of a stream that has a log, by shard, and with those that were not purged to the end.
// It reads the last commit of each, and the names of those of one shard at a time.
func (n *Namespace) Survey(ctx context.Context, stream string, see func(Surveyed) error) error {
	s, err := n.js.Stream(ctx, stream)
	if err != nil {
		return fmt.Errorf("stream %s: %w", stream, err)
	}
	for _, at := range n.Shards(stream) {
		// Every saga has a command; a log may be gone whose purge has an act to go.
		info, err := s.Info(ctx, jetstream.WithSubjectFilter(n.subjects.prefix+at.String()+".*.*."+commandToken))
		if err != nil {
			return fmt.Errorf("stream %s: shard %s: listing its sagas: %w", stream, at, err)
		}
		subjects := slices.Sorted(maps.Keys(info.State.Subjects))
		for batch := range slices.Chunk(subjects, surveyBatch) {
			if err := n.surveyed(ctx, stream, at, batch, see); err != nil {
				return err
			}
		}
	}
	return nil
}

// surveyed tells of the sagas that have these subjects of commands.
func (n *Namespace) surveyed(ctx context.Context, stream string, at shard.Shard, subjects []string, see func(Surveyed) error) error {
	keys := make([]saga.Key, len(subjects))
	logs := make([]string, len(subjects))
	for i, subject := range subjects {
		var err error
		if keys[i], _, err = n.subjects.parse(subject); err != nil {
			return err
		}
		logs[i] = n.subjects.commits(keys[i])
	}
	commits, err := n.lastOfEach(ctx, stream, logs)
	if err != nil {
		return fmt.Errorf("stream %s: shard %s: reading last commits: %w", stream, at, err)
	}
	var without []string // those whose commands tell more
	for i := range keys {
		if m, ok := commits[logs[i]]; !ok || m.Header.Get(HeaderHistoric) == historicPurged {
			without = append(without, subjects[i])
		}
	}
	commands, err := n.lastOfEach(ctx, stream, without)
	if err != nil {
		return fmt.Errorf("stream %s: shard %s: reading last commands: %w", stream, at, err)
	}
	for i, key := range keys {
		m, ok := commits[logs[i]]
		found := Surveyed{Key: key}
		mark := commands[subjects[i]].Header.Get(HeaderHistoric)
		switch {
		case ok && m.Header.Get(HeaderHistoric) == historicPurged:
			found.Unfinished = mark != historicPurged
		case ok:
			found.Commit, found.Err = decode(key, m)
		default:
			found.Unfinished = mark == historicPurging
		}
		if !found.Unfinished && found.Err == nil && found.Commit.Version == 0 {
			continue
		}
		if err := see(found); err != nil {
			return err
		}
	}
	return nil
}

// lastOfEach gives the last message of each of these subjects, by subject, from any replica.
func (n *Namespace) lastOfEach(ctx context.Context, stream string, subjects []string) (map[string]stored, error) {
	found := make(map[string]stored, len(subjects))
	for missing := subjects; len(missing) > 0; {
		got, err := n.multiLast(ctx, stream, missing)
		if err != nil {
			return nil, err
		}
		if len(got) == 0 {
			break // an answer ends early when it grows too large, and there is none for what is not there
		}
		for _, m := range got {
			found[m.Subject] = m
		}
		missing = slices.DeleteFunc(slices.Clone(missing), func(subject string) bool {
			_, ok := found[subject]
			return ok
		})
	}
	return found, nil
}

func (n *Namespace) multiLast(ctx context.Context, stream string, subjects []string) ([]stored, error) {
	body, err := json.Marshal(struct {
		Subjects []string `json:"multi_last"`
		MaxBytes int      `json:"max_bytes"`
	}{subjects, batchBytes})
	if err != nil {
		return nil, err
	}
	inbox := n.nc.NewInbox()
	answers := make(chan *nats.Msg, len(subjects)+1)
	sub, err := n.nc.ChanSubscribe(inbox, answers)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := n.nc.PublishRequest(n.api+"DIRECT.GET."+stream, inbox, body); err != nil {
		return nil, err
	}
	got, _, err := readBatch(ctx, answers)
	return got, err
}
